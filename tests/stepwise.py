"""Per-step equality: each step of a runtime against float torch, given what the runtime itself fed into that step.

Compared this way one step's rounding cannot hide behind, or be blamed on, the steps before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch

from bnn_deploy.deploy_graph import DeployGraph, DeployStep
from bnn_deploy.runtimes.torch import binary_convolution, epilogue, float_step
from bnn_deploy.steps import StepKind

# float32 epilogue of a few operations on values of order 1..10; a float convolution sums up to a few hundred terms in
# an order of its own.
RTOL, ATOL = 2e-6, 1e-5


def assert_steps_equal(
    graph: DeployGraph,
    images: npt.NDArray[np.float32],
    outputs: Mapping[int, npt.NDArray[np.float32]],
    tolerance: Callable[[DeployStep], float] = lambda _: ATOL,
) -> None:
    """outputs: step index -> the runtime's float output, [N, H, W, C], or [N, C] from the pool on.

    tolerance: the absolute one of a step.
    """
    before = torch.from_numpy(images).permute(0, 3, 1, 2)
    for index, deploy in enumerate(graph.steps):
        if deploy.step.kind is StepKind.BCONV2D:
            threshold = torch.from_numpy(graph.steps[index - 1].constants["threshold"]).view(1, -1, 1, 1)
            expected = epilogue(binary_convolution(before < threshold, deploy), before, deploy)
        else:
            expected = float_step(before, deploy)
        output = torch.from_numpy(np.ascontiguousarray(outputs[index]))
        output = output.permute(0, 3, 1, 2) if output.ndim == 4 else output
        atol = tolerance(deploy)
        torch.testing.assert_close(
            output, expected, rtol=RTOL, atol=atol, msg=lambda text, i=index: f"step {i}: {text}"
        )
        before = output
