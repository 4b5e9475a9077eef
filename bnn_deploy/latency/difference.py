"""Two tables, row by row: `tables diff`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bnn_deploy.latency.judgement import Row
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.steps import Step

_COMPARED = ("device", "cpu", "isa", "core", "source", "binary_sha256", "settings")


@dataclass(frozen=True, slots=True)
class Change:
    """One step in both tables.

    Args:
        step: measured by both.
        before, after: the rows.
    """

    step: Step
    before: Row
    after: Row

    @property
    def relative(self) -> float:
        """after / before - 1: positive when it became slower."""
        return self.after.latency_ns / self.before.latency_ns - 1

    @property
    def kernel(self) -> str:
        """The kernel, or both where it changed."""
        old, new = self.before.kernel, self.after.kernel
        return new if old == new else f"{old} -> {new}"


@dataclass(frozen=True, slots=True)
class Difference:
    """What two tables say of the same steps.

    Args:
        changes: steps in both, the largest relative difference first.
        missing: steps of the first table that the second lacks.
        new: steps of the second that the first lacks.
        headers: member -> what each header says, where they differ.
        sentinel: the second table's fastest sentinel relative to the first's: 1 at the same clock.
    """

    changes: tuple[Change, ...]
    missing: tuple[Step, ...]
    new: tuple[Step, ...]
    headers: Mapping[str, tuple[object, object]]
    sentinel: float | None

    def percentile(self, q: float) -> float:
        """The q-th percentile of the absolute relative differences; 0 without common steps."""
        return float(np.percentile([abs(change.relative) for change in self.changes], q)) if self.changes else 0.0

    @property
    def other_kernels(self) -> Sequence[Change]:
        """Steps for which another kernel ran."""
        return [change for change in self.changes if change.before.kernel != change.after.kernel]


def difference(first: LatencyTable, second: LatencyTable) -> Difference:
    """Compare two tables, of whatever devices."""
    both = [Change(step, row, second.rows[step]) for step, row in first.rows.items() if step in second.rows]
    known = first.blocks and second.blocks
    return Difference(
        changes=tuple(sorted(both, key=lambda change: -abs(change.relative))),
        missing=tuple(step for step in first.rows if step not in second.rows),
        new=tuple(step for step in second.rows if step not in first.rows),
        headers={
            name: (first.header.get(name), second.header.get(name))
            for name in _COMPARED
            if first.header.get(name) != second.header.get(name)
        },
        sentinel=second.sentinel_ns / first.sentinel_ns if known else None,
    )
