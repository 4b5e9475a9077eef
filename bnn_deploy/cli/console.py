"""Progress for a person, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_EVERY_S = 5.0


class Stage(Protocol):
    """One stage of work with a known number of parts."""

    def update(self, done: int, total: int, text: str = "") -> None:
        """Report that `done` of `total` parts are done."""


class _LiveStage:
    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._task = progress, progress.add_task(name, total=None, text="")

    def update(self, done: int, total: int, text: str = "") -> None:
        self._progress.update(self._task, completed=done, total=total, text=text)


class _PlainStage:
    """Lines for logs: the first, the last, and one every few seconds between."""

    def __init__(self, name: str) -> None:
        self._name, self._last = name, 0.0

    def update(self, done: int, total: int, text: str = "") -> None:
        now = time.monotonic()
        if done < total and now - self._last < PLAIN_EVERY_S:
            return
        self._last = now
        click.echo(f"{self._name}: {done}/{total} {text}".rstrip(), err=True)


@contextmanager
def stage(name: str) -> Iterator[Stage]:
    """Progress of one stage: a bar on a terminal, lines elsewhere."""
    with stages([name]) as (only,):
        yield only


@contextmanager
def stages(names: Sequence[str]) -> Iterator[list[Stage]]:
    """Progress of several stages side by side, one for each name; each may be told of from a thread of its own."""
    if not sys.stderr.isatty():
        yield [_PlainStage(name) for name in names]
        return
    columns = [
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=28),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[text]}"),
    ]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield [_LiveStage(progress, name) for name in names]


def say(text: str) -> None:
    """One line for the person, on stderr."""
    click.echo(text, err=True)
