"""What was measured: raw samples kept, statistics derived."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from bnn_deploy.errors import FileFormatError
from bnn_deploy.steps import Shortcut, Step, StepKind

NOISY_RELATIVE_CI = 0.05  # rows whose 95 % interval of the median is wider than this are marked noisy
BOOTSTRAP_RESAMPLES = 200

MEASURED = "measured"
ESTIMATE = "estimate:"  # and by what, as estimate:llvm-mca-19


@dataclass(frozen=True, slots=True)
class Samples:
    """Durations of one thing.

    Args:
        iterations: calls per sample.
        samples_ns: duration of each sample, whole nanoseconds; one call took sample / iterations.
        sentinel_ns: the sentinel loop's duration beside the samples; it reveals drift of the clock and busy neighbours.
    """

    iterations: int
    samples_ns: tuple[int, ...]
    sentinel_ns: tuple[int, ...]

    @property
    def latency_ns(self) -> float:
        """Median of one call, nanoseconds."""
        return float(np.median(self.samples_ns)) / self.iterations

    @property
    def median_sentinel_ns(self) -> float:
        """Median duration of the sentinel loop; infinite when there was none."""
        return float(np.median(self.sentinel_ns)) if self.sentinel_ns else math.inf

    def percentile_ns(self, q: float) -> float:
        """The q-th percentile of one call, nanoseconds."""
        return float(np.percentile(self.samples_ns, q)) / self.iterations

    @property
    def mad_ns(self) -> float:
        """Median absolute deviation of one call, nanoseconds."""
        samples = np.asarray(self.samples_ns) / self.iterations
        return float(np.median(np.abs(samples - np.median(samples))))

    @property
    def interval_ns(self) -> tuple[float, float]:
        """Bootstrap 95 % interval of the median of one call, nanoseconds.

        Seeded by the samples themselves: the same for the same samples.
        """
        samples = np.asarray(self.samples_ns, np.float64)
        rng = np.random.default_rng(zlib.crc32(samples.tobytes()))
        drawn = rng.choice(samples, (BOOTSTRAP_RESAMPLES, samples.size))
        low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
        return float(low) / self.iterations, float(high) / self.iterations

    @property
    def relative_interval(self) -> float:
        """Width of the interval relative to the median."""
        low, high = self.interval_ns
        return (high - low) / self.latency_ns


@dataclass(frozen=True, slots=True)
class Measurement(Samples):
    """Latency of one step on one device: a row of a table.

    Args:
        step: what was measured; the key of the row.
        kernel: name of the kernel that ran.
        quality: "ok", or "noisy" when the row stayed unsteady after all retries.
        utc: when, ISO 8601.
        source: "measured" or "estimate:...".
    """

    step: Step
    kernel: str
    quality: str
    utc: str
    source: str = "measured"

    def to_json(self) -> dict[str, object]:
        """A table row, JSON-ready."""
        row = asdict(self)
        row["key"] = self.step.key
        return row

    @classmethod
    def from_json(cls, row: Mapping[str, object]) -> Measurement:
        """Inverse of to_json.

        Raises:
            FileFormatError: a malformed row; the message names the field.
        """
        try:
            fields = {name: value for name, value in row.items() if name != "key"}
            step = dict(fields.pop("step"))  # type: ignore[call-overload]
            step |= {"kind": StepKind(step["kind"]), "shortcut": Shortcut(step["shortcut"])}
            for name in ("samples_ns", "sentinel_ns"):
                fields[name] = tuple(int(value) for value in fields[name])  # type: ignore[attr-defined]
            found = cls(step=Step(**step), **fields)  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as exc:
            raise FileFormatError(f"row {row.get('key')!r} is malformed: {exc}") from exc
        if not found.samples_ns or found.iterations < 1 or min(found.samples_ns) <= 0:
            raise FileFormatError(f"row {row.get('key')!r} holds no latency: samples must be positive")
        return found
