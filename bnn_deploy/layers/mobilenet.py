"""BinaryMobileNet: the trainable form of an Architecture."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bnn_deploy.architecture import Architecture
from bnn_deploy.layers.binarize import WEIGHT_STE, Ste
from bnn_deploy.layers.block import BinaryUnit, RealUnit
from bnn_deploy.steps import StepKind, plan


class BinaryMobileNet(nn.Module):
    """Real-valued stem, two units for each block, global average pool, real-valued classifier.

    `units` are in the order of `plan(architecture)`; the plan's last two steps are the pool and `classifier`.

    Args:
        architecture: the network.
        activation_ste: gradient of the activations' sign.
        weight_ste: gradient of the weights' sign.

    Example:
        >>> net = BinaryMobileNet(Architecture(32, 32, 3, Stem(32), (Block(32, 64),), classes=10))
        >>> net(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """

    def __init__(
        self,
        architecture: Architecture,
        activation_ste: Ste = Ste(),  # noqa: B008 (frozen)
        weight_ste: Ste = WEIGHT_STE,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        *convolutions, _pool, linear = plan(architecture)
        self.units = nn.ModuleList(
            BinaryUnit(step, activation_ste, weight_ste) if step.kind is StepKind.BCONV2D else RealUnit(step)
            for step in convolutions
        )
        self.classifier = nn.Linear(linear.in_channels, linear.out_channels)

    def forward(self, images: Tensor) -> Tensor:
        """float32 [N, image_channels, height, width] -> logits [N, classes]."""
        x = images.contiguous(memory_format=torch.channels_last)
        for unit in self.units:
            x = unit(x)
        logits: Tensor = self.classifier(x.mean(dim=(2, 3)))
        return logits
