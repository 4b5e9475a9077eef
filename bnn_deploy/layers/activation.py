"""RSign and RPReLU: sign and PReLU with learned shifts (Liu et al., ReActNet, ECCV 2020, equations 4 and 5)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnn_deploy.layers.binarize import Binarizable, Binarization, Ste, signs_from

Padding = tuple[int, int, int, int]  # left, right, top, bottom: the order of F.pad
NO_PADDING: Padding = (0, 0, 0, 0)


def per_channel(vector: Tensor, like: Tensor) -> Tensor:
    """[channels] -> [1, channels, 1, 1] in the type of `like` (bfloat16 under autocast), to broadcast over it."""
    return vector.view(1, -1, 1, 1).to(like.dtype)


class _ShiftedSign(torch.autograd.Function):
    """Forward: -1 where x < alpha[c], else +1, surrounded by `padding` pixels of +1. x: [N, C, H, W], alpha: [C].

    Backward: dx = Ste.backward(g, x - alpha), dalpha[c] = -sum of dx over N, H, W. The comparison is the engine's.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, ste: Ste, padding: Padding) -> Tensor:
        ctx.save_for_backward(x, alpha)
        ctx.ste, ctx.padding = ste, padding
        if padding == NO_PADDING:
            return signs_from(x, per_channel(alpha, x), torch.empty_like(x))
        left, right, top, bottom = padding
        n, channels, height, width = x.shape
        shape = (n, channels, height + top + bottom, width + left + right)
        signs = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last).fill_(1.0)
        signs_from(x, per_channel(alpha, x), _inside(signs, padding))
        return signs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, alpha = ctx.saved_tensors
        grad: Tensor = ctx.ste.backward(_inside(grads[0], ctx.padding), x - per_channel(alpha, x))
        return grad, -grad.sum(dim=(0, 2, 3)), None, None


def _inside(padded: Tensor, padding: Padding) -> Tensor:
    left, right, top, bottom = padding
    height, width = padded.shape[2] - top - bottom, padded.shape[3] - left - right
    return padded[:, :, top : top + height, left : left + width]


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

    def forward(self, x: Tensor, padding: Padding = NO_PADDING) -> Tensor:
        """[N, C, H, W] -> +-1, [N, C, H + top + bottom, W + left + right].

        The padding is +1, or 0 in Binarization.NONE. Padding here rather than in the convolution saves two passes.
        """
        if self.binarization is Binarization.NONE:
            return x if padding == NO_PADDING else F.pad(x, padding)
        result: Tensor = _ShiftedSign.apply(x, self.alpha, self.ste, padding)  # type: ignore[no-untyped-call]
        return result


class _ShiftedPReLU(torch.autograd.Function):
    """Forward: d > 0 ? d + zeta[c] : beta[c]*d + zeta[c]. d: [N, C, H, W], beta and zeta: [C].

    Backward: dd = d > 0 ? g : beta*g; dbeta[c] = sum of g*d where d <= 0; dzeta[c] = sum of g. Written out because
    torch's own gradient of prelu is not vectorised on a CPU (a sixth of a training step).
    """

    @staticmethod
    def forward(ctx: Any, d: Tensor, beta: Tensor, zeta: Tensor) -> Tensor:
        ctx.save_for_backward(d, beta)
        return F.prelu(d, beta.to(d.dtype)).add_(per_channel(zeta, d))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad,) = grads
        d, beta = ctx.saved_tensors
        positive: Tensor = torch.ops.aten.threshold_backward(grad, d, 0.0)  # d > 0 ? grad : 0
        negative = grad - positive
        grad_d = positive.addcmul_(negative, per_channel(beta, d))
        grad_beta = negative.mul_(d).sum(dim=(0, 2, 3))
        return grad_d, grad_beta, grad.sum(dim=(0, 2, 3))


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
        return self.of_shifted(y - per_channel(self.gamma, y))

    def of_shifted(self, d: Tensor) -> Tensor:
        """The same, given d = y - gamma: a batch norm subtracts gamma with its own shift, without a pass over y."""
        result: Tensor = _ShiftedPReLU.apply(d, self.beta, self.zeta)  # type: ignore[no-untyped-call]
        return result
