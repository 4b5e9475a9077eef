"""DeployGraph -> .onnx: runs in any ONNX Runtime from 1.17 on, faster where our library is registered.

    input   images  float32 [N, image_channels, H, W]
    output  logits  float32 [N, classes]

Inner tensors are named after their step: `step3` is the float output of step 3, `step3.dot` the integer dot product of
a binary one. The floats of a step are computed in the engine's order (native/core/epilogue/epilogue.h): multiply, add,
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
from bnn_deploy.deploy_graph import DeployGraph, DeployStep
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
    writer = _Writer()
    values = INPUT
    for index, deploy in enumerate(graph.steps):
        before = graph.steps[index - 1] if index else None
        values = writer.step(index, deploy, before, values)
    writer.nodes[-1].output[0] = OUTPUT
    model = helper.make_model(
        writer.graph(graph),
        functions=[binary_conv2d()],
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)],
        ir_version=IR_VERSION,
        producer_name="bnn-deploy",
        producer_version=__version__,
    )
    helper.set_model_props(model, provenance(graph.architecture))
    onnx.checker.check_model(model, full_check=True)
    return model


class _Writer:
    """Collects nodes and initializers; each rule below adds the nodes of one piece and returns its output's name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def graph(self, graph: DeployGraph) -> onnx.GraphProto:
        net = graph.architecture
        images = helper.make_tensor_value_info(
            INPUT, TensorProto.FLOAT, ["N", net.image_channels, net.height, net.width]
        )
        logits = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", net.classes])
        return helper.make_graph(self.nodes, "bnn_deploy", [images], [logits], self.initializers)

    def step(self, index: int, deploy: DeployStep, before: DeployStep | None, values: str) -> str:
        """One step: the float output of the step before -> its own."""
        name = f"step{index}"
        match deploy.step.kind:
            case StepKind.GLOBAL_AVGPOOL:
                pooled = self.add("GlobalAveragePool", [values], f"{name}.pooled")
                return self.add("Flatten", [pooled], name)
            case StepKind.LINEAR:
                inputs = [values, *(self.constant(name, deploy, constant) for constant in ("weights", "bias"))]
                return self.add("Gemm", inputs, name, transB=1)
            case StepKind.CONV2D:
                output = self.conv2d(name, deploy, values)
            case StepKind.BCONV2D:
                assert before is not None  # the planner starts with the stem
                output = self.bconv2d(name, deploy, before, values)
                output = self.affine(name, deploy, output)
                output = self.shortcut(name, deploy.step, output, values)
        if deploy.step.rprelu:
            output = self.rprelu(name, deploy, output)
        self.nodes[-1].output[0] = name
        return name

    def conv2d(self, name: str, deploy: DeployStep, values: str) -> str:
        """Float convolution with zero padding: one Conv; weights [O, k, k, C/g] become [O, C/g, k, k]."""
        weights = self.initializer(f"{name}.weights", _channels_first(deploy.constants["weights"]))
        inputs = [values, weights, self.constant(name, deploy, "bias")]
        return self.add("Conv", inputs, f"{name}.conv", "", **_window(deploy.step))

    def bconv2d(self, name: str, deploy: DeployStep, before: DeployStep, values: str) -> str:
        """Binary convolution: BinaryConv2d of the float output and threshold of the step before; the exact integer.

        Before: bits(y < threshold) written by step i-1, dot product of bits in step i.
        After:  BinaryConv2d(y, threshold, weights) in step i. The same comparison on the same float32.
        """
        weights = _channels_first(deploy.constants["weights"])
        inputs = [
            values,
            self.initializer(f"{name}.input_threshold", before.constants["threshold"]),
            self.initializer(f"{name}.weights", pack_weights(weights.astype(np.int8))),
        ]
        attributes = {**_window(deploy.step), "weight_shape": list(weights.shape)}
        return self.add(OPERATOR, inputs, f"{name}.dot", DOMAIN, **attributes)

    def affine(self, name: str, deploy: DeployStep, dot: str) -> str:
        """y = scale * dot + bias: Mul, Add, two roundings as in the engine."""
        scaled = self.add("Mul", [dot, self.per_channel(name, deploy, "scale")], f"{name}.scaled")
        return self.add("Add", [scaled, self.per_channel(name, deploy, "bias")], f"{name}.affine")

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

    def rprelu(self, name: str, deploy: DeployStep, output: str) -> str:
        """RPReLU: d = y - gamma; (d > 0 ? d : beta*d) + zeta. PRelu's d < 0 gives the same at d = 0."""
        moved = self.add("Sub", [output, self.per_channel(name, deploy, "gamma")], f"{name}.moved")
        bent = self.add("PRelu", [moved, self.per_channel(name, deploy, "beta")], f"{name}.bent")
        return self.add("Add", [bent, self.per_channel(name, deploy, "zeta")], f"{name}.rprelu")

    def add(
        self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: int | list[int]
    ) -> str:
        node = helper.make_node(operator, inputs, [output], name=output, domain=domain)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self.nodes.append(node)
        return output

    def constant(self, name: str, deploy: DeployStep, constant: str) -> str:
        return self.initializer(f"{name}.{constant}", deploy.constants[constant])

    def per_channel(self, name: str, deploy: DeployStep, constant: str) -> str:
        """[O] -> [O, 1, 1], which broadcasts over [N, O, H, W]."""
        return self.initializer(f"{name}.{constant}", deploy.constants[constant].reshape(-1, 1, 1))

    def initializer(self, name: str, values: Array) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def _channels_first(weights: Array) -> Array:
    """[O, k, k, C/g] -> [O, C/g, k, k]."""
    return np.ascontiguousarray(weights.transpose(0, 3, 1, 2))


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
