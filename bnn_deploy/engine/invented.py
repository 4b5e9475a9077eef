"""A network with invented constants: what a latency is measured on where nothing was trained.

The time of a run does not depend on the values, as long as none of them is denormal, infinite or NaN: these keep the
activations near 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bnn_deploy.architecture import Architecture
from bnn_deploy.deploy_graph import DeployGraph, DeployStep, expected_constants
from bnn_deploy.steps import Step, plan

__all__ = ["invented_graph"]


def invented_graph(architecture: Architecture, seed: int = 0) -> DeployGraph:
    """The planner's steps of a network with random constants; the same for the same seed, on every machine.

    >>> from bnn_deploy.references import reference
    >>> len(invented_graph(reference("uniform-g8")).steps)
    29
    """
    rng = np.random.default_rng(seed)
    return DeployGraph(architecture, tuple(DeployStep(step, _constants(step, rng)) for step in plan(architecture)))


def _constants(step: Step, rng: np.random.Generator) -> dict[str, npt.NDArray[np.generic]]:
    found: dict[str, npt.NDArray[np.generic]] = {}
    for name, (shape, dtype) in expected_constants(step).items():
        if dtype == "int8":
            found[name] = (2 * rng.integers(0, 2, shape, np.int8) - 1).astype(np.int8)
            continue
        values = 0.2 * rng.standard_normal(shape)
        if name == "weights":
            values *= 5 / np.sqrt(np.prod(shape[1:]))
        elif name == "scale":
            values = rng.uniform(0.3, 1.5, shape) / np.sqrt(step.k_bits)
        found[name] = values.astype(dtype)
    return found
