"""Evolution over a space: NSGA-II on (error, latency), with a hard latency budget if wanted.

Latency comes from the table, so it is known before anything else: a genome over the budget is never evaluated. Every
evaluation is cached and counted once. The whole state after a generation is plain data (State), so that a resumed
search is the uninterrupted one, number for number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from bnn_deploy.latency.predict import GenomeLatency
from bnn_deploy.search.nsga2 import pareto_front, survivors, tournament
from bnn_deploy.search.operators import choice_counts, crossover, mutate
from bnn_deploy.space import Genome, Space

ATTEMPTS_PER_CHILD = 100  # then the generation goes on with fewer children: a small space is soon exhausted


class Evaluate(Protocol):
    """Error of a genome on the search-validation split, smaller is better; the same for the same genome always."""

    def __call__(self, genome: Genome) -> float:
        """genome -> error, with its ties already broken."""


@dataclass(frozen=True, slots=True)
class EvolutionSettings:
    """population: genomes that survive a generation; generations: after the random first one; mutation: per gene."""

    population: int = 24
    generations: int = 8
    mutation: float = 0.15
    budget_ns: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An evaluated genome."""

    genome: Genome
    error: float
    latency_ns: float


@dataclass(frozen=True, slots=True)
class State:
    """Everything that the next generation depends on.

    population: best first. history: every candidate evaluated so far, in order of evaluation.
    rng: state of the generator, as numpy gives it.
    """

    generation: int
    population: tuple[Candidate, ...]
    history: tuple[Candidate, ...]
    rng: Mapping[str, object] = field(repr=False)


def evolve(
    space: Space,
    latency: GenomeLatency,
    evaluate: Evaluate,
    settings: EvolutionSettings,
    *,
    seed: int,
    state: State | None = None,
    on_generation: Callable[[State], None] | None = None,
) -> State:
    """Run, or go on from `state`, until `settings.generations`.

    Args:
        latency: of the genomes, from a table.
        evaluate: see Evaluate.
        on_generation: called with each finished generation's state, the first included.

    Raises:
        InfeasibleBudget: no genome meets the budget.
    """
    if settings.budget_ns is not None:
        latency.check_budget(settings.budget_ns)
    run = _Run(space, latency, evaluate, settings)
    if state is None:
        rng = np.random.default_rng(seed)
        state = run.finish(0, (), (), run.first_genomes(rng), rng)
        if on_generation:
            on_generation(state)
    while state.generation < settings.generations:
        rng = _generator(state.rng)
        children = run.children(state, rng)
        state = run.finish(state.generation + 1, state.population, state.history, children, rng)
        if on_generation:
            on_generation(state)
    return state


def random_search(
    space: Space,
    latency: GenomeLatency,
    evaluate: Evaluate,
    *,
    evaluations: int,
    budget_ns: float | None,
    seed: int,
) -> tuple[Candidate, ...]:
    """The baseline: the fastest genome and distinct uniform random ones under the budget, `evaluations` in all.

    Fewer when a tight budget leaves so few that ATTEMPTS_PER_CHILD draws per genome do not find them.
    """
    run = _Run(space, latency, evaluate, EvolutionSettings(population=evaluations, budget_ns=budget_ns))
    return tuple(run.candidate(genome) for genome in run.first_genomes(np.random.default_rng(seed)))


def front(history: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """The Pareto front of all evaluated candidates, fastest first."""
    distinct = list({candidate.genome: candidate for candidate in history}.values())
    objectives = np.array([[candidate.error, candidate.latency_ns] for candidate in distinct])
    return tuple(distinct[index] for index in pareto_front(objectives))


def winner(history: tuple[Candidate, ...]) -> Candidate:
    """The smallest error, the faster one among equals."""
    return min(history, key=lambda candidate: (candidate.error, candidate.latency_ns))


class _Run:
    """What stays the same during a search."""

    def __init__(self, space: Space, latency: GenomeLatency, evaluate: Evaluate, settings: EvolutionSettings) -> None:
        self._space, self._latency, self._evaluate, self._settings = space, latency, evaluate, settings
        self._choices = choice_counts(space)

    def first_genomes(self, rng: np.random.Generator) -> list[Genome]:
        """The fastest genome, which meets any feasible budget, and random ones."""
        fastest = self._latency.fastest
        return [fastest, *self.distinct(self.sample, self._settings.population - 1, {fastest}, rng)]

    def children(self, state: State, rng: np.random.Generator) -> list[Genome]:
        """New genomes by tournament, crossover and mutation; none was evaluated before."""
        parents = [candidate.genome for candidate in state.population]

        def child(rng: np.random.Generator) -> Genome:
            mother, father = (parents[index] for index in tournament(len(parents), 2, rng))
            return mutate(crossover(mother, father, rng), self._choices, self._settings.mutation, rng)

        known = {candidate.genome for candidate in state.history}
        return self.distinct(child, self._settings.population, known, rng)

    def sample(self, rng: np.random.Generator) -> Genome:
        """One uniform random genome."""
        return tuple(int(gene) for gene in self._space.sample(rng)[0])

    def distinct(
        self, draw: Callable[[np.random.Generator], Genome], count: int, known: set[Genome], rng: np.random.Generator
    ) -> list[Genome]:
        """Up to `count` genomes that meet the budget, differ from each other and are not `known`."""
        found: dict[Genome, None] = {}
        for _ in range(count * ATTEMPTS_PER_CHILD):
            if len(found) == count:
                break
            genome = draw(rng)
            if genome not in known and self._meets_budget(genome):
                found[genome] = None
        return list(found)

    def candidate(self, genome: Genome) -> Candidate:
        """Evaluate a genome."""
        return Candidate(genome, self._evaluate(genome), self._latency.one(genome))

    def finish(
        self,
        generation: int,
        population: tuple[Candidate, ...],
        history: tuple[Candidate, ...],
        genomes: list[Genome],
        rng: np.random.Generator,
    ) -> State:
        """Evaluate new genomes and let the best of old and new survive."""
        fresh = tuple(self.candidate(genome) for genome in genomes)
        everyone = population + fresh
        objectives = np.array([[candidate.error, candidate.latency_ns] for candidate in everyone])
        best = tuple(everyone[index] for index in survivors(objectives, self._settings.population))
        return State(generation, best, history + fresh, dict(rng.bit_generator.state))

    def _meets_budget(self, genome: Genome) -> bool:
        budget_ns = self._settings.budget_ns
        return budget_ns is None or self._latency.one(genome) <= budget_ns


def _generator(state: Mapping[str, object]) -> np.random.Generator:
    rng = np.random.default_rng()
    rng.bit_generator.state = state
    return rng
