"""Groups that LCE's operator cannot express, and the two ways to write their layers to a .tflite file.

LCE knows no group count: it infers one from the filter's shape, rightly only when a group has 32, 64, 96, ... channels;
otherwise its kernel gives wrong numbers without an error. Layers with other groups are padded, which costs speed, or
written as an operator of our own, which only our delegate knows (docs/litert.md).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bnn_deploy.deploy_graph import DeployGraph, DeployStep
from bnn_deploy.steps import Step, StepKind

WORD = 32  # channels in one int32 of packed bits
OWN_OPERATOR = "BnnBconv2d"


class SmallGroups(str, enum.Enum):
    """How layers whose groups LCE cannot express are written."""

    PAD = "pad"  # each group to the next multiple of 32 channels; an LceBconv2d like any other
    NATIVE = "native"  # as trained, in OWN_OPERATOR


@dataclass(frozen=True, slots=True)
class SmallGroupsLayer:
    """A binary layer whose groups LCE cannot express; index is its step's."""

    index: int
    step: Step

    @property
    def channels_per_group(self) -> int:
        """Input channels of a group as trained."""
        return self.step.in_channels // self.step.groups

    @property
    def padded_channels_per_group(self) -> int:
        """Input channels of a group in a padded file."""
        return padded_channels(self.step) // self.step.groups


@dataclass(frozen=True, slots=True)
class TfliteReport:
    """What the .tflite format costs this network.

    small_groups: how the layers were written whose groups LCE cannot express; layers: those, in order.
    binary_macs: multiply-accumulates of all binary layers as trained; file_binary_macs: those in the file.
    """

    small_groups: SmallGroups
    layers: tuple[SmallGroupsLayer, ...]
    binary_macs: int
    file_binary_macs: int

    @property
    def mac_factor(self) -> float:
        """Binary work of the file over that of the network, 1.0 when nothing was padded."""
        return self.file_binary_macs / self.binary_macs

    def __str__(self) -> str:
        if not self.layers:
            return "no binary layer needed padding"
        layers = "1 binary layer" if len(self.layers) == 1 else f"{len(self.layers)} binary layers"
        if self.small_groups is SmallGroups.PAD:
            return f"{layers} padded to {WORD} channels per group; {self.mac_factor:.3g} times the binary MACs"
        where = f"step{'s' if len(self.layers) > 1 else ''} {', '.join(str(layer.index) for layer in self.layers)}"
        return (
            f"{layers} ({where}) in our own operator {OWN_OPERATOR}: needs our delegate, LCE's interpreter refuses it"
        )


def report(graph: DeployGraph, small_groups: SmallGroups = SmallGroups.PAD) -> TfliteReport:
    """What a graph's file costs, without writing it."""
    binary = [(i, deploy.step) for i, deploy in enumerate(graph.steps) if deploy.step.kind is StepKind.BCONV2D]
    pads = small_groups is SmallGroups.PAD
    return TfliteReport(
        small_groups=small_groups,
        layers=tuple(SmallGroupsLayer(i, step) for i, step in binary if has_small_groups(step)),
        binary_macs=sum(step.macs for _, step in binary),
        file_binary_macs=sum(
            step.macs * padded_channels(step) // step.in_channels if pads else step.macs for _, step in binary
        ),
    )


def has_small_groups(step: Step) -> bool:
    """Several groups whose channels are no multiple of 32."""
    return padded_channels(step) != step.in_channels


def padded_channels(step: Step) -> int:
    """Input channels of a binary step when each of several groups is rounded up to a multiple of 32."""
    if step.groups == 1:
        return step.in_channels
    return step.groups * words(step.in_channels // step.groups) * WORD


def padded_weights(deploy: DeployStep) -> tuple[npt.NDArray[np.int8], int]:
    """Weights [O, k, k, padded C/g] and what the padding adds to every dot product.

    The padded channels are +1 everywhere (the border too), so they add the sum of their weights. Those alternate +1,
    -1, so that the sum, over all k*k*(padded - c) of them, is 0 when their number is even and 1 when it is odd: then,
    and only then, the bias is corrected by one scale.
    """
    step = deploy.step
    weights = deploy.constants["weights"].astype(np.int8)
    extra = padded_channels(step) // step.groups - step.in_channels // step.groups
    count = step.kernel * step.kernel * extra
    filler = np.where(np.arange(count) % 2, -1, 1).astype(np.int8).reshape(1, step.kernel, step.kernel, extra)
    filler = np.broadcast_to(filler, (step.out_channels, step.kernel, step.kernel, extra))
    return np.concatenate([weights, filler], axis=-1), count % 2


def words(channels: int) -> int:
    """int32 words that hold the bits of `channels`."""
    return -(-channels // WORD)
