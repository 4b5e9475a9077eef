"""`bnn-deploy profile`"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bnn_deploy.cli.console import say, stages
from bnn_deploy.cli.options import default_table, json_option, seed_option, space_option
from bnn_deploy.cli.table_view import print_report, print_rows, report_json, row_json
from bnn_deploy.errors import BnnDeployError
from bnn_deploy.latency.check import check
from bnn_deploy.latency.measurement import EMULATED
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.estimated import estimate_table
from bnn_deploy.profiling.parallel import Job, profile_all
from bnn_deploy.profiling.protocol import Limits, ProfileSettings
from bnn_deploy.report.tables import print_json
from bnn_deploy.space import load_space
from bnn_deploy.steps import Step

_DEFAULTS, _LIMITS = ProfileSettings(), Limits()


@click.command()
@click.option("--device", "devices", multiple=True, help="See `bnn-deploy devices`; repeatable  [default: host].")
@space_option
@click.option("--classes", type=click.IntRange(min=1), help="Of the classifier, if not the space's own.")
@click.option("--out", type=click.Path(path_type=Path), help="The table  [default: runs/tables/DEVICE.jsonl].")
@click.option("--isa", default=_DEFAULTS.isa, show_default=True, help="Force an instruction set.")
@click.option("--samples", type=click.IntRange(min=3), default=_DEFAULTS.samples, show_default=True, help="Per block.")
@click.option("--cold-samples", type=click.IntRange(min=0), default=_DEFAULTS.cold_samples, show_default=True)
@click.option("--governor", default=_DEFAULTS.governor, show_default=True, help="While measuring, where permitted.")
@click.option("--khz", type=click.IntRange(min=1), help="Lock the clock instead, where permitted.")
@click.option("--max-temperature", type=float, help="Wait while the board is hotter, Celsius  [default: 75 on a Pi].")
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=_LIMITS.patience_s,
    show_default=True,
    help="Seconds to lose, in all, to other processes and slow phases before rows are marked.",
)
@click.option("--estimate", is_flag=True, help="Compute the table of a board that is not there; every row is marked.")
@click.option("--allow-emulated", is_flag=True, help="Measure an emulated board, too; the table is marked.")
@seed_option
@json_option
def command(
    devices: tuple[str, ...],
    space_name: str,
    classes: int | None,
    out: Path | None,
    isa: str,
    samples: int,
    cold_samples: int,
    governor: str,
    khz: int | None,
    max_temperature: float | None,
    patience: float,
    estimate: bool,
    allow_emulated: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Measure every step that a space can need, on a device, into a latency table.

    What the table holds already is kept: run it again after an interruption, for another space, or to measure again
    what stayed noisy. Several devices are measured side by side, each into a table of its own. Exit code 1 when a row
    is missing or a table must not be trusted; `bnn-deploy tables check` tells why.

    --estimate needs no board: latencies are computed from cycle models of its CPU and the bandwidth of its memory. They
    rank networks; they are no latencies, and whatever is made from them says so. The table is
    runs/tables/DEVICE.estimate.jsonl.

    \b
    Examples:
      bnn-deploy profile --device host --space mobilenet-32
      bnn-deploy profile --device rpi4 --device rpi5 --space mobilenet-224
      bnn-deploy profile --estimate --device rpi4 --space mobilenet-224
    """
    names = list(dict.fromkeys(devices)) or ["host"]
    if out and len(names) > 1:
        raise click.UsageError("--out names one table; with several devices each table is runs/tables/DEVICE.jsonl")
    space = load_space(space_name)
    steps = (space if classes is None else space.with_classes(classes)).steps()
    if estimate:
        estimates = [_estimate(name, steps, out or default_table(f"{name}.estimate"), as_json) for name in names]
        if as_json:
            print_json({"tables": estimates})
        return
    settings = ProfileSettings(samples=samples, isa=isa, cold_samples=cold_samples, governor=governor, khz=khz)
    limits = Limits(max_temperature_c=max_temperature, patience_s=patience)
    with stages([f"profile {name}" for name in names]) as bars:
        jobs = [
            Job(name, out or default_table(name), settings, limits, seed, allow_emulated, bar.update)
            for name, bar in zip(names, bars, strict=True)
        ]
        results = profile_all(jobs, steps)
    told = [_tell(job, result, steps, as_json) for job, result in zip(jobs, results, strict=True)]
    if as_json:
        print_json({"tables": [data for data, _ in told]})
    if not all(good for _, good in told):
        sys.exit(1)


def _estimate(device: str, steps: Sequence[Step], path: Path, as_json: bool) -> object:
    """One board's estimate on the screen, or its JSON."""
    table = estimate_table(steps, device, path)
    report = check(table)
    if not as_json:
        print_rows(f"{path}: an estimate, no measurement", table, steps)
        print_report(report)
    say(f"{len(steps)} steps in {path}: computed, not measured ({table.source})")
    rows = [row_json(table, step) for step in steps]
    return {"device": device, "table": str(path), "source": table.source, "rows": rows, "check": report_json(report)}


def _tell(job: Job, result: LatencyTable | BnnDeployError, steps: Sequence[Step], as_json: bool) -> tuple[object, bool]:
    """One device's result on the screen; its JSON, and whether it is complete and to be trusted."""
    if isinstance(result, BnnDeployError):
        say(f"error: {result}")
        return {"device": job.device, "table": str(job.path), "error": str(result)}, False
    report = check(result)
    if not as_json:
        print_rows(str(job.path), result, steps)
        print_report(report)
        say(f"{sum(step in result.rows for step in steps)} of {len(steps)} steps in {job.path}")
    rows = [row_json(result, step) for step in steps]
    data = {"device": job.device, "table": str(job.path), "rows": rows, "check": report_json(report)}
    trusted = report.passed or result.source == EMULATED  # which was asked for
    return data, trusted and all(step in result.rows for step in steps)
