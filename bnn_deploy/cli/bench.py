"""`bnn-deploy bench`"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from bnn_deploy.cli.console import Stage, say, stage
from bnn_deploy.cli.options import json_option
from bnn_deploy.cli.place import chosen_place, python_option
from bnn_deploy.errors import FileFormatError, RuntimeUnavailable
from bnn_deploy.report.tables import percent, print_json, print_table, us
from bnn_deploy.running.choice import Choice, candidates, choose
from bnn_deploy.running.place import Bench, Place
from bnn_deploy.runtimes.registry import BINARY_RUNTIMES, RUNTIMES
from bnn_deploy.runtimes.step_times import StepTimes

_MOST_STEPS, _LONGEST = 40, 20


@click.command()
@click.argument("where", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--runtime", "names", multiple=True, type=click.Choice(list(RUNTIMES)), help="Repeatable  [default: best]."
)
@click.option("--all", "every", is_flag=True, help="Every runtime that is installed and reads a file of FILE.")
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="Of one run.")
@click.option("--seconds", type=click.FloatRange(min=0), default=2.0, show_default=True, help="Of samples, for each.")
@click.option("--device", help="Where to measure  [default: here].")
@python_option
@json_option
def command(
    where: Path,
    names: tuple[str, ...],
    every: bool,
    threads: int,
    seconds: float,
    device: str | None,
    python: str | None,
    as_json: bool,
) -> None:
    """How long an exported network takes for one image: FILE is a .bnn, an .onnx or a .tflite, or a network's folder.

    Median, tenth and ninetieth percentile and minimum of one run, after a warm-up by time, on a random image that
    stands in place; several runtimes take their samples in turns, so that ratios come from one run. Then, in runs of
    their own, the time of each step: of `engine` (by bnn-board), of `onnxruntime` (its own profiler, in whole
    microseconds) and of `litert+bnn` (the delegate's). --json has the raw samples.

    Here, runtimes are called from Python, on whatever core the system gives. With --device (`host` is this computer) a
    .bnn is measured by bnn-board, on one core, guarded as in `profile`; .onnx and .tflite need numpy and the runtime in
    the device's Python.

    \b
    Examples:
      bnn-deploy bench runs/mine/winner
      bnn-deploy bench runs/mine/winner --all
      bnn-deploy bench model.onnx --runtime onnxruntime+bnn --runtime onnxruntime --threads 2
      bnn-deploy bench model.bnn --device pi --seconds 5 --json
    """
    if names and every:
        raise click.UsageError("give --runtime or --all, not both")
    with closing(chosen_place(device, python)) as place, stage("bench") as bar:
        choices = _installed(where, place) if every else choose(where, list(dict.fromkeys(names)), place.missing)
        found = place.bench(choices, threads, seconds, lambda *told: _tell(bar, *told))
        facts = place.facts()
    if as_json:
        told = {"device": device, "threads": threads, "seconds": seconds, "facts": dict(facts)}
        print_json({**told, "results": [bench.to_json() for bench in found]})
        return
    called = f"on {device}" if device else "called from Python"
    count = "1 thread" if threads == 1 else f"{threads} threads"
    _print(f"{where}: one image, {count}, {called}, {facts.get('cpu') or facts['machine']}", found)
    for bench in found:
        if bench.steps:
            _print_steps(bench.choice, bench.steps)
    if facts.get("emulated"):
        say(f"{device} is emulated: these times say nothing about a real one")


def _tell(bar: Stage, done_s: float, total_s: float, what: str) -> None:
    bar.update(int(done_s), math.ceil(total_s), f"seconds: {what}")


def _installed(where: Path, place: Place) -> list[Choice]:
    """Those candidates that can be used; the others are told."""
    found = []
    for choice in candidates(where):
        why = place.missing(choice.runtime)
        if why is None and choice.runtime not in BINARY_RUNTIMES:
            why = _refusal(place, choice)
        if why is None:
            found.append(choice)
        else:
            say(f"without {choice.runtime}: {why}")
    if not found:
        raise RuntimeUnavailable(f"{where}: no runtime for it is installed")
    return found


def _refusal(place: Place, choice: Choice) -> str | None:
    try:
        place.open(choice).image_shape  # noqa: B018 (a device looks into the file only then)
    except FileFormatError as exc:
        return str(exc)
    return None


def _print(title: str, found: Sequence[Bench]) -> None:
    fastest = min(bench.timings.latency_ns for bench in found)
    rows = []
    for bench in found:
        timings = bench.timings
        times = [timings.latency_ns, *(timings.percentile_ns(q) for q in (10, 90, 0))]
        ratio = f"{timings.latency_ns / fastest:.2f}"
        rows.append([bench.choice.runtime, *map(us, times), str(len(timings.samples_ns)), ratio])
    print_table(title, ["runtime", "median", "p10", "p90", "min", "samples", "of the fastest"], rows)


def _print_steps(choice: Choice, steps: StepTimes) -> None:
    shown = steps.steps
    if len(shown) > _MOST_STEPS:
        least = sorted((step.total_ns for step in shown), reverse=True)[_LONGEST - 1]
        shown = tuple(step for step in shown if step.total_ns >= least)[:_LONGEST]
    rest_ns = sum(step.total_ns for step in steps.steps) - sum(step.total_ns for step in shown)
    rows = [(step.name, step.kernel, step.total_ns) for step in shown]
    rows += [(f"{len(steps.steps) - len(shown)} shorter steps", "", rest_ns)] if len(shown) < len(steps.steps) else []
    rows += [("between steps", "", steps.remainder_ns), ("all", "", steps.total_ns)]
    body = [[name, kernel, us(steps.mean_ns(ns)), percent(steps.share(ns))] for name, kernel, ns in rows]
    print_table(
        f"{choice.runtime}: mean of {steps.runs} further runs", ["step", "kernel", "time", "share"], body, texts=2
    )
