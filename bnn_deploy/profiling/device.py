"""Where to measure: a device's name, how to reach it, and the facts that make a measurement meaningful."""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnn_deploy import _native
from bnn_deploy.errors import DeviceError, TableMismatch, UnknownName
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.transport import Held, LocalTransport, Transport

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BUILT_IN = Path(__file__).with_name("devices.toml")
BOARD_BINARY = Path(_native.__file__).parent / "bin" / "bnn-board"  # installed beside the extension module

_FACTS_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class DeviceDescription:
    """An entry of a devices file."""

    name: str
    description: str
    transport: str
    core: int


def device_descriptions() -> dict[str, DeviceDescription]:
    """All known devices by name."""
    data = tomllib.loads(BUILT_IN.read_text())
    return {name: DeviceDescription(name, **row) for name, row in data.items() if name != "schema"}


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
        self._transport = transport
        self._board = transport.push(binary)
        self.facts = self._read_facts()
        self._core = description.core

    def push(self, path: Path) -> str:
        """Bring a file there; returns its path on the device."""
        return self._transport.push(path)

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
        """Start the board binary; it runs until the result is closed, or this program dies.

        Raises:
            DeviceError: it refused.
        """
        return self._transport.hold([self._board, *arguments])

    def reconnect(self) -> None:
        """Reach a device that went away.

        Raises:
            DeviceLost: it does not answer yet.
        """

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
        DeviceError: it does not answer.
    """
    known = device_descriptions()
    if name not in known:
        raise UnknownName("device", name, known)
    return Device(known[name], LocalTransport(), BOARD_BINARY)


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
