"""A device, reached: the board binary is there, its facts are read."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from bnn_deploy.errors import DeviceError, TableMismatch, UnknownName
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.board_binary import INSTALLED, board_binary
from bnn_deploy.profiling.description import DeviceDescription, device_descriptions
from bnn_deploy.profiling.transport.adb import AdbTransport
from bnn_deploy.profiling.transport.base import Held, Transport
from bnn_deploy.profiling.transport.local import LocalTransport
from bnn_deploy.profiling.transport.ssh import SshTransport

BOARD_BINARY = INSTALLED

_FACTS_TIMEOUT_S = 30.0
_32_BITS = ("armv6l", "armv7l", "armv8l", "i686")  # as `uname -m` says
_SAME_BOARD = ("cpu", "machine", "cores", "kernel_release")  # facts that a reboot does not change


class Device:
    """A device, reached: the board binary is there and its facts are read.

    Raises:
        DeviceError: the device or the board binary on it does not answer.
    """

    def __init__(self, description: DeviceDescription, transport: Transport, binary: Path) -> None:
        if not binary.is_file():
            raise DeviceError(f"{binary}: the board binary is missing; install the package again (`pip install .`)")
        self.name = description.name
        self.binary_sha256 = hashlib.sha256(binary.read_bytes()).hexdigest()
        self._binary = binary
        self._transport = transport
        self._board = transport.push(binary)
        self.facts = self._read_facts()
        self._core = description.core

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def emulated(self) -> bool:
        """True when a program plays this device's CPU: what it computes is right, how long it takes says nothing."""
        return self.facts.get("emulated") is True

    def push(self, path: Path) -> str:
        """Bring a file there; returns its path on the device. See Transport.push."""
        return self._transport.push(path)

    def pull(self, remote: str, path: Path) -> None:
        """Fetch a file; a name without a folder is one that the board binary wrote. See Transport.pull."""
        self._transport.pull(remote, path)

    def choose_core(self) -> int:
        """The core to pin a new table to: the description's, or the one whose sentinel is fastest now."""
        if self._core >= 0:
            return self._core
        sentinels = {}
        for record in self.board(["sentinel"], _FACTS_TIMEOUT_S):
            core, samples = record.get("core"), record.get("sentinel_ns")
            if isinstance(core, int) and isinstance(samples, list) and samples:
                sentinels[core] = statistics.median(samples)
        if not sentinels:
            raise DeviceError(f"{self.name}: none of its cores can be pinned")
        return min(sentinels, key=lambda core: (sentinels[core], core))

    def board(self, arguments: Sequence[str], timeout_s: float) -> Iterator[dict[str, object]]:
        """Run the board binary; yields its JSON lines as they come.

        Raises:
            DeviceError: it failed, or printed something else.
        """
        for line in self._transport.run([self._board, *arguments], timeout_s):
            try:
                record = json.loads(line)
            except json.JSONDecodeError as exc:
                raise DeviceError(f"{self.name}: expected a JSON line from the board, got {line.strip()!r}") from exc
            if not isinstance(record, dict):
                raise DeviceError(f"{self.name}: expected a JSON object from the board, got {line.strip()!r}")
            yield record

    def hold(self, arguments: Sequence[str]) -> Held:
        """Start the board binary, which runs until the result is closed or the connection ends. See Transport.hold."""
        return self._transport.hold([self._board, *arguments])

    def run(self, argv: Sequence[str], timeout_s: float = _FACTS_TIMEOUT_S) -> list[str]:
        """The output lines of one of the device's own programs. See Transport.run."""
        return [line.rstrip("\n") for line in self._transport.run(argv, timeout_s)]

    def reconnect(self) -> None:
        """Try once to reach it again after a DeviceLost. What was pushed before is not there any more.

        Raises:
            DeviceLost: it does not answer (yet).
            DeviceError: it refuses, or another one answers in its place.
        """
        self._transport.reconnect()
        self._board = self._transport.push(self._binary)
        facts = self._read_facts()
        for name in _SAME_BOARD:
            if facts.get(name) != self.facts.get(name):
                raise DeviceError(
                    f"{self.name}: came back as another device: {name} was {self.facts.get(name)!r}, now it is "
                    f"{facts.get(name)!r}"
                )

    def close(self) -> None:
        """Leave the device as it was found."""
        self._transport.close()

    def _read_facts(self) -> Mapping[str, object]:
        for record in self.board(["facts"], _FACTS_TIMEOUT_S):
            return record
        raise DeviceError(f"{self.name}: the board binary told no facts")


def check_same_device(table: LatencyTable, device: Device) -> None:
    """A table must have been measured on this device, with the kernels that run there.

    Raises:
        TableMismatch: another device, CPU or build of the kernels; its numbers say nothing about this one.
    """
    wanted = {"device": device.name, "cpu": device.facts.get("cpu"), "binary_sha256": device.binary_sha256}
    for name, value in wanted.items():
        if table.header.get(name) != value:
            raise TableMismatch(
                f"{table.path}: measured with {name} {table.header.get(name)!r}, here it is {value!r}; measure a table "
                f"of this device and build: `bnn-deploy profile --device {device.name} --out NEW.jsonl`"
            )


def open_device(name: str) -> Device:
    """Reach a device by its name.

    Raises:
        UnknownName: not in the list.
        DeviceError: it does not answer, or refuses.
    """
    known = device_descriptions()
    if name not in known:
        raise UnknownName("device", name, known)
    transport = open_transport(known[name])
    try:
        return Device(known[name], transport, _binary_for(name, transport))
    except BaseException:
        transport.close()
        raise


def open_transport(entry: DeviceDescription) -> Transport:
    """The way to a device.

    Raises:
        DeviceError: it has no address, does not answer, or refuses.
    """
    if entry.transport == "local":
        return LocalTransport(entry.name, entry.folder)
    if entry.transport == "adb":
        return AdbTransport(entry.name, serial=entry.serial, folder=entry.folder)
    if entry.host is None:
        raise DeviceError(
            f"{entry.name} is {entry.description}, and has no address: `bnn-deploy devices add {entry.name} --host "
            "USER@HOST` gives it one"
        )
    return SshTransport(
        entry.name,
        entry.host,
        user=entry.user,
        port=entry.port,
        identity=entry.identity,
        ssh_config=entry.ssh_config,
        folder=entry.folder,
    )


def _binary_for(name: str, transport: Transport) -> Path:
    machine = "".join(transport.run(["uname", "-m"], _FACTS_TIMEOUT_S)).strip()
    if machine in _32_BITS:
        raise DeviceError(f"{name} runs a 32-bit system ({machine}); install the 64-bit one: the kernels need AArch64")
    return board_binary(machine)


def check_installed_build(table: LatencyTable) -> None:
    """A table of this computer must come from the kernels that are installed; other devices need not be in reach.

    Raises:
        TableMismatch: as check_same_device.
    """
    known = device_descriptions().get(table.device)
    if known is not None and known.transport == "local":
        device = open_device(table.device)
        try:
            check_same_device(table, device)
        finally:
            device.close()
