"""How long each step of a network takes in a runtime that can tell: in runs of their own, for a look at the clock costs
time, too. Needs numpy and the runtime alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnn_deploy.runtimes.sessions import SESSIONS, random_image

PROFILE_NS = 500_000_000  # the runs end with the first of these two
MOST_RUNS = 1000
LEAST_RUNS = 5


@dataclass(frozen=True, slots=True)
class StepTime:
    """name: of the step, as the runtime has it. kernel: what runs it, "" where the runtime does not say. total_ns: of
    all runs."""

    name: str
    kernel: str
    total_ns: int


@dataclass(frozen=True, slots=True)
class StepTimes:
    """The steps of some runs of one image.

    Args:
        runs: how many.
        threads: whose times are added up.
        total_ns: of all runs, from the outside, times `threads`: what the steps leave of it is between them.
        steps: in the order in which they run.
    """

    runs: int
    threads: int
    total_ns: int
    steps: tuple[StepTime, ...]

    @property
    def remainder_ns(self) -> int:
        """What is in no step: calls, and threads that wait for each other."""
        return self.total_ns - sum(step.total_ns for step in self.steps)

    def share(self, total_ns: int) -> float:
        """A part of the whole, 0 to 1."""
        return total_ns / self.total_ns

    def mean_ns(self, total_ns: int) -> float:
        """A part of the whole as nanoseconds of one run on one thread."""
        return total_ns / self.runs / self.threads

    def to_json(self) -> dict[str, object]:
        """All fields and the remainder."""
        return {**asdict(self), "remainder_ns": self.remainder_ns}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StepTimes:
        """Inverse of to_json; steps need no "kernel".

        Raises:
            KeyError, TypeError, ValueError: malformed.
        """
        return cls(int(data["runs"]), int(data["threads"]), int(data["total_ns"]), _steps(data["steps"]))


def profiled(name: str, model: Path, library: Path | None, threads: int) -> StepTimes | None:
    """Runs a random image in a session of its own, with the runtime's or our delegate's profiler.

    Args:
        name: one of SESSIONS.
        model, library, threads: see Session.

    Returns:
        None for "litert", whose Python interface has no profiler.

    Raises:
        RuntimeUnavailable, FileFormatError: see Session.
    """
    if name == "litert":
        return None
    with tempfile.TemporaryDirectory(prefix="bnn-profile-") as folder:
        session = SESSIONS[name](model, library, threads, Path(folder) / "profile")
        call, runs, start = session.placed(random_image(session.shape)), 0, time.perf_counter_ns()
        while runs < MOST_RUNS and (runs < LEAST_RUNS or time.perf_counter_ns() - start < PROFILE_NS):
            call()
            runs += 1
        total_ns = time.perf_counter_ns() - start
        del call  # it holds the session
        profile = session.end_profile()
        return StepTimes(runs, profile.threads, total_ns * profile.threads, _steps(profile.steps))


def _steps(rows: Sequence[Mapping[str, Any]]) -> tuple[StepTime, ...]:
    return tuple(StepTime(str(row["name"]), str(row.get("kernel", "")), int(row["total_ns"])) for row in rows)
