"""What the timing studies share: the board binary and its peak, workers in other environments, result files."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bnn_deploy.engine.bnn_file import plan_to_bytes
from bnn_deploy.journal import write_atomically
from bnn_deploy.profiling.description import device_descriptions
from bnn_deploy.profiling.device import BOARD_BINARY, Device
from bnn_deploy.profiling.transport.local import LocalTransport
from bnn_deploy.settings import write_json
from bnn_deploy.steps import Shortcut, Step, StepKind

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 300.0
FACTS = ("cpu", "machine", "isa", "best_isa", "cores", "caches", "os", "kernel_release", "compiler", "flags", "version")

Json = dict[str, object]


@dataclass
class Samples:
    """Durations of one thing: what a JSON line of the board says, round after round."""

    rounds: list[Json] = field(default_factory=list)  # {"iterations", "samples_ns"}

    def add(self, record: Mapping[str, object], prefix: str = "") -> None:
        """One more round: a record with <prefix>iterations and <prefix>samples_ns."""
        self.rounds.append({key: record[prefix + key] for key in ("iterations", "samples_ns")})

    def each_ns(self) -> list[float]:
        """Duration of one call (or iteration), sample by sample."""
        return [ns / entry["iterations"] for entry in self.rounds for ns in entry["samples_ns"]]  # type: ignore

    @property
    def best_ns(self) -> float:
        """The shortest."""
        return min(self.each_ns())

    @property
    def median_ns(self) -> float:
        """The middle one; as far above best_ns as the machine was disturbed."""
        ordered = sorted(self.each_ns())
        return ordered[len(ordered) // 2]


class Peak:
    """What the core reaches on registers, measured between the samples of a study; the best of a whole run counts."""

    def __init__(self, board: Board, isa: str) -> None:
        self._board = board
        self._isa = isa
        self._loops: dict[str, Samples] = {"": Samples(), "float_": Samples(), "cycle_": Samples()}
        self._copies: dict[int, Samples] = {}
        self._record: Json = {}

    def sample(self, copied_bytes: int = 0) -> None:
        """About 50 ms of samples; with `copied_bytes` also of copies of so many."""
        command = ["peak", "--isa", self._isa, *self._board.pinned]
        command += ["--copy", str(copied_bytes)] if copied_bytes else []
        (self._record,) = self._board.lines(command)
        for prefix, samples in self._loops.items():
            samples.add(self._record, prefix)
        if copied_bytes:
            samples = self._copies.setdefault(copied_bytes, Samples())
            samples.add(self._record, "copy_")

    @property
    def macs_per_ns(self) -> float:
        """Binary multiply-accumulates."""
        return int(str(self._record["macs_per_iteration"])) / self._loops[""].best_ns

    @property
    def float_macs_per_ns(self) -> float:
        """float32 fused multiply-adds."""
        return int(str(self._record["float_macs_per_iteration"])) / self._loops["float_"].best_ns

    @property
    def cycle_ns(self) -> float:
        """One of a chain of dependent additions."""
        return self._loops["cycle_"].best_ns / int(str(self._record["cycles_per_iteration"]))

    def traffic_per_ns(self, copied_bytes: int) -> float:
        """Bytes read and written per ns by the fastest copy of about this size."""
        nearest = min(self._copies, key=lambda size: abs(size - copied_bytes))
        return 2 * nearest / self._copies[nearest].best_ns

    def to_json(self) -> Json:
        """Rates and raw samples."""
        return {
            "isa": self._isa,
            "recipe": self._record["recipe"],
            "macs_per_ns": self.macs_per_ns,
            "macs_per_cycle": self.macs_per_ns * self.cycle_ns,
            "float_macs_per_ns": self.float_macs_per_ns,
            "cycle_ns": self.cycle_ns,
            "copy_traffic_per_ns": {str(size): self.traffic_per_ns(size) for size in sorted(self._copies)},
            "macs_per_iteration": self._record["macs_per_iteration"],
            "rounds": {prefix or "macs_": samples.rounds for prefix, samples in self._loops.items()},
        }


class Board:
    """bnn-board on this computer, pinned to the core whose sentinel is fastest now."""

    def __init__(self, binary: Path, core: int | None = None) -> None:
        self.binary = binary
        self.device = Device(device_descriptions()["host"], LocalTransport(), binary)
        self.core = self.device.choose_core() if core is None else core
        self.pinned = ["--core", str(self.core)]

    @property
    def best_isa(self) -> str:
        """Of this CPU."""
        return str(self.device.facts["best_isa"])

    def lines(self, arguments: Sequence[str]) -> list[Json]:
        """The JSON lines of one run."""
        return list(self.device.board(arguments, TIMEOUT_S))

    def layers(self, plan: Path, arguments: Sequence[str]) -> list[Json]:
        """Each step of a plan, checked, then timed alone; in the order of the plan.

        Raises:
            SystemExit: a step could not be run or gave a wrong result.
        """
        lines = self.lines(["layers", "--plan", self.device.push(plan), *self.pinned, *arguments])
        records = [line for line in lines if "block" not in line]
        for record in records:
            if "error" in record:
                raise SystemExit(f"bnn-board layers: {record['error']}")
        return sorted(records, key=lambda record: int(str(record["index"])))

    def to_json(self) -> Json:
        """The machine and the build."""
        facts: Json = {name: self.device.facts[name] for name in FACTS}
        return {**facts, "core": self.core, "binary_sha256": self.device.binary_sha256}


class Worker:
    """A script of this folder in another environment's Python: a JSON line in, a JSON line back."""

    def __init__(self, python: Path, script: str, core: int) -> None:
        command = ["taskset", "-c", str(core), str(python), "-I", str(HERE / script)]
        self._script = script
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, job: Mapping[str, object]) -> Json:
        """One job's answer; {"error": TEXT} when the peer refuses the model.

        Raises:
            SystemExit: the worker died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the missing answer says so
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._script} ended with exit code {self._process.wait()}")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


def peers_python(given: Path | None) -> Path:
    """The Python of the peers' environment.

    Raises:
        SystemExit: it was not made yet.
    """
    python = given or HERE.parent / ".venv-peers" / "bin" / "python"
    if not python.is_file():
        raise SystemExit(f"{python} is missing: scripts/peers-env makes the peers' environment")
    return python


def binary_step(
    size: int, channels: int, outputs: int, kernel: int, groups: int, *, floats: bool, bits: bool, block: bool = False
) -> Step:
    """A binary convolution on size x size pixels; `block` adds what surrounds it in a network: shortcut and RPReLU."""
    return Step(
        StepKind.BCONV2D,
        *(size, size, channels, size, size, outputs),
        kernel=kernel,
        groups=groups,
        shortcut=Shortcut.IDENTITY if block else Shortcut.NONE,
        rprelu=block,
        float_out=floats,
        bits_out=bits,
        border=kernel // 2 if bits else 0,
    )


def write_plan(path: Path, steps: Sequence[Step]) -> Path:
    """A plan file for Board.layers."""
    path.write_bytes(plan_to_bytes(steps))
    return path


def parser(description: str | None, results: str, rounds: int) -> argparse.ArgumentParser:
    """The options that every study has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, default=HERE / "results" / results)
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--board", type=Path, default=BOARD_BINARY, help="bnn-board (default: the installed one)")
    made.add_argument("--core", type=int, help="default: the one whose sentinel is fastest now")
    return made


def commit() -> str:
    """What was measured."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout.strip()


def write_results(path: Path, data: Mapping[str, object]) -> None:
    """A checksummed JSON file (settings.read_json reads it) with each list of samples on one line."""
    write_json(path, {"commit": commit(), **data})
    text = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), path.read_text())
    write_atomically(path, text.encode())
    print(f"raw figures in {path}")


def progress(text: str) -> None:
    """On stderr: stdout holds the tables."""
    print(text, file=sys.stderr, flush=True)


def met(value: float, target: float | None, at_most: bool = False) -> str:
    """ "met", "MISSED", or "" when nothing was asked for."""
    if target is None:
        return ""
    return "met" if (value <= target if at_most else value >= target) else "MISSED"
