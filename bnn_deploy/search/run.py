"""A whole search in a folder: supernet, evolution, the random baseline. Repeating it continues where it stopped.

settings.json        what the search was made with
supernet/            training of the shared weights (bnn_deploy.training.run)
evaluations.jsonl    every genome judged, once
generations.jsonl    every generation, with the generator's state
search.json          the result: Pareto front, winner, best of the random search
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnn_deploy.architecture import Architecture
from bnn_deploy.errors import DataError, FileFormatError
from bnn_deploy.latency.correction import Coefficients, Correction
from bnn_deploy.latency.predict import GenomeLatency
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.search.evaluate import SubnetEvaluator
from bnn_deploy.search.evolution import Candidate, EvolutionSettings, State, evolve, front, random_search, winner
from bnn_deploy.search.run_state import EvaluationCache, GenerationLog
from bnn_deploy.settings import pin_settings, read_json, write_json
from bnn_deploy.space import Genome, Space
from bnn_deploy.training.data import Data
from bnn_deploy.training.loop import Progress, TrainResult
from bnn_deploy.training.recipe import Recipe
from bnn_deploy.training.supernet import new_supernet, train_supernet

RESULT = "search.json"
MAX_LOSS = 10.0


@dataclass(frozen=True, slots=True)
class Found:
    """An architecture that a search found, as search.json keeps it.

    Args:
        error: what the search minimised: 1 - accuracy, ties broken by the loss (`error_of`).
        accuracy: of the subnet with the supernet's weights, on the search-validation split.
        latency_ns: predicted by the table.
        latency_source: of the table: "measured", or what stands for measurements.
    """

    architecture: Architecture
    error: float
    accuracy: float
    latency_ns: float
    latency_source: str

    def to_json(self) -> dict[str, object]:
        """JSON-ready."""
        return {**asdict(self), "architecture": self.architecture.to_json()}


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Content of search.json.

    Args:
        evaluations: genomes that evolution judged.
        random_evaluations: genomes that the random search judged: as many, unless a tight budget leaves fewer.
        latency: where the latencies come from: table, device, source, and the correction's coefficients or None.
    """

    winner: Found
    random: Found
    front: tuple[Found, ...]
    evaluations: int
    random_evaluations: int
    latency: Mapping[str, object]

    def to_json(self) -> dict[str, object]:
        """JSON-ready."""
        return {
            "winner": self.winner.to_json(),
            "random": self.random.to_json(),
            "front": [found.to_json() for found in self.front],
            "evaluations": self.evaluations,
            "random_evaluations": self.random_evaluations,
            "latency": dict(self.latency),
        }


