"""How a file gets to a device and a program runs there: the seam behind which local, ssh and adb look the same."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from bnn_deploy.errors import DeviceError


class Transport(Protocol):
    """One device's files and processes."""

    def push(self, path: Path) -> str:
        """Bring a file to the device; returns its path there."""

    def run(self, argv: Sequence[str], timeout_s: float) -> Iterator[str]:
        """Run a program there and yield its output lines as they come.

        Raises:
            DeviceError: it could not start, ended with another exit code than 0, or outlasted `timeout_s`.
        """

    def hold(self, argv: Sequence[str]) -> Held:
        """Start a program whose standard input stays open until the result is closed, or this program dies.

        Raises:
            DeviceError: it could not start, or ended before its first output line.
        """

    def close(self) -> None:
        """Leave the device as it was found."""


class Held(Protocol):
    """A program that runs on a device until it is closed."""

    @property
    def first_line(self) -> str:
        """The first line of its output."""

    def close(self) -> None:
        """Close its standard input and wait for its end."""


class LocalHeld:
    """A subprocess that ends with its standard input."""

    def __init__(self, argv: Sequence[str]) -> None:
        try:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        except OSError as exc:
            raise DeviceError(f"{argv[0]}: cannot be started: {exc.strerror}") from exc
        assert self._process.stdout is not None
        self.first_line = self._process.stdout.readline()
        if not self.first_line:
            _, errors = self._process.communicate()
            code = self._process.returncode
            raise DeviceError(f"{Path(argv[0]).name} {argv[1]}: exit code {code}: {errors.strip()}")

    def close(self) -> None:
        """See Held.close."""
        self._process.communicate()


class LocalTransport:
    """This computer: files stay where they are, programs are subprocesses."""

    def push(self, path: Path) -> str:
        """The path itself."""
        return str(path)

    def run(self, argv: Sequence[str], timeout_s: float) -> Iterator[str]:
        """See Transport.run."""
        try:
            process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        except OSError as exc:
            raise DeviceError(f"{argv[0]}: cannot be started: {exc.strerror}") from exc
        timer = threading.Timer(timeout_s, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            yield from process.stdout
            _, errors = process.communicate()
        finally:
            expired = not timer.is_alive()
            timer.cancel()
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        if expired:
            raise DeviceError(f"{Path(argv[0]).name} {argv[1]}: no end after {timeout_s:.0f} s; stopped")
        if process.returncode != 0:
            raise DeviceError(f"{Path(argv[0]).name} {argv[1]}: exit code {process.returncode}: {errors.strip()}")

    def hold(self, argv: Sequence[str]) -> LocalHeld:
        """See Transport.hold."""
        return LocalHeld(argv)

    def close(self) -> None:
        """Nothing to clean up."""
