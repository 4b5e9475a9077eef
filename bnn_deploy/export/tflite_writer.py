"""Writes a .tflite flatbuffer: tensors and operators are collected by index, `finish` lays them out.

The container (TensorFlow Lite schema, version 3): identifier `TFL3`; buffer 0 is empty and belongs to every tensor
that is no constant; buffers and custom options start at multiples of 16 bytes. A custom operator has builtin code
CUSTOM, its name in `custom_code`, and one FlexBuffer map of integers as options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite
from flatbuffers import flexbuffers

NO_TENSOR = -1  # an optional input that is not given

_TENSOR_TYPES = {
    "float32": tflite.TensorType.FLOAT32,
    "int32": tflite.TensorType.INT32,
    "int8": tflite.TensorType.INT8,
    "bool": tflite.TensorType.BOOL,
}
_ALIGNMENT = 16
_SCHEMA_VERSION = 3


@dataclass(frozen=True, slots=True)
class BuiltinOptions:
    """A builtin operator's options table.

    Args:
        union: tflite.BuiltinOptions value of the table.
        fields: slot number in the table -> (kind, value); kind is "int8" or "int32".
    """

    union: int
    fields: Mapping[int, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Quantization:
    """What an int8 number q means: scale * (q - zero_point)."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: str
    buffer: int
    quantization: Quantization | None


@dataclass(frozen=True, slots=True)
class _Operator:
    code: int
    inputs: tuple[int, ...]
    output: int
    options: BuiltinOptions | None
    custom_options: bytes


class TfliteWriter:
    """One subgraph in the making. Tensors are named by the caller; a name is used once.

    Example:
        >>> writer = TfliteWriter()
        >>> images = writer.tensor("images", (1, 8, 8, 64))
        >>> bits = writer.custom("LceQuantize", [images], "bits", (1, 8, 8, 2), dtype="int32")
        >>> model = writer.finish([images], [bits], {"made by": "an example"})
    """

    def __init__(self) -> None:
        self._buffers = [b""]
        self._tensors: list[_Tensor] = []
        self._operators: list[_Operator] = []
        self._codes: list[tuple[int, str, int]] = []  # builtin code, custom name, version

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str = "float32", quantization: Quantization | None = None
    ) -> int:
        """A tensor that is no constant: the input of the model. Returns its index."""
        return self._tensor(name, tuple(shape), dtype, 0, quantization)

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> int:
        """A float32 or int32 constant of any shape. Returns its index."""
        self._buffers.append(np.ascontiguousarray(values).tobytes())
        return self._tensor(name, values.shape, values.dtype.name, len(self._buffers) - 1, None)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self._tensors[tensor].shape

    def builtin(
        self,
        operator: int,
        inputs: Sequence[int],
        name: str,
        shape: Sequence[int],
        options: BuiltinOptions | None = None,
        version: int = 1,
    ) -> int:
        """Adds a builtin operator (tflite.BuiltinOperator) with one float32 output; returns the output's index."""
        return self._operator((operator, "", version), inputs, self.tensor(name, shape), options, b"")

    def custom(
        self,
        operator: str,
        inputs: Sequence[int],
        name: str,
        shape: Sequence[int],
        options: Mapping[str, int] | None = None,
        dtype: str = "float32",
        quantization: Quantization | None = None,
    ) -> int:
        """Adds a custom operator with one output; returns the output's index."""
        code = (tflite.BuiltinOperator.CUSTOM, operator, 1)
        blob = bytes(flexbuffers.Dumps(dict(options))) if options else b""
        return self._operator(code, inputs, self.tensor(name, shape, dtype, quantization), None, blob)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int], metadata: Mapping[str, str]) -> bytes:
        """The file. metadata: name -> text, each in a buffer of its own."""
        buffers = [*self._buffers, *(text.encode() for text in metadata.values())]
        layout = _Layout()
        entries = [layout.metadata(name, len(self._buffers) + i) for i, name in enumerate(metadata)]
        subgraph = layout.subgraph(self._tensors, self._operators, inputs, outputs)
        parts = {
            tflite.ModelAddMetadata: layout.tables(entries),
            tflite.ModelAddBuffers: layout.tables([layout.buffer(data) for data in buffers]),
            tflite.ModelAddDescription: layout.builder.CreateString("bnn-deploy"),
            tflite.ModelAddSubgraphs: layout.tables([subgraph]),
            tflite.ModelAddOperatorCodes: layout.tables([layout.operator_code(*code) for code in self._codes]),
        }
        tflite.ModelStart(layout.builder)
        tflite.ModelAddVersion(layout.builder, _SCHEMA_VERSION)
        for add, offset in parts.items():
            add(layout.builder, offset)
        layout.builder.Finish(tflite.ModelEnd(layout.builder), file_identifier=b"TFL3")
        return bytes(layout.builder.Output())

    def _tensor(
        self, name: str, shape: tuple[int, ...], dtype: str, buffer: int, quantization: Quantization | None
    ) -> int:
        self._tensors.append(_Tensor(name, shape, dtype, buffer, quantization))
        return len(self._tensors) - 1

    def _operator(
        self,
        code: tuple[int, str, int],
        inputs: Sequence[int],
        output: int,
        options: BuiltinOptions | None,
        custom_options: bytes,
    ) -> int:
        if code not in self._codes:
            self._codes.append(code)
        self._operators.append(_Operator(self._codes.index(code), tuple(inputs), output, options, custom_options))
        return output


