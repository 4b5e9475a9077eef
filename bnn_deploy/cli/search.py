"""`bnn-deploy search`"""

from __future__ import annotations

from pathlib import Path

import click

from bnn_deploy.cli.console import say, stage
from bnn_deploy.cli.correction import usable_correction
from bnn_deploy.cli.options import (
    chosen_recipe,
    default_table,
    epochs_option,
    json_option,
    seed_option,
    space_option,
)
from bnn_deploy.latency.check import check
from bnn_deploy.latency.measurement import MEASURED
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.device import check_installed_build
from bnn_deploy.report.tables import latency, percent, print_json, print_table
from bnn_deploy.search.evolution import EvolutionSettings, State
from bnn_deploy.search.run import Found, Search
from bnn_deploy.space import load_space
from bnn_deploy.training.data import load_data
from bnn_deploy.training.recipe import RECIPES
from bnn_deploy.training.run import EpochMetrics

_DEFAULTS = EvolutionSettings()


@click.command()
@space_option
@click.option("--data", default="digits", show_default=True, help="digits, shapes, cifar10:DIR or imagefolder:DIR.")
@click.option("--device", default="host", show_default=True, help="Whose table to use, unless --table is given.")
@click.option("--table", type=click.Path(path_type=Path), help="Latency table  [default: runs/tables/DEVICE.jsonl].")
@click.option("--correction", type=click.Path(path_type=Path), help="Of the table  [default: TABLE's, if it applies].")
@click.option("--no-correction", is_flag=True, help="Plain sums of the table's rows.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option("--budget-us", type=click.FloatRange(min=0, min_open=True), help="Hard latency budget, microseconds.")
@click.option("--population", type=click.IntRange(min=2), default=_DEFAULTS.population, show_default=True)
@click.option("--generations", type=click.IntRange(min=0), default=_DEFAULTS.generations, show_default=True)
@click.option("--recipe", default="standard-supernet", show_default=True, help=f"One of {', '.join(RECIPES)}.")
@epochs_option
@seed_option
@json_option
def command(
    space_name: str,
    data: str,
    device: str,
    table: Path | None,
    correction: Path | None,
    no_correction: bool,
    out: Path,
    budget_us: float | None,
    population: int,
    generations: int,
    recipe: str,
    epochs: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Train a supernet (or reuse it), then evolve group counts for accuracy and latency.

    Accuracy is judged on a held-out part of the training data, latency is the sum of the table's rows, with the
    correction that `verify --latency` left beside the table. Every evaluation and every generation is kept, so the same
    command continues after an interruption, to the identical result.

    \b
    Examples:
      bnn-deploy search --data digits --recipe quick-supernet --out runs/mine
      bnn-deploy search --data shapes --budget-us 60 --out runs/fast
    """
    space = load_space(space_name)
    images = load_data(data, space.base.height, space.base.width)
    space = space.with_classes(images.classes)
    settings = EvolutionSettings(
        population=population,
        generations=generations,
        budget_ns=None if budget_us is None else 1e3 * budget_us,
    )
    latencies = LatencyTable.open(table or default_table(device))
    check_installed_build(latencies)
    if latencies.source != MEASURED:
        say(f"{latencies.path}: latencies are no measurements but {latencies.source}; the results say so")
    for problem in check(latencies).problems:
        say(f"{latencies.path}: {problem}")
    corrected = None if no_correction else usable_correction(correction, latencies, space.base)
    chosen = chosen_recipe(recipe, epochs)
    search = Search(out, space, images, latencies, corrected, recipe=chosen, settings=settings, seed=seed)
    with stage("supernet") as bar:

        def epoch(done: EpochMetrics) -> None:
            bar.update(done.epoch, done.epochs, f"loss {done.loss:.3f}, dense subnet {percent(done.accuracy)}")

        search.train_supernet(epoch)
    with stage("search") as judging:

        def generation(state: State) -> None:
            best = min(state.population, key=lambda candidate: candidate.error)
            at = latency(best.latency_ns, latencies.source)
            say(f"generation {state.generation}: best error {best.error:.4f} at {at}")

        result = search.run(lambda done, total: judging.update(done, total, "architectures judged"), generation)
    if as_json:
        print_json(result.to_json())
        return
    rows = [_row(found, found == result.winner) for found in result.front]
    print_table(f"Pareto front in {out}", ["groups", "val accuracy", "predicted latency", ""], rows)
    say(f"winner and front in {out / 'search.json'}; next: bnn-deploy train --run {out} --data {data}")


def _row(found: Found, wins: bool) -> list[str]:
    groups = ",".join(map(str, found.architecture.groups))
    return [groups, percent(found.accuracy), latency(found.latency_ns, found.latency_source), "winner" if wins else ""]
