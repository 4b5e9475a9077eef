"""torch: the trained module, and the folded graph computed step by step with torch's float operators.

The second is the oracle of the exports: sums are a float convolution of -1 and +1, exact below 2**24, another method
than bits and popcount.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnn_deploy.architecture import Architecture
from bnn_deploy.deploy_graph import DeployGraph, DeployStep
from bnn_deploy.layers.activation import RSign
from bnn_deploy.layers.binarize import Binarization, filter_scale
from bnn_deploy.layers.block import BinaryUnit, shortcut_of
from bnn_deploy.layers.conv import same_padding
from bnn_deploy.runtimes.base import Floats, Tap, Trace, check_images, image_shape, integers
from bnn_deploy.steps import Shortcut, StepKind


class TorchRuntime:
    """A trained BinaryMobileNet, in evaluation mode; the module is left in the mode it was in.

    Args:
        module: images [N, C, H, W] -> logits; its binary convolutions are BinaryUnits, in the order of the plan.
        architecture: of the module.

    Raises:
        ValueError: the module is not fully binary (Binarization.FULL).
    """

    name = "torch"

    def __init__(self, module: nn.Module, architecture: Architecture) -> None:
        self._module = module
        self.image_shape = image_shape(architecture)
        self._units = [unit for unit in module.modules() if isinstance(unit, BinaryUnit)]
        if any(unit.conv.binarization is not Binarization.FULL for unit in self._units):
            raise ValueError("module: expected Binarization.FULL in every binary convolution")

    def run(self, images: Floats) -> Floats:
        """See Runtime.run."""
        check_images(images, self.image_shape)
        with _reference_mode(), _evaluating(self._module):
            logits: Tensor = self._module(_channels_first(images))
        return _numpy(logits)

    def trace(self, images: Floats) -> Trace:
        """See Runtime.trace. A sum is what reaches the batch norm, alpha[o] * sum, divided by alpha[o]."""
        signs: list[npt.NDArray[np.bool_]] = []
        sums: list[npt.NDArray[np.int32]] = []
        scales = [filter_scale(unit.conv.active_weight().detach()).flatten().double() for unit in self._units]

        def tap_signs(sign: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            assert isinstance(sign, RSign)
            signs.append(_channels_last(inputs[0] < sign.alpha.view(1, -1, 1, 1)).astype(np.bool_))

        def tap_sums(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            alpha = scales[len(sums)]
            quotient = inputs[0].double() / torch.where(alpha > 0, alpha, 1.0).view(1, -1, 1, 1)
            sums.append(integers(_channels_last(quotient).astype(np.float64), tolerance=0.25))

        handles = [unit.sign.register_forward_pre_hook(tap_signs) for unit in self._units]
        handles += [unit.norm.register_forward_pre_hook(tap_sums) for unit in self._units]
        try:
            logits = self.run(images)
        finally:
            for handle in handles:
                handle.remove()
        layers = zip(signs, sums, scales, strict=True)
        return Trace(logits, tuple(Tap(negative, dots, (alpha > 0).numpy()) for negative, dots, alpha in layers))


class GraphRuntime:
    """A DeployGraph computed in torch, step by step, in the engine's order of operations.

    Args:
        graph: the folded network.

    Example:
        >>> GraphRuntime(graph).trace(images).taps[0].sums.shape    # doctest: +SKIP
        (1, 16, 16, 32)
    """

    name = "torch"

    def __init__(self, graph: DeployGraph) -> None:
        self._graph = graph
        self.image_shape = image_shape(graph.architecture)

    def run(self, images: Floats) -> Floats:
        """See Runtime.run."""
        return self.trace(images).logits

    def trace(self, images: Floats) -> Trace:
        """See Runtime.trace."""
        check_images(images, self.image_shape)
        taps: list[Tap] = []
        values = _channels_first(images)
        with _reference_mode():
            for index, deploy in enumerate(self._graph.steps):
                if deploy.step.kind is StepKind.BCONV2D:
                    negative = values < _per_channel(self._graph.steps[index - 1], "threshold")
                    sums = binary_convolution(negative, deploy)
                    every = np.ones(deploy.step.out_channels, np.bool_)
                    taps.append(
                        Tap(_channels_last(negative).astype(np.bool_), _channels_last(sums).astype(np.int32), every)
                    )
                    values = epilogue(sums, values, deploy)
                else:
                    values = float_step(values, deploy)
        return Trace(_numpy(values), tuple(taps))


def reference_sums(tap: Tap, deploy: DeployStep) -> npt.NDArray[np.int32]:
    """What the sums of a binary layer must be, given the input signs it saw: int32 [N, OH, OW, O]."""
    negative = torch.from_numpy(np.ascontiguousarray(tap.negative)).permute(0, 3, 1, 2)
    with _reference_mode():
        return _channels_last(binary_convolution(negative, deploy)).astype(np.int32)


def binary_convolution(negative: Tensor, deploy: DeployStep) -> Tensor:
    """Sum over the window of sign * weight, padding +1: bool [N, C, H, W] -> float32 integers [N, O, OH, OW]."""
    step = deploy.step
    signs = torch.where(negative, -1.0, 1.0)
    padded = F.pad(signs, same_padding(signs, step.kernel, step.stride), value=1.0)
    return F.conv2d(padded, _weights(deploy), stride=step.stride, groups=step.groups)


def epilogue(sums: Tensor, before: Tensor, deploy: DeployStep) -> Tensor:
    """scale * sums + bias, + shortcut of the step's float input, RPReLU: [N, O, OH, OW]."""
    y = _per_channel(deploy, "scale") * sums
    y += _per_channel(deploy, "bias")
    if deploy.step.shortcut is not Shortcut.NONE:
        y += shortcut_of(before, deploy.step.shortcut, deploy.step.out_channels)
    return _rprelu(y, deploy)


