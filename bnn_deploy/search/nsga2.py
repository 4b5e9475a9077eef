"""NSGA-II (Deb, Pratap, Agarwal, Meyarivan: A fast and elitist multiobjective genetic algorithm, IEEE TEC 2002).

All objectives are minimised; objectives is float64 [n, m] everywhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Objectives = npt.NDArray[np.float64]


def dominates(objectives: Objectives) -> npt.NDArray[np.bool_]:
    """result[i, j]: i is nowhere worse than j and somewhere better; bool [n, n]."""
    left, right = objectives[:, None, :], objectives[None, :, :]
    return np.asarray((left <= right).all(axis=2) & (left < right).any(axis=2))


def front_numbers(objectives: Objectives) -> npt.NDArray[np.int64]:
    """Front of each row, 0 = not dominated by any (section III-A); int64 [n]."""
    better = dominates(objectives)
    dominators = better.sum(axis=0)
    fronts = np.full(len(objectives), -1, np.int64)
    number = 0
    while (fronts < 0).any():
        current = (fronts < 0) & (dominators == 0)
        fronts[current] = number
        dominators = dominators - better[current].sum(axis=0)
        number += 1
    return fronts


def crowding_distances(objectives: Objectives, fronts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Crowding distance of each row within its front (section III-B); the ends of a front are infinitely far."""
    distances = np.zeros(len(objectives))
    for number in np.unique(fronts):
        members = np.flatnonzero(fronts == number)
        for column in objectives[members].T:
            order = members[np.argsort(column, kind="stable")]
            values = np.sort(column)
            distances[order[[0, -1]]] = np.inf
            if values[-1] > values[0]:
                distances[order[1:-1]] += (values[2:] - values[:-2]) / (values[-1] - values[0])
    return distances


def survivors(objectives: Objectives, count: int) -> npt.NDArray[np.int64]:
    """Indices of the `count` best rows, best first: by front, then by larger crowding distance, then by position."""
    fronts = front_numbers(objectives)
    distances = crowding_distances(objectives, fronts)
    order = np.lexsort((np.arange(len(objectives)), -distances, fronts))
    return order[:count]


def tournament(ranked: int, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Winners of `count` binary tournaments among rows 0..ranked-1 that are sorted best first."""
    return np.asarray(rng.integers(ranked, size=(count, 2)).min(axis=1))


def pareto_front(objectives: Objectives) -> npt.NDArray[np.int64]:
    """Indices of the rows that none dominates, sorted by the last objective."""
    front = np.flatnonzero(~dominates(objectives).any(axis=0))
    return front[np.argsort(objectives[front, -1], kind="stable")]
