"""RSign and RPReLU: sign and PReLU with learned shifts (Liu et al., ReActNet, ECCV 2020, equations 4 and 5)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnn_deploy.layers.binarize import Binarizable, Binarization, Ste


def per_channel(vector: Tensor) -> Tensor:
    """[channels] -> [1, channels, 1, 1], to broadcast over [N, channels, H, W]."""
    return vector.view(1, -1, 1, 1)


class _ShiftedSign(torch.autograd.Function):
    """Forward: -1 where x < alpha[c], else +1: one comparison, exactly the engine's. x: [N, C, H, W], alpha: [C].

    Backward: dx = Ste.backward(g, x - alpha), dalpha[c] = -sum of dx over N, H, W.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, ste: Ste) -> Tensor:
        ctx.save_for_backward(x, alpha)
        ctx.ste = ste
        return torch.where(x < per_channel(alpha), -1.0, 1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, alpha = ctx.saved_tensors
        grad: Tensor = ctx.ste.backward(grads[0], x - per_channel(alpha))
        return grad, -grad.sum(dim=(0, 2, 3)), None


class RSign(Binarizable):
    """sign(x - alpha[c]): the bit is x < alpha[c]. In Binarization.NONE: x.

    Args:
        channels: C of the input [N, C, H, W].
        ste: gradient of the sign.
    """

    def __init__(self, channels: int, ste: Ste = Ste()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.ste = ste

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> +-1 of the same shape."""
        if self.binarization is Binarization.NONE:
            return x
        result: Tensor = _ShiftedSign.apply(x, self.alpha, self.ste)  # type: ignore[no-untyped-call]
        return result


class RPReLU(nn.Module):
    """d = y - gamma[c]; d > 0 ? d + zeta[c] : beta[c]*d + zeta[c] (native/core/epilogue/epilogue.h).

    Args:
        channels: C of the input [N, C, H, W].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.full((channels,), 0.25))
        self.zeta = nn.Parameter(torch.zeros(channels))

    def forward(self, y: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        return self.of_shifted(y - per_channel(self.gamma))

    def of_shifted(self, d: Tensor) -> Tensor:
        """The same, given d = y - gamma: a batch norm subtracts gamma with its own shift, without a pass over y."""
        return F.prelu(d, self.beta).add_(per_channel(self.zeta))
