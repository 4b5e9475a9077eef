"""Which steps the next block measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bnn_deploy.errors import DeviceError
from bnn_deploy.latency.judgement import Quality, Row
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.protocol import ATTEMPTS, BATCH, CONFIRMATIONS
from bnn_deploy.steps import Step

_CRASHES = 2  # of the board binary with one step alone: then it is the step's fault
_CRASHED_STEPS = 3  # without a success between: then it is the board's

_DERIVED = (Quality.EMULATED, Quality.ESTIMATE)


class Agenda:
    """The steps of one session that are still to be measured.

    There is no queue to lose: what the table holds says what is unfinished. So a session that was killed and one that
    goes on do the same next, and a block that is set aside later makes its steps unfinished again. Steps with the
    fewest measurements come first, in random order: the measurements of a step are far apart in time.

    Args:
        steps: wanted.
        table: as it is when the session begins.
        rng: draws the order.
    """

    def __init__(self, steps: Sequence[Step], table: LatencyTable, rng: np.random.Generator) -> None:
        self.steps = list(dict.fromkeys(steps))
        self._before = {step: len(found) for step, found in table.measurements.items()}
        self._rng = rng
        self._alone: list[Step] = []  # from a block in which the board binary failed
        self._crashes: dict[Step, int] = {}
        self._unforgiven = 0

    def next(self, table: LatencyTable, hurried: bool) -> list[Step]:
        """The steps of the next block; none when the session is over.

        Args:
            table: as it is now.
            hurried: do not wait for better conditions: measure each step, and leave it at that.
        """
        if self._alone:
            return [self._alone[0]]
        open_steps = [step for step in self.steps if not self._closed(step, table, hurried)]
        order = self._rng.permutation(len(open_steps))
        counted = sorted(order, key=lambda index: len(table.counting(open_steps[index])))
        return [open_steps[index] for index in counted[:BATCH]]

    def done(self, table: LatencyTable) -> int:
        """Measurements that need not be taken any more, of CONFIRMATIONS for each step."""
        return sum(
            CONFIRMATIONS if self._closed(step, table) else min(len(table.counting(step)), CONFIRMATIONS)
            for step in self.steps
        )

    @property
    def total(self) -> int:
        """All of them."""
        return CONFIRMATIONS * len(self.steps)

    def measured(self, batch: Sequence[Step]) -> None:
        """The board answered."""
        self._alone = [step for step in self._alone if step not in batch]
        self._unforgiven = 0

    def crashed(self, batch: Sequence[Step], error: DeviceError) -> Step | None:
        """The board binary failed as a whole: its steps are tried alone. Returns a step that fails even then.

        Raises:
            DeviceError: `error`, when one step after the other fails.
        """
        if len(batch) > 1:
            self._alone = list(batch)
            return None
        (step,) = batch
        self._crashes[step] = self._crashes.get(step, 0) + 1
        if self._crashes[step] < _CRASHES:
            return None
        self._alone = [other for other in self._alone if other != step]
        self._unforgiven += 1
        if self._unforgiven == _CRASHED_STEPS:
            raise error
        return step

    def _enough(self, row: Row, step: Step, table: LatencyTable) -> bool:
        return len(row.counted) >= CONFIRMATIONS or len(table.counting(step)) >= ATTEMPTS

    def _closed(self, step: Step, table: LatencyTable, hurried: bool = False) -> bool:
        row = table.rows.get(step)
        if row and (row.quality in _DERIVED or (row.quality is Quality.OK and self._enough(row, step, table))):
            return True
        tried = table.measurements.get(step, ())[self._before.get(step, 0) :]
        if any(found.error for found in tried) or (hurried and len(tried) >= CONFIRMATIONS):
            return True
        return sum(found.block not in table.set_aside for found in tried) >= ATTEMPTS
