"""Where to measure: a device's name, how to reach it, and the facts that make a measurement meaningful."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnn_deploy import _native
from bnn_deploy.errors import DeviceError, TableMismatch, UnknownName
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.transport import LocalTransport, Transport

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


def check_build(table: LatencyTable) -> None:
    """A table of this computer must come from the kernels that are installed here.

    Raises:
        TableMismatch: it was measured by another build; its numbers say nothing about this one.
    """
    description = device_descriptions().get(table.device)
    if description is None or description.transport != "local":
        return
    installed = hashlib.sha256(BOARD_BINARY.read_bytes()).hexdigest()
    measured = table.header.get("binary_sha256")
    if measured != installed:
        raise TableMismatch(
            f"{table.path}: measured by another build of the kernels ({str(measured)[:12]}..., installed is "
            f"{installed[:12]}...); measure it anew: `bnn-deploy profile --device {table.device} --out NEW.jsonl`"
        )


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
        cores = self.facts.get("cores")
        self.core = description.core % cores if isinstance(cores, int) and cores > 0 else max(description.core, 0)

    def push(self, path: Path) -> str:
        """Bring a file there; returns its path on the device."""
        return self._transport.push(path)

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

    def close(self) -> None:
        """Leave the device as it was found."""
        self._transport.close()

    def _read_facts(self) -> Mapping[str, object]:
        for record in self.board(["facts"], _FACTS_TIMEOUT_S):
            return record
        raise DeviceError(f"{self.name}: the board binary told no facts")


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
