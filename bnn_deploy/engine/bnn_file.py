"""Writing and reading `.bnn` files; the format is docs/bnn-format.md, the checks are the engine's own (native).

write_bnn(path, graph)         a network with its constants
plan_to_bytes(steps)           steps alone, for a profiler: no constants, no chain
read_bnn(path)                 the steps and constants of a file, after the engine has checked all of it
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bnn_deploy import _native
from bnn_deploy.deploy_graph import CONSTANTS, DeployGraph, DeployStep, expected_constants
from bnn_deploy.errors import FileFormatError
from bnn_deploy.journal import write_atomically
from bnn_deploy.kernels import pack_bits, unpack_bits
from bnn_deploy.steps import Activation, Shortcut, Step, StepKind

__all__ = ["BnnContents", "check_bytes", "plan_to_bytes", "read_bnn", "steps_to_bytes", "to_bytes", "write_bnn"]

MAGIC, VERSION = b"BNN1", 1
HEADER = struct.Struct("<4sIQIII36x")
RECORD = struct.Struct("<16i8Q")
ALIGNMENT = 64
KINDS, SHORTCUTS, ACTIVATIONS = tuple(StepKind), tuple(Shortcut), tuple(Activation)
HAS_CONSTANTS = 1
RPRELU, FLOAT_OUT, BITS_OUT, ZERO_PADDING = 1, 2, 4, 8

Constants = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class BnnContents:
    """A file read back. constants: one mapping for each step (binary weights as int8 -1 and +1); None for a plan."""

    steps: tuple[Step, ...]
    constants: tuple[Constants, ...] | None


def to_bytes(graph: DeployGraph) -> bytes:
    """The `.bnn` file of a network."""
    return steps_to_bytes(graph.steps)


def steps_to_bytes(steps: Sequence[DeployStep]) -> bytes:
    """The `.bnn` file of a chain of steps that need not be a planner's."""
    return _encode([deploy.step for deploy in steps], [deploy.constants for deploy in steps])


def plan_to_bytes(steps: Iterable[Step]) -> bytes:
    """A plan: steps without constants, each standing alone, for `bnn-board layers`."""
    return _encode(list(steps), None)


def write_bnn(path: str | os.PathLike[str], graph: DeployGraph) -> None:
    """Writes the file whole or not at all.

    Raises:
        FileFormatError: a network beyond the format's limits (65536 per size, 2 GiB per tensor).
        BnnDeployError: the disk refuses.
    """
    data = to_bytes(graph)
    check_bytes(data, str(path))
    write_atomically(Path(path), data)


def read_bnn(path: str | os.PathLike[str]) -> BnnContents:
    """The contents of a file.

    Raises:
        FileFormatError: the file is truncated, altered or of another version; the text says what and where.
        OSError: it cannot be read.
    """
    data = Path(path).read_bytes()
    count, has_constants = check_bytes(data, str(path))
    records = [RECORD.unpack_from(data, HEADER.size + RECORD.size * index) for index in range(count)]
    steps = tuple(_decode_step(record) for record in records)
    if not has_constants:
        return BnnContents(steps, None)
    pairs = zip(steps, records, strict=True)
    return BnnContents(steps, tuple(_decode_constants(data, step, record[16:]) for step, record in pairs))


def check_bytes(data: bytes, name: str) -> tuple[int, bool]:
    """Number of steps and whether constants are there, after the engine has checked every byte that it will use.

    Raises:
        FileFormatError: naming `name` and what is wrong.
    """
    try:
        return _native.check_bnn(data)
    except ValueError as exc:
        raise FileFormatError(f"{name}: {exc}") from exc


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _encode(steps: Sequence[Step], constants: Sequence[Constants] | None) -> bytes:
    place = _aligned(HEADER.size + RECORD.size * len(steps))
    records, blobs = [], []
    for index, step in enumerate(steps):
        offsets = [0] * 8
        for slot, name in enumerate(CONSTANTS):
            if constants is None or name not in constants[index]:
                continue
            blob = _blob(step, name, constants[index][name])
            offsets[slot] = place
            blobs.append(blob.ljust(_aligned(len(blob)), b"\0"))
            place += len(blobs[-1])
        activation = ACTIVATIONS.index(step.activation)
        records.append(RECORD.pack(*record_fields(step), activation, 0, 0, *offsets))
    body = b"".join(records)
    body = b"".join([body.ljust(_aligned(len(body)), b"\0"), *blobs])
    flags = 0 if constants is None else HAS_CONSTANTS
    return HEADER.pack(MAGIC, VERSION, HEADER.size + len(body), len(steps), flags, zlib.crc32(body)) + body


def _blob(step: Step, name: str, array: npt.NDArray[np.generic]) -> bytes:
    if name == "weights" and step.kind is StepKind.BCONV2D:
        return pack_bits(array).astype("<u8").tobytes()
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()


def record_fields(step: Step) -> list[int]:
    """The integers of a step's record, 0..12 (docs/bnn-format.md); of the planner's steps the rest are zero."""
    sizes = [step.in_height, step.in_width, step.in_channels, step.out_height, step.out_width, step.out_channels]
    flags = RPRELU * step.rprelu | FLOAT_OUT * step.float_out | BITS_OUT * step.bits_out
    flags |= ZERO_PADDING * step.zero_padding
    window = [step.kernel, step.stride, step.groups, SHORTCUTS.index(step.shortcut)]
    return [KINDS.index(step.kind), *sizes, *window, flags, step.border]


def _decode_step(record: Sequence[int]) -> Step:
    kind, *sizes, shortcut, flags, border, activation = record[:14]
    in_height, in_width, in_channels, out_height, out_width, out_channels, kernel, stride, groups = sizes
    return Step(
        kind=KINDS[kind],
        in_height=in_height,
        in_width=in_width,
        in_channels=in_channels,
        out_height=out_height,
        out_width=out_width,
        out_channels=out_channels,
        kernel=kernel,
        stride=stride,
        groups=groups,
        shortcut=SHORTCUTS[shortcut],
        rprelu=bool(flags & RPRELU),
        float_out=bool(flags & FLOAT_OUT),
        bits_out=bool(flags & BITS_OUT),
        border=border,
        activation=ACTIVATIONS[activation],
        zero_padding=bool(flags & ZERO_PADDING),
    )


def _decode_constants(data: bytes, step: Step, offsets: Sequence[int]) -> Constants:
    found: dict[str, npt.NDArray[np.generic]] = {}
    for name, (shape, dtype) in expected_constants(step).items():
        offset, count = offsets[CONSTANTS.index(name)], int(np.prod(shape))
        if dtype == "int8":
            words = -(-shape[-1] // 64)
            packed = np.frombuffer(data, "<u8", count // shape[-1] * words, offset).reshape(*shape[:-1], words)
            found[name] = unpack_bits(packed.astype(np.uint64), shape[-1]).astype(np.int8)
        else:
            plain = np.frombuffer(data, np.dtype(dtype).newbyteorder("<"), count, offset)
            found[name] = plain.astype(dtype).reshape(shape)
    return found
