"""Random networks for tests: any Architecture -> a DeployGraph with constants of the size that training gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bnn_deploy.architecture import Architecture, Block, Doubling, Stem
from bnn_deploy.deploy_graph import DeployGraph, DeployStep, expected_constants
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


# One network for each thing that an export can get wrong; names are test ids.
NETWORKS = {
    "dense": network(Block(32, 32), Block(32, 64, stride=2)),
    "groups-of-32": network(Block(64, 64, groups=2), Block(64, 128, groups=2, stride=2)),
    "groups-of-16": network(Block(64, 64, groups=4), Block(64, 64, groups=4, kernel=5)),
    "groups-of-48": network(Block(96, 96, groups=2), Block(96, 96, groups=2, stride=2)),
    "groups-of-odd": network(Block(15, 15, groups=3), Block(15, 30, groups=5, stride=2)),
    "depthwise": network(Block(16, 16, groups=16), Block(16, 32, groups=16, stride=2), Block(32, 32, groups=32)),
    "odd-sizes": network(Block(24, 24, stride=2), Block(24, 48, stride=2, groups=3), size=(13, 7)),
    "one-pixel": network(Block(16, 16, stride=2), Block(16, 32, stride=2), size=(2, 3)),
    "kernel-5": network(Block(20, 20, kernel=5, stride=2, groups=4), Block(20, 40, kernel=5), size=(11, 12)),
    "odd-channels": network(Block(33, 33), Block(33, 33, groups=11), Block(33, 99)),
    "wide-repeat": network(Block(8, 32), Block(32, 96, groups=32, stride=2)),
    "strided-stem": network(Block(16, 16, groups=2), stem=Stem(16, kernel=5, stride=2), size=(15, 16)),
    "real": network(Block(16, 32, groups=4), Block(32, 64, stride=2), Block(64, 64), doubling=Doubling.REAL),
    "real-grouped": network(Block(16, 32, groups=4), Block(32, 64, stride=2), doubling=Doubling.REAL_GROUPED),
}


def named_graph(name: str) -> DeployGraph:
    """The random graph of one of NETWORKS, always the same."""
    return random_graph(NETWORKS[name], np.random.default_rng(list(NETWORKS).index(name)))


def with_constant(graph: DeployGraph, index: int, name: str, values: Array) -> DeployGraph:
    """The same graph with one constant replaced."""
    steps = list(graph.steps)
    steps[index] = DeployStep(steps[index].step, {**steps[index].constants, name: values})
    return DeployGraph(graph.architecture, tuple(steps))


def tied_graph() -> DeployGraph:
    """A network whose first signs are all ties: the stem's output, whatever the image, is exactly its threshold.

    Every third channel is 0.0 against 0.0, -0.0 against 0.0, and 0.25 against 0.25: always the sign +1.
    """
    graph = named_graph("dense")
    stem = graph.steps[0].constants
    graph = with_constant(graph, 0, "weights", np.zeros_like(stem["weights"]))
    channels = np.arange(graph.architecture.stem.channels) % 3
    bias = np.choose(channels, [0.0, -0.0, 0.25]).astype(np.float32)
    graph = with_constant(graph, 0, "bias", bias)
    return with_constant(graph, 0, "threshold", np.abs(bias))
