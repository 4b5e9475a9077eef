"""Layers: the bit rule, the written-out gradients against plain autograd, padding, unit order."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bnn_deploy.architecture import Architecture, Block, Doubling, Stem
from bnn_deploy.kernels.reference import bconv2d
from bnn_deploy.layers import (
    BatchNorm,
    Binarization,
    BinaryConv2d,
    BinaryMobileNet,
    BinaryUnit,
    RealUnit,
    RPReLU,
    RSign,
    Ste,
    SteKind,
    binarize_weight,
    binary_sign,
    filter_scale,
    recalibrate,
    set_binarization,
    sign_ste,
)
from bnn_deploy.layers.block import shortcut_of
from bnn_deploy.steps import Shortcut, StepKind, plan

BLOCKS = (Block(8, 16, groups=2), Block(16, 32, stride=2, kernel=5, groups=4), Block(32, 32))


def architecture(doubling: Doubling = Doubling.DUPLICATE, height: int = 9) -> Architecture:
    return Architecture(height, 12, 3, Stem(8), BLOCKS, classes=5, doubling=doubling)


def randomized(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Every vector away from its initial value, some batch-norm slopes negative."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.weight.data[::3] *= -1
    return model


def test_sign_follows_the_bit_rule() -> None:
    x = torch.tensor([-1.0, -1e-45, -0.0, 0.0, 1e-45, 2.0])
    assert binary_sign(x).tolist() == [-1, -1, 1, 1, 1, 1]


def test_rsign_compares_with_its_threshold_exactly() -> None:
    sign = RSign(1)
    sign.alpha.data.fill_(0.1)
    alpha = sign.alpha.data[0]
    below, above = torch.nextafter(alpha, torch.tensor(-1.0)), torch.nextafter(alpha, torch.tensor(1.0))
    x = torch.stack([below, alpha, above]).view(1, 1, 1, 3)
    assert sign(x).flatten().tolist() == [-1, 1, 1]
    sign.alpha.data.fill_(0.0)
    assert sign(torch.tensor([-0.0, 0.0]).view(1, 1, 1, 2)).flatten().tolist() == [1, 1]


@pytest.mark.parametrize("clip", [0.5, 1.0, 1.25])
def test_ste_gradients(clip: float) -> None:
    x = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    sign_ste(x, Ste(SteKind.CLIPPED_IDENTITY, clip)).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    inside = x.detach().abs() < clip - 1e-9
    assert torch.equal(x.grad[inside], torch.ones_like(x.grad[inside]))
    assert not x.grad[x.detach().abs() > clip + 1e-9].any()
    x.grad = None
    sign_ste(x, Ste(SteKind.APPROX_SIGN, clip)).sum().backward()  # type: ignore[no-untyped-call]
    # Bi-Real Net, eq. 7: F(u) = 2u + u^2 on [-1, 0), 2u - u^2 on [0, 1), with u = x / clip.
    u = (x.detach() / clip).requires_grad_()
    clamped = u.clamp(-1, 1)
    (2 * clamped - clamped * clamped.abs()).sum().backward()  # type: ignore[no-untyped-call]
    assert u.grad is not None
    torch.testing.assert_close(x.grad, u.grad / clip, rtol=1e-12, atol=1e-12)


def test_ste_rejects_a_clip_that_is_not_positive() -> None:
    with pytest.raises(ValueError, match="clip must be positive"):
        Ste(clip=0.0)


@pytest.mark.parametrize("kind", list(SteKind))
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 1, 0, 1)])
def test_rsign_gradients_equal_those_of_the_plain_composition(
    kind: SteKind, padding: tuple[int, int, int, int]
) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    sign = RSign(3, Ste(kind, 0.9)).double()
    sign.alpha.data = torch.randn(3, generator=generator, dtype=torch.float64) / 4
    out = sign(x, padding)
    grad = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    got = torch.autograd.grad(out, (x, sign.alpha), grad)
    plain = F.pad(sign_ste(x - sign.alpha.view(1, -1, 1, 1), Ste(kind, 0.9)), padding, value=1.0)
    assert torch.equal(out, plain)
    expected = torch.autograd.grad(plain, (x, sign.alpha), grad)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_rprelu_equals_its_formula_with_gradients() -> None:
    generator = torch.Generator().manual_seed(2)
    y = torch.randn(2, 4, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    activation = RPReLU(4).double()
    assert torch.equal(activation.beta, torch.full((4,), 0.25, dtype=torch.float64))
    for parameter in activation.parameters():
        parameter.data += torch.randn(4, generator=generator, dtype=torch.float64)
    gamma, beta, zeta = (p.view(1, -1, 1, 1) for p in (activation.gamma, activation.beta, activation.zeta))
    d = y - gamma
    expected = torch.where(d > 0, d + zeta, beta * d + zeta)
    assert torch.equal(activation(y), expected)
    torch.autograd.gradcheck(activation, (y,))
    inputs = (y, *activation.parameters())
    weight = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(activation(y), inputs, weight), torch.autograd.grad(expected, inputs, weight)
    )


def test_weights_are_scaled_signs() -> None:
    weight = torch.tensor([[-0.5, 0.0], [-0.0, 1.5]]).view(2, 2, 1, 1).requires_grad_()
    binary = binarize_weight(weight)
    assert filter_scale(weight).flatten().tolist() == [0.25, 0.75]
    assert binary.flatten().tolist() == [-0.25, 0.25, 0.75, 0.75]
    binary.sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert weight.grad.flatten().tolist() == [0.25, 0.25, 0.75, 0]  # alpha inside the clip, alpha itself detached


@pytest.mark.parametrize("size", [(5, 6), (1, 1), (7, 4)])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_binary_convolution_equals_the_reference(size: tuple[int, int], kernel: int, stride: int, groups: int) -> None:
    generator = torch.Generator().manual_seed(3)
    conv = BinaryConv2d(6, 12, kernel, stride, groups)
    x = binary_sign(torch.randn(1, 6, *size, generator=generator))
    weight = conv.weight.detach()
    conv.weight.data = binary_sign(weight)  # alpha = 1: sums are integers, equal without tolerance
    out = conv(x)
    acc = bconv2d(
        x[0].permute(1, 2, 0).numpy(), conv.weight.detach().permute(0, 2, 3, 1).numpy(), stride=stride, groups=groups
    )
    k_bits = kernel * kernel * 6 // groups
    assert torch.equal(out[0].permute(1, 2, 0), k_bits - 2.0 * torch.from_numpy(acc))


def test_convolution_rejects_groups_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="groups must divide 6 and 12"):
        BinaryConv2d(6, 12, 3, groups=4)


def test_shortcuts() -> None:
    x = torch.arange(2 * 3 * 3, dtype=torch.float32).view(1, 2, 3, 3)
    assert shortcut_of(x, Shortcut.IDENTITY, 2) is x
    pooled = shortcut_of(x, Shortcut.AVGPOOL, 2)
    assert pooled[0, 0].tolist() == [[2.0, 3.5], [6.5, 8.0]]  # odd size: the mean of the pixels that exist
    repeated = shortcut_of(x, Shortcut.REPEAT, 6)
    assert all(torch.equal(repeated[:, c], x[:, c % 2]) for c in range(6))
    with pytest.raises(ValueError, match="expected a shortcut"):
        shortcut_of(x, Shortcut.NONE, 2)


def test_a_unit_is_the_composition_of_its_layers() -> None:
    step = plan(architecture())[3]
    unit = randomized(BinaryUnit(step, Ste()), 4)
    assert isinstance(unit, BinaryUnit)
    x = torch.randn(2, step.in_channels, step.in_height, step.in_width, generator=torch.Generator().manual_seed(5))
    plain = unit.norm(unit.conv(unit.sign(x))) + shortcut_of(x, step.shortcut, step.out_channels)
    # gamma is subtracted with the batch norm's bias: another order of additions of numbers around 1.
    torch.testing.assert_close(unit(x), unit.activation(plain), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("doubling", list(Doubling))
@pytest.mark.parametrize("height", [9, 16])
def test_units_are_the_planners_steps(doubling: Doubling, height: int) -> None:
    net = BinaryMobileNet(architecture(doubling, height))
    *convolutions, _pool, _linear = plan(net.architecture)
    x = torch.zeros(1, 3, height, 12)
    for unit, step in zip(net.units, convolutions, strict=True):
        assert isinstance(unit, BinaryUnit if step.kind is StepKind.BCONV2D else RealUnit)
        assert unit.step == step
        assert tuple(x.shape[1:]) == (step.in_channels, step.in_height, step.in_width)
        x = unit(x)
        assert tuple(x.shape[1:]) == (step.out_channels, step.out_height, step.out_width)
    assert net(torch.zeros(2, 3, height, 12)).shape == (2, 5)


@pytest.mark.parametrize("mode", list(Binarization))
def test_every_mode_trains_every_parameter(mode: Binarization) -> None:
    torch.manual_seed(6)
    net = BinaryMobileNet(architecture())
    set_binarization(net, mode)
    images = torch.randn(16, 3, 9, 12)
    labels = torch.arange(16) % 5
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    for name, parameter in net.named_parameters():
        unused = mode is Binarization.NONE and name.endswith("sign.alpha")
        assert unused == (parameter.grad is None or not parameter.grad.any()), name


def test_modes_differ_in_what_is_binary() -> None:
    net = BinaryMobileNet(architecture())
    unit = net.units[1]
    assert isinstance(unit, BinaryUnit)
    x = torch.randn(1, 8, 5, 6, generator=torch.Generator().manual_seed(7))
    set_binarization(net, Binarization.NONE)
    assert unit.sign(x) is x
    torch.testing.assert_close(unit.conv(x), F.conv2d(x, unit.conv.weight, padding=1, groups=2))
    set_binarization(net, Binarization.ACTIVATIONS)
    assert torch.equal(unit.sign(x), binary_sign(x))
    padded = F.pad(binary_sign(x), (1, 1, 1, 1), value=1.0)
    assert torch.equal(unit.conv(binary_sign(x)), F.conv2d(padded, unit.conv.weight, groups=2))


def test_autocast_keeps_the_forward_signs() -> None:
    net = BinaryMobileNet(architecture())
    images = torch.randn(2, 3, 9, 12, generator=torch.Generator().manual_seed(8))
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(images)
    logits.float().sum().backward()
    assert torch.isfinite(logits).all()


def test_recalibration_is_the_average_over_batches_and_touches_nothing_else() -> None:
    torch.manual_seed(9)
    net = BinaryMobileNet(architecture()).train()
    for module in net.modules():
        if isinstance(module, BatchNorm) and module.running_mean is not None:
            module.running_mean.fill_(100.0)
    before = {name: value.clone() for name, value in net.named_parameters()}
    batches = [torch.randn(8, 3, 9, 12) for _ in range(3)]
    net.units[0].eval()
    assert recalibrate(net, batches) == 3
    assert net.training
    assert not net.units[0].training
    assert all(torch.equal(before[name], value) for name, value in net.named_parameters())
    stem = net.units[0]
    assert isinstance(stem, RealUnit)
    assert isinstance(stem.norm, BatchNorm)
    assert stem.norm.momentum == 0.1
    means, variances = zip(*[_moments(stem, batch) for batch in batches], strict=True)
    assert stem.norm.running_mean is not None
    assert stem.norm.running_var is not None
    # float32 running averages
    torch.testing.assert_close(stem.norm.running_mean, torch.stack(means).mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stem.norm.running_var, torch.stack(variances).mean(0), rtol=1e-4, atol=1e-5)


def test_recalibration_needs_a_batch() -> None:
    net = BinaryMobileNet(architecture())
    with pytest.raises(ValueError, match="at least one batch"):
        recalibrate(net, [])


def _moments(stem: RealUnit, images: Tensor) -> tuple[Tensor, Tensor]:
    y = F.conv2d(F.pad(images, (0, 1, 1, 1)), stem.weight.detach(), stride=2)  # 9 rows: (1, 1); 12 columns: (0, 1)
    return y.mean(dim=(0, 2, 3)), y.var(dim=(0, 2, 3))
