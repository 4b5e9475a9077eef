"""`bnn-deploy verify`"""

from __future__ import annotations

from pathlib import Path

import click

from bnn_deploy.cli.options import json_option, seed_option
from bnn_deploy.runtimes.registry import BINARY_RUNTIMES


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--runtime", "runtimes", multiple=True, type=click.Choice(BINARY_RUNTIMES), help="Repeatable [all].")
@click.option("--images", type=click.IntRange(min=1), help="Only the first N test images.")
@click.option("--table", type=click.Path(path_type=Path), help="Also compare the latency with this table's prediction.")
@click.option("--device", help="Where to measure that latency  [default: host; with --latency the table's].")
@click.option("--latency", is_flag=True, help="Compare many measured networks with the table instead.")
@click.option("--space", "space_name", help="--latency: whose random networks, unless FOLDER is a search.")
@click.option("--networks", type=click.IntRange(min=2), default=50, show_default=True, help="--latency: how many.")
@click.option("--visits", type=click.IntRange(min=1), default=3, show_default=True, help="--latency: to each network.")
@click.option("--refit", is_flag=True, help="--latency: replace the stored correction by one fitted to these networks.")
@seed_option
@json_option
def command(
    folder: Path | None,
    runtimes: tuple[str, ...],
    images: int | None,
    table: Path | None,
    device: str | None,
    latency: bool,
    space_name: str | None,
    networks: int,
    visits: int,
    refit: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Check exported files against torch; or, with --latency, a latency table against measured networks.

    Files of FOLDER, a trained network: in every runtime, on the test images. Integer sums of binary layers must be
    equal; signs that a rounding flipped are counted; top-1 must agree on 99.5 % of the images. Unless asked
    for, `litert+bnn` is left out where it is not installed, and `lce` where the .tflite file was exported with
    --small-groups native. Exit code 1 when a check fails.

    --latency: random networks of a space (--space, --seed), or the Pareto networks of FOLDER, a search, run whole on
    the table's device and core, with invented constants. Shows how far the sums of the table's rows are from what was
    measured, beside fits on FLOPs and on OPs, and keeps a small correction beside the table, which `search` uses, if it
    helps on networks that it has not seen. Raw samples are kept in TABLE.networks.jsonl: an interrupted command goes on
    where it stopped. A correction that is there already is tested on these networks, and replaced with --refit alone.

    \b
    Examples:
      bnn-deploy verify runs/mine/winner
      bnn-deploy verify runs/mine/winner --runtime engine --table runs/tables/host.jsonl
      bnn-deploy verify --latency --table runs/tables/host.jsonl --space mobilenet-224 --networks 50 --seed 1
      bnn-deploy verify --latency runs/mine --table runs/tables/host.jsonl
    """
    if not latency:
        if folder is None or space_name or refit:
            raise click.UsageError("give the FOLDER of a trained network; --space and --refit belong to --latency")
        from bnn_deploy.cli.verify_files import verify_files

        verify_files(folder, runtimes, images, table, device or "host", as_json)
        return
    if table is None or runtimes or images or (folder is None) == (space_name is None):
        raise click.UsageError("--latency needs --table, and either --space or the FOLDER of a search")
    from bnn_deploy.cli.verify_latency import verify_latency

    verify_latency(
        table, folder, space_name, device, networks=networks, visits=visits, seed=seed, refit=refit, as_json=as_json
    )
