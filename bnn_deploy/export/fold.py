"""A trained BinaryMobileNet -> DeployGraph: batch norm, scales and thresholds folded, weights as signs.

With s = bn_gamma / sqrt(var + eps) per output channel, a batch norm is y = s*z + (bn_beta - mean*s). So

    binary:  z = alpha * (K - 2*acc)   scale = alpha * s      bias = bn_beta - mean * s
    real:    z = W * x                 weights = s * W        bias = bn_beta - mean * s

where K - 2*acc is the +-1 dot product and alpha = mean |W|. The epilogue is affine in float, so a negative or zero s
needs no special case: the sign of `scale` carries it, and no threshold is flipped. The threshold of a step is the
alpha of the RSign that reads it: bit = (y < alpha).

All of it is computed in float64 and rounded once to float32.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from bnn_deploy.deploy_graph import DeployGraph, DeployStep
from bnn_deploy.errors import ExportError
from bnn_deploy.layers.activation import RPReLU
from bnn_deploy.layers.binarize import Binarizable, Binarization
from bnn_deploy.layers.block import BinaryUnit, RealUnit
from bnn_deploy.layers.mobilenet import BinaryMobileNet
from bnn_deploy.steps import Step, plan

Float64 = npt.NDArray[np.float64]
Constants = dict[str, npt.NDArray[np.generic]]


def fold(model: BinaryMobileNet) -> DeployGraph:
    """The graph that computes what `model` computes in eval mode. The model is not changed.

    Raises:
        ExportError: a model that is not Binarization.FULL, or constants that are not finite in float32.

    Example:
        >>> graph = fold(BinaryMobileNet(architecture).eval())
    """
    for name, module in model.named_modules():
        if isinstance(module, Binarizable) and module.binarization is not Binarization.FULL:
            raise ExportError(f"{name}: expected a fully binarized model, got {module.binarization.value!r}")
    *convolutions, pool, linear = plan(model.architecture)
    units = list(model.units)
    steps = []
    for index, step in enumerate(convolutions):
        reader = units[index + 1] if index + 1 < len(units) else None
        constants = _unit(units[index], step)
        if isinstance(reader, BinaryUnit):
            constants["threshold"] = _float32(_float64(reader.sign.alpha))
        steps.append(DeployStep(step, constants))
    steps.append(DeployStep(pool, {}))
    steps.append(DeployStep(linear, _linear(model.classifier)))
    for index, deploy in enumerate(steps):
        _check_finite(index, deploy)
    return DeployGraph(model.architecture, tuple(steps))


def _unit(unit: nn.Module, step: Step) -> Constants:
    if isinstance(unit, BinaryUnit):
        return _binary(unit) | _rprelu(unit.activation)
    if isinstance(unit, RealUnit):
        return _real(unit) | (_rprelu(unit.activation) if unit.activation is not None else {})
    raise ExportError(f"step {step.key}: expected a BinaryUnit or a RealUnit, got {type(unit).__name__}")


def _binary(unit: BinaryUnit) -> Constants:
    """int8 weights [out, k, k, in/groups] of -1 and +1 (-1 where W < 0), scale and bias [out]."""
    weight = _float64(unit.conv.active_weight())  # [out, in/groups, k, k]
    slope, bias = _affine(unit.norm)
    scale = np.abs(weight).mean(axis=(1, 2, 3)) * slope
    signs = np.where(weight < 0, -1, 1).astype(np.int8)
    return {"weights": _ohwi(signs), "scale": _float32(scale), "bias": _float32(bias)}


def _real(unit: RealUnit) -> Constants:
    """float32 weights [out, k, k, in/groups] with the batch norm's slope, bias [out]."""
    slope, bias = _affine(unit.norm)
    weight = _float64(unit.weight) * slope[:, None, None, None]
    return {"weights": _ohwi(_float32(weight)), "bias": _float32(bias)}


def _rprelu(activation: RPReLU) -> Constants:
    parameters = {"gamma": activation.gamma, "beta": activation.beta, "zeta": activation.zeta}
    return {name: _float32(_float64(value)) for name, value in parameters.items()}


def _linear(linear: nn.Linear) -> Constants:
    return {"weights": _float32(_float64(linear.weight)), "bias": _float32(_float64(linear.bias))}


def _affine(norm: nn.Module) -> tuple[Float64, Float64]:
    """Slope and bias [channels] of a batch norm in eval mode."""
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or norm.running_var is None:
        raise ExportError(f"expected a batch norm with running statistics, got {type(norm).__name__}")
    slope = _float64(norm.weight) / np.sqrt(_float64(norm.running_var) + norm.eps)
    return slope, _float64(norm.bias) - _float64(norm.running_mean) * slope


def _float64(tensor: Tensor) -> Float64:
    array: Float64 = tensor.detach().cpu().double().numpy()
    return array


def _float32(array: Float64) -> npt.NDArray[np.generic]:
    """Rounded once; an overflow becomes infinite and is reported by _check_finite."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def _ohwi(weight: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """[out, in, k, k] -> [out, k, k, in]."""
    return np.ascontiguousarray(weight.transpose(0, 2, 3, 1))


def _check_finite(index: int, deploy: DeployStep) -> None:
    for name, array in deploy.constants.items():
        if not np.isfinite(array).all():
            raise ExportError(f"step {index} ({deploy.step.key}): {name} is not finite; did training diverge?")
