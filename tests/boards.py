"""A board of a script: answers as bnn-board does, with numbers that a test decides."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bnn_deploy.engine.bnn_file import read_bnn
from bnn_deploy.profiling.description import DeviceDescription
from bnn_deploy.profiling.device import BOARD_BINARY, Device
from bnn_deploy.profiling.protocol import ProfileSettings
from bnn_deploy.steps import Step

FACTS: dict[str, object] = {"cpu": "scripted", "cores": 4, "isa": ["scalar"], "best_isa": "scalar", "emulated": False}
STATE: dict[str, object] = {
    "utc_ns": 1,
    "core": 3,
    "cur_khz": None,
    "clock_khz": 2_000_000,
    "temperature_mc": 50_000,
    "throttled": 0,
    "load1": 1.0,
    "free_bytes": 2**30,
    "steal_ticks": 0,
}
Record = dict[str, object]


def steady(step: Step) -> Record:
    return {"kernel": "k", "iterations": 10, "samples_ns": [1000, 1001, 1002], "cold_samples_ns": [300]}


@dataclass
class FakeHeld:
    first_line: str
    open: bool = True

    def close(self) -> None:
        self.open = False


@dataclass
class FakeTransport:
    """answer: of a step; block: what the last line of a run says besides `good_block`, by the number of the run."""

    answer: Callable[[Step], Record] = steady
    block: Callable[[int], Record] = lambda run: {}
    state: Callable[[], Record] = dict
    facts: Record = field(default_factory=lambda: FACTS)
    measured: list[Step] = field(default_factory=list)
    runs: int = 0
    cores: set[str] = field(default_factory=set)
    held: list[FakeHeld] = field(default_factory=list)
    hold_argv: Sequence[str] = ()

    def push(self, path: Path) -> str:
        return str(path)

    def run(self, argv: Sequence[str], timeout_s: float) -> Iterator[str]:
        if argv[1] == "facts":
            yield json.dumps(self.facts)
        elif argv[1] == "sentinel":
            yield from (json.dumps({"core": core, "sentinel_ns": [600 - 10 * core]}) for core in range(4))
        elif argv[1] == "state":
            yield json.dumps({**STATE, **self.state()})
        else:
            yield from map(json.dumps, self._layers(argv))

    def _layers(self, argv: Sequence[str]) -> Iterator[Record]:
        assert [held.open for held in self.held].count(True) == 1
        self.cores.add(argv[argv.index("--core") + 1])
        self.runs += 1
        steps = read_bnn(Path(argv[argv.index("--plan") + 1])).steps
        end = {
            "after": STATE,
            "wall_ns": 10**9,
            "wall_sampled_ns": 10**9,
            "cpu_ns": 10**9,
            "preempted": 0,
            "sentinel_ns": [500, 500, 500],
        }
        end |= self.block(self.runs)
        yield {"block": {"before": STATE}}
        for index, step in enumerate(steps):
            self.measured.append(step)
            yield {"index": index, **self.answer(step)}
        yield {"block": end}

    def hold(self, argv: Sequence[str]) -> FakeHeld:
        self.hold_argv = argv
        told = {"held": True, "pid": 1, "freq_locked": False, "governor": None, "khz": None, "why": "scripted"}
        self.held.append(FakeHeld(json.dumps(told)))
        return self.held[-1]

    def pull(self, remote: str, path: Path) -> None:
        raise NotImplementedError

    def reconnect(self) -> None:
        """The script goes on."""

    def close(self) -> None:
        """Nothing to clean up."""


def device_with(transport: FakeTransport, name: str = "scripted") -> Device:
    return Device(DeviceDescription(name, "", "fake", -1), transport, BOARD_BINARY)


def guard_of_ones_own(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """For tests that measure on this computer: whoever else measures there is not waited for."""
    (folder / "sys").mkdir()
    arguments = ProfileSettings.hold_arguments

    def own(settings: ProfileSettings, core: int) -> list[str]:
        return [*arguments(settings, core), "--sysfs", str(folder / "sys")]

    patch.setattr(ProfileSettings, "hold_arguments", own)
