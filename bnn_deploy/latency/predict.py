"""Latency of a network as the sum of its steps' rows, corrected if there is a correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bnn_deploy.architecture import Architecture
from bnn_deploy.errors import InfeasibleBudget
from bnn_deploy.latency.correction import Coefficients
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.space import Genome, Space
from bnn_deploy.steps import plan


def predict_ns(architecture: Architecture, table: LatencyTable, correction: Coefficients | None = None) -> float:
    """Sum of the rows of the planner's steps, corrected if wanted, nanoseconds.

    Raises:
        LatencyTableMiss: a step has no row.
    """
    steps = plan(architecture)
    if correction is not None:
        return correction.latency_ns(steps, table)
    return sum(table.latency_ns(step) for step in steps)


class GenomeLatency:
    """Latency of many genomes at once.

    The planner's steps depend on one gene each, so a network's latency is the base's plus one difference per gene;
    evaluation is a table look-up and a sum. A correction adds up over steps, too.

    Raises:
        LatencyTableMiss: a step that the space can need has no row.
    """

    def __init__(self, space: Space, table: LatencyTable, correction: Coefficients | None = None) -> None:
        table.require(space.steps())
        self._space = space
        first = (0,) * len(space.genes)
        self._base_ns = predict_ns(space.decode(first), table, correction)
        widest = max(len(gene.choices) for gene in space.genes)
        self._delta_ns = np.full((len(space.genes), widest), np.inf)
        for position, gene in enumerate(space.genes):
            for index in range(len(gene.choices)):
                changed = space.decode((*first[:position], index, *first[position + 1 :]))
                self._delta_ns[position, index] = predict_ns(changed, table, correction) - self._base_ns

    def __call__(self, genomes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """genomes: int64 [n, genes] -> nanoseconds, float64 [n]."""
        genes = np.arange(self._delta_ns.shape[0])
        return np.asarray(self._base_ns + self._delta_ns[genes, genomes].sum(axis=1), np.float64)

    def one(self, genome: Sequence[int]) -> float:
        """Nanoseconds of one genome."""
        return float(self(np.asarray([genome]))[0])

    @property
    def fastest(self) -> Genome:
        """The genome of the smallest latency: each gene's cheapest choice."""
        return tuple(int(index) for index in self._delta_ns.argmin(axis=1))

    def check_budget(self, budget_ns: float) -> None:
        """Raises InfeasibleBudget, with the smallest reachable latency, when no genome meets the budget."""
        smallest_ns = self.one(self.fastest)
        if smallest_ns > budget_ns:
            raise InfeasibleBudget(
                f"no architecture of space {self._space.name} runs in {budget_ns / 1e3:.1f} us; "
                f"the smallest reachable latency is {smallest_ns / 1e3:.1f} us "
                f"(groups {','.join(map(str, self._space.groups(self.fastest)))})"
            )
