"""What is known of a device before it is reached: entries of TOML files, checked key by key."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path

from bnn_deploy.errors import FileFormatError, UnknownName

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = 1
TRANSPORTS = ("local", "ssh", "adb")
BUILT_IN = Path(__file__).with_name("devices.toml")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ONLY_FOR = {"host": "ssh", "user": "ssh", "port": "ssh", "identity": "ssh", "ssh_config": "ssh", "serial": "adb"}


@dataclass(frozen=True, slots=True)
class Hardware:
    """Published figures of a kind of board; what is not known for all of them is None.

    Args:
        soc, cpu: names; the CPU as compilers have it: cortex-a72.
        cores: of that CPU.
        max_khz: its clock as shipped.
        isa: the best of this package's instruction sets that it has.
        l1i_bytes, l1d_bytes: of each core.
        l2_bytes, l2_cores, l3_bytes, l3_cores: of one cache, and how many cores share it.
        memory: its kind.
        memory_peak_bytes_per_s: what its pins allow.
        memory_stream_bytes_per_s: what the best of the STREAM benchmark's kernels was measured to reach.
        source: where the figures come from.
    """

    soc: str | None = None
    cpu: str | None = None
    cores: int | None = None
    max_khz: int | None = None
    isa: str | None = None
    l1i_bytes: int | None = None
    l1d_bytes: int | None = None
    l2_bytes: int | None = None
    l2_cores: int | None = None
    l3_bytes: int | None = None
    l3_cores: int | None = None
    memory: str | None = None
    memory_peak_bytes_per_s: int | None = None
    memory_stream_bytes_per_s: int | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceDescription:
    """An entry of a devices file.

    Args:
        name: of the entry, and of files about the device.
        description: for people.
        transport: "local", "ssh" or "adb".
        core: that measurements are pinned to; -1 is the one that is fastest when a table is begun.
        host, user, port, identity, ssh_config: for ssh; see SshTransport.
        serial: for adb; see AdbTransport.
        folder: where on the device a session's folder is made; None tries the usual places.
        based_on: the built-in entry that gives what this one leaves out.
        hardware: published figures, if any.
        own: True for an entry of the user's file.
    """

    name: str
    description: str
    transport: str
    core: int = -1
    host: str | None = None
    user: str | None = None
    port: int | None = None
    identity: str | None = None
    ssh_config: str | None = None
    serial: str | None = None
    folder: str | None = None
    based_on: str | None = None
    hardware: Hardware | None = None
    own: bool = False

    @property
    def address(self) -> str:
        """Where it is, as a person would say it."""
        if self.transport == "adb":
            return self.serial or "the only device plugged in"
        if self.host is None:
            return ""
        return f"{self.user}@{self.host}" if self.user else self.host


_ENTRY_TYPES = {field.name: int if "int" in str(field.type) else str for field in fields(DeviceDescription)}
_ENTRY_KEYS = tuple(name for name in _ENTRY_TYPES if name not in ("name", "own", "hardware"))
_HARDWARE_TYPES = {field.name: int if "int" in str(field.type) else str for field in fields(Hardware)}
_REQUIRED = tuple(field.name for field in fields(DeviceDescription) if field.default is MISSING)[1:]


def user_devices_path() -> Path:
    """The user's own devices file: $BNN_DEPLOY_DEVICES, or devices.toml in the user's configuration folder."""
    if named := os.environ.get("BNN_DEPLOY_DEVICES"):
        return Path(named)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "bnn-deploy" / "devices.toml"


def device_descriptions() -> dict[str, DeviceDescription]:
    """All known devices by name: the built-in ones, then the user's own, which replace built-in ones of their name.

    Raises:
        FileFormatError, UnknownName: what is wrong with the user's file, and where.
    """
    built_in = parse_devices(BUILT_IN, BUILT_IN.read_text())
    path = user_devices_path()
    try:
        text = path.read_text()
    except FileNotFoundError:
        return built_in
    except (OSError, UnicodeDecodeError) as exc:
        raise FileFormatError(f"{path}: cannot be read: {exc}") from exc
    return {**built_in, **parse_devices(path, text, built_in)}


def parse_devices(
    path: Path, text: str, built_in: Mapping[str, DeviceDescription] | None = None
) -> dict[str, DeviceDescription]:
    """The entries of a devices file.

    Args:
        path: for messages.
        text: of the file.
        built_in: entries to base the user's own on; one is based on that of its name unless it says otherwise. None for
            the built-in file.

    Raises:
        FileFormatError, UnknownName: no TOML, an unknown key, a value of a wrong type, a missing key.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise FileFormatError(f"{path}: not TOML: {exc}") from exc
    if data.pop("schema", None) != SCHEMA:
        raise FileFormatError(f"{path}: expected `schema = {SCHEMA}` at its beginning")
    entries = {name: _entry(path, name, row, built_in or {}) for name, row in data.items()}
    return {name: replace(entry, own=built_in is not None) for name, entry in entries.items()}


