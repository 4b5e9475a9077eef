"""The whole road on the built-in digits, in one folder; repeating it continues where it stopped.

table.jsonl           latencies measured on this computer
search/               supernet, evolution, random search
networks/NAME/        winner, float-twin, uniform, random: trained from scratch
summary.json          what came of it
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from bnn_deploy.architecture import Architecture
from bnn_deploy.cost import network_cost
from bnn_deploy.export.files import export_files, model_path
from bnn_deploy.export.fold import fold
from bnn_deploy.journal import Journal
from bnn_deploy.latency.predict import GenomeLatency, predict_ns
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.layers import BinaryMobileNet
from bnn_deploy.profiling.device import Device
from bnn_deploy.profiling.network_latency import measure_network
from bnn_deploy.profiling.profile import ProfileSettings, profile
from bnn_deploy.runtimes.parity import Parity, check_parity
from bnn_deploy.search.evolution import EvolutionSettings
from bnn_deploy.search.run import Search, SearchResult
from bnn_deploy.settings import pin_settings, write_json
from bnn_deploy.space import Space
from bnn_deploy.training.data import Data
from bnn_deploy.training.loop import fixed_threads
from bnn_deploy.training.network_folder import NetworkFolder
from bnn_deploy.training.recipe import named_recipe

SUMMARY = "summary.json"
DATA = "digits"
BUDGET_SHARE = 0.35  # of the way from the fastest network's latency to the dense one's

Update = Callable[[int, int, str], None]


FLOAT_TWIN = "float-twin"
HOW = {
    FLOAT_TWIN: "the winner's shape, real weights and activations; from scratch; latency: torch, eager, one thread",
    "uniform": "the uniform group count of nearest predicted latency; from scratch, the winner's recipe",
    "random": "best of a random search with as many evaluations and the same budget; from scratch, the winner's recipe",
}


class Reporter:
    """Who is told how far a stage is; this one tells nobody."""

    @contextmanager
    def stage(self, name: str) -> Iterator[Update]:
        """A stage begins; yields what to call with (done, total, text)."""
        yield lambda done, total, text: None


@dataclass(frozen=True, slots=True)
class QuickstartSettings:
    """What a quickstart folder is made with.

    Args:
        seed: of everything random.
        space: a preset for 32x32 images.
        budget_us: hard latency budget; None: BUDGET_SHARE of the way from the fastest to the dense network.
        recipe, supernet_recipe: names of training recipes.
        population, generations: of the evolution.
    """

    seed: int = 0
    space: str = "mobilenet-32"
    budget_us: float | None = None
    recipe: str = "quick"
    supernet_recipe: str = "quick-supernet"
    population: int = 16
    generations: int = 5


class Quickstart:
    """One quickstart folder.

    Raises:
        BnnDeployError: the folder holds a run with other settings.
    """

    def __init__(
        self,
        folder: Path,
        settings: QuickstartSettings,
        space: Space,
        data: Data,
        device: Device,
        reporter: Reporter,
    ) -> None:
        pin_settings(folder / "settings.json", asdict(settings))
        self.folder, self.settings = folder, settings
        self._space, self._data, self._device, self._reporter = space, data, device, reporter
        self._clock = _StageClock(folder / "stages.jsonl")

    def run(self) -> dict[str, object]:
        """Do, or finish, all stages; returns the content of summary.json."""
        table = self._profile()
        result = self._search(table)
        nets = self._networks(result, table)
        for name, net in nets.items():
            self._train(name, net)
        binary = {name: net for name, net in nets.items() if name != FLOAT_TWIN}
        files = self._export(binary)
        parity = self._verify(nets["winner"])
        measured = self._measure(nets, table)
        summary = {
            "seed": self.settings.seed,
            "device": {name: table.header[name] for name in ("device", "cpu", "isa", "core")},
            "space": self._space.name,
            "data": {"name": self._data.name, "test_images": len(self._data.test)},
            "budget_ns": self._budget_ns(table),
            "evaluations": result.evaluations,
            "winner": {**self._row("winner", nets["winner"], table, measured), "bytes": files["winner"]},
            "baselines": [
                {"name": name, "how": HOW[name], **self._row(name, net, table, measured)}
                for name, net in nets.items()
                if name != "winner"
            ],
            "parity": [row.to_json() for row in parity],
            "seconds": self._clock.seconds,
        }
        write_json(self.folder / SUMMARY, summary)
        return summary

    def _row(self, name: str, net: Architecture, table: LatencyTable, measured: dict[str, float]) -> dict[str, object]:
        real = name == FLOAT_TWIN
        return {
            "groups": list(net.groups),
            "test_accuracy": self._folder_of(name, net).test_accuracy(self._data),
            "latency_predicted_ns": None if real else predict_ns(net, table),
            "latency_measured_ns": measured[name],
            "ops": None if real else network_cost(net).ops,
        }

    @contextmanager
    def _stage(self, name: str) -> Iterator[Update]:
        with self._reporter.stage(name) as update, self._clock.measure(name):
            yield update

    def _profile(self) -> LatencyTable:
        with self._stage("profile") as update:
            return profile(
                self._space.steps(),
                self._device,
                self.folder / "table.jsonl",
                settings=ProfileSettings(),
                seed=self.settings.seed,
                progress=lambda done, total, row: update(done, total, row.step.key),
            )

    def _search(self, table: LatencyTable) -> SearchResult:
        evolution = EvolutionSettings(
            population=self.settings.population,
            generations=self.settings.generations,
            budget_ns=self._budget_ns(table),
        )
        recipe = named_recipe(self.settings.supernet_recipe)
        path, seed = self.folder / "search", self.settings.seed
        search = Search(path, self._space, self._data, table, recipe=recipe, settings=evolution, seed=seed)
        with self._stage("supernet") as update:
            search.train_supernet(lambda done: update(done.epoch, done.epochs, f"loss {done.loss:.3f}"))
        with self._stage("search") as update:
            return search.run(lambda done, total: update(done, total, "architectures judged"))

    def _budget_ns(self, table: LatencyTable) -> float:
        if self.settings.budget_us is not None:
            return 1e3 * self.settings.budget_us
        latency = GenomeLatency(self._space, table)
        fastest = latency.one(latency.fastest)
        dense = predict_ns(self._space.nearest_uniform(1), table)
        return float(round(fastest + BUDGET_SHARE * (dense - fastest)))

    def _networks(self, result: SearchResult, table: LatencyTable) -> dict[str, Architecture]:
        """What is trained from scratch; the twin is the winner's shape."""
        winner = result.winner.architecture
        return {
            FLOAT_TWIN: winner,
            "winner": winner,
            "uniform": self._uniform_like(predict_ns(winner, table), table),
            "random": result.random.architecture,
        }

    def _uniform_like(self, latency_ns: float, table: LatencyTable) -> Architecture:
        """The uniform-group network whose predicted latency is nearest."""
        counts = {choice for gene in self._space.genes for choice in gene.choices}
        nets = [self._space.nearest_uniform(count) for count in sorted(counts)]
        return min(nets, key=lambda net: abs(predict_ns(net, table) - latency_ns))

    def _folder_of(self, name: str, net: Architecture) -> NetworkFolder:
        recipe = named_recipe(self.settings.recipe)
        path, seed = self.folder / "networks" / name, self.settings.seed
        if name == FLOAT_TWIN:
            return NetworkFolder(path, net, DATA, recipe.twin(), seed)
        return NetworkFolder(path, net, DATA, recipe, seed, teacher=path.with_name(FLOAT_TWIN))

    def _train(self, name: str, net: Architecture) -> None:
        with self._stage(f"train {name}") as update:
            network = self._folder_of(name, net)
            network.train(self._data, lambda done: update(done.epoch, done.epochs, f"val {100 * done.accuracy:.1f} %"))

    def _export(self, nets: dict[str, Architecture]) -> dict[str, int]:
        """Bytes of each network's .bnn."""
        sizes = {}
        with self._stage("export") as update:
            for done, (name, net) in enumerate(nets.items(), start=1):
                network = self._folder_of(name, net)
                files = export_files(fold(network.load()), network.path / "export")
                sizes[name] = next(file.bytes for file in files if file.format == "bnn")
                update(done, len(nets), name)
        return sizes

    def _verify(self, winner: Architecture) -> list[Parity]:
        with self._stage("verify") as update:
            images = self._data.test.images(np.arange(len(self._data.test)))
            network = self._folder_of("winner", winner)
            results = check_parity(network.path, images)
            update(1, 1, f"{len(images)} images in {len(results)} runtimes")
            return results

    def _measure(self, nets: dict[str, Architecture], table: LatencyTable) -> dict[str, float]:
        with self._stage("measure") as update:
            measured = {}
            for done, (name, net) in enumerate(nets.items(), start=1):
                network = self._folder_of(name, net)
                if name == FLOAT_TWIN:
                    measured[name] = eager_latency_ns(network.load(), self._data)
                else:
                    model = model_path(network.path / "export", "bnn")
                    found = measure_network(model, self._device, ProfileSettings(), sentinel_ns=table.sentinel_ns)
                    measured[name] = found.latency_ns
                update(done, len(nets), name)
            return measured


def eager_latency_ns(model: BinaryMobileNet, data: Data, runs: int = 30) -> float:
    """Median time of one image through a torch module, eager, one thread, nanoseconds."""
    images = torch.from_numpy(data.test.images(np.arange(1))).permute(0, 3, 1, 2)
    samples = []
    with fixed_threads(1), torch.inference_mode():
        for _ in range(runs):
            start = time.perf_counter_ns()
            model(images)
            samples.append(time.perf_counter_ns() - start)
    return float(np.median(samples))


class _StageClock:
    """Seconds of each stage; a stage that a resumed run found done keeps the time it took."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path, "bnn-deploy stages", 1, {})
        self.seconds = {str(row["stage"]): float(str(row["seconds"])) for row in self._journal.records}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        if name not in self.seconds:
            self.seconds[name] = round(time.monotonic() - start, 3)
            self._journal.append({"stage": name, "seconds": self.seconds[name]})
