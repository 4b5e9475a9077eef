"""`bnn-deploy profile`"""

from __future__ import annotations

from pathlib import Path

import click

from bnn_deploy.cli.console import say, stage
from bnn_deploy.cli.options import default_table, json_option, seed_option, space_option
from bnn_deploy.latency.measurement import Measurement
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.device import open_device
from bnn_deploy.profiling.profile import ProfileSettings, profile
from bnn_deploy.report.tables import print_json, print_table, us
from bnn_deploy.space import load_space
from bnn_deploy.steps import Step

_DEFAULTS = ProfileSettings()


@click.command()
@click.option("--device", "device_name", default="host", show_default=True, help="See `bnn-deploy devices`.")
@space_option
@click.option("--classes", type=click.IntRange(min=1), help="Of the classifier, if not the space's own.")
@click.option("--out", type=click.Path(path_type=Path), help="The table  [default: runs/tables/DEVICE.jsonl].")
@click.option("--isa", default=_DEFAULTS.isa, show_default=True, help="Force an instruction set.")
@click.option("--samples", type=click.IntRange(min=3), default=_DEFAULTS.samples, show_default=True, help="Per row.")
@seed_option
@json_option
def command(
    device_name: str,
    space_name: str,
    classes: int | None,
    out: Path | None,
    isa: str,
    samples: int,
    seed: int,
    as_json: bool,
) -> None:
    """Measure every step that a space can need, on a device, into a latency table.

    Rows that the table holds already are kept: run it again after an interruption, or for another space. Each row is on
    the disk before the next one is measured.

    \b
    Examples:
      bnn-deploy profile --device host --space mobilenet-32
      bnn-deploy profile --space mobilenet-224 --out tables/host-224.jsonl
    """
    space = load_space(space_name)
    space = space if classes is None else space.with_classes(classes)
    path = out or default_table(device_name)
    device = open_device(device_name)
    try:
        with stage(f"profile {device_name}") as bar:

            def progress(done: int, total: int, row: Measurement) -> None:
                bar.update(done, total, f"{row.step.key}: {us(row.latency_ns)}")

            settings = ProfileSettings(samples=samples, isa=isa)
            table = profile(space.steps(), device, path, settings=settings, seed=seed, progress=progress)
    finally:
        device.close()
    if as_json:
        print_json({"table": str(path), "device": table.device, "rows": [_json_row(table, s) for s in space.steps()]})
        return
    columns = ["step", "median", "p10", "p90", "binary MAC/ns", "kernel", "quality"]
    print_table(f"{path}", columns, [_text_row(table.rows[step]) for step in space.steps()])
    noisy = sum(table.rows[step].quality != "ok" for step in space.steps())
    say(f"{len(space.steps())} steps of {space_name} in {path}, {noisy} noisy")


def _json_row(table: LatencyTable, step: Step) -> dict[str, object]:
    row = table.rows[step]
    return {"key": step.key, "latency_ns": row.latency_ns, "kernel": row.kernel, "quality": row.quality}


def _text_row(row: Measurement) -> list[str]:
    rate = f"{row.step.macs / row.latency_ns:.0f}" if row.step.kind.value == "bconv2d" else ""
    times = [us(row.latency_ns), us(row.percentile_ns(10)), us(row.percentile_ns(90))]
    return [row.step.key, *times, rate, row.kernel, row.quality]
