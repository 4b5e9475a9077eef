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

    def close(self) -> None:
        """Leave the device as it was found."""


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

    def close(self) -> None:
        """Nothing to clean up."""