class Search:
    """The search in a folder, new or continued.

    Args:
        folder: of the run.
        table: of latencies; their sum is a network's.
        correction: of that sum, if any.
        recipe: of the supernet.
        settings: of the evolution; the random baseline has the same budget and as many evaluations.
        seed: of everything random.

    Raises:
        LatencyTableMiss: the table lacks a row that the space can need.
        InfeasibleBudget: no architecture meets the budget; found before anything is trained.
        BnnDeployError: the folder holds a search with other settings.
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        data: Data,
        table: LatencyTable,
        correction: Correction | None = None,
        *,
        recipe: Recipe,
        settings: EvolutionSettings,
        seed: int,
    ) -> None:
        self.folder = folder
        self._space, self._data, self._recipe, self._settings, self._seed = space, data, recipe, settings, seed
        coefficients = correction.coefficients if correction else None
        self._latency = GenomeLatency(space, table, coefficients)
        self._source = {
            "table": table.path.name,
            "device": table.device,
            "source": table.source,
            "correction": asdict(coefficients) if coefficients else None,
        }
        if settings.budget_ns is not None:
            self._latency.check_budget(settings.budget_ns)
        pin_settings(folder / "settings.json", _settings(space, data, table, coefficients, recipe, settings, seed))
        self._supernet = new_supernet(space.base, tuple(gene.choices for gene in space.genes), recipe, seed)

    def train_supernet(self, progress: Progress | None = None) -> TrainResult:
        """Train the shared weights, or read them when that is done; progress is told each epoch's metrics."""
        path = self.folder / "supernet"
        return train_supernet(self._supernet, self._data, self._recipe, path, seed=self._seed, progress=progress)

    def run(
        self,
        evaluated: Callable[[int, int], None] | None = None,
        generation: Callable[[State], None] | None = None,
    ) -> SearchResult:
        """Evolve, then search at random as often; writes search.json. Needs train_supernet before.

        Args:
            evaluated: told the number of evaluations known, and how many there will be at most.
            generation: told each finished generation.
        """
        with ExitStack() as stack:
            log = stack.enter_context(closing(GenerationLog(self.folder / "generations.jsonl")))
            cache = stack.enter_context(closing(self._cache(evaluated)))

            def finished(state: State) -> None:
                log.append(state)
                if generation:
                    generation(state)

            shared = (self._space, self._latency, cache)
            state = evolve(*shared, self._settings, seed=self._seed, state=log.state, on_generation=finished)
            budget_ns, count = self._settings.budget_ns, len(state.history)
            random = random_search(*shared, evaluations=count, budget_ns=budget_ns, seed=self._seed + 1)
            result = SearchResult(
                winner=self._found(winner(state.history), cache),
                random=self._found(winner(random), cache),
                front=tuple(self._found(candidate, cache) for candidate in front(state.history)),
                evaluations=count,
                random_evaluations=len(random),
                latency=self._source,
            )
        write_json(
            self.folder / RESULT, {**result.to_json(), "data": self._data.name, "data_digest": self._data.digest}
        )
        return result

    def _cache(self, evaluated: Callable[[int, int], None] | None) -> EvaluationCache:
        judge = SubnetEvaluator(self._supernet, self._data)
        expected = 2 * self._settings.population * (self._settings.generations + 1)

        def compute(genome: Genome) -> Mapping[str, object]:
            quality = judge(self._space.groups(genome))
            error = error_of(quality.accuracy, quality.loss, len(self._data.val))
            return {"accuracy": quality.accuracy, "loss": quality.loss, "error": error}

        def told(known: int, _: Mapping[str, object]) -> None:
            if evaluated:
                evaluated(known, expected)

        return EvaluationCache(self.folder / "evaluations.jsonl", compute, told)

    def _found(self, candidate: Candidate, cache: EvaluationCache) -> Found:
        accuracy = float(str(cache.record(candidate.genome)["accuracy"]))
        net, source = self._space.decode(candidate.genome), str(self._source["source"])
        return Found(net, candidate.error, accuracy, candidate.latency_ns, source)


def error_of(accuracy: float, loss: float, images: int) -> float:
    """1 - accuracy, plus less than half an image's share by the loss: equal accuracies are ordered by their loss."""
    return 1 - accuracy + 0.5 / images * min(loss, MAX_LOSS) / (MAX_LOSS + 1)


@dataclass(frozen=True, slots=True)
class Winner:
    """What a finished search says to whoever trains its winner.

    Args:
        data_name: of the data set that was searched on.
        data_digest: of its content.
    """

    architecture: Architecture
    data_name: str
    data_digest: str

    def check_data(self, data: Data) -> None:
        """Raises DataError unless `data` is the data set that was searched on."""
        if data.digest != self.data_digest:
            raise DataError(
                f"the search was made on {self.data_name} (content {self.data_digest[:12]}...), this is {data.name} "
                f"({data.digest[:12]}...): give the same --data"
            )


def read_winner(folder: Path) -> Winner:
    """The winner of the search in `folder`.

    Raises:
        FileFormatError: the search has not ended, or its result is damaged.
    """
    path = folder / RESULT
    if not path.exists():
        raise FileFormatError(
            f"{folder}: expected a finished search ({RESULT}); run `bnn-deploy search --out {folder}`"
        )
    result: dict[str, Any] = read_json(path)
    try:
        architecture = Architecture.from_json(result["winner"]["architecture"])
        return Winner(architecture, result["data"], result["data_digest"])
    except (KeyError, TypeError) as exc:
        raise FileFormatError(f"{path}: holds no winner ({exc!r}); run the search again") from exc


def _settings(
    space: Space,
    data: Data,
    table: LatencyTable,
    correction: Coefficients | None,
    recipe: Recipe,
    settings: EvolutionSettings,
    seed: int,
) -> dict[str, object]:
    rows = {step.key: table.latency_ns(step) for step in space.steps()}
    return {
        "space": {"name": space.name, "base": space.base.to_json(), "genes": [asdict(gene) for gene in space.genes]},
        "data": {"name": data.name, "digest": data.digest},
        "table": {
            "device": table.device,
            "source": table.source,
            "rows_sha256": hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest(),
        },
        "correction": asdict(correction) if correction else None,
        "recipe": recipe.to_json(),
        "evolution": asdict(settings),
        "seed": seed,
    }