def float_step(values: Tensor, deploy: DeployStep) -> Tensor:
    """A real-valued step: conv2d or global pool [N, C, H, W] -> [N, O, OH, OW] or [N, O]; linear [N, C] -> [N, O]."""
    step = deploy.step
    match step.kind:
        case StepKind.GLOBAL_AVGPOOL:
            return values.mean(dim=(2, 3))
        case StepKind.LINEAR:
            return F.linear(values, _tensor(deploy, "weights"), _tensor(deploy, "bias"))
        case _:
            padded = F.pad(values, same_padding(values, step.kernel, step.stride))
            bias = _tensor(deploy, "bias")
            return _rprelu(F.conv2d(padded, _weights(deploy), bias, stride=step.stride, groups=step.groups), deploy)


def _rprelu(y: Tensor, deploy: DeployStep) -> Tensor:
    if not deploy.step.rprelu:
        return y
    d = y - _per_channel(deploy, "gamma")
    return torch.where(d > 0, d, _per_channel(deploy, "beta") * d) + _per_channel(deploy, "zeta")


def _tensor(deploy: DeployStep, name: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(deploy.constants[name], dtype=np.float32))


def _per_channel(deploy: DeployStep, name: str) -> Tensor:
    return _tensor(deploy, name).view(1, -1, 1, 1)


def _weights(deploy: DeployStep) -> Tensor:
    """[O, k, k, C/g] -> [O, C/g, k, k] in torch's channels-last layout, which is the same bytes."""
    return _tensor(deploy, "weights").permute(0, 3, 1, 2)


def _channels_first(images: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)


def _channels_last(values: Tensor) -> npt.NDArray[np.generic]:
    array: npt.NDArray[np.generic] = values.permute(0, 2, 3, 1).numpy()
    return array


def _numpy(values: Tensor) -> Floats:
    array: Floats = values.detach().numpy()
    return array


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode; the mode comes back afterwards."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


@contextmanager
def _reference_mode() -> Iterator[None]:
    """One thread, as in every runtime, and no gradients; the number of threads comes back afterwards.

    One thread is also the faster choice for many small operators on a machine that does other work.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
