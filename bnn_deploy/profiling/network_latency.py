"""End-to-end latency of whole networks on a device: the binary, the core and the clock of a latency table.

A network is measured by `bnn-board net`, with the table's settings. Many networks are visited in rounds, each round in
a freshly shuffled order, so that a slow minute hits all of them a little; the sentinel runs beside every sample, and a
visit at another clock than the table's, or with unsteady samples, is repeated in a later round. Every visit is in the
journal, fsynced, before the next one begins: an interruption costs one visit.
"""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bnn_deploy.architecture import Architecture
from bnn_deploy.engine.bnn_file import write_bnn
from bnn_deploy.engine.invented import invented_graph
from bnn_deploy.errors import DeviceError
from bnn_deploy.latency.measurement import Samples
from bnn_deploy.latency.networks import MeasuredNetwork, NetworkJournal, NetworkLatency, samples_of
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.device import Device
from bnn_deploy.profiling.profile import ProfileSettings

PATIENCE_S = 10.0
VISITS = 3
EXTRA_VISITS = 7  # of a network whose visits could not be compared with the table

Progress = Callable[[int, int, NetworkLatency], None]


def measure_network(model: Path, device: Device, table: LatencyTable) -> NetworkLatency:
    """Run the whole network of a `.bnn` file, batch 1, one thread, with the table's settings on the table's core.

    Samples that cannot be compared with the table (another clock, a busy neighbour, a wide interval) are taken again
    for PATIENCE_S; then the best of them is returned, for the caller to see that it is not `comparable`.

    Raises:
        DeviceError: the board failed, or cannot read the file.
    """
    end = time.monotonic() + PATIENCE_S
    best = NetworkLatency.beside(_run(model, device, table), table)
    while not best.comparable and time.monotonic() < end:
        best = min(best, NetworkLatency.beside(_run(model, device, table), table), key=_badness)
    return best


def measure_networks(
    architectures: Sequence[Architecture],
    device: Device,
    table: LatencyTable,
    *,
    visits: int = VISITS,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[MeasuredNetwork]:
    """Measure networks with invented constants beside a table; what its journal holds already is not measured again.

    One file at a time stands on the disk, here and there, under one name.

    Args:
        visits: good ones wanted for each network.
        seed: of the order, and of the constants.
        progress: called with (good visits, wanted visits, newest visit).

    Raises:
        DeviceError: the board failed.
        TableMismatch, FileFormatError: the journal is another table's, or damaged.
    """
    wanted = list(dict.fromkeys(architectures))
    rng = np.random.default_rng(seed)
    with NetworkJournal(table) as journal, tempfile.TemporaryDirectory(prefix="bnn-network-") as folder:
        model = Path(folder) / "network.bnn"
        tries = dict.fromkeys(wanted, visits + EXTRA_VISITS)  # in this call: old failures do not use up its patience
        while waiting := [net for net in wanted if _missing(journal, net, visits) and tries[net]]:
            for index in rng.permutation(len(waiting)):
                net = waiting[index]
                write_bnn(model, invented_graph(net, seed))
                visit = journal.append(net, _run(model, device, table), _now())
                tries[net] -= 1
                if progress:
                    missing = sum(_missing(journal, each, visits) for each in wanted)
                    progress(len(wanted) * visits - missing, len(wanted) * visits, visit)
        return [journal.networks[net] for net in wanted]


def _missing(journal: NetworkJournal, net: Architecture, visits: int) -> int:
    """Good visits that a network still needs."""
    known = journal.networks.get(net)
    return max(visits - (len(known.good) if known else 0), 0)


def _badness(found: NetworkLatency) -> tuple[bool, bool, float]:
    return not found.comparable, not found.steady, abs(found.clock - 1)


def _run(model: Path, device: Device, table: LatencyTable) -> Samples:
    settings = ProfileSettings.of(table)
    arguments = ["net", "--model", device.push(model), *settings.arguments(table)]
    for record in device.board(arguments, settings.timeout_s):
        try:
            return samples_of(record)
        except ValueError as exc:
            raise DeviceError(f"{device.name}: {model.name}: a wrong answer from the board: {exc}") from exc
    raise DeviceError(f"{device.name}: {model.name}: expected samples from the board, got none")


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
