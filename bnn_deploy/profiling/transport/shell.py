"""A transport over anything that runs a command on a device: this computer's shell, `ssh`, `adb shell`."""

from __future__ import annotations

import contextlib
import hashlib
import re
import signal
import subprocess
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from bnn_deploy.errors import DeviceError, DeviceLost
from bnn_deploy.profiling.transport.child import Child
from bnn_deploy.profiling.transport.scripts import BEGIN, END, HOLD, KEEP, PULL, PUSH, RUN

NEEDED_KIB = 8 << 10  # free space on the device: the board binary, plans, a network

_ANSWER_S = 30.0  # for what is quick on any device that lives
_GOODBYE_S = 10.0
_SLOWEST_BYTES_PER_S = 50_000

_CODE = re.compile(rf"{END} (\d+)\r?\n?")
_SHOWN = 2000  # characters of a complaint: the last ones
_SIGNALS = range(129, 193)  # a shell's exit codes for a program that was killed
_NO_PROGRAM = (126, 127)  # exit codes of a shell
_ANOTHER_CPU = ("ELF", "Exec format error", "cannot execute", "not executable")  # as shells complain


class HeldChild:
    """See base.Held."""

    def __init__(self, child: Child, first_line: str) -> None:
        self._child = child
        self.first_line = first_line

    def close(self) -> None:
        """See base.Held."""
        _say_goodbye(self._child)


