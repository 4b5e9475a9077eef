"""A process on this computer with a time limit, whose complaints are kept: ssh, adb, or the device's shell itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import IO

from bnn_deploy.errors import DeviceError

_KEPT_BYTES = 1 << 16  # of what it printed on stderr: the last ones


class Child:
    """A started process.

    It is in a session of its own, so that Ctrl-C reaches this program alone, which then ends its children in order. Its
    input is a pipe: when this program dies, however it dies, the input ends.

    Raises:
        DeviceError: it cannot be started.
    """

    def __init__(self, argv: Sequence[str], timeout_s: float) -> None:
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as exc:
            raise DeviceError(f"{argv[0]}: cannot be started: {exc.strerror}") from exc
        self.expired = False
        self._complaints = bytearray()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._timer: threading.Timer | None = None
        self.allowed_s = timeout_s
        self.allow(timeout_s)

    @property
    def stdin(self) -> IO[bytes]:
        """Its input."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Its output."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def complaints(self) -> str:
        """What it printed on stderr, as far as it can be shown; all of it once the process was waited for."""
        text = self._complaints.decode(errors="replace")
        return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")

    def allow(self, timeout_s: float | None) -> None:
        """From now on it may run this long; None is for ever. `expired` says that it took longer and was killed."""
        if self._timer:
            self._timer.cancel()
        if timeout_s is not None:
            self.allowed_s = timeout_s
            self._timer = threading.Timer(timeout_s, self._expire)
            self._timer.daemon = True
            self._timer.start()

    def end_input(self) -> None:
        """Its input ends."""
        with contextlib.suppress(OSError):  # it may have gone already
            self.stdin.close()

    def wait(self, timeout_s: float | None = None) -> int:
        """Its exit code. Without a limit here, the one that it was started with holds.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        code = self._process.wait(timeout_s)
        self.allow(None)
        self._listener.join(1.0)  # a daemon that it left behind may hold stderr open
        return code

    def close(self) -> None:
        """End it now, with whatever it started here, if it has not ended."""
        if self._process.poll() is None:
            self._kill_group()
        self.wait()
        self.end_input()
        self.stdout.close()
        if not self._listener.is_alive():
            assert self._process.stderr is not None
            self._process.stderr.close()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _expire(self) -> None:
        if self._process.poll() is None:
            self.expired = True
            self._kill_group()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        while part := os.read(self._process.stderr.fileno(), 1 << 12):
            self._complaints += part
            del self._complaints[:-_KEPT_BYTES]
