"""A device reached by the Android Debug Bridge."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence

from bnn_deploy.errors import DeviceError, DeviceLost
from bnn_deploy.profiling.transport.shell import ShellTransport

_CONNECT_S = 30.0

# What adb's complaint contains -> what to do; the first two are over when somebody acts on the device.
_ADVICE = {
    "unauthorized": "allow this computer on the device's screen",
    "offline": "unplug it, plug it in again and unlock its screen",
    "more than one device": "name one of `adb devices` by `serial` in the device's entry",
    "no devices": "plug it in, and switch on USB debugging in its developer options",
    "not found": "plug it in, and switch on USB debugging in its developer options",
    "closed": "its adbd is too old: Android 7 or newer is needed",
}


class AdbTransport(ShellTransport):
    """Commands run by `adb shell`, with its second protocol: exit codes, stdin, stderr apart from stdout.

    Args:
        name: of the device, for messages.
        serial: as `adb devices` lists it, or HOST:PORT; None when only one device is plugged in.
        folder: see ShellTransport.
    """

    def __init__(self, name: str, *, serial: str | None = None, folder: str | None = None) -> None:
        if shutil.which("adb") is None:
            raise DeviceError("`adb` is missing on this computer; install it (Debian: adb)")
        self.serial = serial
        super().__init__(name, folder)

    def _command(self, argv: Sequence[str]) -> list[str]:
        device = [] if self.serial is None else ["-s", self.serial]
        return ["adb", *device, "shell", "-T", shlex.join(argv)]

    def _first_command(self, argv: Sequence[str]) -> list[str]:
        self._adb("start-server")  # so that what it says about itself is not among a program's complaints
        if self.serial is not None and ":" in self.serial:
            self._connect(self.serial)
        return self._command(argv)

    def _refusal(self, text: str) -> DeviceError:
        for sign, advice in _ADVICE.items():
            if sign in text:
                return DeviceLost(f"{self.name}: {text}: {advice}")
        return super()._refusal(text)

    def _connect(self, serial: str) -> None:
        said = self._adb("connect", serial)
        if self._adb("-s", serial, "get-state") != "device":  # one that broke is "already connected", yet offline
            self._adb("disconnect", serial)
            said = self._adb("connect", serial)
        if "connected to" not in said:
            raise DeviceLost(f"{self.name}: adb connect {serial}: {said}")

    def _adb(self, *words: str) -> str:
        try:
            done = subprocess.run(["adb", *words], capture_output=True, text=True, timeout=_CONNECT_S, check=False)
        except subprocess.TimeoutExpired as exc:
            raise DeviceLost(f"{self.name}: adb {' '.join(words)}: no answer within {_CONNECT_S:.0f} s") from exc
        return f"{done.stdout} {done.stderr}".strip()
