"""Sign with the bit rule, and the gradients that stand in for its own.

The bit rule (DESIGN 2.2): -1 where x < 0, else +1; so 0 and -0.0 are +1. `torch.sign` maps 0 to 0 and is not used.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


class Binarization(enum.Enum):
    """How much of a network is binary.

    NONE: the float twin. RSign passes its input on, weights are real, padding is 0.
    ACTIVATIONS: +-1 activations, real weights: the first of ReActNet's two training steps (ECCV 2020, section 5.1).
    FULL: what is deployed.
    """

    NONE = "none"
    ACTIVATIONS = "activations"
    FULL = "full"


class SteKind(enum.Enum):
    """Shape of the gradient that replaces that of sign."""

    CLIPPED_IDENTITY = "clipped-identity"
    APPROX_SIGN = "approx-sign"


@dataclass(frozen=True, slots=True)
class Ste:
    """A straight-through estimator: `kind`, and the half width `clip` > 0 of the window that lets gradient pass.

    Raises:
        ValueError: clip is not positive.
    """

    kind: SteKind = SteKind.APPROX_SIGN
    clip: float = 1.0

    def __post_init__(self) -> None:
        if not self.clip > 0:
            raise ValueError(f"clip must be positive, got {self.clip}")

    def backward(self, grad: Tensor, distance: Tensor) -> Tensor:
        """Gradient with respect to x, given the gradient of sign(x) and `distance` = x; overwrites `distance`.

        CLIPPED_IDENTITY: g where |x| < clip, else 0 (Hinton's estimator; Courbariaux et al. 2016, eq. 4).
        APPROX_SIGN: g * max(2 - 2*|x| / clip, 0) / clip, the slope of Bi-Real Net's piecewise polynomial
            (Liu et al., ECCV 2018, eq. 7) stretched to [-clip, clip].
        """
        if self.kind is SteKind.CLIPPED_IDENTITY:
            return torch.ops.aten.hardtanh_backward(grad, distance, -self.clip, self.clip)  # type: ignore[no-any-return]
        slope = torch.sub(2.0 / self.clip, distance.abs_(), alpha=2.0 / self.clip**2)
        return slope.clamp_(min=0.0).mul_(grad)


WEIGHT_STE = Ste(SteKind.CLIPPED_IDENTITY)


def binary_sign(x: Tensor) -> Tensor:
    """-1 where x < 0, else +1, in the type and layout of x. Without gradient: see `sign_ste`."""
    return signs_from(x, 0.0, torch.empty_like(x))


@torch.no_grad()
def signs_from(x: Tensor, threshold: Tensor | float, out: Tensor) -> Tensor:
    """Fills `out`, shaped like x, with -1 where x < threshold, else +1; returns it.

    In place and through a float comparison: on a CPU 20 times faster than torch.where, which is not vectorised there.
    """
    torch.ge(x, threshold, out=out)
    return out.mul_(2.0).sub_(1.0)


class _SignSte(torch.autograd.Function):
    """Forward: binary_sign(x). Backward: Ste.backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ste: Ste) -> Tensor:
        ctx.save_for_backward(x)
        ctx.ste = ste
        return binary_sign(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return ctx.ste.backward(grads[0], x.clone()), None


def sign_ste(x: Tensor, ste: Ste) -> Tensor:
    """binary_sign(x) with the gradient of `ste`. x: any shape."""
    result: Tensor = _SignSte.apply(x, ste)  # type: ignore[no-untyped-call]
    return result


def filter_scale(weight: Tensor) -> Tensor:
    """alpha[o] = mean |W[o]|, the least-squares scale of sign(W[o]) (Rastegari et al., XNOR-Net, eq. 6).

    weight: [out, in/groups, k, k]; result: [out, 1, 1, 1].
    """
    return weight.abs().mean(dim=(1, 2, 3), keepdim=True)


def binarize_weight(weight: Tensor, ste: Ste = WEIGHT_STE) -> Tensor:
    """alpha[o] * sign(W[o]), shape of `weight` [out, in/groups, k, k].

    Gradient: that of `ste` through the sign, times alpha. alpha itself is detached (as in Bi-Real Net): the batch norm
    that follows cancels it, so it carries no gradient of use.
    """
    return sign_ste(weight, ste) * filter_scale(weight.detach())


def set_binarization(model: nn.Module, mode: Binarization) -> None:
    """Puts every layer of `model` that can be binary into `mode`."""
    for module in model.modules():
        if isinstance(module, Binarizable):
            module.binarization = mode


class Binarizable(nn.Module):
    """A module that obeys `set_binarization`; it starts as FULL."""

    def __init__(self) -> None:
        super().__init__()
        self.binarization = Binarization.FULL
