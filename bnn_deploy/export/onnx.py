"""DeployGraph -> .onnx: runs in any ONNX Runtime from 1.17 on, at the engine's speed where our library is registered.

    input   images  float32 [N, image_channels, H, W]
    output  logits  float32 [N, classes]

The graph is one node, `Network`, a model-local function like BinaryConv2d (onnx_function.py): the library runs it as
the engine does, and every other runtime computes its body, standard operators around one BinaryConv2d for each binary
layer.

    Network(images, constants...) -> logits
        attributes: version 1; steps, the integers of each step's .bnn record (docs/bnn-format.md)

Constants are initializers, named and ordered as the slots of the steps (docs/bnn-format.md): `step3.scale`. Tensors of
the body are named after their step: `step3` is the float output of step 3, `step3.dot` the integer dot product of a
binary one. The floats of a step are computed in the engine's order (native/core/epilogue/epilogue.h): multiply, add,
shortcut, RPReLU.

Example:
    >>> export_onnx(graph, "network.onnx")                                              # doctest: +SKIP
    >>> onnxruntime.InferenceSession("network.onnx").run(["logits"], {"images": x})     # doctest: +SKIP
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from bnn_deploy import __version__
from bnn_deploy.deploy_graph import CONSTANTS, DeployGraph
from bnn_deploy.engine.bnn_file import record_fields
from bnn_deploy.export.common import check_values, provenance
from bnn_deploy.export.onnx_function import (
    DOMAIN,
    DOMAIN_VERSION,
    IR_VERSION,
    OPERATOR,
    OPSET,
    binary_conv2d,
    pack_weights,
)
from bnn_deploy.journal import write_atomically
from bnn_deploy.steps import Shortcut, Step, StepKind, same_pad

INPUT = "images"
OUTPUT = "logits"
NETWORK = "Network"
NETWORK_VERSION = 1  # of its attributes and inputs

Array = npt.NDArray[np.generic]


def export_onnx(graph: DeployGraph, path: str | os.PathLike[str]) -> None:
    """Write a graph as an .onnx file, whole or not at all.

    Raises:
        ExportError: constants that the file cannot hold (see common.check_values).
    """
    write_atomically(Path(path), to_model(graph).SerializeToString())


def to_model(graph: DeployGraph) -> ModelProto:
    """The ONNX model of a graph, checked by onnx.checker (full_check).

    Raises:
        ExportError: constants that the file cannot hold (see common.check_values).
    """
    check_values(graph)
    constants = [
        numpy_helper.from_array(_as_input(deploy.step, slot, deploy.constants[slot]), _name(index, slot))
        for index, deploy in enumerate(graph.steps)
        for slot in CONSTANTS
        if slot in deploy.constants
    ]
    names = [INPUT, *(constant.name for constant in constants)]
    node = helper.make_node(NETWORK, names, [OUTPUT], name=NETWORK, domain=DOMAIN)
    node.attribute.append(helper.make_attribute("version", NETWORK_VERSION))
    node.attribute.append(helper.make_attribute("steps", _records(graph)))
    net = graph.architecture
    images = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", net.image_channels, net.height, net.width])
    logits = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", net.classes])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)]
    body = _Body(graph).nodes
    network = helper.make_function(DOMAIN, NETWORK, names, [OUTPUT], body, opsets, attributes=["version", "steps"])
    model = helper.make_model(
        helper.make_graph([node], "bnn_deploy", [images], [logits], constants),
        functions=[binary_conv2d(), network],
        opset_imports=opsets,
        ir_version=IR_VERSION,
        producer_name="bnn-deploy",
        producer_version=__version__,
    )
    helper.set_model_props(model, provenance(graph.architecture))
    onnx.checker.check_model(model, full_check=True)
    return model


def inlined(model: ModelProto) -> ModelProto:
    """The same model with the body of Network as its graph, so that inner tensors can be asked for.

    Raises:
        LookupError: a model without a Network.
    """
    functions = {function.name: function for function in model.functions if function.domain == DOMAIN}
    flat = ModelProto()
    flat.CopyFrom(model)
    del flat.graph.node[:]
    flat.graph.node.extend(functions[NETWORK].node)
    flat.functions.remove(functions[NETWORK])
    return flat


def _records(graph: DeployGraph) -> list[int]:
    return [value for deploy in graph.steps for value in record_fields(deploy.step)]


def _name(index: int, constant: str) -> str:
    return f"step{index}.{constant}"


def _as_input(step: Step, name: str, values: Array) -> Array:
    """A constant as the operators want it: weights [O, C/g, k, k], of a binary convolution packed; what is computed for
    each channel of [N, O, H, W] as [O, 1, 1]."""
    if name == "weights" and step.kind is not StepKind.LINEAR:
        weights = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        return pack_weights(weights.astype(np.int8)) if step.kind is StepKind.BCONV2D else weights
    if name in ("weights", "threshold") or (name == "bias" and step.kind is not StepKind.BCONV2D):
        return np.ascontiguousarray(values)
    return np.ascontiguousarray(values.reshape(-1, 1, 1))


class _Body:
    """The nodes of Network's body; each rule below adds those of one piece and returns its output's name."""

    def __init__(self, graph: DeployGraph) -> None:
        self.nodes: list[NodeProto] = []
        values = INPUT
        for index, deploy in enumerate(graph.steps):
            values = self.step(index, deploy.step, values)
        self.nodes[-1].output[0] = OUTPUT

    def step(self, index: int, step: Step, values: str) -> str:
        """One step: the float output of the step before -> its own."""
        name = f"step{index}"
        match step.kind:
            case StepKind.GLOBAL_AVGPOOL:
                pooled = self.add("GlobalAveragePool", [values], f"{name}.pooled")
                return self.add("Flatten", [pooled], name)
            case StepKind.LINEAR:
                return self.add("Gemm", [values, f"{name}.weights", f"{name}.bias"], name, transB=1)
            case StepKind.CONV2D:
                output = self.conv2d(name, step, values)
            case StepKind.BCONV2D:
                output = self.bconv2d(name, step, _name(index - 1, "threshold"), values)
                output = self.affine(name, output)
                output = self.shortcut(name, step, output, values)
        if step.rprelu:
            output = self.rprelu(name, output)
        self.nodes[-1].output[0] = name
        return name

    def conv2d(self, name: str, step: Step, values: str) -> str:
        """Float convolution with zero padding: one Conv."""
        inputs = [values, f"{name}.weights", f"{name}.bias"]
        return self.add("Conv", inputs, f"{name}.conv", "", **_window(step))

    def bconv2d(self, name: str, step: Step, threshold: str, values: str) -> str:
        """Binary convolution: BinaryConv2d of the float output and threshold of the step before; the exact integer.

        Before: bits(y < threshold) written by step i-1, dot product of bits in step i.
        After:  BinaryConv2d(y, threshold, weights) in step i. The same comparison on the same float32.
        """
        weight_shape = [step.out_channels, step.in_channels // step.groups, step.kernel, step.kernel]
        inputs = [values, threshold, f"{name}.weights"]
        return self.add(OPERATOR, inputs, f"{name}.dot", DOMAIN, **_window(step), weight_shape=weight_shape)

    def affine(self, name: str, dot: str) -> str:
        """y = scale * dot + bias: Mul, Add, two roundings as in the engine."""
        scaled = self.add("Mul", [dot, f"{name}.scale"], f"{name}.scaled")
        return self.add("Add", [scaled, f"{name}.bias"], f"{name}.affine")

    def shortcut(self, name: str, step: Step, output: str, values: str) -> str:
        """y + the step's float input, as Shortcut says.

        AVGPOOL: AveragePool with count_include_pad = 0, padded after the last row or column of an odd size, is the mean
        of the pixels that exist. REPEAT: Concat of copies, so that output channel c reads channel c mod in_channels.
        """
        match step.shortcut:
            case Shortcut.NONE:
                return output
            case Shortcut.IDENTITY:
                added = values
            case Shortcut.AVGPOOL:
                pads = [0, 0, step.in_height % 2, step.in_width % 2]
                window: dict[str, int | list[int]] = {
                    "kernel_shape": [2, 2],
                    "strides": [2, 2],
                    "pads": pads,
                    "count_include_pad": 0,
                }
                added = self.add("AveragePool", [values], f"{name}.shortcut", "", **window)
            case Shortcut.REPEAT:
                copies = [values] * (step.out_channels // step.in_channels)
                added = self.add("Concat", copies, f"{name}.shortcut", axis=1)
        return self.add("Add", [output, added], f"{name}.sum")

    def rprelu(self, name: str, output: str) -> str:
        """RPReLU: d = y - gamma; (d > 0 ? d : beta*d) + zeta. PRelu's d < 0 gives the same at d = 0."""
        moved = self.add("Sub", [output, f"{name}.gamma"], f"{name}.moved")
        bent = self.add("PRelu", [moved, f"{name}.beta"], f"{name}.bent")
        return self.add("Add", [bent, f"{name}.zeta"], f"{name}.rprelu")

    def add(
        self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: int | list[int]
    ) -> str:
        node = helper.make_node(operator, inputs, [output], name=output, domain=domain)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self.nodes.append(node)
        return output


def _window(step: Step) -> dict[str, int | list[int]]:
    """Conv's attributes; padding is TensorFlow's SAME rule, which at stride 2 pads less before than after."""
    top, bottom = same_pad(step.in_height, step.kernel, step.stride)
    left, right = same_pad(step.in_width, step.kernel, step.stride)
    return {
        "kernel_shape": [step.kernel, step.kernel],
        "strides": [step.stride, step.stride],
        "pads": [top, left, bottom, right],
        "group": step.groups,
    }
