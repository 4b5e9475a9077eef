"""The seam behind which local, ssh and adb look the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol


class Held(Protocol):
    """A program on the device that runs until it is let go."""

    @property
    def first_line(self) -> str:
        """The first line that it printed, without the newline."""

    def close(self) -> None:
        """End its input, which tells it to end, and wait until it has."""


class Transport(Protocol):
    """One device's files and processes, in a private folder of this session's there.

    Programs run in that folder: names of files that are not absolute are in it. Whatever was started there ends when
    this program or the connection ends, however it ends; the folder goes with it.
    """

    def push(self, path: Path) -> str:
        """Bring a file to the device; returns its path there.

        A file of the same name that was brought before is replaced; the same bytes are not sent again.

        Raises:
            DeviceError: no space, or the bytes that arrived are not those that were sent.
            DeviceLost: the connection broke.
        """

    def run(self, argv: Sequence[str], timeout_s: float) -> Iterator[str]:
        """Run a program there, without input, and yield its output lines as they come.

        Raises:
            DeviceError: it could not start, ended with another exit code than 0, or outlasted `timeout_s`.
            DeviceLost: the connection broke.
        """

    def hold(self, argv: Sequence[str]) -> Held:
        """Start a program that runs until its input ends; returns when it has printed its first line.

        Raises:
            DeviceError: it ended before that.
            DeviceLost: the connection broke.
        """

    def pull(self, remote: str, path: Path) -> None:
        """Fetch a file from the device to `path`.

        Raises:
            DeviceError: it is not there, or arrived damaged.
            DeviceLost: the connection broke.
        """

    def reconnect(self) -> None:
        """Reach the device again after a DeviceLost; nothing pushed or running before is there any more.

        Raises:
            DeviceLost: not within reach (yet).
            DeviceError: refused.
        """

    def close(self) -> None:
        """Leave the device as it was found: no process, no folder."""
