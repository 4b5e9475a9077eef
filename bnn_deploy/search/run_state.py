"""A search on disk: every evaluation and every generation is a line, so that `kill -9` costs one evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bnn_deploy.errors import FileFormatError
from bnn_deploy.journal import Journal, Record
from bnn_deploy.search.evolution import Candidate, State
from bnn_deploy.space import Genome

SCHEMA = 1  # 1: first version
EVALUATIONS = "bnn-deploy evaluations"
GENERATIONS = "bnn-deploy generations"


class EvaluationCache:
    """Errors of genomes, computed once and kept.

    Args:
        path: of the journal.
        compute: genome -> record of the evaluation, JSON-ready, with the member "error".
        progress: called with the number of evaluations known and the newest record.
    """

    def __init__(
        self,
        path: Path,
        compute: Callable[[Genome], Mapping[str, object]],
        progress: Callable[[int, Mapping[str, object]], None] | None = None,
    ) -> None:
        self._journal = Journal(path, EVALUATIONS, SCHEMA, {})
        self._compute, self._progress = compute, progress
        try:
            self._records = {_genome(record["genome"]): record for record in self._journal.records}
            self._errors = {genome: float(str(record["error"])) for genome, record in self._records.items()}
        except (KeyError, TypeError, ValueError) as exc:
            self._journal.close()
            raise FileFormatError(f"{path}: a malformed evaluation: {exc}; remove the file to evaluate anew") from exc

    def __call__(self, genome: Genome) -> float:
        """The error of a genome."""
        if genome not in self._errors:
            record = {"genome": list(genome), **self._compute(genome)}
            self._journal.append(record)
            self._records[genome], self._errors[genome] = record, float(str(record["error"]))
            if self._progress:
                self._progress(len(self._errors), record)
        return self._errors[genome]

    def record(self, genome: Genome) -> Mapping[str, object]:
        """What is kept of a genome's evaluation; evaluated now if it is not there."""
        self(genome)
        return self._records[genome]

    def close(self) -> None:
        """Release the file."""
        self._journal.close()


class GenerationLog:
    """The states of a search, one line each.

    Raises:
        FileFormatError: the file is damaged or malformed.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path, GENERATIONS, SCHEMA, {})
        try:
            self.state = _restore(self._journal.records)
        except (KeyError, TypeError, ValueError) as exc:
            self._journal.close()
            raise FileFormatError(f"{path}: a malformed generation: {exc}; remove the file to search anew") from exc
        self._evaluated = len(self.state.history) if self.state else 0

    def append(self, state: State) -> None:
        """Keep a finished generation; the evaluations that it added are those past the ones kept before."""
        fresh = state.history[self._evaluated :]
        self._evaluated = len(state.history)
        self._journal.append(
            {
                "generation": state.generation,
                "population": [list(candidate.genome) for candidate in state.population],
                "evaluated": [[list(c.genome), c.error, c.latency_ns] for c in fresh],
                "rng": dict(state.rng),
            }
        )

    def close(self) -> None:
        """Release the file."""
        self._journal.close()


def _restore(records: list[Record]) -> State | None:
    history: list[Candidate] = []
    state = None
    for expected, record in enumerate(records):
        row: dict[str, Any] = record
        if row["generation"] != expected:
            raise ValueError(f"expected generation {expected}, found {row['generation']}")
        history += [Candidate(_genome(g), float(error), float(ns)) for g, error, ns in row["evaluated"]]
        by_genome = {candidate.genome: candidate for candidate in history}
        population = tuple(by_genome[_genome(genome)] for genome in row["population"])
        state = State(expected, population, tuple(history), row["rng"])
    return state


def _genome(value: Any) -> Genome:
    return tuple(int(gene) for gene in value)
