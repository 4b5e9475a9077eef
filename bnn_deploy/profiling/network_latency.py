"""End-to-end latency of whole networks on a device: the binary, the core and the clock of a latency table.

A network is measured by `bnn-board net`, with the table's settings. Many networks are visited in rounds, each round in
a freshly shuffled order, so that a slow minute hits all of them a little; the sentinel runs beside every sample, and a
visit at another clock than the table's, or with unsteady samples, is repeated in a later round. The board is guarded as
in a profile. Every visit is in the
journal, fsynced, before the next one begins: an interruption costs one visit.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bnn_deploy.architecture import Architecture
from bnn_deploy.engine.bnn_file import write_bnn
from bnn_deploy.engine.invented import invented_graph
from bnn_deploy.errors import DeviceError, DeviceLost
from bnn_deploy.latency.measurement import Samples
from bnn_deploy.latency.networks import MeasuredNetwork, NetworkJournal, NetworkLatency, samples_of
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.blocks import utc_now
from bnn_deploy.profiling.device import Device
from bnn_deploy.profiling.guard import Guard
from bnn_deploy.profiling.patience import Patience
from bnn_deploy.profiling.protocol import Limits, ProfileSettings

PATIENCE_S = 10.0
VISITS = 3
EXTRA_VISITS = 7  # of a network whose visits could not be compared with the table

LOSSES = 5  # of the connection, without a visit between

Progress = Callable[[int, int, str], None]


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
    limits: Limits | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[MeasuredNetwork]:
    """Measure networks with invented constants beside a table; what its journal holds already is not measured again.

    One file at a time stands on the disk, here and there, under one name.

    Args:
        visits: good ones wanted for each network.
        limits: how long to wait for a board that went away.
        seed: of the order, and of the constants.
        progress: called with (good visits, wanted visits, what happened last).

    Raises:
        DeviceError: the board failed, stayed away, or somebody else measures there.
        TableMismatch, FileFormatError: the journal is another table's, or damaged.
    """
    visiting = _Visits(list(dict.fromkeys(architectures)), device, table, visits, seed, progress)
    with NetworkJournal(table) as journal:
        visiting.finish(journal, Patience(limits or Limits(), visiting.tell, threading.Event()))
        return [journal.networks[net] for net in visiting.wanted]


class _Visits:
    """The visits that a call has to make."""

    def __init__(
        self,
        wanted: list[Architecture],
        device: Device,
        table: LatencyTable,
        visits: int,
        seed: int,
        progress: Progress | None,
    ) -> None:
        self.wanted = wanted
        self._device, self._table, self._visits, self._seed = device, table, visits, seed
        self._progress = progress
        self._rng = np.random.default_rng(seed)
        self._tries = dict.fromkeys(wanted, visits + EXTRA_VISITS)  # old failures do not use up a new call's patience
        self._done = 0

    def finish(self, journal: NetworkJournal, patience: Patience) -> None:
        """Make them; a board that goes away is waited for."""
        settings, losses = ProfileSettings.of(self._table), 0
        while self._waiting(journal):
            known = self._count(journal)
            try:
                with Guard(self._device, settings, self._table.core, self.tell):
                    self._rounds(journal)
            except DeviceLost as lost:
                losses = 1 if self._count(journal) > known else losses + 1
                if losses > LOSSES:
                    raise
                patience.reconnect(self._device, lost)

    def tell(self, text: str) -> None:
        """Progress: (good visits, visits wanted, what happened last)."""
        if self._progress:
            self._progress(self._done, len(self.wanted) * self._visits, text)

    def _rounds(self, journal: NetworkJournal) -> None:
        with tempfile.TemporaryDirectory(prefix="bnn-network-") as folder:
            model = Path(folder) / "network.bnn"
            while waiting := self._waiting(journal):
                for index in self._rng.permutation(len(waiting)):
                    net = waiting[index]
                    write_bnn(model, invented_graph(net, self._seed))
                    visit = journal.append(net, _run(model, self._device, self._table), utc_now())
                    self._tries[net] -= 1
                    self._done = self._count(journal)
                    why = "" if visit.comparable else "another clock, again" if visit.steady else "unsteady, again"
                    self.tell(f"{visit.latency_ns / 1e6:.3f} ms {why}".rstrip())

    def _waiting(self, journal: NetworkJournal) -> list[Architecture]:
        return [net for net in self.wanted if self._good(journal, net) < self._visits and self._tries[net]]

    def _count(self, journal: NetworkJournal) -> int:
        return sum(self._good(journal, net) for net in self.wanted)

    def _good(self, journal: NetworkJournal, net: Architecture) -> int:
        """Good visits to a network, as many as are wanted at most."""
        known = journal.networks.get(net)
        return min(len(known.good), self._visits) if known else 0


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
