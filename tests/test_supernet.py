"""Supernet: the sharing rule, and that a subnet is the plain network it says it is."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from bnn_deploy.architecture import Architecture, Block, Doubling, Stem
from bnn_deploy.errors import ArchitectureError
from bnn_deploy.layers import Binarization, recalibrate, set_binarization
from bnn_deploy.layers.supernet import Supernet, group_slice

CHOICES = ((1, 2, 8), (2, 4, 16), (1, 4))


def architecture(doubling: Doubling = Doubling.DUPLICATE) -> Architecture:
    blocks = (Block(8, 16), Block(16, 32, stride=2, kernel=5), Block(32, 32))
    return Architecture(12, 12, 3, Stem(8), blocks, classes=4, doubling=doubling)


def trained(supernet: Supernet, steps: int = 3) -> Supernet:
    """A few steps on random data, another subnet each."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(supernet.parameters(), 1e-2)
    for index in range(steps):
        supernet.set_groups([allowed[index % len(allowed)] for allowed in supernet.choices])
        optimizer.zero_grad()
        images = torch.randn(8, 3, 12, 12, generator=generator)
        F.cross_entropy(supernet(images), torch.arange(8) % 4).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return supernet


def test_chunks_cycle_through_the_input_slices() -> None:
    # 8 channels, smallest group count 2: 4 columns shared; 4 groups use w = 2 columns, r = 2 slices.
    shared = torch.arange(8 * 4, dtype=torch.float32).view(8, 4, 1, 1)
    got = group_slice(shared, 8, 4)
    for out in range(8):
        first = (out // 2 % 2) * 2  # chunk out // 2
        assert got[out].flatten().tolist() == shared[out, first : first + 2].flatten().tolist()
    assert group_slice(shared, 8, 2) is shared
    assert group_slice(shared, 8, 8).flatten().tolist() == [float(4 * out + out % 4) for out in range(8)]


@pytest.mark.parametrize("doubling", [Doubling.DUPLICATE, Doubling.REAL_GROUPED])
@pytest.mark.parametrize("mode", list(Binarization))
def test_a_subnet_has_bit_identical_logits(doubling: Doubling, mode: Binarization) -> None:
    torch.manual_seed(2)
    supernet = trained(Supernet(architecture(doubling), CHOICES))
    set_binarization(supernet, mode)
    supernet.eval()
    images = torch.randn(3, 3, 12, 12)
    for groups in itertools.product(*CHOICES):
        supernet.set_groups(groups)
        subnet = supernet.subnet(groups)
        assert subnet.architecture == architecture(doubling).with_groups(groups)
        assert torch.equal(supernet(images), subnet(images))


def test_a_subnet_is_a_copy() -> None:
    torch.manual_seed(3)
    supernet = Supernet(architecture(), CHOICES)
    groups = supernet.groups
    assert groups == (1, 2, 1)
    subnet = supernet.subnet((8, 4, 4))
    assert supernet.groups == groups
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    for parameter in subnet.parameters():
        parameter.data += 1.0
    assert all(torch.equal(before[name], value) for name, value in supernet.state_dict().items())


def test_only_what_a_subnet_uses_has_gradients() -> None:
    torch.manual_seed(4)
    supernet = Supernet(architecture(), CHOICES)
    supernet.set_groups((8, 4, 1))
    supernet(torch.randn(2, 3, 12, 12)).square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in supernet.named_parameters()}
    assert gradients["net.units.1.norm.norms.2.weight"] is not None
    assert gradients["net.units.1.norm.norms.0.weight"] is None
    weight = gradients["net.units.1.conv.weight"]
    assert weight is not None
    used = weight.abs().sum(dim=(2, 3)) > 0
    assert torch.equal(used, torch.eye(8, dtype=torch.bool))  # depthwise: one column for each output


def test_recalibration_leaves_other_choices_alone() -> None:
    torch.manual_seed(5)
    supernet = trained(Supernet(architecture(), CHOICES))
    supernet.set_groups((2, 4, 4))
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    recalibrate(supernet, [torch.randn(4, 3, 12, 12) for _ in range(2)])
    changed = {name for name, value in supernet.state_dict().items() if not torch.equal(before[name], value)}
    assert "net.units.1.norm.norms.1.running_mean" in changed
    assert "net.units.0.norm.running_mean" in changed
    assert not any(name.startswith(("net.units.1.norm.norms.0", "net.units.1.norm.norms.2")) for name in changed)
    assert not changed & {name for name, _ in supernet.named_parameters()}


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (CHOICES[:2], "choices for 3 blocks, got 2"),
        (((1,), (), (1,)), "block 1: expected at least one group count"),
        (((1,), (3,), (1,)), "block 1: a group count must divide 16"),
        (((1,), (1,), (0,)), "block 2: a group count must divide 32"),
    ],
)
def test_impossible_choices_are_named(choices: tuple[tuple[int, ...], ...], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        Supernet(architecture(), choices)


def test_a_count_that_is_no_multiple_of_the_smallest_is_refused() -> None:
    net = Architecture(8, 8, 3, Stem(12), (Block(12, 12),), classes=2)
    with pytest.raises(ArchitectureError, match="multiple of the smallest, 2, got 3"):
        Supernet(net, ((2, 3),))


def test_groups_outside_the_choices_change_nothing() -> None:
    supernet = Supernet(architecture(), CHOICES)
    with pytest.raises(ArchitectureError, match=r"block 2: expected a group count of \(1, 4\), got 2"):
        supernet.set_groups((8, 4, 2))
    with pytest.raises(ArchitectureError, match="expected 3 group counts, got 1"):
        supernet.subnet((8,))
    assert supernet.groups == (1, 2, 1)
