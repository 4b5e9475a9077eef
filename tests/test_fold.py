"""Folding: the graph computes what the trained network computes, integers equal, floats within rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bnn_deploy.architecture import Architecture, Block, Doubling, Stem
from bnn_deploy.errors import ExportError
from bnn_deploy.export.fold import fold
from bnn_deploy.kernels.reference import Traced, run_step, trace
from bnn_deploy.layers import BatchNorm, Binarization, BinaryMobileNet, BinaryUnit, binary_sign, set_binarization
from bnn_deploy.steps import StepKind, plan

# A value of size 1 is a sum of a few float32 roundings away from its other self.
RTOL, ATOL = 1e-5, 2e-5


@torch.enable_grad()
def trained(doubling: Doubling, seed: int) -> BinaryMobileNet:
    """A few steps from random, with negative and zero batch-norm slopes."""
    torch.manual_seed(seed)
    blocks = (
        Block(8, 16, groups=8),
        Block(16, 32, stride=2, kernel=5, groups=2),
        Block(32, 32),
        Block(32, 64, stride=2),
    )
    net = BinaryMobileNet(Architecture(13, 10, 3, Stem(8), blocks, classes=6, doubling=doubling))
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.weight.data[::3] *= -1
            module.weight.data[1] = 0
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(net(torch.randn(12, 3, 13, 10)), torch.arange(12) % 6).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.weight.data[2] = 0
    return net.eval()


@pytest.mark.parametrize("doubling", list(Doubling))
@torch.no_grad()
def test_every_step_computes_what_its_unit_computes(doubling: Doubling) -> None:
    net = trained(doubling, 1)
    graph = fold(net)
    assert tuple(deploy.step for deploy in graph.steps) == plan(net.architecture)
    x = torch.randn(1, 3, 13, 10)
    flips = total = 0
    for unit, deploy in zip(net.units, graph.steps, strict=False):
        signs = None
        if isinstance(unit, BinaryUnit):
            signs = _hwc(unit.sign(x)).astype(np.int8)
        traced = run_step(deploy, _hwc(x), signs)  # both get the same input
        if isinstance(unit, BinaryUnit):
            assert np.array_equal(_dots(unit, x), deploy.step.k_bits - 2 * _sums(traced))
        x = unit(x)
        np.testing.assert_allclose(traced.values, _hwc(x), rtol=RTOL, atol=ATOL)
        if traced.signs is not None:
            flips += int(np.sum(traced.signs != np.where(_hwc(x) < deploy.constants["threshold"], -1, 1)))
            total += traced.signs.size
    assert total > 1000
    assert flips <= total // 1000


@pytest.mark.parametrize("doubling", list(Doubling))
@torch.no_grad()
def test_the_whole_chain_gives_the_networks_logits(doubling: Doubling) -> None:
    net = trained(doubling, 2)
    graph = fold(net)
    images = torch.randn(3, 3, 13, 10)
    for image, logits in zip(images, net(images), strict=True):
        *_, last = trace(graph.steps, _hwc(image[None]))
        np.testing.assert_allclose(last.values.ravel(), logits.numpy(), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_constants_are_rounded_once_from_float64() -> None:
    net = trained(Doubling.DUPLICATE, 3)
    unit = net.units[1]
    assert isinstance(unit, BinaryUnit)
    assert isinstance(unit.norm, BatchNorm)
    assert unit.norm.running_var is not None
    constants = fold(net).steps[1].constants
    alpha = unit.conv.weight.double().abs().mean(dim=(1, 2, 3))
    scale = alpha * unit.norm.weight.double() / (unit.norm.running_var.double() + unit.norm.eps).sqrt()
    assert np.array_equal(constants["scale"], scale.float().numpy())
    assert constants["scale"][0] < 0
    assert constants["scale"][2] == 0
    assert set(np.unique(constants["weights"]).tolist()) == {-1, 1}


def test_the_threshold_is_that_of_the_reader() -> None:
    net = trained(Doubling.REAL, 4)
    graph = fold(net)
    for deploy, reader in zip(graph.steps, list(net.units)[1:], strict=False):
        if isinstance(reader, BinaryUnit):
            assert np.array_equal(deploy.constants["threshold"], reader.sign.alpha.detach().numpy())
        else:
            assert "threshold" not in deploy.constants
    assert [deploy.step.kind for deploy in graph.steps].count(StepKind.CONV2D) == 4


def test_folding_needs_a_binary_network() -> None:
    net = trained(Doubling.DUPLICATE, 5)
    set_binarization(net, Binarization.ACTIVATIONS)
    with pytest.raises(ExportError, match=r"units\.1\.sign: expected a fully binarized model, got 'activations'"):
        fold(net)


def test_a_diverged_network_is_refused() -> None:
    net = trained(Doubling.DUPLICATE, 6)
    net.classifier.bias.data[0] = float("nan")
    with pytest.raises(ExportError, match="bias is not finite"):
        fold(net)


def _hwc(x: torch.Tensor) -> np.ndarray:
    """[1, C, H, W] -> [H, W, C]."""
    return x.detach()[0].permute(1, 2, 0).numpy()


def _sums(traced: Traced) -> np.ndarray:
    assert traced.sums is not None
    return traced.sums


def _dots(unit: BinaryUnit, x: torch.Tensor) -> np.ndarray:
    """The integer +-1 dot products by torch's convolution of signs, exact in float32."""
    signs = unit.conv.weight.data.clone()
    unit.conv.weight.data = binary_sign(signs)  # alpha = 1
    dots = _hwc(unit.conv(unit.sign(x)))
    unit.conv.weight.data = signs
    return dots
