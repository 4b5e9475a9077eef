"""End-to-end latency of a `.bnn` file on a device: the binary, the core and the clock of a latency table."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from bnn_deploy.errors import DeviceError
from bnn_deploy.latency.judgement import DRIFT
from bnn_deploy.latency.measurement import NOISY_RELATIVE_CI, Samples
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.device import Device
from bnn_deploy.profiling.protocol import ProfileSettings

PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class NetworkLatency(Samples):
    """One network's samples.

    Args:
        clock: the sentinel's duration beside these samples relative to the table's fastest; above 1 the core was slower
            than when the table was measured.
    """

    clock: float

    @property
    def comparable(self) -> bool:
        """True when the core was as fast as when the table was measured, and the samples are steady."""
        return self.same_clock and self.relative_interval <= NOISY_RELATIVE_CI

    @property
    def same_clock(self) -> bool:
        """True when the core was as fast as when the table was measured."""
        return abs(self.clock - 1) <= DRIFT


def measure_network(model: Path, device: Device, table: LatencyTable) -> NetworkLatency:
    """Run the whole network of a `.bnn` file, batch 1, one thread, with the table's settings on the table's core.

    Samples that cannot be compared with the table (another clock, a busy neighbour, a wide interval) are taken again
    for PATIENCE_S; then the best of them is returned, for the caller to see that it is not `comparable`.

    Raises:
        DeviceError: the board failed, or cannot read the file.
    """
    end = time.monotonic() + PATIENCE_S
    best = _once(model, device, table)
    while not best.comparable and time.monotonic() < end:
        best = min(best, _once(model, device, table), key=_badness)
    return best


def _badness(found: NetworkLatency) -> tuple[bool, bool, float]:
    steady = found.relative_interval <= NOISY_RELATIVE_CI
    return not found.comparable, not steady, abs(found.clock - 1)


def _once(model: Path, device: Device, table: LatencyTable) -> NetworkLatency:
    settings = ProfileSettings.of(table)
    arguments = ["net", "--model", device.push(model), *settings.arguments(table)]
    for record in device.board(arguments, settings.timeout_s):
        samples, iterations, sentinels = (record.get(name) for name in ("samples_ns", "iterations", "sentinel_ns"))
        if not (isinstance(samples, list) and isinstance(sentinels, list) and isinstance(iterations, int)):
            break
        found = Samples(iterations, tuple(map(int, samples)), tuple(map(int, sentinels)))
        clock = found.median_sentinel_ns / table.sentinel_ns
        return NetworkLatency(found.iterations, found.samples_ns, found.sentinel_ns, clock)
    raise DeviceError(f"{device.name}: {model}: expected samples from the board, got none")
