"""Named reference architectures, for cost oracles, benchmarks and baselines."""

from __future__ import annotations

from dataclasses import replace

from bnn_deploy.architecture import Architecture, Doubling
from bnn_deploy.errors import UnknownName
from bnn_deploy.space import Space, load_space

UNIFORM_GROUPS = (1, 2, 4, 8, 16)
SEED_SPACE = "mobilenet-224"


def reference_names() -> list[str]:
    """reactnet-a, -b, -c; uniform-g1 ... uniform-g16; depthwise."""
    return ["reactnet-a", "reactnet-b", "reactnet-c", *(f"uniform-g{g}" for g in UNIFORM_GROUPS), "depthwise"]


def reference(name: str, space: Space | None = None) -> Architecture:
    """A reference by name, on the skeleton of `space` (default: the seed's 13 blocks at 224x224).

    reactnet-a is the network of Liu et al. (ECCV 2020): every 3x3 dense, everything binary between stem and classifier;
    -b and -c have real 1x1 convolutions (4 groups, dense) where channels double. uniform-gN has N groups in every 3x3
    (capped by the channels), depthwise as many as there are channels.

    Raises:
        UnknownName: not in reference_names().
    """
    skeleton = (space or load_space(SEED_SPACE)).base
    channels = tuple(block.channels_in for block in skeleton.blocks)
    dense = skeleton.with_groups((1,) * len(channels))
    match name:
        case "reactnet-a":
            return replace(dense, doubling=Doubling.DUPLICATE)
        case "reactnet-b":
            return replace(dense, doubling=Doubling.REAL_GROUPED)
        case "reactnet-c":
            return replace(dense, doubling=Doubling.REAL)
        case "depthwise":
            return skeleton.with_groups(channels)
    if name not in reference_names():
        raise UnknownName("reference architecture", name, reference_names())
    groups = int(name.removeprefix("uniform-g"))
    return skeleton.with_groups(tuple(min(groups, c) for c in channels))
