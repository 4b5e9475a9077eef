"""One set of weights for every combination of group counts.

The rule by which group counts share a weight tensor is re-implemented from the description of NAS-BNN (Lin et al.,
arXiv 2408.15484): see `group_slice`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bnn_deploy.architecture import Architecture
from bnn_deploy.errors import ArchitectureError
from bnn_deploy.layers.binarize import WEIGHT_STE, Ste, set_binarization
from bnn_deploy.layers.block import BinaryUnit
from bnn_deploy.layers.conv import BinaryConv2d
from bnn_deploy.layers.mobilenet import BinaryMobileNet
from bnn_deploy.layers.norm import BatchNorm

__all__ = ["SharedConv2d", "SharedNorm", "Supernet", "group_slice"]


def group_slice(shared: Tensor, channels_in: int, groups: int) -> Tensor:
    """The weights that `groups` groups use of a shared tensor.

    With w = channels_in / groups input channels per group and r = (width of shared) / w, output chunk i of `groups`
    equal chunks takes input slice i mod r, the columns (i mod r)*w .. (i mod r)*w + w: a larger group count is a
    sub-block of the same weights and cycles through all of them.

    Args:
        shared: [out, channels_in / smallest groups, k, k].
        channels_in: input channels of the convolution.
        groups: a divisor of out and channels_in, and a multiple of the smallest group count.

    Returns:
        [out, w, k, k]; `shared` itself when nothing is cut.
    """
    out, width, *window = shared.shape
    w = channels_in // groups
    r = width // w
    if r == 1:
        return shared
    chunks = shared.reshape(groups, out // groups, r, w, *window)
    index = torch.arange(groups, device=shared.device)
    picked: Tensor = chunks[index, :, index % r]  # [groups, out/groups, w, k, k]
    return picked.reshape(out, w, *window).contiguous(memory_format=torch.channels_last)


class SharedConv2d(BinaryConv2d):
    """A k x k binary convolution C -> C whose group count is chosen at run time.

    Args:
        channels: C.
        kernel, stride, ste: as in BinaryConv2d.
        choices: allowed group counts, ascending, each a multiple of the first; the first is active.
    """

    def __init__(self, channels: int, kernel: int, stride: int, choices: tuple[int, ...], ste: Ste) -> None:
        super().__init__(channels, channels, kernel, stride, choices[0], ste)
        self.channels = channels

    def active_weight(self) -> Tensor:
        """The slice of the active group count; alpha is then recomputed on it."""
        return group_slice(self.weight, self.channels, self.groups)


class SharedNorm(nn.Module):
    """One batch norm for each group count, as MetaPruning has (Liu et al., ICCV 2019).

    The spread of the sums, and how much they deserve to weigh against the shortcut, depend on the group count.
    RSign and RPReLU, which see the sum with the shortcut, are shared.
    """

    def __init__(self, channels: int, choices: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(BatchNorm(channels) for _ in range(choices))
        self.active = 0

    @property
    def current(self) -> BatchNorm:
        """The batch norm in use."""
        norm = self.norms[self.active]
        assert isinstance(norm, BatchNorm)
        return norm

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """As BatchNorm.forward."""
        result: Tensor = self.current(x, shift)
        return result


class Supernet(nn.Module):
    """Every group combination of one network, in one set of weights.

    Args:
        architecture: the network; its group counts are ignored.
        choices: for each block, the allowed group counts of its k x k convolution. Any order; sorted here.
        activation_ste, weight_ste: as in BinaryMobileNet.

    Raises:
        ArchitectureError: not one tuple for each block, an empty tuple, a count that does not divide the channels or
            is not a multiple of the smallest.

    Example:
        >>> supernet = Supernet(architecture, choices=((1, 2, 4),) * len(architecture.blocks))
        >>> supernet.set_groups((4,) * len(architecture.blocks))
        >>> net = supernet.subnet(supernet.groups)  # a plain BinaryMobileNet with the same logits
    """

    def __init__(
        self,
        architecture: Architecture,
        choices: Sequence[Sequence[int]],
        activation_ste: Ste = Ste(),  # noqa: B008 (frozen)
        weight_ste: Ste = WEIGHT_STE,
    ) -> None:
        super().__init__()
        self.choices = _checked(architecture, choices)
        self.activation_ste, self.weight_ste = activation_ste, weight_ste
        smallest = tuple(allowed[0] for allowed in self.choices)
        self.net = BinaryMobileNet(architecture.with_groups(smallest), activation_ste, weight_ste)
        self._shared: list[tuple[SharedConv2d, SharedNorm]] = []
        for number, allowed in zip(self._shared_numbers(), self.choices, strict=True):
            unit = self.net.units[number]
            assert isinstance(unit, BinaryUnit)
            conv = SharedConv2d(unit.step.in_channels, unit.step.kernel, unit.step.stride, allowed, weight_ste)
            norm = SharedNorm(unit.step.out_channels, len(allowed))
            unit.conv, unit.norm = conv, norm
            self._shared.append((conv, norm))
        self._groups = smallest

    @property
    def groups(self) -> tuple[int, ...]:
        """The active group count of each block."""
        return self._groups

    def set_groups(self, groups: Sequence[int]) -> None:
        """Activates one group count for each block.

        Raises:
            ArchitectureError: not one count for each block, or one that is not among the choices; nothing is changed.
        """
        indices = self._indices(groups)
        for (conv, norm), index, count in zip(self._shared, indices, groups, strict=True):
            conv.groups, norm.active = count, index
        self._groups = tuple(groups)

    def forward(self, images: Tensor) -> Tensor:
        """float32 [N, image_channels, height, width] -> logits [N, classes] of the active subnet."""
        logits: Tensor = self.net(images)
        return logits

    @torch.no_grad()
    def subnet(self, groups: Sequence[int]) -> BinaryMobileNet:
        """A plain network with copies of the weights that `groups` use, as binary as this one; the active groups stay.

        Raises:
            ArchitectureError: as set_groups.
        """
        indices = self._indices(groups)
        architecture = self.net.architecture.with_groups(tuple(groups))
        plain = BinaryMobileNet(architecture, self.activation_ste, self.weight_ste)
        plain.to(self.net.classifier.weight.device)
        state = self.net.state_dict()
        for number, index, count in zip(self._shared_numbers(), indices, groups, strict=True):
            prefix = f"units.{number}."
            norms = {key: state.pop(key) for key in list(state) if key.startswith(f"{prefix}norm.norms.")}
            for key, value in norms.items():
                if key.startswith(f"{prefix}norm.norms.{index}."):
                    state[f"{prefix}norm.{key.rsplit('.', 1)[1]}"] = value
            weight = state[f"{prefix}conv.weight"]
            state[f"{prefix}conv.weight"] = group_slice(weight, weight.shape[0], count)
        plain.load_state_dict(state)
        set_binarization(plain, self._shared[0][0].binarization)
        plain.train(self.training)
        return plain

    def _shared_numbers(self) -> range:
        """Indices into net.units of the k x k units: each block has one, then its 1x1; unit 0 is the stem."""
        return range(1, len(self.net.units), 2)

    def _indices(self, groups: Sequence[int]) -> list[int]:
        if len(groups) != len(self.choices):
            raise ArchitectureError(f"expected {len(self.choices)} group counts, got {len(groups)}")
        for block, (count, allowed) in enumerate(zip(groups, self.choices, strict=True)):
            if count not in allowed:
                raise ArchitectureError(f"block {block}: expected a group count of {allowed}, got {count}")
        return [allowed.index(count) for count, allowed in zip(groups, self.choices, strict=True)]


def _checked(architecture: Architecture, choices: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    if len(choices) != len(architecture.blocks):
        raise ArchitectureError(f"expected choices for {len(architecture.blocks)} blocks, got {len(choices)}")
    for index, (block, allowed) in enumerate(zip(architecture.blocks, choices, strict=True)):
        if not allowed:
            raise ArchitectureError(f"block {index}: expected at least one group count, got none")
        for count in allowed:
            if count < 1 or block.channels_in % count or count % min(allowed):
                raise ArchitectureError(
                    f"block {index}: a group count must divide {block.channels_in} channels and be a multiple of the "
                    f"smallest, {min(allowed)}, got {count}"
                )
    return tuple(tuple(sorted(set(allowed))) for allowed in choices)
