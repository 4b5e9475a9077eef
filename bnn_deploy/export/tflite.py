"""DeployGraph -> .tflite in the dialect of Larq Compute Engine (LCE), written without TensorFlow.

    input   images  float32 [1, H, W, image_channels]
    output  logits  float32 [1, classes]

Inner tensors are named after their step: `step3` is the float output of step 3; of a binary step, `step3.bits` is what
its LceBconv2d reads and `step3.affine` is what that gives. Padding needs no operator: SAME of TensorFlow is our rule,
and `pad_values` 1 is our +1.

Groups that LCE cannot express are padded, or written as our own operator: see small_groups. Grouped layers run with
LCE's indirect kernel only (`use_indirect_bgemm`).

Example:
    >>> report = export_tflite(graph, "network.tflite")     # doctest: +SKIP
    >>> print(report)                                       # doctest: +SKIP
    3 binary layers padded to 32 channels per group; 2.4 times the binary MACs
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tflite

from bnn_deploy.deploy_graph import DeployGraph, DeployStep
from bnn_deploy.errors import ExportError
from bnn_deploy.export.common import check_values, provenance
from bnn_deploy.export.small_groups import (
    OWN_OPERATOR,
    WORD,
    SmallGroups,
    TfliteReport,
    has_small_groups,
    padded_channels,
    padded_weights,
    report,
    words,
)
from bnn_deploy.export.tflite_writer import NO_TENSOR, BuiltinOptions, TfliteWriter
from bnn_deploy.journal import write_atomically
from bnn_deploy.steps import Shortcut, Step, StepKind

INPUT = "images"
OUTPUT = "logits"

_GROUPED_CONV_2D = 6  # the version of CONV_2D that knows groups
_SAME = tflite.Padding.SAME
_MAX_ELEMENTS = 2**31 - 1


def export_tflite(
    graph: DeployGraph, path: str | os.PathLike[str], small_groups: SmallGroups = SmallGroups.PAD
) -> TfliteReport:
    """Write a graph as a .tflite file, whole or not at all, and say what the format costs it.

    Raises:
        ExportError: constants that the file cannot hold (see common.check_values).
    """
    write_atomically(Path(path), to_flatbuffer(graph, small_groups))
    return report(graph, small_groups)


def to_flatbuffer(graph: DeployGraph, small_groups: SmallGroups = SmallGroups.PAD) -> bytes:
    """The bytes of the .tflite file of a graph.

    Raises:
        ExportError: constants that the file cannot hold, or a tensor too large for the format.
    """
    check_values(graph)
    net = graph.architecture
    rules = _Rules(small_groups)
    images = rules.writer.tensor(INPUT, (1, net.height, net.width, net.image_channels))
    values = images
    for index, deploy in enumerate(graph.steps):
        before = graph.steps[index - 1] if index else None
        values = rules.step(index, deploy, before, values)
    return rules.writer.finish([images], [values], provenance(net))


class _Rules:
    """The export rules; each adds the operators of one piece and returns the index of its output."""

    def __init__(self, small_groups: SmallGroups) -> None:
        self.writer = TfliteWriter()
        self.small_groups = small_groups

    def step(self, index: int, deploy: DeployStep, before: DeployStep | None, values: int) -> int:
        """One step: the float output of the step before -> its own, [1, H, W, C]."""
        step, name = deploy.step, f"step{index}"
        match step.kind:
            case StepKind.GLOBAL_AVGPOOL:
                axes = self.writer.constant(f"{name}.axes", np.array([1, 2], np.int32))
                return self.writer.builtin(
                    tflite.BuiltinOperator.MEAN,
                    [values, axes],
                    name,
                    (1, step.out_channels),
                    BuiltinOptions(tflite.BuiltinOptions.ReducerOptions, {}),
                )
            case StepKind.LINEAR:
                inputs = [values, *(self.constant(name, deploy, constant) for constant in ("weights", "bias"))]
                return self.writer.builtin(
                    tflite.BuiltinOperator.FULLY_CONNECTED,
                    inputs,
                    OUTPUT,
                    (1, step.out_channels),
                    BuiltinOptions(tflite.BuiltinOptions.FullyConnectedOptions, {}),
                )
            case StepKind.CONV2D:
                return self.rprelu(name, deploy, self.conv2d(name, deploy, values))
            case StepKind.BCONV2D:
                assert before is not None  # the planner starts with the stem
                bits = self.quantize(name, step, before, values)
                output = self.bconv2d(name, deploy, bits)
                return self.rprelu(name, deploy, self.shortcut(name, step, output, values))
            case StepKind.PACK:
                raise ExportError(f"step {index} ({step.key}): the planner has no such step")

    def conv2d(self, name: str, deploy: DeployStep, values: int) -> int:
        """Float convolution with zero padding: CONV_2D; weights are [O, k, k, C/g] here and there."""
        step = deploy.step
        fields = {0: ("int8", _SAME), 1: ("int32", step.stride), 2: ("int32", step.stride)}
        return self.writer.builtin(
            tflite.BuiltinOperator.CONV_2D,
            [values, self.constant(name, deploy, "weights"), self.constant(name, deploy, "bias")],
            f"{name}.conv" if step.rprelu else name,
            _out_shape(step),
            BuiltinOptions(tflite.BuiltinOptions.Conv2DOptions, fields),
            version=_GROUPED_CONV_2D if step.groups > 1 else 1,
        )

    def quantize(self, name: str, step: Step, before: DeployStep, values: int) -> int:
        """bits = (y < threshold) becomes SUB, LceQuantize: the bit (y - threshold < 0).

        The rounded y - t is negative exactly when y < t; y == t gives +0, the sign +1. (TensorFlow Lite flushes
        subnormal numbers to 0, so this needs |y - t| >= 2**-126.) No SUB when every threshold is 0. Small groups are
        padded before LceQuantize, see pad_groups, unless the layer is an operator of our own.
        """
        threshold = before.constants["threshold"]
        if threshold.any():
            values = self.per_channel("SUB", f"{name}.input_threshold", values, threshold, f"{name}.shifted")
        if has_small_groups(step) and self.small_groups is SmallGroups.PAD:
            values = self.pad_groups(name, step, values)
        *pixels, channels = self.writer.shape(values)
        shape = (*pixels, words(channels))
        return self.writer.custom("LceQuantize", [values], f"{name}.bits", shape, dtype="int32")

    def pad_groups(self, name: str, step: Step, values: int) -> int:
        """Each group's c channels, padded with +1 to a multiple of 32: [1, H, W, g*c] -> [1, H, W, g*padded].

        RESHAPE [1, H*W, g, c], PADV2 of the last axis, RESHAPE. See padded_weights for what the new channels add.
        """
        per_group, padded = step.in_channels // step.groups, padded_channels(step) // step.groups
        pixels = step.in_height * step.in_width
        if pixels * step.groups * padded > _MAX_ELEMENTS:
            raise ExportError(f"{step.key}: with groups padded to {padded} channels its input exceeds 2**31 values")
        values = self.reshape(f"{name}.groups", values, (1, pixels, step.groups, per_group))
        paddings = self.writer.constant(
            f"{name}.paddings", np.array([[0, 0], [0, 0], [0, 0], [0, padded - per_group]], np.int32)
        )
        plus_one = self.writer.constant(f"{name}.plus_one", np.array(1.0, np.float32))
        values = self.writer.builtin(
            tflite.BuiltinOperator.PADV2,
            [values, paddings, plus_one],
            f"{name}.padded_groups",
            (1, pixels, step.groups, padded),
        )
        return self.reshape(f"{name}.padded", values, (1, step.in_height, step.in_width, step.groups * padded))

    def bconv2d(self, name: str, deploy: DeployStep, bits: int) -> int:
        """y = scale * dot + bias: LceBconv2d with multiplier and bias, or our own operator (docs/litert.md).

        LCE's kernels fold K into the bias, acc * (-2 * scale) + (K * scale + bias), so that y is rounded as a number of
        the size of K * scale, and a padded layer as one of its padded K.
        """
        step = deploy.step
        if has_small_groups(step) and self.small_groups is SmallGroups.NATIVE:
            operator, channels, groups = OWN_OPERATOR, step.in_channels, {"groups": step.groups}
            weights, surplus = deploy.constants["weights"].astype(np.int8), 0
        else:
            operator, channels, groups = "LceBconv2d", padded_channels(step), {}
            weights, surplus = padded_weights(deploy)
        bias = deploy.constants["bias"].astype(np.float32)
        corrected = bias - deploy.constants["scale"].astype(np.float32) * np.float32(surplus)
        inputs = [
            bits,
            self.writer.constant(f"{name}.weights", pack_words(weights < 0)),
            self.constant(name, deploy, "scale"),
            self.writer.constant(f"{name}.bias", corrected),
            NO_TENSOR,
        ]
        options = {
            "channels_in": channels,
            "dilation_height_factor": 1,
            "dilation_width_factor": 1,
            "fused_activation_function": tflite.ActivationFunctionType.NONE,
            "pad_values": 1,
            "padding": _SAME,
            "stride_height": step.stride,
            "stride_width": step.stride,
            **groups,
        }
        return self.writer.custom(operator, inputs, f"{name}.affine", _out_shape(step), options)

    def shortcut(self, name: str, step: Step, output: int, values: int) -> int:
        """y + the step's float input, as Shortcut says.

        AVGPOOL: AVERAGE_POOL_2D with SAME, which divides by the number of pixels that exist. REPEAT: CONCATENATION of
        copies, so that output channel c reads channel c mod in_channels.
        """
        shape = _out_shape(step)
        match step.shortcut:
            case Shortcut.NONE:
                return output
            case Shortcut.IDENTITY:
                added = values
            case Shortcut.AVGPOOL:
                fields = {0: ("int8", _SAME), **{slot: ("int32", 2) for slot in (1, 2, 3, 4)}}
                options = BuiltinOptions(tflite.BuiltinOptions.Pool2DOptions, fields)
                pool = tflite.BuiltinOperator.AVERAGE_POOL_2D
                added = self.writer.builtin(pool, [values], f"{name}.shortcut", shape, options)
            case Shortcut.REPEAT:
                copies = [values] * (step.out_channels // step.in_channels)
                options = BuiltinOptions(tflite.BuiltinOptions.ConcatenationOptions, {0: ("int32", 3)})
                concatenation = tflite.BuiltinOperator.CONCATENATION
                added = self.writer.builtin(concatenation, copies, f"{name}.shortcut", shape, options)
        options = BuiltinOptions(tflite.BuiltinOptions.AddOptions, {})
        sum_name = f"{name}.sum" if step.rprelu else name
        return self.writer.builtin(tflite.BuiltinOperator.ADD, [output, added], sum_name, shape, options)

    def rprelu(self, name: str, deploy: DeployStep, output: int) -> int:
        """RPReLU, d = y - gamma, (d > 0 ? d : beta*d) + zeta: SUB, PRELU, ADD; SUB and ADD only when not all 0.

        Nothing can be folded further: the shortcut stands between bias and gamma, and the float output is read by the
        next shortcut, so zeta cannot move into the next threshold.
        """
        if not deploy.step.rprelu:
            return output
        gamma, zeta = deploy.constants["gamma"], deploy.constants["zeta"]
        if gamma.any():
            output = self.per_channel("SUB", f"{name}.gamma", output, gamma, f"{name}.moved")
        slope = self.writer.constant(f"{name}.beta", deploy.constants["beta"].reshape(1, 1, -1))
        shape = self.writer.shape(output)
        bent = f"{name}.bent" if zeta.any() else name
        output = self.writer.builtin(tflite.BuiltinOperator.PRELU, [output, slope], bent, shape)
        return self.per_channel("ADD", f"{name}.zeta", output, zeta, name) if zeta.any() else output

    def per_channel(
        self, operator: str, constant: str, values: int, vector: npt.NDArray[np.generic], output: str
    ) -> int:
        """values + vector or values - vector, the vector [C] broadcast over [1, H, W, C]."""
        builtin, union = {
            "ADD": (tflite.BuiltinOperator.ADD, tflite.BuiltinOptions.AddOptions),
            "SUB": (tflite.BuiltinOperator.SUB, tflite.BuiltinOptions.SubOptions),
        }[operator]
        inputs = [values, self.writer.constant(constant, vector.reshape(1, 1, 1, -1))]
        return self.writer.builtin(builtin, inputs, output, self.writer.shape(values), BuiltinOptions(union, {}))

    def reshape(self, name: str, values: int, shape: tuple[int, ...]) -> int:
        target = self.writer.constant(f"{name}_shape", np.array(shape, np.int32))
        return self.writer.builtin(tflite.BuiltinOperator.RESHAPE, [values, target], name, shape)

    def constant(self, name: str, deploy: DeployStep, constant: str) -> int:
        return self.writer.constant(f"{name}.{constant}", deploy.constants[constant])


def pack_words(negative: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """[..., C] -> int32 [..., ceil(C / 32)]: channel c is bit c % 32 of word c // 32; tail bits are 0."""
    channels = negative.shape[-1]
    tail = [(0, 0)] * (negative.ndim - 1) + [(0, words(channels) * WORD - channels)]
    packed = np.packbits(np.pad(negative, tail), axis=-1, bitorder="little")
    return packed.view("<i4").astype(np.int32)


def _out_shape(step: Step) -> tuple[int, ...]:
    return (1, step.out_height, step.out_width, step.out_channels)
