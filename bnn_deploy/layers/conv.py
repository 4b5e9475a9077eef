"""The binary group convolution with SAME padding of +1, as the engine runs it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnn_deploy.layers.activation import Padding
from bnn_deploy.layers.binarize import WEIGHT_STE, Binarizable, Binarization, Ste, binarize_weight
from bnn_deploy.steps import same_pad


def same_padding(x: Tensor, kernel: int, stride: int) -> Padding:
    """TensorFlow's SAME padding (steps.same_pad: the smaller half first) of x [N, C, H, W], in the order of F.pad."""
    return (*same_pad(x.shape[3], kernel, stride), *same_pad(x.shape[2], kernel, stride))


# Smaller latent weights change sign sooner at the same learning rate; the scale itself cancels in the batch norm. Seven
# blocks, 8 groups, 3 epochs of `digits` with Adam at 2.5e-3: loss 1.33 with 1, 0.44 with 0.3, 0.19 with 0.1, 0.14 with
# 0.03; below 0.1 the float twin begins to suffer.
BINARY_GAIN = 0.1


def conv_weight(channels_out: int, channels_per_group: int, kernel: int, gain: float = 1.0) -> nn.Parameter:
    """Initial weights [out, in/groups, k, k], normal with deviation gain / sqrt(in/groups * k * k)."""
    deviation = gain / math.sqrt(channels_per_group * kernel * kernel)
    weight = torch.randn(channels_out, channels_per_group, kernel, kernel) * deviation
    return nn.Parameter(weight.contiguous(memory_format=torch.channels_last))


class BinaryConv2d(Binarizable):
    """Group convolution of +-1 activations with alpha[o] * sign(W[o]); padding is +1 (0 in Binarization.NONE).

    Args:
        channels_in, channels_out: both divisible by groups.
        kernel: odd window size.
        stride: 1 or 2.
        groups: output channel o reads the input channels of group o * groups // channels_out.
        ste: gradient of the weights' sign.

    Raises:
        ValueError: groups do not divide the channels.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        ste: Ste = WEIGHT_STE,
    ) -> None:
        super().__init__()
        if channels_in % groups or channels_out % groups:
            raise ValueError(f"groups must divide {channels_in} and {channels_out} channels, got {groups}")
        self.kernel, self.stride, self.groups, self.ste = kernel, stride, groups, ste
        self.weight = conv_weight(channels_out, channels_in // groups, kernel, BINARY_GAIN)

    def active_weight(self) -> Tensor:
        """The real-valued weights in use, [out, in/groups, k, k]."""
        return self.weight

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels_in, H, W] -> [N, channels_out, ceil(H / stride), ceil(W / stride)]."""
        value = 0.0 if self.binarization is Binarization.NONE else 1.0
        return self.of_padded(F.pad(x, same_padding(x, self.kernel, self.stride), value=value))

    def of_padded(self, x: Tensor) -> Tensor:
        """The same, given an input that is already padded (RSign does it in passing)."""
        weight = self.active_weight()
        if self.binarization is Binarization.FULL:
            weight = binarize_weight(weight, self.ste)
        return F.conv2d(x, weight, stride=self.stride, groups=self.groups)
