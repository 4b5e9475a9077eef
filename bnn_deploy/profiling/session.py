"""One session of measuring: blocks, one after the other, until every step is confirmed or given up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from bnn_deploy.errors import DeviceError, DeviceLost
from bnn_deploy.journal import Journal
from bnn_deploy.latency.block import Block
from bnn_deploy.latency.measurement import MEASURED, Measurement
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.agenda import Agenda
from bnn_deploy.profiling.blocks import failed_row, measure_block
from bnn_deploy.profiling.device import Device
from bnn_deploy.profiling.guard import Guard
from bnn_deploy.profiling.patience import Patience
from bnn_deploy.profiling.protocol import Limits, ProfileSettings
from bnn_deploy.steps import Step

_LOSSES = 5  # of the connection, without a block measured between

Progress = Callable[[int, int, str], None]  # measurements done, wanted, and what happened last


class Session:
    """Measures steps into an open journal.

    Args:
        device: reached and open.
        journal: of the table.
        table: what the journal holds.
        settings: of the measurement.
        limits: how long to wait for what.
        rng: draws the order.
        progress: told of every block and every wait.
        stop: set by another thread to end the session after the block that is being measured.
    """

    def __init__(
        self,
        device: Device,
        journal: Journal,
        table: LatencyTable,
        settings: ProfileSettings,
        limits: Limits,
        rng: np.random.Generator,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self._device, self._journal, self.table = device, journal, table
        self._settings, self._rng, self._progress, self._stop = settings, rng, progress, stop
        self._patience = Patience(limits, self._tell, stop)
        self._agenda = Agenda((), table, rng)

    def measure(self, steps: Sequence[Step]) -> None:
        """Until each step is confirmed or given up; `table` is then what the journal holds.

        Raises:
            DeviceError: the board failed, stayed away, stayed too hot, or somebody else measures there.
            Stopped: `stop` was set.
        """
        self._agenda = Agenda(steps, self.table, self._rng)
        losses = 0
        while self._agenda.next(self.table, self._patience.spent):
            known = len(self.table.blocks)
            try:
                with Guard(self._device, self._settings, self.table.core, self._tell) as guard:
                    self._measure(guard)
            except DeviceLost as lost:
                losses = 1 if len(self.table.blocks) > known else losses + 1
                if losses > _LOSSES:
                    raise
                self._patience.reconnect(self._device, lost)

    def _measure(self, guard: Guard) -> None:
        while batch := self._agenda.next(self.table, self._patience.spent):
            self._patience.check()
            self._patience.cool_down(self._device, self.table.core)
            seed = int(self._rng.integers(2**31))
            try:
                measured = measure_block(self._device, self.table, self._settings, batch, seed, guard.lock)
            except DeviceLost:
                raise
            except DeviceError as exc:
                if failing := self._agenda.crashed(batch, exc):
                    self._record([], [failed_row(failing, str(exc), self.table.source, None)])
                continue
            self._agenda.measured(batch)
            self._record([measured.block], measured.rows)
            reason = self.table.set_aside.get(measured.block.number)
            if reason and self.table.source == MEASURED:
                self._patience.disturbed(reason, measured.block.seconds)
            else:
                self._patience.undisturbed()

    def _record(self, blocks: Sequence[Block], rows: Sequence[Measurement]) -> None:
        """On the disk first: the block, then its rows, so that no row lacks its conditions."""
        for record in [entry.to_json() for entry in blocks] + [entry.to_json() for entry in rows]:
            self._journal.append(record)
        self.table = self.table.extended(blocks, rows)
        self._tell(rows[-1].step.key)

    def _tell(self, text: str) -> None:
        self._progress(self._agenda.done(self.table), self._agenda.total, text)
