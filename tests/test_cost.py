"""The cost model against ReActNet's published figures and the uniform-group table that follows from its formula."""

import pytest

from bnn_deploy.cost import Cost, network_cost, step_cost
from bnn_deploy.references import reference
from bnn_deploy.steps import StepKind, plan

# Block: 3x3 dense MACs, 1x1 MACs (MobileNetV1 at 224x224).
PER_BLOCK = [
    (115_605_504, 25_690_112),
    (115_605_504, 25_690_112),
    (462_422_016, 51_380_224),
    (115_605_504, 25_690_112),
    (462_422_016, 51_380_224),
    (115_605_504, 25_690_112),
    *[(462_422_016, 51_380_224)] * 5,
    (115_605_504, 25_690_112),
    (462_422_016, 51_380_224),
]

# name: BOPs e9, OPs e8, binary weights, MiB as printed; the same with real doublings: OPs e8, MiB.
UNIFORM = {
    "uniform-g1": ("4.817", "0.871", 28_253_184, "7.28", "2.136", "9.86"),
    "uniform-g2": ("2.678", "0.537", 15_696_384, "5.78", "1.802", "8.37"),
    "uniform-g4": ("1.609", "0.370", 9_417_984, "5.04", "1.634", "7.62"),
    "uniform-g8": ("1.074", "0.286", 6_278_784, "4.66", "1.551", "7.24"),
    "uniform-g16": ("0.807", "0.245", 4_709_184, "4.47", "1.509", "7.06"),
    "depthwise": ("0.557", "0.206", 3_184_224, "4.29", "1.470", "6.87"),
}


def test_reactnet_a() -> None:
    cost = network_cost(reference("reactnet-a"))
    assert (cost.bops, cost.flops, cost.ops) == (4_816_896_000, 11_862_016, 87_126_016)
    assert f"{cost.bops / 1e9:.3f}e9 {cost.flops / 1e8:.3f}e8 {cost.ops / 1e8:.3f}e8" == "4.817e9 0.119e8 0.871e8"


@pytest.mark.parametrize(("name", "flops", "ops"), [("reactnet-b", "0.440", "1.172"), ("reactnet-c", "1.403", "2.136")])
def test_real_doublings(name: str, flops: str, ops: str) -> None:
    cost = network_cost(reference(name))
    assert f"{cost.bops / 1e9:.3f}" == "4.688"
    assert (f"{cost.flops / 1e8:.3f}", f"{cost.ops / 1e8:.3f}") == (flops, ops)


def test_every_block() -> None:
    steps = [step for step in plan(reference("reactnet-a")) if step.kind is StepKind.BCONV2D]
    assert [(a.macs, b.macs) for a, b in zip(steps[::2], steps[1::2], strict=True)] == PER_BLOCK
    real = [step_cost(step).flops for step in plan(reference("reactnet-a")) if step.kind is not StepKind.BCONV2D]
    assert real == [10_838_016, 0, 1_024_000]


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_groups(name: str) -> None:
    from dataclasses import replace

    from bnn_deploy.architecture import Doubling

    bops, ops, weights, mib, real_ops, real_mib = UNIFORM[name]
    cost = network_cost(reference(name))
    assert (f"{cost.bops / 1e9:.3f}", f"{cost.ops / 1e8:.3f}") == (bops, ops)
    assert (cost.binary_weights, f"{cost.bytes / 2**20:.2f}") == (weights, mib)
    real = network_cost(replace(reference(name), doubling=Doubling.REAL))
    assert (f"{real.ops / 1e8:.3f}", f"{real.bytes / 2**20:.2f}") == (real_ops, real_mib)


def test_uniform_64() -> None:
    net = reference("depthwise")
    capped = net.with_groups(tuple(min(64, block.channels_in) for block in net.blocks))
    cost = network_cost(capped)
    assert (f"{cost.bops / 1e9:.3f}", f"{cost.ops / 1e8:.3f}", cost.binary_weights) == ("0.608", "0.214", 3_532_128)


def test_costs_add() -> None:
    assert Cost(1, 2, 3, 4) + Cost(10, 20, 30, 40) == Cost(11, 22, 33, 44)
    assert Cost(bops=64, flops=1).ops == 2
    assert Cost(binary_weights=8, real_weights=1).bytes == 5
