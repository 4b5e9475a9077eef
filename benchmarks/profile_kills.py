"""Profiling over ssh, disturbed at random moments: nothing is lost, nothing is measured twice, the table gets whole.

    python -m benchmarks.profile_kills [--kills 20] [--space mobilenet-224] [--seed 0] [--out ...]

Needs sshd (Debian: openssh-server), which is started on loopback with keys of its own; nothing of this user's
configuration is touched. `bnn-deploy profile --device loopback` measures the space through it and is disturbed at
random moments in one of three ways, in turn:

    client       the program is killed (SIGKILL); the same command is started again
    connection   the server's processes of the connection are killed; the program is to connect again by itself
    board        bnn-board is killed while it measures a block; the program is to measure that block again by itself

A program that ends all the same is started again. For each table:

    lost         lines that were on the disk at a kill and do not stand, unchanged, in the same place at the end
    twice        measurements of a step that was confirmed before, by what stood in the file at that time
    missing      steps of the space without a row at the end
    left behind  processes of the board binary, and folders of sessions, that are still there when the program has ended
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.common import write_results
from bnn_deploy.journal import read_journal
from bnn_deploy.latency.block import Block
from bnn_deploy.latency.judgement import Quality
from bnn_deploy.latency.measurement import Measurement
from bnn_deploy.latency.table import KIND, SCHEMA, LatencyTable
from bnn_deploy.profiling.protocol import CONFIRMATIONS
from bnn_deploy.space import load_space
from tests.ssh_server import SshServer, descendants

WAYS = ("client", "connection", "board")
KILLS_PER_TABLE = 4
PATIENCE_S = 900.0  # for one run of the command
DEVICE = "loopback"


@dataclass
class Kill:
    """One disturbance.

    Args:
        way: of WAYS.
        after_s: since the program was started or last disturbed.
        lines: complete lines on the disk at that moment.
        went_on: the program needed no new start.
    """

    way: str
    after_s: float
    lines: int
    went_on: bool = False


@dataclass
class Trial:
    """One table."""

    folder: Path
    board_folder: Path
    server: SshServer
    space: str
    samples: int
    kills: list[Kill] = field(default_factory=list)
    snapshots: list[bytes] = field(default_factory=list)
    starts: int = 0

    @property
    def table(self) -> Path:
        """Its file."""
        return self.folder / "table.jsonl"

    def start(self) -> subprocess.Popen[bytes]:
        """The command, always the same."""
        self.starts += 1
        words = ["profile", "--device", DEVICE, "--space", self.space, "--out", str(self.table)]
        words += ["--samples", str(self.samples), "--patience", "30"]
        entry = [sys.executable, "-c", "from bnn_deploy.cli import main; main()", *words]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(entry, stdout=subprocess.DEVNULL, stderr=log)

    def on_disk(self) -> bytes:
        """The complete lines."""
        data = self.table.read_bytes() if self.table.exists() else b""
        return data[: data.rfind(b"\n") + 1]

    def run(self, ways: Iterator[str], longest_s: float, rng: np.random.Generator) -> None:
        """Disturb KILLS_PER_TABLE times, then let it end.

        Raises:
            SystemExit: it does not end well when left alone.
        """
        process = self.start()
        for _ in range(KILLS_PER_TABLE):
            delay = float(rng.uniform(0.5, longest_s))
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                pass
            else:
                break  # it was done before
            way = next(ways)
            try:
                self.disturb(way, process)
            except ProcessLookupError:
                break  # it was done
            self.kills.append(Kill(way, round(delay, 3), self.snapshots[-1].count(b"\n")))
            if way == "client":
                process.wait()
                process = self.start()
            else:
                process = self.see(process)
        self.finish(process)

    def measuring(self, process: subprocess.Popen[bytes]) -> int:
        """The next process that measures a block, while `process` lives."""
        while process.poll() is None:
            for pid in self.board_processes():
                if b"layers" in command_line(pid):
                    return pid
            time.sleep(0.01)
        raise ProcessLookupError

    def disturb(self, way: str, process: subprocess.Popen[bytes]) -> None:
        """Do it.

        Raises:
            ProcessLookupError: there is nothing to kill any more.
        """
        if way == "client":
            process.kill()
            process.wait()
        elif way == "connection":
            self.server.drop_connections()
        else:
            os.kill(self.measuring(process), signal.SIGKILL)
        self.snapshots.append(self.on_disk())

    def see(self, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Whether the program goes on by itself until the next block is on the disk; else start it again."""
        known, end = self.on_disk(), time.monotonic() + PATIENCE_S
        while self.on_disk() == known and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        self.kills[-1].went_on = process.poll() is None or process.returncode == 0 or self.on_disk() != known
        return process if process.poll() is None else self.start()

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """To the end, undisturbed; a code of 1 that stands for noisy rows is none of this study's business."""
        code = process.wait(PATIENCE_S)
        if process.returncode not in (0, 1) or self.missing():
            code = self.start().wait(PATIENCE_S)
        if code not in (0, 1):
            raise SystemExit(f"{self.folder}: exit code {code}; see {self.folder / 'log'}")

    def board_processes(self) -> list[int]:
        """Of bnn-board, started by the server."""
        assert self.server.pid
        return [pid for pid in descendants(self.server.pid) if b"bnn-board" in command_line(pid).split(b"\0")[0]]

    def left_behind(self) -> list[str]:
        """What there should not be when the program has ended."""
        folders = [path.name for path in self.board_folder.iterdir()]
        return folders + [command_line(pid).decode(errors="replace") for pid in self.board_processes()]

    def missing(self) -> list[str]:
        """Steps without a row."""
        table = LatencyTable.open(self.table)
        return [step.key for step in load_space(self.space).steps() if step not in table.rows]

    def to_json(self) -> dict[str, object]:
        """What came of it."""
        final = self.on_disk()
        lost = sum(not final.startswith(snapshot) for snapshot in self.snapshots)
        end = time.monotonic() + 10
        while self.left_behind() and time.monotonic() < end:
            time.sleep(0.1)
        table = LatencyTable.open(self.table)
        return {
            "kills": [[kill.way, kill.after_s, kill.lines, kill.went_on] for kill in self.kills],
            "starts": self.starts,
            "lines": final.count(b"\n"),
            "lost": lost,
            "twice": measured_twice(self.table),
            "missing": self.missing(),
            "left_behind": self.left_behind(),
            "blocks": len(table.blocks),
            "blocks_set_aside": len(table.set_aside),
            "not_ok": sum(row.quality is not Quality.OK for row in table.rows.values()),
        }


