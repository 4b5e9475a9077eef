"""Single operators of Larq Compute Engine and ours as .tflite files, with what they answer by their definitions.

Their numbers are multiples of a few powers of 2, so that every order of the arithmetic gives the same bits on every
machine. Random options against Larq Compute Engine's own kernels: litert_matrix.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tflite

from bnn_deploy.export.small_groups import OWN_OPERATOR, WORD, words
from bnn_deploy.export.tflite import pack_words
from bnn_deploy.export.tflite_writer import NO_TENSOR, Quantization, TfliteWriter
from bnn_deploy.kernels import reference

HEIGHT, WIDTH = 7, 6
INT8 = Quantization(scale=0.25, zero_point=-3)

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Operator:
    """A model, its input and its output."""

    name: str
    model: bytes
    input: Array
    expected: Array


def operators() -> list[Operator]:
    """Each operator with each type that it has."""
    return [
        bconv2d("float32", stride=2),
        bconv2d("float32", channels=128, groups=2, kernel=5),
        bconv2d("float32", channels=40, pad_values=0),
        bconv2d("float32", channels=48, groups=6),  # ours
        bconv2d("int8"),
        bconv2d("int8", channels=96, groups=3, stride=2, pad_values=0),
        bconv2d("int32", channels=72),
        *conversions(),
        bmaxpool2d(),
        islands(),
    ]


def bconv2d(
    output: str, *, channels: int = 64, groups: int = 1, stride: int = 1, kernel: int = 3, pad_values: int = 1
) -> Operator:
    """One LceBconv2d, or for groups that it does not take our own operator.

    output: float32, int8, or int32, which are packed bits.
    """
    rng = np.random.default_rng(channels + groups)
    outputs = 5 * groups
    signs = rng.choice([-1, 1], (1, HEIGHT, WIDTH, channels))
    weights = rng.choice([-1, 1], (outputs, kernel, kernel, channels // groups))
    k_bits = weights[0].size
    multiplier = rng.choice([-0.25, 0.125, 0.25], outputs).astype(np.float32)
    bias = (rng.integers(-8, 9, outputs) / 4).astype(np.float32)
    thresholds = (k_bits // 2 + rng.integers(-8, 9, outputs)).astype(np.int32)

    dot = reference.conv2d(signs[0], weights, stride=stride, groups=groups, padding_value=float(pad_values))
    y = multiplier * dot[np.newaxis] + bias
    quantized = y / INT8.scale + INT8.zero_point
    expected = {
        "float32": y.astype(np.float32),
        "int8": np.clip(np.trunc(quantized + np.copysign(0.5, quantized)), -128, 127).astype(np.int8),
        "int32": pack_words((k_bits - dot[np.newaxis]) / 2 > thresholds),
    }[output]

    own = groups > 1 and channels // groups % WORD != 0
    options = {
        "channels_in": channels,
        "dilation_height_factor": 1,
        "dilation_width_factor": 1,
        "fused_activation_function": tflite.ActivationFunctionType.NONE,
        "pad_values": pad_values,
        "padding": tflite.Padding.SAME,
        "stride_height": stride,
        "stride_width": stride,
        **({"groups": groups} if own else {}),
    }
    writer = TfliteWriter()
    bits = pack_words(signs < 0)
    x = writer.tensor("x", bits.shape, "int32")
    inputs = [x, writer.constant("filter", pack_words(weights < 0))]
    if output == "int32":
        inputs += [NO_TENSOR, NO_TENSOR, writer.constant("thresholds", thresholds)]
    else:
        inputs += [writer.constant("multiplier", multiplier), writer.constant("bias", bias), NO_TENSOR]
    operator, quantization = OWN_OPERATOR if own else "LceBconv2d", INT8 if output == "int8" else None
    y_index = writer.custom(operator, inputs, "y", expected.shape, options, output, quantization)
    name = f"{operator}-{output}-groups{groups}-stride{stride}-pad{pad_values}"
    return Operator(name, writer.finish([x], [y_index], {}), bits, expected)


def conversions() -> list[Operator]:
    """LceQuantize and LceDequantize of each type."""
    rng = np.random.default_rng(3)
    shape = (1, HEIGHT, WIDTH, 40)
    floats = rng.choice(np.array([-1.5, -1e-30, -0.0, 0.0, 2.0], np.float32), shape)
    numbers = rng.integers(-128, 128, shape).astype(np.int8)
    truths = rng.integers(0, 2, shape).astype(np.bool_)
    one = round(1 / INT8.scale)
    return [
        one_input("LceQuantize", floats, pack_words(floats < 0)),
        one_input("LceQuantize", numbers, pack_words(numbers < INT8.zero_point)),
        one_input("LceQuantize", truths, pack_words(~truths)),
        one_input("LceDequantize", pack_words(~truths), np.where(truths, 1, -1).astype(np.float32)),
        one_input(
            "LceDequantize", pack_words(~truths), (INT8.zero_point + np.where(truths, one, -one)).astype(np.int8)
        ),
        one_input("LceDequantize", pack_words(~truths), truths),
    ]


def bmaxpool2d() -> Operator:
    """LceBMaxPool2d, windows of 2x2: -1 where all are; SAME adds one row, which never counts."""
    negative = np.random.default_rng(4).random((1, HEIGHT, WIDTH, 40)) < 0.8
    windows = np.pad(negative, ((0, 0), (0, 1), (0, 0), (0, 0)), constant_values=True)
    pooled = windows.reshape(1, (HEIGHT + 1) // 2, 2, WIDTH // 2, 2, 40).all(axis=(2, 4))
    sizes = dict.fromkeys(("stride_width", "stride_height", "filter_width", "filter_height"), 2)
    options = {"padding": tflite.Padding.SAME, **sizes}
    return one_input("LceBMaxPool2d", pack_words(negative), pack_words(pooled), options)


def one_input(operator: str, x: Array, y: Array, options: dict[str, int] | None = None) -> Operator:
    """One operator; int8 tensors are quantized as INT8."""
    writer = TfliteWriter()
    of_x, of_y = (INT8 if array.dtype == np.int8 else None for array in (x, y))
    x_index = writer.tensor("x", x.shape, x.dtype.name, of_x)
    y_index = writer.custom(operator, [x_index], "y", y.shape, options, y.dtype.name, of_y)
    return Operator(f"{operator}-{x.dtype}-{y.dtype}", writer.finish([x_index], [y_index], {}), x, y)


def islands() -> Operator:
    """NEG, which stays with the runtime, around and between two parts that are ours."""
    values = np.random.default_rng(6).standard_normal((1, HEIGHT, WIDTH, 40)).astype(np.float32)
    writer = TfliteWriter()
    x = y = writer.tensor("x", values.shape)
    expected = values
    for part in range(2):
        y = writer.builtin(tflite.BuiltinOperator.NEG, [y], f"negated{part}", values.shape)
        bits = writer.custom("LceQuantize", [y], f"bits{part}", (*values.shape[:-1], words(40)), dtype="int32")
        y = writer.custom("LceDequantize", [bits], f"signs{part}", values.shape)
        expected = reference.signs(-expected).astype(np.float32)
    y = writer.builtin(tflite.BuiltinOperator.NEG, [y], "y", values.shape)
    return Operator("islands", writer.finish([x], [y], {}), values, -expected)
