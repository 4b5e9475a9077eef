"""BinaryConv2d, the operator of a binary layer in an .onnx file, and its meaning in standard operators.

The operator is an ONNX *model-local function*: a runtime that knows it (our library for ONNX Runtime) runs its own
kernel, every other one runs the body below. Both give the exact integer dot product, so both give the same file the
same result.

    BinaryConv2d(images [N, C, H, W] float, threshold [C] float, weights [ceil(bits / 8)] uint8) -> [N, O, OH, OW] float

    sign(c)  = -1 where images < threshold, else +1
    output   = sum over the window of sign * weight, an integer, -K..K; outside of the image the sign is +1

    attributes: weight_shape [O, C/groups, kh, kw], kernel_shape [kh, kw], strides [2], pads [top, left, bottom, right],
    group. Bit i of byte j of `weights`, least significant first, is weight 8*j + i of weight_shape in row-major order;
    bit = (weight < 0). Tail bits are 0.

Conv pads with zeros and a binary layer pads with +1, so the body counts in b = (images < threshold), 0 or 1, where
zero *is* the sign +1:

    sign = 1 - 2*b      sum sign*w = sum w - 2 * sum b*w = sum w - Conv(b, 2*w)

The Sub is a node of its own, not Conv's bias: a per-channel Mul right behind a Conv would be folded into the weights by
ONNX Runtime, and the sums would no longer be integers. The unpacking of the weights has constant inputs and is folded
when the file is opened.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, FunctionProto, NodeProto, TensorProto, helper, numpy_helper

DOMAIN = "bnn_deploy"
DOMAIN_VERSION = 1
OPERATOR = "BinaryConv2d"
OPSET = 18  # BitwiseAnd
IR_VERSION = 8  # what ONNX Runtime 1.17 reads

_ATTRIBUTES = {
    "weight_shape": AttributeProto.INTS,
    "kernel_shape": AttributeProto.INTS,
    "strides": AttributeProto.INTS,
    "pads": AttributeProto.INTS,
    "group": AttributeProto.INT,
}


def pack_weights(weights: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """-1/+1 [O, C/groups, kh, kw] -> uint8 [ceil(bits / 8)], bit = (w < 0), least significant first, tail bits 0."""
    return np.packbits(weights.reshape(-1) < 0, bitorder="little")


def binary_conv2d() -> FunctionProto:
    """The function: name, attributes and body."""
    return helper.make_function(
        DOMAIN,
        OPERATOR,
        inputs=["images", "threshold", "weights"],
        outputs=["dot"],
        nodes=[*_unpack(), *_binarize(), *_convolve()],
        opset_imports=[helper.make_opsetid("", OPSET)],
        attributes=list(_ATTRIBUTES),
    )


def _unpack() -> list[NodeProto]:
    """Weights uint8 [bytes] -> doubled [O, C/groups, kh, kw] of -2.0 and +2.0; total [O, 1, 1] = sum of the signs."""
    shape = helper.make_node("Constant", [], ["shape"])
    shape.attribute.append(_of_caller("value_ints", "weight_shape"))
    return [
        shape,
        _constant("shifts", np.arange(8, dtype=np.uint8)),
        _constant("one_bit", np.uint8(1)),
        _constant("flat", np.array([-1], np.int64)),
        _constant("start", np.array([0], np.int64)),
        _constant("last_axis", np.array([1], np.int64)),
        _constant("window_axes", np.array([1, 2, 3], np.int64)),
        _constant("per_channel", np.array([-1, 1, 1], np.int64)),
        _constant("two", np.float32(2)),
        _constant("four", np.float32(4)),
        _constant("half", np.float32(0.5)),
        helper.make_node("Unsqueeze", ["weights", "last_axis"], ["columns"]),  # [bytes, 1]
        helper.make_node("BitShift", ["columns", "shifts"], ["shifted"], direction="RIGHT"),  # [bytes, 8]
        helper.make_node("BitwiseAnd", ["shifted", "one_bit"], ["padded_bits"]),
        helper.make_node("Reshape", ["padded_bits", "flat"], ["flat_bits"]),  # [bytes * 8]
        helper.make_node("ReduceProd", ["shape"], ["bit_count"], keepdims=1),
        helper.make_node("Slice", ["flat_bits", "start", "bit_count"], ["bits"]),
        helper.make_node("Cast", ["bits"], ["zero_one"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["zero_one", "four"], ["zero_four"]),
        helper.make_node("Sub", ["two", "zero_four"], ["two_or_minus_two"]),
        helper.make_node("Reshape", ["two_or_minus_two", "shape"], ["doubled"]),
        helper.make_node("ReduceSum", ["doubled", "window_axes"], ["doubled_totals"], keepdims=0),  # [O]
        helper.make_node("Mul", ["doubled_totals", "half"], ["totals"]),
        helper.make_node("Reshape", ["totals", "per_channel"], ["total"]),
    ]


def _binarize() -> list[NodeProto]:
    """b = 1.0 where images < threshold, else 0.0: [N, C, H, W]."""
    return [
        helper.make_node("Reshape", ["threshold", "per_channel"], ["thresholds"]),
        helper.make_node("Less", ["images", "thresholds"], ["negative"]),
        helper.make_node("Cast", ["negative"], ["b"], to=TensorProto.FLOAT),
    ]


def _convolve() -> list[NodeProto]:
    """dot = total - Conv(b, doubled): [N, O, OH, OW]."""
    conv = helper.make_node("Conv", ["b", "doubled"], ["twice_negative"])
    conv.attribute.extend(_of_caller(name, name) for name in ("kernel_shape", "strides", "pads", "group"))
    return [conv, helper.make_node("Sub", ["total", "twice_negative"], ["dot"])]


def _constant(name: str, value: npt.NDArray[np.generic] | np.generic) -> NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))


def _of_caller(attribute: str, caller: str) -> onnx.AttributeProto:
    """An attribute inside the body whose value is an attribute of the node that calls the function."""
    reference = AttributeProto()
    reference.name, reference.ref_attr_name, reference.type = attribute, caller, _ATTRIBUTES[caller]
    return reference
