"""Reads a .tflite file, and makes copies with other outputs, or of a part of it, so that inner tensors can be seen."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tflite

from bnn_deploy.errors import FileFormatError
from bnn_deploy.runtimes.base import reading

_INPUTS_FIELD, _OUTPUTS_FIELD, _OPERATORS_FIELD = 6, 8, 10  # offsets in the subgraph's vtable
_DTYPES = {tflite.TensorType.FLOAT32: "<f4", tflite.TensorType.INT32: "<i4"}


@dataclass(frozen=True, slots=True)
class Operator:
    """code: tflite.BuiltinOperator; custom: the name of a custom operator, else "", and its options. Tensors are
    indices; -1 is an input that is not given."""

    code: int
    custom: str
    options: bytes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class TfliteFile:
    """A .tflite file with one subgraph and one input.

    Args:
        path: the file.

    Raises:
        FileFormatError: no file, or not such a model.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self.data = self.path.read_bytes()
        except OSError as exc:
            raise FileFormatError(f"{path}: cannot be read: {exc.strerror}") from exc
        if self.data[4:8] != b"TFL3":
            raise FileFormatError(f"{path}: not a .tflite file: its identifier is {self.data[4:8]!r}, expected b'TFL3'")
        with reading(self.path):
            self._parse()

    def _parse(self) -> None:
        self._model = tflite.Model.GetRootAs(self.data, 0)
        if self._model.SubgraphsLength() != 1 or self._model.Subgraphs(0).InputsLength() != 1:
            raise ValueError("expected one subgraph with one input")
        self._graph = self._model.Subgraphs(0)
        self.names = [self._graph.Tensors(i).Name().decode() for i in range(self._graph.TensorsLength())]
        self.operators = [self._operator(i) for i in range(self._graph.OperatorsLength())]
        self.inputs = tuple(self._graph.InputsAsNumpy().tolist())
        self.outputs = tuple(self._graph.OutputsAsNumpy().tolist())
        self.metadata = dict(self._metadata(i) for i in range(self._model.MetadataLength()))
        self.input_shape = self.shape(self.inputs[0])

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor."""
        return tuple(self._graph.Tensors(tensor).ShapeAsNumpy().tolist())

    def constant(self, tensor: int) -> npt.NDArray[np.generic]:
        """The values of a float32 or int32 constant.

        Raises:
            FileFormatError: no such constant.
        """
        with reading(self.path):
            entry = self._graph.Tensors(tensor)
            data = self._model.Buffers(entry.Buffer()).DataAsNumpy()
            return np.frombuffer(data.tobytes(), _DTYPES[entry.Type()]).reshape(self.shape(tensor))

    def with_outputs(self, tensors: Sequence[int]) -> bytes:
        """The same model with other outputs."""
        return self.part(range(len(self.operators)), self.inputs, tensors)

    def part(self, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """A model of some of the operators, in their order, with these tensors as its inputs and outputs.

        The list of operators shrinks where it stands; new lists of tensors stand at the end of the file.
        """
        data = bytearray(self.data)
        table = self._graph._tab
        start = table.Vector(table.Offset(_OPERATORS_FIELD))
        places = [table.Indirect(start + 4 * index) for index in operators]
        data[start - 4 : start] = struct.pack("<I", len(places))
        for i, place in enumerate(places):
            data[start + 4 * i : start + 4 * i + 4] = struct.pack("<I", place - start - 4 * i)
        for slot, tensors in ((_INPUTS_FIELD, inputs), (_OUTPUTS_FIELD, outputs)):
            field = table.Pos + table.Offset(slot)
            data += bytes(-len(data) % 4)
            data[field : field + 4] = struct.pack("<I", len(data) - field)
            data += struct.pack(f"<I{len(tensors)}i", len(tensors), *tensors)
        data += bytes(-len(data) % 16)
        return bytes(data)

    def _operator(self, index: int) -> Operator:
        operator = self._graph.Operators(index)
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        custom = code.CustomCode()
        options = operator.CustomOptionsAsNumpy().tobytes() if operator.CustomOptionsLength() else b""
        inputs, outputs = operator.InputsAsNumpy().tolist(), operator.OutputsAsNumpy().tolist()
        return Operator(code.BuiltinCode(), custom.decode() if custom else "", options, tuple(inputs), tuple(outputs))

    def _metadata(self, index: int) -> tuple[str, str]:
        entry = self._model.Metadata(index)
        data = self._model.Buffers(entry.Buffer())
        content = data.DataAsNumpy().tobytes() if data.DataLength() else b""
        return entry.Name().decode(), content.decode(errors="replace")
