"""`bnn-deploy train`"""

from __future__ import annotations

from pathlib import Path

import click

from bnn_deploy.cli.console import say, stage
from bnn_deploy.cli.options import (
    architecture_from,
    chosen_recipe,
    epochs_option,
    genes_option,
    groups_option,
    json_option,
    seed_option,
    space_option,
)
from bnn_deploy.report.tables import percent, print_json
from bnn_deploy.search.run import read_winner
from bnn_deploy.space import load_space
from bnn_deploy.training.data import load_data
from bnn_deploy.training.network_folder import NetworkFolder
from bnn_deploy.training.recipe import RECIPES
from bnn_deploy.training.run import EpochMetrics

DEFAULT_DATA = "digits"


@click.command()
@click.option("--run", type=click.Path(path_type=Path), help="Folder of a search: train its winner.")
@click.option("--architecture", help="A reference name or a JSON file, instead of --run.")
@space_option
@groups_option
@genes_option
@click.option("--data", help="digits, shapes, cifar10:DIR, imagefolder:DIR  [default: the search's, else digits].")
@click.option("--recipe", default="standard", show_default=True, help=f"One of {', '.join(RECIPES)}.")
@epochs_option
@click.option("--teacher", type=click.Path(path_type=Path), help="Folder of a trained network to learn from.")
@click.option("--float-twin", is_flag=True, help="Train the real-valued network of the same shape instead.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the network  [default: RUN/winner].")
@seed_option
@json_option
def command(
    run: Path | None,
    architecture: str | None,
    space_name: str,
    groups: str | None,
    genes: tuple[str, ...],
    data: str | None,
    recipe: str,
    epochs: int | None,
    teacher: Path | None,
    float_twin: bool,
    out: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Train an architecture from scratch; repeat the command to continue an interrupted training.

    \b
    Examples:
      bnn-deploy train --run runs/mine
      bnn-deploy train --architecture uniform-g8 --data digits --recipe quick --out runs/g8
    """
    if (run is None) == (architecture is None and groups is None and not genes):
        raise click.UsageError("give either --run, or --architecture, --groups or --gene")
    folder = out or (run / "winner" if run else None)
    if folder is None:
        raise click.UsageError("--out is needed with --architecture, --groups or --gene")
    if run:
        winner = read_winner(run)
        net, spec = winner.architecture, data or winner.data_name
        images = load_data(spec, net.height, net.width)
        winner.check_data(images)
    else:
        space, spec = load_space(space_name), data or DEFAULT_DATA
        images = load_data(spec, space.base.height, space.base.width)
        net = architecture_from(architecture, space.with_classes(images.classes), groups, genes)
    chosen = chosen_recipe(recipe, epochs)
    network = NetworkFolder(folder, net, spec, chosen.twin() if float_twin else chosen, seed, teacher)
    with stage(f"train {folder}") as bar:

        def epoch(done: EpochMetrics) -> None:
            bar.update(done.epoch, done.epochs, f"loss {done.loss:.3f}, val accuracy {percent(done.accuracy)}")

        result = network.train(images, epoch)
    accuracy = network.test_accuracy(images)
    if as_json:
        print_json({"folder": str(folder), "test_accuracy": accuracy, "seconds": result.seconds})
    else:
        click.echo(f"test accuracy {percent(accuracy)}  ({len(images.test)} images, {result.seconds:.0f} s)")
        say(f"weights in {result.weights}; next: bnn-deploy export {folder}")
