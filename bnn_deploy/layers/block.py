"""The units of a network; one unit is one engine step (`bnn_deploy.steps.plan`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnn_deploy.layers.activation import RPReLU, RSign
from bnn_deploy.layers.binarize import WEIGHT_STE, Ste
from bnn_deploy.layers.conv import BinaryConv2d, conv_weight, same_padding
from bnn_deploy.layers.norm import BatchNorm
from bnn_deploy.steps import Shortcut, Step


def shortcut_of(x: Tensor, shortcut: Shortcut, channels_out: int) -> Tensor:
    """What is added to the batch norm's output (`bnn_deploy.steps.Shortcut`).

    x: [N, C, H, W]. IDENTITY: x. AVGPOOL: [N, C, ceil(H/2), ceil(W/2)], at odd sizes the mean of the pixels that exist.
    REPEAT: [N, channels_out, H, W], channel c is x's c mod C.

    Raises:
        ValueError: Shortcut.NONE.
    """
    match shortcut:
        case Shortcut.IDENTITY:
            return x
        case Shortcut.AVGPOOL:
            return F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
        case Shortcut.REPEAT:
            return torch.cat([x] * (channels_out // x.shape[1]), dim=1)
        case Shortcut.NONE:
            raise ValueError("expected a shortcut, got Shortcut.NONE")


class BinaryUnit(nn.Module):
    """x -> RSign -> binary convolution -> batch norm -> + shortcut(x) -> RPReLU: one BCONV2D step.

    The batch norm adds -gamma of the RPReLU as well, so that neither gamma nor its gradient costs a pass.

    Args:
        step: shapes, groups and shortcut.
        activation_ste, weight_ste: gradients of the two signs.
    """

    def __init__(self, step: Step, activation_ste: Ste, weight_ste: Ste = WEIGHT_STE) -> None:
        super().__init__()
        self.step = step
        self.sign = RSign(step.in_channels, activation_ste)
        self.conv = BinaryConv2d(
            step.in_channels, step.out_channels, step.kernel, step.stride, step.groups, ste=weight_ste
        )
        self.norm: nn.Module = BatchNorm(step.out_channels)
        self.activation = RPReLU(step.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, ceil(H / stride), ceil(W / stride)]."""
        signs = self.sign(x, same_padding(x, self.step.kernel, self.step.stride))
        d = self.norm(self.conv.of_padded(signs), shift=-self.activation.gamma)
        d += shortcut_of(x, self.step.shortcut, self.step.out_channels)
        return self.activation.of_shifted(d)


class RealUnit(nn.Module):
    """Real-valued convolution (padding 0) -> batch norm [-> RPReLU]: one CONV2D step, the stem or a real 1x1.

    Args:
        step: shapes, groups, and whether there is an RPReLU.
    """

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step
        self.weight = conv_weight(step.out_channels, step.in_channels // step.groups, step.kernel)
        self.norm = BatchNorm(step.out_channels)
        self.activation = RPReLU(step.out_channels) if step.rprelu else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, ceil(H / stride), ceil(W / stride)]."""
        padded = F.pad(x, same_padding(x, self.step.kernel, self.step.stride))
        y = F.conv2d(padded, self.weight, stride=self.step.stride, groups=self.step.groups)
        if self.activation is None:
            plain: Tensor = self.norm(y)
            return plain
        return self.activation.of_shifted(self.norm(y, shift=-self.activation.gamma))
