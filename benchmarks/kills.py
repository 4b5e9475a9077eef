"""Kill -9 at random moments: profile, search and train must resume to the result of an undisturbed run.

    python benchmarks/kills.py [--kills 51] [--seed 0] [--out benchmarks/results/kills.json]

Each of the three commands first runs undisturbed. Then, in trials, it is started in a new folder and killed at a
random moment of its usual duration, up to KILLS_PER_TRIAL times, and at last left to end. Search and train must end
with the same bytes. For profile, whose numbers are measurements, the rows that were on the disk at a kill must stand
unchanged in the final table, with every step of the space.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.settings import write_json
from bnn_deploy.space import load_space

KILLS_PER_TRIAL = 3
SPACE = "mobilenet-32"
PROFILE = ["profile", "--space", SPACE, "--patience", "5"]


@dataclass(frozen=True)
class Command:
    """name; arguments: folder -> command line; outcome: folder -> what must not depend on kills; codes: good ends."""

    name: str
    arguments: Callable[[Path], list[str]]
    outcome: Callable[[Path], object]
    codes: tuple[int, ...] = (0,)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def commands(table: Path, architecture_groups: str) -> list[Command]:
    def profile(folder: Path) -> list[str]:
        return [*PROFILE, "--out", str(folder / "t.jsonl"), "--samples", "10"]

    def search(folder: Path) -> list[str]:
        words = ["search", "--space", SPACE, "--data", "digits", "--table", str(table), "--out", str(folder)]
        words += ["--recipe", "quick-supernet", "--epochs", "2", "--population", "6", "--generations", "3"]
        return [*words, "--seed", "3"]

    def train(folder: Path) -> list[str]:
        words = ["train", "--groups", architecture_groups, "--space", SPACE, "--data", "digits", "--recipe", "quick"]
        return [*words, "--epochs", "4", "--out", str(folder), "--seed", "3"]

    def rows(folder: Path) -> object:
        return sorted(step.key for step in LatencyTable.open(folder / "t.jsonl").rows)

    def found(folder: Path) -> object:
        names = ("search.json", "generations.jsonl", "evaluations.jsonl", "supernet/weights.safetensors")
        return [sha256(folder / name) for name in names]

    return [
        Command("profile", profile, rows, codes=(0, 1)),  # 1: complete, and some rows are noisy
        Command("search", search, found),
        Command("train", train, lambda folder: sha256(folder / "weights.safetensors")),
    ]


def start(words: list[str]) -> subprocess.Popen[bytes]:
    entry = [sys.executable, "-c", "from bnn_deploy.cli import main; main()", *words]
    return subprocess.Popen(entry, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def table_lines(folder: Path) -> list[bytes]:
    """The complete lines of a profile's table."""
    table = folder / "t.jsonl"
    data = table.read_bytes() if table.exists() else b""
    return [line for line in data.splitlines(keepends=True) if line.endswith(b"\n")]


def trial(command: Command, folder: Path, seconds: float, rng: np.random.Generator) -> list[float]:
    """Start and kill, then let it end; returns the moments of the kills that hit a living process."""
    moments, snapshots = [], []
    for _ in range(KILLS_PER_TRIAL):
        process = start(command.arguments(folder))
        delay = float(rng.uniform(0.2, seconds))
        try:
            process.wait(delay)
            break  # it was done before the kill
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            moments.append(round(delay, 3))
            snapshots.append(table_lines(folder))
    code = start(command.arguments(folder)).wait()
    if code not in command.codes:
        raise SystemExit(f"{command.name} in {folder}: exit code {code} after kills at {moments}")
    final = table_lines(folder)
    if any(final[: len(lines)] != lines for lines in snapshots):
        raise SystemExit(f"{folder}: rows changed after a kill")
    return moments


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=51, help="in all, at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "kills.json")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    groups = ",".join("8" for _ in load_space(SPACE).genes)
    results = []
    with tempfile.TemporaryDirectory(prefix="bnn-kills-") as name:
        root = Path(name)
        table = root / "table.jsonl"
        if start([*PROFILE, "--out", str(table), "--samples", "5"]).wait() not in (0, 1):
            raise SystemExit("profile failed")
        for command in commands(table, groups):
            begin = time.monotonic()
            if start(command.arguments(root / command.name)).wait() not in command.codes:
                raise SystemExit(f"{command.name} failed undisturbed")
            seconds = time.monotonic() - begin
            expected = command.outcome(root / command.name)
            killed: list[float] = []
            number = equal = 0
            while len(killed) < arguments.kills / 3:
                folder = root / f"{command.name}-{number}"
                killed += trial(command, folder, seconds, rng)
                same = command.outcome(folder) == expected
                equal, number = equal + same, number + 1
                print(f"{command.name}: trial {number}, {len(killed)} kills, {'same' if same else 'DIFFERENT'}")
            row = {"command": command.name, "seconds_undisturbed": seconds, "trials": number}
            results.append({**row, "equal": equal, "kills_at_s": killed})
    total = sum(len(row["kills_at_s"]) for row in results)  # type: ignore[arg-type]
    different = sum(row["trials"] - row["equal"] for row in results)  # type: ignore[operator]
    write_json(arguments.out, {"seed": arguments.seed, "kills": total, "different": different, "commands": results})
    print(f"{total} kills, {different} trials with another result; {arguments.out}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
