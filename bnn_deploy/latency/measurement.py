"""What was measured: raw samples kept, statistics derived."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bnn_deploy.errors import FileFormatError
from bnn_deploy.latency.fields import Fields
from bnn_deploy.steps import Shortcut, Step, StepKind

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
        return {"type": "row", "key": self.step.key, **asdict(self)}

    @classmethod
    def from_json(cls, row: Mapping[str, object]) -> Measurement:
        """Inverse of to_json.

        Raises:
            FileFormatError: a malformed row; the message names the row and the member.
        """
        fields = Fields(f"row {row.get('key')!r}", {name: value for name, value in row.items() if name != "type"})
        step, error = _step(fields.text("key"), fields.take("step")), fields.optional_text("error")
        found = cls(
            iterations=fields.integer("iterations", low=1),
            samples_ns=fields.integers("samples_ns", low=1, count=0 if error else 1),
            step=step,
            kernel=fields.text("kernel"),
            utc=fields.text("utc"),
            cold_samples_ns=fields.integers("cold_samples_ns", low=1),
            block=fields.optional_integer("block"),
            source=fields.text("source"),
            error=error,
        )
        fields.end()
        if error and (found.samples_ns or found.cold_samples_ns):
            raise FileFormatError(f"row {step.key!r} holds both an error and samples")
        if found.source not in (MEASURED, EMULATED) and not found.source.startswith(ESTIMATE):
            raise FileFormatError(
                f"row {step.key!r}: source: expected measured, emulated or estimate:..., got {found.source!r}"
            )
        return found


def _step(key: str, data: object) -> Step:
    try:
        values = dict(data)  # type: ignore[call-overload]
        step = Step(**{**values, "kind": StepKind(values["kind"]), "shortcut": Shortcut(values["shortcut"])})
        if step.key != key:
            raise ValueError(f"the step is {step.key!r}")
    except (KeyError, TypeError, ValueError) as exc:
        raise FileFormatError(f"row {key!r} is malformed: {exc}") from exc
    return step


@lru_cache(maxsize=4096)
def _median_interval(calls: bytes) -> tuple[float, float]:
    """calls: float64 [n]."""
    calls_ns = np.frombuffer(calls)
    rng = np.random.default_rng(zlib.crc32(calls))
    drawn = rng.choice(calls_ns, (BOOTSTRAP_RESAMPLES, calls_ns.size))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(low), float(high)