class _Layout:
    """The flatbuffer's tables; each method writes one and returns its offset. Children come before their parent."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1 << 16)

    def tables(self, offsets: Sequence[int]) -> int:
        """A vector of tables or strings."""
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def int32s(self, values: Sequence[int]) -> int:
        return int(self.builder.CreateNumpyVector(np.asarray(values, np.int32)))

    def aligned_bytes(self, data: bytes) -> int:
        """A vector of bytes whose first byte stands at a multiple of 16 in the file."""
        self.builder.StartVector(1, len(data), _ALIGNMENT)
        start = self.builder.head - len(data)
        self.builder.Bytes[start : self.builder.head] = data
        self.builder.head = start
        return int(self.builder.EndVector())

    def buffer(self, data: bytes) -> int:
        content = self.aligned_bytes(data) if data else None
        tflite.BufferStart(self.builder)
        if content is not None:
            tflite.BufferAddData(self.builder, content)
        return int(tflite.BufferEnd(self.builder))

    def metadata(self, name: str, buffer: int) -> int:
        text = self.builder.CreateString(name)
        tflite.MetadataStart(self.builder)
        tflite.MetadataAddName(self.builder, text)
        tflite.MetadataAddBuffer(self.builder, buffer)
        return int(tflite.MetadataEnd(self.builder))

    def operator_code(self, builtin: int, custom: str, version: int) -> int:
        """builtin_code holds every code; the old 8-bit field holds those up to 126, and 127 for "see the other"."""
        text = self.builder.CreateString(custom) if custom else None
        tflite.OperatorCodeStart(self.builder)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(self.builder, min(builtin, 127))
        if text is not None:
            tflite.OperatorCodeAddCustomCode(self.builder, text)
        tflite.OperatorCodeAddVersion(self.builder, version)
        tflite.OperatorCodeAddBuiltinCode(self.builder, builtin)
        return int(tflite.OperatorCodeEnd(self.builder))

    def subgraph(
        self, tensors: Sequence[_Tensor], operators: Sequence[_Operator], inputs: Sequence[int], outputs: Sequence[int]
    ) -> int:
        parts: dict[Callable[[flatbuffers.Builder, int], None], int] = {
            tflite.SubGraphAddTensors: self.tables([self._tensor(tensor) for tensor in tensors]),
            tflite.SubGraphAddOperators: self.tables([self._operator(operator) for operator in operators]),
            tflite.SubGraphAddInputs: self.int32s(inputs),
            tflite.SubGraphAddOutputs: self.int32s(outputs),
            tflite.SubGraphAddName: self.builder.CreateString("main"),
        }
        tflite.SubGraphStart(self.builder)
        for add, offset in parts.items():
            add(self.builder, offset)
        return int(tflite.SubGraphEnd(self.builder))

    def _tensor(self, tensor: _Tensor) -> int:
        shape = self.int32s(tensor.shape)
        name = self.builder.CreateString(tensor.name)
        quantization = self._quantization(tensor.quantization) if tensor.quantization else None
        tflite.TensorStart(self.builder)
        tflite.TensorAddShape(self.builder, shape)
        tflite.TensorAddType(self.builder, _TENSOR_TYPES[tensor.dtype])
        tflite.TensorAddBuffer(self.builder, tensor.buffer)
        tflite.TensorAddName(self.builder, name)
        if quantization is not None:
            tflite.TensorAddQuantization(self.builder, quantization)
        return int(tflite.TensorEnd(self.builder))

    def _quantization(self, quantization: Quantization) -> int:
        scale = self.builder.CreateNumpyVector(np.array([quantization.scale], np.float32))
        zero_point = self.builder.CreateNumpyVector(np.array([quantization.zero_point], np.int64))
        tflite.QuantizationParametersStart(self.builder)
        tflite.QuantizationParametersAddScale(self.builder, scale)
        tflite.QuantizationParametersAddZeroPoint(self.builder, zero_point)
        return int(tflite.QuantizationParametersEnd(self.builder))

    def _operator(self, operator: _Operator) -> int:
        inputs, outputs = self.int32s(operator.inputs), self.int32s([operator.output])
        custom = self.aligned_bytes(operator.custom_options) if operator.custom_options else None
        options = self._options(operator.options) if operator.options else None
        tflite.OperatorStart(self.builder)
        tflite.OperatorAddOpcodeIndex(self.builder, operator.code)
        tflite.OperatorAddInputs(self.builder, inputs)
        tflite.OperatorAddOutputs(self.builder, outputs)
        if operator.options is not None and options is not None:
            tflite.OperatorAddBuiltinOptionsType(self.builder, operator.options.union)
            tflite.OperatorAddBuiltinOptions(self.builder, options)
        if custom is not None:
            tflite.OperatorAddCustomOptions(self.builder, custom)
            tflite.OperatorAddCustomOptionsFormat(self.builder, tflite.CustomOptionsFormat.FLEXBUFFERS)
        return int(tflite.OperatorEnd(self.builder))

    def _options(self, options: BuiltinOptions) -> int:
        prepend = {"int8": self.builder.PrependInt8Slot, "int32": self.builder.PrependInt32Slot}
        self.builder.StartObject(max(options.fields, default=-1) + 1)
        for slot, (kind, value) in options.fields.items():
            prepend[kind](slot, value, 0)
        return int(self.builder.EndObject())
