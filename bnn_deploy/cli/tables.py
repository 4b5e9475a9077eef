"""`bnn-deploy tables`"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bnn_deploy.cli.options import json_option
from bnn_deploy.cli.table_view import print_report, report_json, show_table
from bnn_deploy.errors import BnnDeployError, DeviceError, TableMismatch
from bnn_deploy.latency.check import Report, check
from bnn_deploy.latency.difference import Difference, difference
from bnn_deploy.latency.merge import merge
from bnn_deploy.latency.table import LatencyTable, is_table
from bnn_deploy.profiling.device import check_installed_build
from bnn_deploy.report.tables import percent, print_json, print_table, us

FOLDERS = ("runs/tables", "latency_tables")

_file = click.Path(path_type=Path)


@click.group()
def command() -> None:
    """Latency tables as files: what there is, what it is worth, how two differ.

    \b
    Examples:
      bnn-deploy tables list
      bnn-deploy tables check runs/tables/rpi4.jsonl
      bnn-deploy tables diff runs/tables/rpi4.jsonl latency_tables/rpi4.jsonl
    """


@command.command("list")
@click.argument("folders", nargs=-1, type=_file)
@json_option
def list_tables(folders: tuple[Path, ...], as_json: bool) -> None:
    """Tables in FOLDERS  [default: runs/tables and latency_tables].

    \b
    Examples:
      bnn-deploy tables list
      bnn-deploy tables list /media/usb/tables --json
    """
    paths = sorted(path for folder in folders or map(Path, FOLDERS) for path in folder.glob("**/*.jsonl"))
    found = [_listed(path) for path in paths if is_table(path)]
    if as_json:
        print_json(found)
        return
    columns = ["table", "device", "source", "isa", "rows", "begun", "check"]
    print_table("Latency tables", columns, [[str(row.get(column, "")) for column in columns] for row in found])
    if not found:
        click.echo(f"none in {', '.join(map(str, folders or FOLDERS))}; `bnn-deploy profile` makes one")


def _listed(path: Path) -> dict[str, object]:
    try:
        table = LatencyTable.open(path)
    except BnnDeployError as exc:
        return {"table": str(path), "check": "unreadable", "error": str(exc)}
    report = check(table)
    return {
        "table": str(path),
        "device": table.device,
        "source": table.source,
        "isa": table.isa,
        "rows": len(table.rows),
        "begun": table.header.get("utc"),
        "check": "ok" if report.passed else f"{len(report.problems)} problems",
    }


@command.command("show")
@click.argument("table_file", metavar="TABLE", type=_file)
@json_option
def show(table_file: Path, as_json: bool) -> None:
    """A table's provenance and rows.

    \b
    Examples:
      bnn-deploy tables show runs/tables/host.jsonl
    """
    show_table(LatencyTable.open(table_file), as_json)


@command.command("check")
@click.argument("table_files", metavar="TABLE...", nargs=-1, required=True, type=_file)
@json_option
def check_tables(table_files: tuple[Path, ...], as_json: bool) -> None:
    """Whether tables can be trusted, by what stands in them. Exit code 1 when one cannot.

    Recognised: a core that was slow for a while, another process or a hypervisor on it, throttling, rows whose
    measurements at different times disagree, emulated boards, damage. Told: circumstances, estimates, other builds.

    \b
    Examples:
      bnn-deploy tables check runs/tables/rpi4.jsonl
      bnn-deploy tables check latency_tables/*.jsonl --json
    """
    reports = {path: _checked(path) for path in table_files}
    passed = all(report.passed for report in reports.values())
    if as_json:
        told = [{"table": str(path), **report_json(report)} for path, report in reports.items()]
        print_json({"passed": passed, "tables": told})
    else:
        for path, report in reports.items():
            click.echo(f"{path}: {'ok' if report.passed else 'not to be trusted'}")
            print_report(report)
    if not passed:
        sys.exit(1)


def _checked(path: Path) -> Report:
    try:
        table = LatencyTable.open(path)
    except BnnDeployError as exc:
        return Report((str(exc),), ())
    report = check(table)
    try:
        check_installed_build(table)
    except TableMismatch as exc:
        return Report(report.problems, (*report.notes, f"stale: {exc}"))
    except DeviceError as exc:
        return Report(report.problems, (*report.notes, f"whether it is stale cannot be told: {exc}"))
    return report


@command.command("diff")
@click.argument("first", type=_file)
@click.argument("second", type=_file)
@click.option("--rows", type=click.IntRange(min=0), default=20, show_default=True, help="Show the largest differences.")
@json_option
def diff(first: Path, second: Path, rows: int, as_json: bool) -> None:
    """How the rows of SECOND differ from those of FIRST.

    \b
    Examples:
      bnn-deploy tables diff monday.jsonl tuesday.jsonl
    """
    found = difference(LatencyTable.open(first), LatencyTable.open(second))
    if as_json:
        print_json(_difference_json(found))
        return
    for name, (old, new) in found.headers.items():
        click.echo(f"other {name}: {old} -> {new}")
    body = [_change_row(found, index) for index in range(min(rows, len(found.changes)))]
    print_table(f"{first} -> {second}", ["step", "before", "after", "difference", "kernel"], body)
    click.echo(
        f"{len(found.changes)} rows in both: median {percent(found.percentile(50))} apart, "
        f"90 % of them within {percent(found.percentile(90))}, at most {percent(found.percentile(100))}; "
        f"{len(found.missing)} only in the first, {len(found.new)} only in the second, "
        f"{len(found.other_kernels)} with another kernel"
    )
    if found.sentinel is not None:
        click.echo(f"the second's sentinel takes {found.sentinel:.3f} times as long: the core's speed itself")


def _change_row(found: Difference, index: int) -> list[str]:
    change = found.changes[index]
    times = [us(change.before.latency_ns), us(change.after.latency_ns)]
    return [change.step.key, *times, f"{change.relative:+.1%}", change.kernel]


def _difference_json(found: Difference) -> dict[str, object]:
    changes = [
        {
            "key": change.step.key,
            "before_ns": change.before.latency_ns,
            "after_ns": change.after.latency_ns,
            "relative": change.relative,
            "kernels": [change.before.kernel, change.after.kernel],
        }
        for change in found.changes
    ]
    return {
        "median": found.percentile(50),
        "p90": found.percentile(90),
        "largest": found.percentile(100),
        "sentinel": found.sentinel,
        "headers": {name: list(both) for name, both in found.headers.items()},
        "missing": [step.key for step in found.missing],
        "new": [step.key for step in found.new],
        "rows": changes,
    }


@command.command("merge")
@click.argument("table_files", metavar="TABLE TABLE...", nargs=-1, required=True, type=_file)
@click.option("--out", type=_file, required=True, help="A new file.")
@json_option
def merge_tables(table_files: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """One table of several, of the same device, core, build and settings; refuses others, naming the difference.

    \b
    Examples:
      bnn-deploy tables merge space32.jsonl space224.jsonl --out all.jsonl
    """
    table = merge([LatencyTable.open(path) for path in table_files], out)
    if as_json:
        print_json({"table": str(out), "rows": len(table.rows), "check": report_json(check(table))})
    else:
        click.echo(f"{out}: {len(table.rows)} rows, {len(table.blocks)} blocks")
