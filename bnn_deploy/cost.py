"""Cost of a network, counted on the planner's own steps.

Convention (ReActNet's authors, liuzechun/ReActNet issues 1, 17, 19, 23): one multiply-accumulate counts as 1, on the
output map; binary ones are BOPs, real ones FLOPs; OPs = FLOPs + BOPs / 64. Batch norm, RPReLU, sign, shortcuts, pooling
and the classifier's bias are not counted. Bytes are weights alone: binary ones at 1 bit, real ones and the classifier's
bias as float32; per-channel constants are excluded. Quote the convention with every number.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnn_deploy.architecture import Architecture
from bnn_deploy.steps import Step, StepKind, plan


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step or a network costs; costs add."""

    bops: int = 0
    flops: int = 0
    binary_weights: int = 0
    real_weights: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.bops + other.bops,
            self.flops + other.flops,
            self.binary_weights + other.binary_weights,
            self.real_weights + other.real_weights,
        )

    @property
    def ops(self) -> float:
        """FLOPs + BOPs / 64 (Bi-Real Net, Liu et al., ECCV 2018)."""
        return self.flops + self.bops / 64

    @property
    def parameters(self) -> int:
        """Number of weights, binary and real."""
        return self.binary_weights + self.real_weights

    @property
    def bytes(self) -> float:
        """Bytes of the weights: 1 bit each or 4 bytes each."""
        return self.binary_weights / 8 + 4 * self.real_weights

    def to_json(self) -> dict[str, float]:
        """All counts, JSON-ready."""
        return {
            "bops": self.bops,
            "flops": self.flops,
            "ops": self.ops,
            "binary_weights": self.binary_weights,
            "real_weights": self.real_weights,
            "parameters": self.parameters,
            "bytes": self.bytes,
        }


def step_cost(step: Step) -> Cost:
    """Cost of one step."""
    weights = step.k_bits * step.out_channels
    match step.kind:
        case StepKind.BCONV2D:
            return Cost(bops=step.macs, binary_weights=weights)
        case StepKind.CONV2D:
            return Cost(flops=step.macs, real_weights=weights)
        case StepKind.LINEAR:
            return Cost(flops=step.macs, real_weights=weights + step.out_channels)
    return Cost()


def network_cost(architecture: Architecture) -> Cost:
    """Cost of a whole network.

    >>> from bnn_deploy.references import reference
    >>> network_cost(reference("reactnet-a")).ops
    87126016.0
    """
    return sum((step_cost(step) for step in plan(architecture)), Cost())
