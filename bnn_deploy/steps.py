"""The one planner: a network -> the fused steps that the engine executes.

`plan(architecture)` is used for three things, and nothing else plans: the rows of a latency table are its steps, the
`.bnn` file lists its steps and the engine executes them one after another, and the cost model adds up its steps. So a
table row and the code it predicts cannot drift apart.

A network is a **chain**: each step reads what the step before it wrote, as float32 [H, W, C], as packed bits, or both
(the bits into the convolution, the floats into the shortcut).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from bnn_deploy.architecture import REAL_GROUPS, Architecture, Block, Doubling


class StepKind(str, enum.Enum):
    """What a step computes; the native enum of the same order is in native/engine/step.h."""

    CONV2D = "conv2d"  # float in, zero padding
    BCONV2D = "bconv2d"  # packed bits in, +1 padding
    GLOBAL_AVGPOOL = "global_avgpool"  # float in, float out
    LINEAR = "linear"  # float in, float out
    PACK = "pack"  # float in, bits out; the planner has none, networks of other makers begin with one


class Shortcut(str, enum.Enum):
    """What is added to a binary convolution's affine output: the float output of the step before, seen as ..."""

    NONE = "none"
    IDENTITY = "identity"  # same shape
    AVGPOOL = "avgpool"  # 2x2 mean, stride 2; at odd sizes the mean of the pixels that exist
    REPEAT = "repeat"  # output channel c reads channel c mod in_channels


class Activation(str, enum.Enum):
    """What is done to a binary convolution's dot product before its scale; the planner's networks do nothing there."""

    NONE = "none"
    RELU = "relu"
    RELU_N1_TO_1 = "relu_n1_to_1"
    RELU6 = "relu6"


@dataclass(frozen=True, slots=True)
class Step:
    """One fused unit of work of the engine, and the key of a latency-table row.

    For BCONV2D the epilogue is, per output channel (DESIGN: y = scale*(K - 2*acc) + bias, + shortcut, RPReLU, then
    float and/or bits y < threshold); an activation comes before the scale. Bits alone, with nothing in between, are one
    integer compare.

    Padding is TensorFlow's SAME rule: total = max((out - 1)*stride + kernel - in, 0), the smaller half first; it is +1
    for BCONV2D (0 with `zero_padding`) and 0 for CONV2D. `border` is how many pixels of +1 stand around the packed
    output, so that the next binary convolution needs no bounds checks: its kernel // 2.
    """

    kind: StepKind
    in_height: int
    in_width: int
    in_channels: int
    out_height: int
    out_width: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    shortcut: Shortcut = Shortcut.NONE
    rprelu: bool = False
    float_out: bool = True
    bits_out: bool = False
    border: int = 0
    activation: Activation = Activation.NONE
    zero_padding: bool = False

    @property
    def key(self) -> str:
        """Unique, readable name: "bconv2d 56x56x128-56x56x128 k3 s1 g8 identity rprelu float+bits b0"."""
        shape = f"{self.in_height}x{self.in_width}x{self.in_channels}"
        shape += f"-{self.out_height}x{self.out_width}x{self.out_channels}"
        words = [self.kind.value, shape]
        if self.kind in (StepKind.CONV2D, StepKind.BCONV2D):
            words += [f"k{self.kernel}", f"s{self.stride}", f"g{self.groups}", self.shortcut.value]
            words += ["zero-padding"] if self.zero_padding else []
            words += [self.activation.value] if self.activation is not Activation.NONE else []
            words += ["rprelu"] if self.rprelu else []
            words += ["+".join(["float"] * self.float_out + ["bits"] * self.bits_out)]
            words += [f"b{self.border}"] if self.bits_out else []
        return " ".join(words)

    @property
    def integer_threshold(self) -> bool:
        """True when the whole epilogue is one integer compare, acc > threshold."""
        plain = self.activation is Activation.NONE and not self.zero_padding
        fused = self.shortcut is Shortcut.NONE and not self.rprelu and not self.float_out
        return self.kind is StepKind.BCONV2D and plain and fused

    @property
    def k_bits(self) -> int:
        """Length of one dot product: kernel * kernel * in_channels / groups."""
        return self.kernel * self.kernel * self.in_channels // self.groups

    @property
    def macs(self) -> int:
        """Multiply-accumulates, each counted as 1 (the convention of ReActNet's authors)."""
        if self.kind in (StepKind.GLOBAL_AVGPOOL, StepKind.PACK):
            return 0
        return self.k_bits * self.out_channels * self.out_height * self.out_width

    def to_json(self) -> dict[str, object]:
        """All fields, JSON-ready; of those in FOREIGN_FIELDS none that says nothing."""
        data = asdict(self)
        for name in FOREIGN_FIELDS:
            if data[name] in (False, Activation.NONE):
                del data[name]
        return data


