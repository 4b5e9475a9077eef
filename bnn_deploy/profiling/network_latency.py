"""End-to-end latency of a `.bnn` file on a device, measured with the binary that measured the table."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnn_deploy.errors import DeviceError
from bnn_deploy.latency.measurement import NOISY_RELATIVE_CI, bootstrap_median
from bnn_deploy.profiling.device import Device
from bnn_deploy.profiling.profile import DRIFT, ProfileSettings

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class NetworkLatency:
    """One network's samples; `iterations` runs per sample, nanoseconds."""

    iterations: int
    samples_ns: tuple[int, ...]

    @property
    def latency_ns(self) -> float:
        """Median of one run."""
        return float(np.median(self.samples_ns)) / self.iterations

    @property
    def interval_ns(self) -> tuple[float, float]:
        """Bootstrap 95 % interval of the median."""
        low, high = bootstrap_median(np.asarray(self.samples_ns, np.float64))
        return low / self.iterations, high / self.iterations

    @property
    def relative_interval(self) -> float:
        """Width of the interval relative to the median."""
        low, high = self.interval_ns
        return (high - low) / self.latency_ns


def measure_network(
    model: Path, device: Device, settings: ProfileSettings, *, sentinel_ns: float = math.inf
) -> NetworkLatency:
    """Run the whole network of a `.bnn` file, batch 1, one thread, until the samples are steady.

    Args:
        sentinel_ns: the fastest sentinel of the table that this is to be compared with (LatencyTable.sentinel_ns).
            Samples taken while the sentinel is slower, that is under another clock or beside a busy neighbour, are
            taken again, PATIENCE_S long; then the steadiest ones count.

    Raises:
        DeviceError: the board failed, or cannot read the file.
    """
    end = time.monotonic() + PATIENCE_S
    best, best_sentinel_ns = _once(model, device, settings)
    fastest_ns = min(sentinel_ns, best_sentinel_ns)
    while best_sentinel_ns > (1 + DRIFT) * fastest_ns or best.relative_interval > NOISY_RELATIVE_CI:
        if time.monotonic() > end:
            break
        found, found_sentinel_ns = _once(model, device, settings)
        fastest_ns = min(fastest_ns, found_sentinel_ns)
        if found_sentinel_ns < best_sentinel_ns:
            best, best_sentinel_ns = found, found_sentinel_ns
    return best


def _once(model: Path, device: Device, settings: ProfileSettings) -> tuple[NetworkLatency, float]:
    arguments = ["net", "--model", device.push(model), "--core", str(device.core), *settings.arguments()]
    for record in device.board(arguments, settings.timeout_s):
        samples, iterations, sentinels = (record.get(name) for name in ("samples_ns", "iterations", "sentinel_ns"))
        if isinstance(samples, list) and isinstance(sentinels, list) and isinstance(iterations, int) and samples:
            return NetworkLatency(iterations, tuple(map(int, samples))), float(np.median(sentinels))
        raise DeviceError(f"{device.name}: {model}: {record.get('error', 'no samples came back')}")
    raise DeviceError(f"{device.name}: {model}: the board told nothing")
