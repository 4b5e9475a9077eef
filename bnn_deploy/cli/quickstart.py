"""`bnn-deploy quickstart`"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bnn_deploy.cli.console import say, stage
from bnn_deploy.cli.options import epochs_option, json_option, seed_option
from bnn_deploy.profiling.device import open_device
from bnn_deploy.quickstart import DATA, SUMMARY, Quickstart, QuickstartSettings, Reporter, Update
from bnn_deploy.report.summary import print_summary
from bnn_deploy.report.tables import print_json
from bnn_deploy.space import load_space
from bnn_deploy.training.data import load_data

_DEFAULTS = QuickstartSettings()


class _Console(Reporter):
    @contextmanager
    def stage(self, name: str) -> Iterator[Update]:
        """A bar, or lines."""
        with stage(name) as shown:
            yield shown.update


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/quickstart"), show_default=True)
@click.option("--budget-us", type=click.FloatRange(min=0, min_open=True), help="Hard latency budget, microseconds.")
@epochs_option
@click.option("--population", type=click.IntRange(min=2), default=_DEFAULTS.population, show_default=True)
@click.option("--generations", type=click.IntRange(min=0), default=_DEFAULTS.generations, show_default=True)
@seed_option
@json_option
def command(
    out: Path,
    budget_us: float | None,
    epochs: int | None,
    population: int,
    generations: int,
    seed: int,
    as_json: bool,
) -> None:
    """The whole road in some minutes: profile this computer, search, train, export, verify.

    Data: scikit-learn's real handwritten digits. Interrupted? The same command continues.

    \b
    Examples:
      bnn-deploy quickstart
      bnn-deploy quickstart --seed 1 --out runs/seed1
    """
    settings = QuickstartSettings(
        seed=seed,
        budget_ns=None if budget_us is None else 1e3 * budget_us,
        epochs=epochs,
        population=population,
        generations=generations,
    )
    space = load_space(settings.space)
    data = load_data(DATA, space.base.height, space.base.width)
    device = open_device("host")
    try:
        summary = Quickstart(out, settings, space, data, device, _Console()).run()
    finally:
        device.close()
    if as_json:
        print_json(summary)
    else:
        print_summary(summary)
        say(f"all of it in {out / SUMMARY}; the winner's files are in {out / 'networks' / 'winner' / 'export'}")
    if not summary["passed"]:
        say("failed: an exported file does not give torch's answers, see the table")
        sys.exit(1)
