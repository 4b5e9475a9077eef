"""The plain oracle: float convolutions on +-1 data and the steps of a network, in numpy, by the definitions.

Nothing here shares code or method with the engine: no bits, no tiles, float64 accumulation where it matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bnn_deploy.deploy_graph import DeployStep
from bnn_deploy.steps import Activation, Shortcut, StepKind, same_out, same_pad

Floats = npt.NDArray[np.float32]

ACTIVATION_BOUNDS = {
    Activation.NONE: (-np.inf, np.inf),
    Activation.RELU: (0.0, np.inf),
    Activation.RELU_N1_TO_1: (-1.0, 1.0),
    Activation.RELU6: (0.0, 6.0),
}


@dataclass(frozen=True, slots=True)
class Traced:
    """What one step writes. sums: XOR-popcounts of a bconv2d; signs: int8 -1 and +1, where it writes bits."""

    sums: npt.NDArray[np.int32] | None
    values: Floats
    signs: npt.NDArray[np.int8] | None


def signs(x: npt.NDArray[np.generic]) -> npt.NDArray[np.int8]:
    """-1 where x < 0, else +1: 0.0 and -0.0 are +1."""
    return np.where(np.asarray(x) < 0, -1, 1).astype(np.int8)


def conv2d(
    image: npt.NDArray[np.generic],
    weights: npt.NDArray[np.generic],
    *,
    stride: int = 1,
    groups: int = 1,
    padding_value: float = 0.0,
) -> npt.NDArray[np.float64]:
    """out[y, x, o] = sum over the window and the channels of o's group; SAME padding.

    image: [H, W, C], weights: [out, k, k, C/groups] -> float64 [ceil(H/stride), ceil(W/stride), out].
    """
    height, width, channels = image.shape
    out_channels, kernel, _, depth = weights.shape
    out_height, out_width = same_out(height, stride), same_out(width, stride)
    pads = (same_pad(height, kernel, stride), same_pad(width, kernel, stride), (0, 0))
    padded = np.pad(image.astype(np.float64), pads, constant_values=padding_value)
    out = np.zeros((out_height, out_width, groups, out_channels // groups))
    grouped = weights.astype(np.float64).reshape(groups, out_channels // groups, kernel, kernel, depth)
    for ky in range(kernel):
        for kx in range(kernel):
            rows = slice(ky, ky + (out_height - 1) * stride + 1, stride)
            columns = slice(kx, kx + (out_width - 1) * stride + 1, stride)
            window = padded[rows, columns].reshape(out_height, out_width, groups, channels // groups)
            out += np.einsum("yxgc,goc->yxgo", window, grouped[:, :, ky, kx])
    return out.reshape(out_height, out_width, out_channels)


def bconv2d(
    image: npt.NDArray[np.generic], weights: npt.NDArray[np.generic], *, stride: int = 1, groups: int = 1
) -> npt.NDArray[np.int32]:
    """XOR-popcount sums, by way of the float convolution of the signs: acc = (K - dot) / 2."""
    dot = conv2d(signs(image), signs(weights), stride=stride, groups=groups, padding_value=1.0)
    k_bits = int(np.prod(weights.shape[1:]))
    return np.rint((k_bits - dot) / 2).astype(np.int32)


def shortcut(kind: Shortcut, values: Floats, out_channels: int) -> Floats:
    """The float input of a step as its shortcut adds it (bnn_deploy.steps.Shortcut)."""
    if kind is Shortcut.AVGPOOL:
        height, width, channels = values.shape
        out = np.empty((same_out(height, 2), same_out(width, 2), channels), np.float32)
        for y in range(out.shape[0]):
            for x in range(out.shape[1]):
                out[y, x] = values[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean(axis=(0, 1), dtype=np.float64)
        return out
    if kind is Shortcut.REPEAT:
        return np.tile(values, (1, 1, out_channels // values.shape[2]))
    return values


def run_step(deploy: DeployStep, values: Floats, bits: npt.NDArray[np.int8] | None) -> Traced:
    """One step from what the step before wrote: its floats and, for a bconv2d, its signs."""
    step = deploy.step
    constant = {name: array.astype(np.float64) for name, array in deploy.constants.items()}
    if step.kind is StepKind.GLOBAL_AVGPOOL:
        return Traced(None, values.mean(axis=(0, 1), dtype=np.float64, keepdims=True).astype(np.float32), None)
    if step.kind is StepKind.PACK:
        return Traced(None, values, signs(values - deploy.constants["threshold"].astype(np.float32)))
    if step.kind is StepKind.LINEAR:
        out = values.astype(np.float64) @ constant["weights"].T + constant["bias"]
        return Traced(None, out.astype(np.float32), None)
    sums: npt.NDArray[np.int32] | None = None
    if step.kind is StepKind.BCONV2D:
        if bits is None:
            raise ValueError(f"{step.key}: the step before wrote no bits")
        sums = bconv2d(bits, constant["weights"], stride=step.stride, groups=step.groups)
        if step.integer_threshold:
            packed = np.where(sums > constant["threshold"], -1, 1).astype(np.int8)
            return Traced(sums, packed.astype(np.float32), packed)
        dot = step.k_bits - 2.0 * sums
        if step.zero_padding:
            dot = conv2d(bits, constant["weights"], stride=step.stride, groups=step.groups)
        least, most = ACTIVATION_BOUNDS[step.activation]
        y = constant["scale"] * np.clip(dot, least, most) + constant["bias"]
        if step.shortcut is not Shortcut.NONE:
            y = y + shortcut(step.shortcut, values, step.out_channels)
    else:
        y = conv2d(values, constant["weights"], stride=step.stride, groups=step.groups) + constant["bias"]
    if step.rprelu:
        d = y - constant["gamma"]
        y = np.where(d > 0, d, constant["beta"] * d) + constant["zeta"]
    rounded = y.astype(np.float32)
    return Traced(sums, rounded, signs(rounded - constant["threshold"]) if step.bits_out else None)


def trace(steps: Sequence[DeployStep], image: Floats) -> Iterator[Traced]:
    """Every step of a chain on one image [H, W, C]."""
    values, bits = image, None
    for deploy in steps:
        traced = run_step(deploy, values, bits)
        yield traced
        values, bits = traced.values, traced.signs