def command_line(pid: int) -> bytes:
    """Of a process; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def measured_twice(path: Path) -> int:
    """Measurements of steps that were confirmed already by what stood before their block."""
    header, records = read_journal(path, KIND, SCHEMA)
    table, twice = LatencyTable(path, header), 0
    block: list[Block] = []
    rows: list[Measurement] = []
    for record in [*records, {"type": "block"}]:
        if record["type"] == "row":
            rows.append(Measurement.from_json(record))
            continue
        whole = [(step, row) for step, row in table.rows.items() if len(row.counted) >= CONFIRMATIONS]
        closed = {step for step, row in whole if row.quality is Quality.OK}
        twice += sum(row.step in closed for row in rows)
        table = table.extended(block, rows)
        block, rows = [Block.from_json(record)] if "block" in record else [], []
    return twice


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="in all, at least")
    parser.add_argument("--space", default="mobilenet-224")
    parser.add_argument("--samples", type=int, default=30, help="of a step in a block")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=12.0, help="seconds between two disturbances, at most")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "profile_kills.json")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    ways = (WAYS[number % len(WAYS)] for number in range(1 << 20))
    trials: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="bnn-profile-kills-") as name:
        root = Path(name)
        server = SshServer(root / "server")
        devices = root / "devices.toml"
        board_folder = root / "board"
        board_folder.mkdir()
        entry = f'schema = 1\n[{DEVICE}]\nhost = "board"\nssh_config = "{server.config}"\nfolder = "{board_folder}"\n'
        devices.write_text(entry)
        os.environ["BNN_DEPLOY_DEVICES"] = str(devices)
        try:
            kills = 0
            while kills < arguments.kills:
                folder = root / f"trial-{len(trials)}"
                folder.mkdir()
                trial = Trial(folder, board_folder, server, arguments.space, arguments.samples)
                trial.run(ways, arguments.longest, rng)
                trials.append(trial.to_json())
                kills += len(trial.kills)
                print(f"{kills} kills: {trials[-1]}", flush=True)
        finally:
            server.stop()
    bad = sum(bool(trial[name]) for trial in trials for name in ("lost", "twice", "missing", "left_behind"))
    settings = {"space": arguments.space, "samples": arguments.samples, "seed": arguments.seed}
    write_results(arguments.out, {**settings, "kills": kills, "bad": bad, "trials": trials})
    print(f"{kills} kills, {len(trials)} tables, {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
