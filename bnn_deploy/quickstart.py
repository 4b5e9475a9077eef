"""The whole road on the built-in digits, in one folder; repeating it continues where it stopped.

table.jsonl           latencies measured on this computer
search/               supernet, evolution, random search
networks/NAME/        winner, float-twin, uniform, random: trained from scratch
summary.json          what came of it
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from bnn_deploy.architecture import Architecture
from bnn_deploy.cost import network_cost
from bnn_deploy.errors import RuntimeUnavailable
from bnn_deploy.export.files import export_files, model_path
from bnn_deploy.export.fold import fold
from bnn_deploy.journal import Journal
from bnn_deploy.latency.networks import NetworkLatency
from bnn_deploy.latency.predict import GenomeLatency, predict_ns
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.layers import BinaryMobileNet
from bnn_deploy.profiling.device import Device, check_same_device
from bnn_deploy.profiling.network_latency import measure_network
from bnn_deploy.profiling.profile import profile
from bnn_deploy.profiling.protocol import Limits, ProfileSettings
from bnn_deploy.runtimes.parity import Parity, check_parity
from bnn_deploy.runtimes.registry import missing_runtimes
from bnn_deploy.runtimes.verified import verified_runtimes
from bnn_deploy.search.evolution import EvolutionSettings
from bnn_deploy.search.run import Search, SearchResult
from bnn_deploy.settings import pin_settings, write_json
from bnn_deploy.space import Space
from bnn_deploy.steps import plan
from bnn_deploy.training.data import Data
from bnn_deploy.training.loop import fixed_threads
from bnn_deploy.training.network_folder import NetworkFolder
from bnn_deploy.training.recipe import Recipe, named_recipe

SUMMARY = "summary.json"
DATA = "digits"
BUDGET_SHARE = 0.35  # of the way from the fastest network's latency to the dense one's


class Update(Protocol):
    """Told how far a stage is."""

    def __call__(self, done: int, total: int, text: str = "") -> None:
        """`done` of `total` parts are done."""


PATIENCE_S = 60.0  # to lose to other processes and slow phases, in each table
FRESH_TABLES = 3  # how often rows are measured again when the clock has changed since the search

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
        yield lambda done, total, text="": None


@dataclass(frozen=True, slots=True)
class QuickstartSettings:
    """What a quickstart folder is made with.

    Args:
        seed: of everything random.
        space: a preset for 32x32 images.
        budget_ns: hard latency budget; None: BUDGET_SHARE of the way from the fastest to the dense network.
        recipe, supernet_recipe: names of training recipes.
        epochs: of every training, instead of the recipes' own.
        population, generations: of the evolution.
    """

    seed: int = 0
    space: str = "mobilenet-32"
    budget_ns: float | None = None
    recipe: str = "quick"
    supernet_recipe: str = "quick-supernet"
    epochs: int | None = None
    population: int = 16
    generations: int = 5


class Quickstart:
    """One quickstart folder.

    Raises:
        RuntimeUnavailable: a runtime that the files are to be checked in is not installed.
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
        for why in missing_runtimes(verified_runtimes()).values():
            raise RuntimeUnavailable(why)
        pin_settings(folder / "settings.json", asdict(settings))
        self.folder, self.settings = folder, settings
        self._space, self._data, self._device, self._reporter = space, data, device, reporter
        self._seconds: dict[str, float] = {}

    def run(self) -> dict[str, object]:
        """Do, or finish, all stages; returns the content of summary.json.

        Raises:
            BnnDeployError: another process works in this folder; a stage failed.
        """
        with Journal(self.folder / "stages.jsonl", "bnn-deploy stages", 1, {}) as self._stages:
            self._seconds = {str(row["stage"]): float(str(row["seconds"])) for row in self._stages.records}
            summary = self._run()
        write_json(self.folder / SUMMARY, summary)
        return summary

    def _run(self) -> dict[str, object]:
        table = self._profile()
        result = self._search(table)
        nets = self._networks(result, table)
        for name, net in nets.items():
            self._train(name, net)
        binary = {name: net for name, net in nets.items() if name != FLOAT_TWIN}
        files = self._export(binary)
        parity = self._verify(nets["winner"])
        budget_ns = self._budget_ns(table)
        measured, compared, comparable = self._measure(nets, table)
        return {
            "seed": self.settings.seed,
            "device": {name: table.header[name] for name in ("device", "cpu", "isa", "core")},
            "space": self._space.name,
            "data": {"name": self._data.name, "test_images": len(self._data.test)},
            "budget_ns": budget_ns,
            "table": {"searched": table.path.name, "compared": compared.path.name, "comparable": comparable},
            "evaluations": {"evolution": result.evaluations, "random": result.random_evaluations},
            "winner": {**self._row("winner", nets["winner"], compared, measured), "bytes": files["winner"]},
            "baselines": [
                {"name": name, "how": HOW[name], **self._row(name, net, compared, measured)}
                for name, net in nets.items()
                if name != "winner"
            ],
            "parity": [row.to_json() for row in parity],
            "passed": all(row.passed for row in parity),
            "seconds": self._seconds,
        }

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
        """A stage's progress; its seconds are kept when it ends, those of its first end if it is repeated."""
        start = time.monotonic()
        with self._reporter.stage(name) as update:
            yield update
        self._record(name, time.monotonic() - start)

    def _record(self, name: str, seconds: float) -> None:
        if name not in self._seconds:
            self._seconds[name] = round(seconds, 3)
            self._stages.append({"stage": name, "seconds": self._seconds[name]})

    def _profile(self) -> LatencyTable:
        path, steps, seed = self.folder / "table.jsonl", self._space.steps(), self.settings.seed
        if "profile" in self._seconds and path.exists():
            table = LatencyTable.open(path)  # a second session would measure its noisy rows again: another table
            check_same_device(table, self._device)
            return table
        settings, limits = ProfileSettings(), Limits(patience_s=PATIENCE_S)
        with self._stage("profile") as update:
            table = profile(steps, self._device, path, settings=settings, limits=limits, seed=seed, progress=update)
            table.require(steps)
            return table

    def _search(self, table: LatencyTable) -> SearchResult:
        evolution = EvolutionSettings(
            population=self.settings.population,
            generations=self.settings.generations,
            budget_ns=self._budget_ns(table),
        )
        recipe = self._recipe(self.settings.supernet_recipe)
        path, seed = self.folder / "search", self.settings.seed
        search = Search(path, self._space, self._data, table, recipe=recipe, settings=evolution, seed=seed)
        with self._stage("supernet") as update:
            trained = search.train_supernet(lambda done: update(done.epoch, done.epochs, f"loss {done.loss:.3f}"))
            self._record("supernet", trained.seconds)
        with self._stage("search") as update:
            return search.run(lambda done, total: update(done, total, "architectures judged"))

    def _budget_ns(self, table: LatencyTable) -> float:
        if self.settings.budget_ns is not None:
            return self.settings.budget_ns
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
        recipe = self._recipe(self.settings.recipe)
        path, seed = self.folder / "networks" / name, self.settings.seed
        if name == FLOAT_TWIN:
            return NetworkFolder(path, net, DATA, recipe.twin(), seed)
        return NetworkFolder(path, net, DATA, recipe, seed, teacher=path.with_name(FLOAT_TWIN))

    def _recipe(self, name: str) -> Recipe:
        recipe = named_recipe(name)
        return recipe if self.settings.epochs is None else replace(recipe, epochs=self.settings.epochs)

    def _train(self, name: str, net: Architecture) -> None:
        with self._stage(f"train {name}") as update:
            network = self._folder_of(name, net)
            result = network.train(self._data, lambda m: update(m.epoch, m.epochs, f"val {100 * m.accuracy:.1f} %"))
            self._record(f"train {name}", result.seconds)

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
            network = self._folder_of("winner", winner)
            told = partial(update, text="images")
            return check_parity(network.load(), network.path / "export", self._data.test, progress=told)

    def _measure(
        self, nets: dict[str, Architecture], table: LatencyTable
    ) -> tuple[dict[str, float], LatencyTable, bool]:
        """Latency of every network, nanoseconds; the table to compare it with; whether the clock let one compare them.

        That is the search's table, unless this computer runs at another speed by now: then the rows of these networks
        are measured again, and the networks beside them.
        """
        with self._stage("measure") as update:
            twin = eager_latency_ns(self._folder_of(FLOAT_TWIN, nets[FLOAT_TWIN]).load(), self._data)
            binary = {name: net for name, net in nets.items() if name != FLOAT_TWIN}
            for attempt in range(1 + FRESH_TABLES):
                if attempt:
                    table = self._fresh_table(binary, attempt)
                found = {name: self._measure_one(name, net, table) for name, net in binary.items()}
                update(attempt + 1, attempt + 1, "the same clock" if _comparable(found) else "another clock")
                if _comparable(found):
                    break
            measured = {name: network.at_clock_ns for name, network in found.items()}
            return {FLOAT_TWIN: twin, **measured}, table, _comparable(found)

    def _measure_one(self, name: str, net: Architecture, table: LatencyTable) -> NetworkLatency:
        model = model_path(self._folder_of(name, net).path / "export", "bnn")
        return measure_network(model, self._device, table)

    def _fresh_table(self, nets: dict[str, Architecture], attempt: int) -> LatencyTable:
        path = self.folder / f"table-now-{attempt}.jsonl"
        path.unlink(missing_ok=True)
        steps = [step for net in nets.values() for step in plan(net)]
        settings, limits = ProfileSettings(), Limits(patience_s=PATIENCE_S)
        return profile(steps, self._device, path, settings=settings, limits=limits, seed=self.settings.seed)


def _comparable(found: dict[str, NetworkLatency]) -> bool:
    return all(network.comparable for network in found.values())


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
