"""Random networks for tests: any Architecture -> a DeployGraph with constants of the size that training gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bnn_deploy.architecture import Architecture, Block, Doubling, Stem
from bnn_deploy.export.graph import DeployGraph, DeployStep, expected_constants
from bnn_deploy.steps import Step, StepKind, plan

Array = npt.NDArray[np.generic]


def random_graph(architecture: Architecture, rng: np.random.Generator) -> DeployGraph:
    """A folded network with random constants; a third of the scales and some betas are negative."""
    return DeployGraph(architecture, tuple(random_step(step, rng) for step in plan(architecture)))


def random_step(step: Step, rng: np.random.Generator) -> DeployStep:
    """Random constants of one step, drawn in the order of their names so that a seed means one thing."""
    expected = expected_constants(step)
    return DeployStep(step, {name: _draw(step, name, *expected[name], rng) for name in sorted(expected)})


def _draw(step: Step, name: str, shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Array:
    if dtype == "int8":
        return rng.choice(np.array([-1, 1], np.int8), shape)
    if dtype == "int32":
        return rng.integers(-1, step.k_bits + 1, shape, dtype=np.int32)
    values = rng.standard_normal(shape)
    match name:
        case "weights":
            fan_in = np.prod(shape[1:])
            values = values / np.sqrt(fan_in)
        case "scale":
            sign = np.where(rng.uniform(size=shape) < 1 / 3, -1, 1)
            values = sign * rng.uniform(0.3, 1.5, shape) / np.sqrt(step.k_bits)
        case "beta":
            values = rng.uniform(-0.1, 0.5, shape)
        case _:
            values = 0.2 * values
    return values.astype(np.float32)


def network(
    *blocks: Block,
    size: tuple[int, int] = (12, 12),
    stem: Stem | None = None,
    doubling: Doubling = Doubling.DUPLICATE,
    classes: int = 10,
) -> Architecture:
    """An architecture from its blocks; the stem, unless given, has the first block's channels and stride 1."""
    stem = stem or Stem(blocks[0].channels_in, stride=1)
    return Architecture(
        height=size[0],
        width=size[1],
        image_channels=3,
        stem=stem,
        blocks=blocks,
        classes=classes,
        doubling=doubling,
    )


def random_images(architecture: Architecture, count: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Standard normal images, float32 [N, H, W, C]."""
    shape = (count, architecture.height, architecture.width, architecture.image_channels)
    return rng.standard_normal(shape).astype(np.float32)


def binary_steps(graph: DeployGraph) -> list[DeployStep]:
    """The binary convolutions of a graph, in order."""
    return [deploy for deploy in graph.steps if deploy.step.kind is StepKind.BCONV2D]
