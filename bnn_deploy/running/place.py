"""The seam behind which this computer and a device look the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bnn_deploy.latency.measurement import Timings
from bnn_deploy.running.choice import Choice
from bnn_deploy.runtimes.base import Floats
from bnn_deploy.runtimes.step_times import StepTimes

Tell = Callable[[float, float, str], None]  # seconds done, seconds in all, what is being done


@dataclass(frozen=True, slots=True)
class Bench:
    """How long one image takes.

    Args:
        choice: what was timed.
        timings: raw samples.
        warmup_ns: spent before the first.
        steps: what each step takes of it, in further runs; None where the runtime cannot tell.
    """

    choice: Choice
    timings: Timings
    warmup_ns: int
    steps: StepTimes | None

    def to_json(self) -> dict[str, object]:
        """Statistics of one call, then the raw samples."""
        timings = self.timings
        return {
            "runtime": self.choice.runtime,
            "file": str(self.choice.file),
            "latency_ns": timings.latency_ns,
            "p10_ns": timings.percentile_ns(10),
            "p90_ns": timings.percentile_ns(90),
            "min_ns": timings.percentile_ns(0),
            "iterations": timings.iterations,
            "samples_ns": list(timings.samples_ns),
            "warmup_ns": self.warmup_ns,
            "steps": None if self.steps is None else self.steps.to_json(),
        }


class Model(Protocol):
    """A file, opened where it runs."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one image."""

    def run(self, images: Floats) -> Floats:
        """Logits [N, classes] of images [N, H, W, C]."""


class Place(Protocol):
    """Where files run; `close` leaves it as it was found.

    Every method raises DeviceError where a device fails, RuntimeUnavailable where a runtime does not work, and
    FileFormatError where it refuses the file.
    """

    def missing(self, runtime: str) -> str | None:
        """Why a runtime cannot be used, and what to do; None when it can."""

    def open(self, choice: Choice) -> Model:
        """A file, opened; it may be used until the place is closed."""

    def bench(self, choices: Sequence[Choice], threads: int, seconds: float, tell: Tell) -> list[Bench]:
        """Latencies of one image; `seconds` of samples for each choice."""

    def facts(self) -> Mapping[str, object]:
        """What is known of the computer; "emulated": True where its times mean nothing."""

    def close(self) -> None:
        """End what was opened."""
