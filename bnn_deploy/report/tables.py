"""Results on stdout: tables for a person, JSON for a program."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table


def print_json(data: object) -> None:
    """The machine-readable result, on stdout."""
    click.echo(json.dumps(data, indent=2, allow_nan=False))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> None:
    """A table, the first `texts` columns left-aligned, the others right-aligned; on stdout."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < texts else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def us(nanoseconds: float) -> str:
    """Nanoseconds as readable microseconds or milliseconds."""
    return f"{nanoseconds / 1e6:.2f} ms" if nanoseconds >= 1e6 else f"{nanoseconds / 1e3:.2f} us"


def latency(nanoseconds: float, source: str) -> str:
    """A latency with what it comes from, unless it comes from measurements (a row's or table's `source`)."""
    return us(nanoseconds) if source == "measured" else f"{us(nanoseconds)} ({source.partition(':')[0]})"


def percent(share: float) -> str:
    """A share of 1 as percent."""
    return f"{100 * share:.2f} %"