def _entry(path: Path, name: str, row: object, built_in: Mapping[str, DeviceDescription]) -> DeviceDescription:
    place = f"{path}: [{name}]"
    if not _NAME.fullmatch(name):
        raise FileFormatError(f"{place}: a name consists of letters, digits, `-` and `_`")
    if not isinstance(row, dict):
        raise FileFormatError(f"{path}: expected a table [{name}], found {name} = {row!r}")
    values = {key: value for key, value in row.items() if key != "hardware"}
    _check(place, values, {key: _ENTRY_TYPES[key] for key in _ENTRY_KEYS})
    figures = row.get("hardware")
    if figures is not None:
        if not isinstance(figures, dict):
            raise FileFormatError(f"{place}: expected a table [{name}.hardware], found hardware = {figures!r}")
        _check(f"{path}: [{name}.hardware]", figures, _HARDWARE_TYPES)
        values["hardware"] = Hardware(**figures)
    base_name = values.setdefault("based_on", name) if name in built_in else values.get("based_on")
    if base_name is not None:
        if base_name not in built_in:
            raise UnknownName(f"built-in device to base [{name}] on in {path}", base_name, built_in)
        base = built_in[base_name]
        missing = {key: getattr(base, key) for key in ("description", "transport", "core", "hardware")}
        values = {**missing, **values}
    if "host" in values:
        values.setdefault("transport", "ssh")
    values.setdefault("description", name)
    if lacking := [key for key in _REQUIRED if key not in values]:
        raise FileFormatError(f"{place}: {' and '.join(lacking)} missing")
    found = DeviceDescription(name=name, **values)
    _check_values(place, found)
    return found


def _check(place: str, values: Mapping[str, object], types: Mapping[str, type]) -> None:
    for key, value in values.items():
        if key not in types:
            raise UnknownName(f"key in {place}", key, types)
        if not isinstance(value, types[key]) or isinstance(value, bool):
            kind = {int: "a whole number", str: "a text in quotes"}[types[key]]
            raise FileFormatError(f"{place}: {key}: expected {kind}, found {value!r}")


def _check_values(place: str, entry: DeviceDescription) -> None:
    if entry.transport not in TRANSPORTS:
        raise FileFormatError(f"{place}: transport: expected one of {', '.join(TRANSPORTS)}, found {entry.transport!r}")
    for key, transport in _ONLY_FOR.items():
        if getattr(entry, key) is not None and entry.transport != transport:
            raise FileFormatError(
                f"{place}: {key} is for transport {transport!r}, and this one's is {entry.transport!r}"
            )
    if entry.core < -1:
        raise FileFormatError(f"{place}: core: expected a core's number, or -1 for the fastest, found {entry.core}")
    if entry.port is not None and not 0 < entry.port < 65536:
        raise FileFormatError(f"{place}: port: expected 1 to 65535, found {entry.port}")
    for key in ("host", "user"):
        value = getattr(entry, key)
        if value is not None and (not value or value.startswith("-") or any(map(str.isspace, value))):
            raise FileFormatError(f"{place}: {key}: expected a name, found {value!r}")
