"""Batch norm that takes an extra shift for nothing, and the recalibration of its statistics."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm2d):
    """weight * (y - mean) / sqrt(var + eps) + bias + shift, per channel (Ioffe and Szegedy 2015).

    The shift of the layer that follows is added to the bias, [channels] numbers, and not to the [N, C, H, W] output.
    """

    def forward(self, input: Tensor, shift: Tensor | None = None) -> Tensor:
        """[N, C, H, W] -> the same shape; shift: [C]. In training mode the running statistics follow."""
        factor = 0.0
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            factor = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        bias = self.bias if shift is None else self.bias + shift
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, bias, self.training, factor, self.eps
        )


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[Tensor]) -> int:
    """Recomputes the running statistics of every batch norm that `batches` pass through; parameters stay as they are.

    Statistics become the plain average over the batches (NAS-BNN's variant of Guo et al. 2020, section 3.4). Batch
    norms that see no data, such as those of a supernet's other choices, keep theirs.

    Args:
        model: left in the mode (train or eval) that it came in.
        batches: images [N, C, H, W], of equal size N for an unweighted mean to be right.

    Returns:
        The number of batches seen.

    Raises:
        ValueError: no batches.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    modes = [(module, module.training) for module in model.modules()]
    before = [(norm, norm.momentum, int(norm.num_batches_tracked or 0)) for norm in norms]
    model.eval()
    count = 0
    try:
        for norm in norms:
            norm.train()
            norm.momentum = None  # cumulative average; the first batch gets weight 1, so old statistics vanish
            _set_tracked(norm, 0)
        for images in batches:
            model(images)
            count += 1
    finally:
        for norm, momentum, tracked in before:
            norm.momentum = momentum
            if int(norm.num_batches_tracked or 0) == 0:
                _set_tracked(norm, tracked)
        for module, training in modes:
            module.training = training
    if count == 0:
        raise ValueError("recalibrate: expected at least one batch, got none")
    return count


def _set_tracked(norm: nn.BatchNorm2d, count: int) -> None:
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.fill_(count)
