"""What is left of a network after training and folding, the only thing that an exporter reads.

Batch norm, scaling factors and thresholds are folded into per-channel constants; binary weights are bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bnn_deploy.architecture import Architecture
from bnn_deploy.errors import ExportError
from bnn_deploy.steps import Step, StepKind, plan

# Order of the slots in a .bnn record (docs/bnn-format.md).
CONSTANTS = ("weights", "scale", "bias", "gamma", "beta", "zeta", "threshold")


@dataclass(frozen=True, slots=True)
class DeployStep:
    """A step with its constants.

    constants: name -> array, as docs/bnn-format.md says, except that binary weights are int8 of -1 and +1
    [out, k, k, in/groups] here; a file packs them. float32 arrays are [out_channels] each.
    """

    step: Step
    constants: Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class DeployGraph:
    """A folded network: the steps of `plan(architecture)`, in order, with constants.

    Raises:
        ExportError: steps that are not the planner's, or constants of the wrong name, shape or type.
    """

    architecture: Architecture
    steps: tuple[DeployStep, ...]

    def __post_init__(self) -> None:
        if tuple(deploy.step for deploy in self.steps) != plan(self.architecture):
            raise ExportError("the steps of this graph are not those that the planner gives for its architecture")
        for index, deploy in enumerate(self.steps):
            _check(index, deploy)


def expected_constants(step: Step) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> (shape, dtype) of every constant that a step has."""
    out = (step.out_channels,)
    window = (step.out_channels, step.kernel, step.kernel, step.in_channels // step.groups)
    match step.kind:
        case StepKind.GLOBAL_AVGPOOL:
            return {}
        case StepKind.PACK:
            return {"threshold": (out, "float32")}
        case StepKind.LINEAR:
            return {"weights": ((step.out_channels, step.in_channels), "float32"), "bias": (out, "float32")}
        case StepKind.CONV2D:
            named: dict[str, tuple[tuple[int, ...], str]] = {"weights": (window, "float32"), "bias": (out, "float32")}
        case StepKind.BCONV2D:
            named = {"weights": (window, "int8")}
            if step.integer_threshold:
                return {**named, "threshold": (out, "int32")}
            named |= {"scale": (out, "float32"), "bias": (out, "float32")}
    if step.rprelu:
        named |= {name: (out, "float32") for name in ("gamma", "beta", "zeta")}
    if step.bits_out:
        named["threshold"] = (out, "float32")
    return named


def _check(index: int, deploy: DeployStep) -> None:
    expected = expected_constants(deploy.step)
    if set(expected) != set(deploy.constants):
        raise ExportError(
            f"step {index} ({deploy.step.key}): expected constants {sorted(expected)}, got {sorted(deploy.constants)}"
        )
    for name, (shape, dtype) in expected.items():
        array = deploy.constants[name]
        if array.shape != shape or array.dtype.name != dtype:
            raise ExportError(
                f"step {index} ({deploy.step.key}): {name} must be {dtype} {shape}, got {array.dtype} {array.shape}"
            )
