"""End-to-end latency of a `.bnn` file on a device, measured with the binary that measured the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnn_deploy.errors import DeviceError
from bnn_deploy.latency.measurement import bootstrap_median
from bnn_deploy.profiling.device import Device
from bnn_deploy.profiling.profile import ProfileSettings


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


def measure_network(model: Path, device: Device, settings: ProfileSettings) -> NetworkLatency:
    """Run the whole network of a `.bnn` file, batch 1, one thread.

    Raises:
        DeviceError: the board failed, or cannot read the file.
    """
    arguments = ["net", "--model", device.push(model), "--core", str(device.core), *settings.arguments()]
    for record in device.board(arguments, settings.timeout_s):
        samples, iterations = record.get("samples_ns"), record.get("iterations")
        if isinstance(samples, list) and isinstance(iterations, int) and samples:
            return NetworkLatency(iterations, tuple(int(sample) for sample in samples))
        raise DeviceError(f"{device.name}: {model}: {record.get('error', 'no samples came back')}")
    raise DeviceError(f"{device.name}: {model}: the board told nothing")