# What the planner's steps, and so a latency table's rows, do not have.
FOREIGN_FIELDS = ("activation", "zero_padding")


def same_out(size: int, stride: int) -> int:
    """Output size of one axis under SAME padding: ceil(size / stride)."""
    return -(-size // stride)


def same_pad(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding (before, after) of one axis under TensorFlow's SAME rule."""
    total = max((same_out(size, stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def plan(architecture: Architecture) -> tuple[Step, ...]:
    """The steps of a network, in the order in which the engine executes them. Needs no weights."""
    return tuple(_steps(architecture))


def _steps(net: Architecture) -> Iterator[Step]:
    height, width = same_out(net.height, net.stem.stride), same_out(net.width, net.stem.stride)
    yield Step(
        kind=StepKind.CONV2D,
        in_height=net.height,
        in_width=net.width,
        in_channels=net.image_channels,
        out_height=height,
        out_width=width,
        out_channels=net.stem.channels,
        kernel=net.stem.kernel,
        stride=net.stem.stride,
        bits_out=True,
        border=net.blocks[0].kernel // 2,
    )
    for index, block in enumerate(net.blocks):
        after = net.blocks[index + 1] if index + 1 < len(net.blocks) else None
        yield from _block_steps(net.doubling, block, after, height, width)
        height, width = same_out(height, block.stride), same_out(width, block.stride)
    channels = net.blocks[-1].channels_out
    yield Step(StepKind.GLOBAL_AVGPOOL, height, width, channels, 1, 1, channels)
    yield Step(StepKind.LINEAR, 1, 1, channels, 1, 1, net.classes)


def _block_steps(doubling: Doubling, block: Block, after: Block | None, height: int, width: int) -> Iterator[Step]:
    out_height, out_width = same_out(height, block.stride), same_out(width, block.stride)
    real = block.doubles and doubling is not Doubling.DUPLICATE
    yield Step(
        kind=StepKind.BCONV2D,
        in_height=height,
        in_width=width,
        in_channels=block.channels_in,
        out_height=out_height,
        out_width=out_width,
        out_channels=block.channels_in,
        kernel=block.kernel,
        stride=block.stride,
        groups=block.groups,
        shortcut=Shortcut.AVGPOOL if block.stride == 2 else Shortcut.IDENTITY,
        rprelu=True,
        bits_out=not real,
    )
    shortcut = Shortcut.REPEAT if block.doubles else Shortcut.IDENTITY
    yield Step(
        kind=StepKind.CONV2D if real else StepKind.BCONV2D,
        in_height=out_height,
        in_width=out_width,
        in_channels=block.channels_in,
        out_height=out_height,
        out_width=out_width,
        out_channels=block.channels_out,
        groups=REAL_GROUPS if real and doubling is Doubling.REAL_GROUPED else 1,
        shortcut=Shortcut.NONE if real else shortcut,
        rprelu=True,
        bits_out=after is not None,
        border=after.kernel // 2 if after else 0,
    )
