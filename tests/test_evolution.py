from pathlib import Path

import numpy as np
import pytest

from bnn_deploy.errors import InfeasibleBudget
from bnn_deploy.latency.predict import GenomeLatency
from bnn_deploy.search.evolution import Candidate, EvolutionSettings, State, evolve, front, random_search, winner
from bnn_deploy.search.nsga2 import crowding_distances, dominates, front_numbers, pareto_front, survivors
from bnn_deploy.search.operators import choice_counts, crossover, mutate
from bnn_deploy.search.run_state import EvaluationCache, GenerationLog
from bnn_deploy.space import Genome, load_space
from tests.tables import formula_table

SPACE = load_space("mobilenet-32")
SETTINGS = EvolutionSettings(population=12, generations=6)


@pytest.fixture(name="latency", scope="module")
def make_latency(tmp_path_factory: pytest.TempPathFactory) -> GenomeLatency:
    return GenomeLatency(SPACE, formula_table(tmp_path_factory.mktemp("table") / "t.jsonl", SPACE))


def error_of(genome: Genome) -> float:
    """More groups cost accuracy, more in early blocks."""
    return float(sum(gene / (position + 2) for position, gene in enumerate(genome)) / 20)


def test_fronts_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    objectives = rng.integers(0, 6, (40, 2)).astype(float)
    fronts = front_numbers(objectives)
    remaining = set(range(40))
    number = 0
    while remaining:
        front_now = {
            i
            for i in remaining
            if not any(all(objectives[j] <= objectives[i]) and any(objectives[j] < objectives[i]) for j in remaining)
        }
        assert set(np.flatnonzero(fronts == number)) == front_now
        remaining -= front_now
        number += 1
    assert set(pareto_front(objectives)) == set(np.flatnonzero(fronts == 0))
    assert not dominates(objectives).diagonal().any()


def test_crowding() -> None:
    objectives = np.array([[0.0, 4.0], [1.0, 2.0], [3.0, 1.0], [4.0, 0.0]])
    distances = crowding_distances(objectives, np.zeros(4, np.int64))
    assert distances.tolist() == [np.inf, 3 / 4 + 3 / 4, 3 / 4 + 2 / 4, np.inf]
    assert set(survivors(objectives, 3)) == {0, 1, 3}


def test_mutation_always_changes_and_crossover_never_invents() -> None:
    rng = np.random.default_rng(0)
    choices = choice_counts(SPACE)
    for genome in SPACE.sample(rng, 100):
        changed = np.array(mutate(genome, choices, 1.0, rng))
        assert ((changed != genome) & (changed >= 0) & (changed < choices)).all()
        assert mutate(genome, choices, 0.0, rng) == tuple(genome)
        other = SPACE.sample(rng)[0]
        child = np.array(crossover(genome, other, rng))
        assert ((child == genome) | (child == other)).all()
    assert mutate((0,), np.array([1]), 1.0, rng) == (0,)


def test_evolution_beats_random_search_and_never_repeats(latency: GenomeLatency) -> None:
    state = evolve(SPACE, latency, error_of, SETTINGS, seed=0)
    genomes = [candidate.genome for candidate in state.history]
    assert len(set(genomes)) == len(genomes) == 12 * 7
    random = random_search(SPACE, latency, error_of, evaluations=len(genomes), budget_ns=None, seed=0)
    assert len(random) == len(genomes)
    budget = float(np.median([c.latency_ns for c in random]))

    def best_under(candidates: tuple[Candidate, ...]) -> float:
        return min(c.error for c in candidates if c.latency_ns <= budget)

    assert best_under(state.history) < best_under(random)
    found = front(state.history)
    assert [c.latency_ns for c in found] == sorted(c.latency_ns for c in found)
    assert [c.error for c in found] == sorted((c.error for c in found), reverse=True)
    assert winner(state.history).error == min(c.error for c in state.history)


def test_budget_is_hard(latency: GenomeLatency) -> None:
    fastest = latency.one(latency.fastest)
    settings = EvolutionSettings(population=8, generations=3, budget_ns=fastest * 1.1)
    state = evolve(SPACE, latency, error_of, settings, seed=0)
    assert all(c.latency_ns <= fastest * 1.1 for c in state.history)
    assert len(state.history) > 8
    with pytest.raises(InfeasibleBudget, match="smallest reachable"):
        evolve(SPACE, latency, error_of, EvolutionSettings(budget_ns=fastest * 0.9), seed=0)
    exact = evolve(SPACE, latency, error_of, EvolutionSettings(generations=1, budget_ns=fastest), seed=0)
    assert {c.genome for c in exact.history} == {latency.fastest}


def test_resuming_at_any_generation_is_exact(latency: GenomeLatency, tmp_path: Path) -> None:
    whole = evolve(SPACE, latency, error_of, SETTINGS, seed=7)
    assert evolve(SPACE, latency, error_of, SETTINGS, seed=8).history != whole.history

    class Stop(Exception):
        pass

    for stop in range(SETTINGS.generations):
        path = tmp_path / f"{stop}.jsonl"
        log = GenerationLog(path)

        def keep(state: State, log: GenerationLog = log, stop: int = stop) -> None:
            log.append(state)
            if state.generation == stop:
                raise Stop

        with pytest.raises(Stop):
            evolve(SPACE, latency, error_of, SETTINGS, seed=7, on_generation=keep)
        log.close()
        log = GenerationLog(path)
        assert log.state is not None
        assert log.state.generation == stop
        resumed = evolve(SPACE, latency, error_of, SETTINGS, seed=7, state=log.state, on_generation=log.append)
        log.close()
        assert resumed == whole


def test_evaluations_are_computed_once(tmp_path: Path) -> None:
    calls = []

    def compute(genome: Genome) -> dict[str, object]:
        calls.append(genome)
        return {"error": 0.5, "accuracy": 0.5}

    for _ in range(2):
        cache = EvaluationCache(tmp_path / "e.jsonl", compute)
        assert [cache((1, 2)), cache((1, 2)), cache((3, 4))] == [0.5] * 3
        assert cache.record((1, 2))["accuracy"] == 0.5
        cache.close()
    assert calls == [(1, 2), (3, 4)]
