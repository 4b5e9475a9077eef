"""How genomes become new genomes. Every operator is a function of its arguments and the generator alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bnn_deploy.space import Space


def crossover(mother: Sequence[int], father: Sequence[int], rng: np.random.Generator) -> tuple[int, ...]:
    """Uniform crossover: each gene from either parent with equal chance."""
    mask = rng.random(len(mother)) < 0.5
    return tuple(int(gene) for gene in np.where(mask, mother, father))


def mutate(
    genome: Sequence[int], choices: npt.NDArray[np.int64], p: float, rng: np.random.Generator
) -> tuple[int, ...]:
    """Each gene changes with probability p, always to another value (MetaPruning, Liu et al., ICCV 2019: adds
    1..K-1 modulo K). choices: number of choices of each gene; a gene with one choice stays."""
    step = rng.integers(1, np.maximum(choices, 2))
    changed = (np.asarray(genome) + step) % choices
    return tuple(int(gene) for gene in np.where(rng.random(len(choices)) < p, changed, genome))


def choice_counts(space: Space) -> npt.NDArray[np.int64]:
    """Number of choices of each gene, int64 [genes]."""
    return np.array([len(gene.choices) for gene in space.genes], np.int64)
