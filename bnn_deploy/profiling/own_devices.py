"""The user's own devices file: entries are added and removed in its text, so that comments stay."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from bnn_deploy.errors import DeviceError, UnknownName
from bnn_deploy.journal import write_atomically
from bnn_deploy.profiling.description import (
    BUILT_IN,
    SCHEMA,
    DeviceDescription,
    device_descriptions,
    parse_devices,
    user_devices_path,
)

_HEADER = re.compile(r"^\s*\[\s*([^\[\].]+|\"[^\"]+\")\s*(?:\.[^\]]*)?\]\s*(?:#.*)?$")
_BEGINNING = f"# Devices of your own; `bnn-deploy devices add` writes here, and so may you.\nschema = {SCHEMA}\n"


def add_device(name: str, values: Mapping[str, str | int]) -> DeviceDescription:
    """Append an entry to the user's file; returns it as it will be read.

    Raises:
        DeviceError: the file has an entry of this name.
        FileFormatError, UnknownName: a value that is none, or what is wrong with the file.
    """
    path = user_devices_path()
    if name in own_names():
        raise DeviceError(f"{path}: has a device {name!r} already; `bnn-deploy devices remove {name}` forgets it")
    text = _text(path) or _BEGINNING
    rows = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
    changed = f"{text.rstrip()}\n\n[{name}]\n{rows}"
    entry = _parse(path, changed)[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, changed.encode())
    return entry


def remove_device(name: str) -> None:
    """Take an entry out of the user's file.

    Raises:
        UnknownName: the file has none of this name.
    """
    path = user_devices_path()
    if name not in own_names():
        raise UnknownName(f"device in {path}", name, own_names())
    kept, dropping = [], False
    for line in _text(path).splitlines(keepends=True):
        if header := _HEADER.match(line):
            dropping = header[1].strip().strip('"') == name
        if not dropping:
            kept.append(line)
    changed = "".join(kept).rstrip() + "\n"
    if name in _parse(path, changed):
        raise DeviceError(f"{path}: [{name}] is written in a way that cannot be edited safely; remove it by hand")
    write_atomically(path, changed.encode())


def own_names() -> list[str]:
    """Names of the user's own devices."""
    return [entry.name for entry in device_descriptions().values() if entry.own]


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _parse(path: Path, text: str) -> dict[str, DeviceDescription]:
    return parse_devices(path, text, parse_devices(BUILT_IN, BUILT_IN.read_text()))
