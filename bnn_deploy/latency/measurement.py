"""What was measured: raw samples kept, statistics derived."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bnn_deploy.errors import FileFormatError
from bnn_deploy.latency.fields import Fields
from bnn_deploy.steps import FOREIGN_FIELDS, Shortcut, Step, StepKind

NOISY_RELATIVE_CI = 0.05  # samples whose 95 % interval of the median is wider than this are noisy
BOOTSTRAP_RESAMPLES = 200

Floats = npt.NDArray[np.float64]

MEASURED = "measured"
EMULATED = "emulated"
ESTIMATE = "estimate:"  # and by what, as estimate:llvm-mca-19


class Statistics:
    """What can be said of the durations of one thing."""

    __slots__ = ()

    @property
    def calls_ns(self) -> Floats:
        """Duration of one call by each sample, nanoseconds."""
        raise NotImplementedError

    @property
    def latency_ns(self) -> float:
        """Median of one call, nanoseconds."""
        return float(np.median(self.calls_ns))

    def percentile_ns(self, q: float) -> float:
        """The q-th percentile of one call, nanoseconds."""
        return float(np.percentile(self.calls_ns, q))

    @property
    def mad_ns(self) -> float:
        """Median absolute deviation of one call, nanoseconds."""
        calls = self.calls_ns
        return float(np.median(np.abs(calls - np.median(calls))))

    @property
    def interval_ns(self) -> tuple[float, float]:
        """Bootstrap 95 % interval of the median of one call, nanoseconds.

        Seeded by the samples themselves: the same for the same samples.
        """
        return _median_interval(self.calls_ns.tobytes())

    @property
    def relative_interval(self) -> float:
        """Width of the interval relative to the median."""
        low, high = self.interval_ns
        return (high - low) / self.latency_ns


@dataclass(frozen=True, slots=True)
class Timings(Statistics):
    """Raw durations of one thing.

    Args:
        iterations: calls per sample.
        samples_ns: duration of each sample, whole nanoseconds; one call took sample / iterations.
    """

    iterations: int
    samples_ns: tuple[int, ...]

    @property
    def calls_ns(self) -> Floats:
        """See Statistics."""
        return np.asarray(self.samples_ns, np.float64) / self.iterations


@dataclass(frozen=True, slots=True)
class Samples(Timings):
    """Durations beside the sentinel's.

    Args:
        sentinel_ns: the sentinel loop's duration beside each sample; it reveals drift of the clock and busy neighbours.
    """

    sentinel_ns: tuple[int, ...]

    @property
    def median_sentinel_ns(self) -> float:
        """Median duration of the sentinel loop; infinite when there was none."""
        return float(np.median(self.sentinel_ns)) if self.sentinel_ns else math.inf


@dataclass(frozen=True, slots=True)
class Measurement(Timings):
    """One step in one block, on one device: what stands in a line of a table. A failure holds no samples but an error.

    Args:
        step: what was measured.
        kernel: name of the kernel that ran.
        utc: when, ISO 8601.
        cold_samples_ns: durations of single calls that began with nothing in the caches; may be empty.
        block: number of the block that tells the conditions; None for an estimate.
        source: "measured", "emulated" (a board that does not exist: the times say nothing) or "estimate:...".
        error: why there are no samples.
    """

    step: Step
    kernel: str
    utc: str
    cold_samples_ns: tuple[int, ...] = ()
    block: int | None = None
    source: str = MEASURED
    error: str | None = None

    @property
    def cold_latency_ns(self) -> float | None:
        """Median of one call from cold caches, nanoseconds; None when that was not measured."""
        return float(np.median(self.cold_samples_ns)) if self.cold_samples_ns else None

    def to_json(self) -> dict[str, object]:
        """A line of a table."""
        return {"type": "row", "key": self.step.key, **asdict(self), "step": self.step.to_json()}

    @classmethod
    def from_json(cls, row: Mapping[str, object]) -> Measurement:
        """Inverse of to_json.

        Raises:
            FileFormatError: a malformed row; the message names the row and the member.
        """
        taken = Fields(f"row {row.get('key')!r}", {name: value for name, value in row.items() if name != "type"})
        step, error = _step(taken.text("key"), taken.take("step")), taken.optional_text("error")
        found = cls(
            iterations=taken.integer("iterations", low=1),
            samples_ns=taken.integers("samples_ns", low=1, count=0 if error else 1),
            step=step,
            kernel=taken.text("kernel"),
            utc=taken.text("utc"),
            cold_samples_ns=taken.integers("cold_samples_ns", low=1),
            block=taken.optional_integer("block"),
            source=taken.text("source"),
            error=error,
        )
        taken.end()
        if error and (found.samples_ns or found.cold_samples_ns):
            raise FileFormatError(f"row {step.key!r} holds both an error and samples")
        if found.block is None and not error and not found.source.startswith(ESTIMATE):
            raise FileFormatError(
                f"row {step.key!r}: block: expected the block in which it was {found.source}, got None"
            )
        check_source(f"row {step.key!r}", found.source)
        return found


def check_source(what: str, source: str) -> None:
    """Raises FileFormatError unless it is one of the three."""
    if source not in (MEASURED, EMULATED) and not source.startswith(ESTIMATE):
        raise FileFormatError(f"{what}: source: expected measured, emulated or estimate:..., got {source!r}")


def _step(key: str, data: object) -> Step:
    taken = Fields(f"row {key!r}: step", data)
    values: dict[str, object] = {}
    for field in fields(Step):
        if field.name in FOREIGN_FIELDS:
            continue
        if field.type in ("int", "bool"):
            values[field.name] = taken.integer(field.name) if field.type == "int" else taken.boolean(field.name)
        else:
            values[field.name] = taken.choice(field.name, StepKind if field.name == "kind" else Shortcut)
    taken.end()
    step = Step(**values)  # type: ignore[arg-type]
    if step.key != key:
        raise FileFormatError(f"row {key!r}: the step is {step.key!r}")
    return step


@lru_cache(maxsize=4096)
def _median_interval(calls: bytes) -> tuple[float, float]:
    """calls: float64 [n]."""
    calls_ns = np.frombuffer(calls)
    rng = np.random.default_rng(zlib.crc32(calls))
    drawn = rng.choice(calls_ns, (BOOTSTRAP_RESAMPLES, calls_ns.size))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(low), float(high)