class ShellTransport(ABC):
    """See base.Transport; a subclass says how a command gets to the device.

    A first command, which lives as long as the session, makes the session's folder there and removes it (scripts.KEEP).

    Args:
        name: of the device, for messages.
        folder: where on the device the session's folder is made, instead of the first place that will do.

    Raises:
        DeviceLost: the device is not within reach.
        DeviceError: it refuses, or has no place for the session's folder.
    """

    def __init__(self, name: str, folder: str | None = None) -> None:
        self.name = name
        self._places = [folder] if folder else []
        self._folder = ""
        self._there: dict[str, str] = {}  # name of a file that was pushed -> its SHA-256
        self._keeper = self._open()
        self._finalizer = weakref.finalize(self, _say_goodbye, self._keeper)  # at the latest when this program ends

    @abstractmethod
    def _command(self, argv: Sequence[str]) -> list[str]:
        """What to run here so that argv runs there."""

    def _first_command(self, argv: Sequence[str]) -> list[str]:
        """As _command, for the command that lives as long as the session."""
        return self._command(argv)

    def _refusal(self, text: str) -> DeviceError:
        """What the first command's complaint means; DeviceLost when it may be over in a minute."""
        return DeviceError(f"{self.name}: cannot be reached: {text or 'no reason given'}")

    def push(self, path: Path) -> str:
        """See base.Transport."""
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if self._there.get(path.name) != digest:
            child = self._start(PUSH, [path.name, digest], _ANSWER_S + len(data) / _SLOWEST_BYTES_PER_S)
            with contextlib.closing(child):
                with contextlib.suppress(BrokenPipeError):  # its complaint says why
                    child.stdin.write(data)
                child.end_input()
                self._finish(child, f"{path.name}: cannot be written there")
            self._there[path.name] = digest
        return f"{self._folder}/{path.name}"

    def run(self, argv: Sequence[str], timeout_s: float) -> Iterator[str]:
        """See base.Transport."""
        child = self._start(RUN, argv, timeout_s)
        with contextlib.closing(child):
            for line in child.stdout:
                yield line.decode(errors="replace")
            self._finish(child, _short(argv))

    def hold(self, argv: Sequence[str]) -> HeldChild:
        """See base.Transport."""
        child = self._start(HOLD, argv, _ANSWER_S)
        line = child.stdout.readline()
        if not line.endswith(b"\n"):
            with contextlib.closing(child):
                self._finish(child, _short(argv))
                raise DeviceError(f"{self.name}: {_short(argv)}: ended without a word")
        child.allow(None)
        return HeldChild(child, line.decode(errors="replace").rstrip("\r\n"))

    def pull(self, remote: str, path: Path) -> None:
        """See base.Transport."""
        child = self._start(PULL, [remote], _ANSWER_S)
        with contextlib.closing(child):
            digest, size = child.stdout.readline()[:64].decode(), child.stdout.readline()
            if size.endswith(b"\n"):
                child.allow(_ANSWER_S + int(size) / _SLOWEST_BYTES_PER_S)
            data = child.stdout.read()
            self._finish(child, f"{remote}: cannot be fetched")
        if hashlib.sha256(data).hexdigest() != digest:
            raise DeviceError(f"{self.name}: {remote}: damaged on the way, or changed meanwhile; fetch it again")
        path.write_bytes(data)

    def reconnect(self) -> None:
        """See base.Transport."""
        self._finalizer.detach()
        self._keeper.close()
        self._there = {}
        self._keeper = self._open()
        self._finalizer = weakref.finalize(self, _say_goodbye, self._keeper)

    def close(self) -> None:
        """See base.Transport."""
        self._finalizer()

    def _open(self) -> Child:
        former = self._folder
        child = Child(self._first_command(_words(KEEP, [former, str(NEEDED_KIB), *self._places])), _ANSWER_S)
        if not _begins(child):
            with contextlib.closing(child):
                child.wait()
            if child.expired:
                raise DeviceLost(f"{self.name}: no answer within {_ANSWER_S:.0f} s. {child.complaints}".strip())
            text, code = _code_of(child.complaints)
            if code is None:
                raise self._refusal(text)
            raise DeviceError(
                f"{self.name}: no place there for the board binary; free some space, or name a folder for it "
                f"(`folder` in the device's entry):\n{text}"
            )
        self._folder = child.stdout.readline().decode(errors="replace").rstrip("\r\n")
        child.allow(None)
        return child

    def _start(self, script: str, arguments: Sequence[str], timeout_s: float) -> Child:
        child = Child(self._command(_words(script, [self._folder, *arguments])), timeout_s)
        if not _begins(child):
            with contextlib.closing(child):
                self._finish(child, "no answer")
                raise self._lost("")
        return child

    def _finish(self, child: Child, what: str) -> None:
        """The process has no more output: did it end well?"""
        child.wait()
        if child.expired:
            raise DeviceError(f"{self.name}: {what}: no end after {child.allowed_s:g} s; stopped")
        text, code = _code_of(child.complaints)
        if code is None:
            raise self._lost(text)
        if code in _NO_PROGRAM or (code and any(sign in text for sign in _ANOTHER_CPU)):
            raise DeviceError(f"{self.name}: {what}: cannot be started: {text}")
        if code in _SIGNALS:
            raise DeviceError(f"{self.name}: {what}: killed by {_signal(code - 128)}: {text}")
        if code:
            raise DeviceError(f"{self.name}: {what}: exit code {code}: {text}")

    def _lost(self, text: str) -> DeviceLost:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(2.0)  # the end of the connection, which this program saw first
        reasons = " ".join(filter(None, (self._keeper.complaints.strip(), text)))
        return DeviceLost(f"{self.name}: the connection broke: {reasons or 'no reason given'}")


def _words(script: str, arguments: Sequence[str]) -> list[str]:
    return ["sh", "-c", script, "sh", *arguments]


def _begins(child: Child) -> bool:
    """Skip what start-up files print. False when the output ends before our script began."""
    return any(line.rstrip(b"\r\n").endswith(BEGIN.encode()) for line in child.stdout)


def _code_of(complaints: str) -> tuple[str, int | None]:
    """What a script and its program said on stderr, and the program's exit code if the script told it."""
    codes = _CODE.findall(complaints)
    return _CODE.sub("", complaints).strip()[-_SHOWN:], int(codes[-1]) if codes else None


def _say_goodbye(child: Child) -> None:
    """End a process by ending its input, if need be by force."""
    child.end_input()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_GOODBYE_S)
    child.close()


def _short(argv: Sequence[str]) -> str:
    """The program and its sub-command: /long/way/bnn-board layers."""
    return " ".join([Path(argv[0]).name, *argv[1:2]])


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
