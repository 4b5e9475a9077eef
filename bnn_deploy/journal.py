"""An append-only JSON-lines file that survives `kill -9` and a pulled plug.

The first line is the header (schema, kind and whatever makes the rest meaningful), then one record per line, each
fsynced before `append` returns. Every line carries the CRC-32 of its own text. A torn last line (no newline) is what an
interruption leaves and is dropped; any other damage is an error that names the line. One writer at a time: the file is
locked while it is open.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from bnn_deploy.errors import BnnDeployError, FileFormatError

Record = dict[str, object]


def encode_line(record: Mapping[str, object]) -> bytes:
    """One line: canonical JSON of the record with its own CRC-32 as the last member."""
    body = json.dumps(record, separators=(",", ":"), allow_nan=False)
    return f'{body[:-1]},"crc32":"{zlib.crc32(body.encode()):08x}"}}\n'.encode()


def decode_line(line: bytes) -> Record:
    """Inverse of encode_line.

    Raises:
        ValueError: not a line of this format, or its checksum does not fit.
    """
    text, comma, tail = line.decode().rstrip("\n").rpartition(',"crc32":"')
    body = text + "}"
    if not comma or tail != f'{zlib.crc32(body.encode()):08x}"}}':
        raise ValueError("checksum does not fit")
    record = json.loads(body)
    if not isinstance(record, dict):
        raise ValueError("expected an object")
    return record


def read_journal(path: Path, kind: str, schema: int) -> tuple[Record, list[Record]]:
    """Header and records of a journal; a torn last line is left out.

    Raises:
        FileFormatError: not such a file, another schema, or a damaged line.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as exc:
        raise FileFormatError(f"{path}: cannot be read: {exc.strerror}") from exc
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(decode_line(line))
        except ValueError as exc:
            raise FileFormatError(
                f"{path}: line {number} is damaged ({exc}); restore the file, or remove it to start anew"
            ) from exc
    if not records:
        raise FileFormatError(f"{path}: expected a {kind}, found no complete header line")
    header = records[0]
    if header.get("kind") != kind:
        raise FileFormatError(f"{path}: expected a {kind}, found {header.get('kind')!r}")
    if header.get("schema") != schema:
        raise FileFormatError(
            f"{path}: expected schema {schema}, found {header.get('schema')!r}: another version of this program "
            "wrote it; make it again"
        )
    return header, records[1:]


class Journal:
    """A journal open for appending, locked against a second writer.

    Args:
        path: created with its folders when missing.
        kind, schema: what the file is; checked when it exists.
        header: further members of the first line, used only when the file is new.

    Raises:
        FileFormatError: the file exists and is something else, or is damaged.
        BnnDeployError: another process has it open, or the disk refuses.
    """

    def __init__(self, path: Path, kind: str, schema: int, header: Mapping[str, object]) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as exc:
            raise BnnDeployError(f"{path}: cannot be written: {exc.strerror}") from exc
        try:
            self._lock()
            self._drop_torn_line(kind)
            if os.fstat(self._file).st_size == 0:
                self.append({"kind": kind, "schema": schema, **header})
                sync_folder(path.parent)
            self.header, self.records = read_journal(path, kind, schema)
        except BaseException:
            os.close(self._file)
            raise

    def append(self, record: Mapping[str, object]) -> None:
        """Write one record; it is on the disk when this returns. On a failure (full disk) nothing of it stays.

        Raises:
            BnnDeployError: the disk refuses; the message names the file and the reason.
        """
        line = encode_line(record)
        end = os.fstat(self._file).st_size
        try:
            os.lseek(self._file, end, os.SEEK_SET)
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError as exc:
            os.ftruncate(self._file, end)
            raise disk_error(self.path, exc) from exc

    def close(self) -> None:
        """Release the lock."""
        os.close(self._file)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise BnnDeployError(f"{self.path}: another process is writing it; wait until that has ended") from exc

    def _drop_torn_line(self, kind: str) -> None:
        """Cut off what an interruption left behind; a file that is not a journal of this kind is left alone."""
        data = self.path.read_bytes()
        complete = data.rfind(b"\n") + 1
        if complete == len(data):
            return
        begin = f'{{"kind":{json.dumps(kind)},'.encode()
        if data[: len(begin)] != begin[: len(data)]:
            raise FileFormatError(f"{self.path}: expected a {kind}, found another file; it was left as it is")
        os.ftruncate(self._file, complete)


def disk_error(path: Path, exc: OSError) -> BnnDeployError:
    """What to tell when a file could not be written."""
    hint = "; free some space and run the same command again" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return BnnDeployError(f"{path}: cannot be written: {exc.strerror}{hint}")


def sync_folder(folder: Path) -> None:
    """Make a new or renamed file of this folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file so that a reader sees either the old one or the new one, also after a pulled plug.

    Raises:
        BnnDeployError: the disk refuses; the old file, if any, is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        raise disk_error(path, exc) from exc
