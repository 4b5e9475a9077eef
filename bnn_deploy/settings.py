"""JSON documents of a run, with a checksum; and settings, pinned by the first command, checked by every later one."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

from bnn_deploy.errors import BnnDeployError, FileFormatError
from bnn_deploy.journal import write_atomically

SCHEMA = 1  # 1: first version


def write_json(path: Path, data: Mapping[str, object]) -> None:
    """A readable JSON file with a checksum of its content, written atomically."""
    document = {"schema": SCHEMA, **data, "crc32": _checksum(data)}
    write_atomically(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, object]:
    """Inverse of write_json.

    Raises:
        FileFormatError: missing, damaged, altered, or of another schema.
    """
    data = read_object(path)
    if data.pop("schema", None) != SCHEMA:
        raise FileFormatError(f"{path}: expected a JSON object with schema {SCHEMA}")
    if data.pop("crc32", None) != _checksum(data):
        raise FileFormatError(f"{path}: altered (its checksum does not fit); restore it, or remove it to start anew")
    return data


def read_object(path: Path) -> dict[str, object]:
    """Any JSON file that holds an object.

    Raises:
        FileFormatError: missing, not JSON, or not an object.
    """
    try:
        data = json.loads(path.read_text())
    except OSError as exc:
        raise FileFormatError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise FileFormatError(f"{path}: not valid JSON ({exc}); restore it, or remove it to start anew") from exc
    if not isinstance(data, dict):
        raise FileFormatError(f"{path}: expected a JSON object, found {type(data).__name__}")
    return data


def _checksum(data: Mapping[str, object]) -> str:
    """CRC-32 of the content, whatever its layout and order."""
    return f"{zlib.crc32(json.dumps(data, sort_keys=True).encode()):08x}"


def pin_settings(path: Path, settings: Mapping[str, object]) -> None:
    """Write the settings if the file is new; otherwise check that they are the same.

    Raises:
        BnnDeployError: the folder belongs to a run with other settings; the message names the first difference.
        FileFormatError: the file is damaged.
    """
    wanted = json.loads(json.dumps(settings))
    if not path.exists():
        write_json(path, wanted)
        return
    found = read_json(path)
    for name in sorted(set(wanted) | set(found)):
        if wanted.get(name) != found.get(name):
            raise BnnDeployError(
                f"{path.parent}: holds a run with {name} = {json.dumps(found.get(name))}, "
                f"this one has {json.dumps(wanted.get(name))}; give another --out, or remove the folder"
            )
