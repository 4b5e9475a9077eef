"""The engine against the plain oracle, step by step, on networks with every kind of step, shortcut and doubling."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from bnn_deploy.architecture import Block, Doubling, Stem
from bnn_deploy.deploy_graph import DeployGraph, DeployStep
from bnn_deploy.engine.bnn_file import steps_to_bytes, to_bytes, write_bnn
from bnn_deploy.engine.network import Network
from bnn_deploy.errors import FileFormatError, RuntimeUnavailable, UnknownName
from bnn_deploy.kernels import available_kernels, reference, unpack_bits
from bnn_deploy.steps import Activation, Shortcut, Step, StepKind
from tests.graphs import network, random_graph, random_images, random_step

ISAS = sorted({kernel.isa for kernel in available_kernels() if kernel.supported})

NETWORKS = {
    "identity, average pool, repeat": network(
        Block(24, 24, groups=3), Block(24, 72, stride=2, groups=24), Block(72, 72, kernel=5), size=(11, 9)
    ),
    "stem of stride 2, wide": network(
        Block(64, 128, groups=8), Block(128, 256, stride=2, groups=16), size=(17, 15), stem=Stem(64, kernel=5)
    ),
    "real 1x1": network(Block(20, 40, stride=2), Block(40, 80, groups=40), size=(9, 10), doubling=Doubling.REAL),
    "real grouped 1x1": network(
        Block(24, 48, groups=2), Block(48, 48, stride=2), size=(8, 8), doubling=Doubling.REAL_GROUPED
    ),
}


def threshold_chain() -> list[DeployStep]:
    """A chain with integer-threshold steps, which no planner emits today: conv, 3 thresholds, real conv on the way."""
    rng = np.random.default_rng(11)
    bits = {"float_out": False, "bits_out": True}
    binary, real = StepKind.BCONV2D, StepKind.CONV2D
    steps = [
        Step(real, 9, 7, 3, 9, 7, 40, kernel=3, border=1, **bits),  # type: ignore[arg-type]
        Step(binary, 9, 7, 40, 5, 4, 70, kernel=3, stride=2, groups=10, border=2, **bits),  # type: ignore[arg-type]
        Step(binary, 5, 4, 70, 5, 4, 70, kernel=5, groups=70, **bits),  # type: ignore[arg-type]
        Step(binary, 5, 4, 70, 5, 4, 130, **bits),  # type: ignore[arg-type]
        Step(binary, 5, 4, 130, 5, 4, 12),
        Step(StepKind.GLOBAL_AVGPOOL, 5, 4, 12, 1, 1, 12),
        Step(StepKind.LINEAR, 1, 1, 12, 1, 1, 5),
    ]
    return [random_step(step, rng) for step in steps]


def foreign_chain() -> list[DeployStep]:
    """What no planner emits, but files of other makers hold: a pack first, activations, zero padding."""
    rng = np.random.default_rng(12)
    binary, identity, both = StepKind.BCONV2D, Shortcut.IDENTITY, {"bits_out": True}
    zeros = {"zero_padding": True, "bits_out": True}
    steps = [
        Step(StepKind.PACK, 9, 7, 40, 9, 7, 40, border=1, **both),  # type: ignore[arg-type]
        Step(binary, 9, 7, 40, 9, 7, 40, 3, 1, 5, identity, activation=Activation.RELU, border=2, **both),  # type: ignore[arg-type]
        Step(binary, 9, 7, 40, 5, 4, 80, kernel=5, stride=2, border=1, **zeros),  # type: ignore[arg-type]
        Step(binary, 5, 4, 80, 5, 4, 80, 3, 1, 80, identity, rprelu=True, border=1, **zeros),  # type: ignore[arg-type]
        Step(binary, 5, 4, 80, 3, 2, 80, 3, 2, 2, Shortcut.AVGPOOL, **zeros),  # type: ignore[arg-type]
        Step(binary, 3, 2, 80, 3, 2, 160, shortcut=Shortcut.REPEAT, border=3, **zeros),  # type: ignore[arg-type]
        Step(binary, 3, 2, 160, 3, 2, 24, kernel=7, float_out=False, border=0, **zeros),  # type: ignore[arg-type]
        Step(binary, 3, 2, 24, 3, 2, 70, activation=Activation.RELU6, border=1, **both),  # type: ignore[arg-type]
        Step(binary, 3, 2, 70, 3, 2, 70, 3, float_out=False, activation=Activation.RELU_N1_TO_1, **both),  # type: ignore[arg-type]
        Step(binary, 3, 2, 70, 3, 2, 12),
    ]
    return [random_step(step, rng) for step in steps]


def check_trace(steps: list[DeployStep], data: bytes, image: np.ndarray, kernel: str | None) -> None:
    """Every step given what the engine's own step before wrote: sums equal, floats close, bits equal to (y < t)."""
    values, bits = image, None
    for deploy, traced in zip(steps, Network(data, kernel).trace(image), strict=True):
        step = deploy.step
        expected = reference.run_step(deploy, values, bits)
        assert traced.kind == step.kind.value
        if expected.sums is not None:
            assert traced.sums is not None
            np.testing.assert_array_equal(traced.sums, expected.sums)
        values, bits = np.empty(0, np.float32), None
        if step.float_out:
            assert traced.values is not None
            # rtol: float32 sums in another order, of magnitudes up to a few times the result
            np.testing.assert_allclose(traced.values, expected.values, rtol=1e-4, atol=1e-4)
            values = traced.values
        else:
            assert traced.values is None
        if step.bits_out:
            assert traced.bits is not None
            bits = unpack_bits(traced.bits, step.out_channels).astype(np.int8)
            if step.float_out:
                np.testing.assert_array_equal(bits, reference.signs(values - deploy.constants["threshold"]))
            else:
                assert expected.signs is not None
                far = np.ones(bits.shape, bool)
                if not step.integer_threshold:  # a float on the very threshold may round to either side
                    far = np.abs(expected.values - deploy.constants["threshold"]) > 1e-4
                np.testing.assert_array_equal(bits[far], expected.signs[far])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_step_equals_the_oracle(name: str, isa: str) -> None:
    rng = np.random.default_rng(7)
    graph = random_graph(NETWORKS[name], rng)
    for image in random_images(graph.architecture, 2, rng):
        check_trace(list(graph.steps), to_bytes(graph), image, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_integer_thresholds(isa: str) -> None:
    steps = threshold_chain()
    image = np.random.default_rng(8).standard_normal((9, 7, 3)).astype(np.float32)
    check_trace(steps, steps_to_bytes(steps), image, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_steps_of_other_makers(isa: str) -> None:
    steps = foreign_chain()
    image = np.random.default_rng(8).standard_normal((9, 7, 40)).astype(np.float32)
    check_trace(steps, steps_to_bytes(steps), image, isa)


@pytest.mark.parametrize("name", NETWORKS)
def test_run_is_the_last_step_of_the_trace(name: str) -> None:
    rng = np.random.default_rng(9)
    graph = random_graph(NETWORKS[name], rng)
    images = random_images(graph.architecture, 3, rng)
    engine = Network(to_bytes(graph))
    scores = engine.run(images)
    assert scores.shape == (3, graph.architecture.classes)
    for image, score in zip(images, scores, strict=True):
        traced = engine.trace(image)
        assert traced[-1].values is not None
        np.testing.assert_array_equal(traced[-1].values.ravel(), score)
        np.testing.assert_array_equal(engine.run(image), score)
        assert tuple(step.kernel for step in traced) == engine.kernels
    np.testing.assert_array_equal(engine.run(images), scores)  # nothing is left behind in the arena


def test_forced_kernels_agree() -> None:
    graph = random_graph(NETWORKS["identity, average pool, repeat"], np.random.default_rng(10))
    image = random_images(graph.architecture, 1, np.random.default_rng(12))[0]
    data = to_bytes(graph)
    reached = set()
    expected = [step.sums for step in Network(data, "scalar").trace(image)]
    for kernel in available_kernels():
        try:
            engine = Network(data, kernel.name)
        except RuntimeUnavailable:  # this CPU, or a step's shape
            continue
        binary = [name for name in engine.kernels if name.startswith("bconv2d")]
        assert set(binary) == {kernel.name}
        first = next(index for index, sums in enumerate(expected) if sums is not None)
        np.testing.assert_array_equal(engine.trace(image)[first].sums, expected[first])  # its input bits are equal
        reached.add(kernel.isa)
    assert "scalar" in reached


def test_names_are_not_forgiven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(network(Block(16, 16)), np.random.default_rng(13))
    path = tmp_path / "net.bnn"
    write_bnn(path, graph)
    with pytest.raises(UnknownName, match="unknown kernel 'avx3'; did you mean"):
        Network.open(path, "avx3")
    monkeypatch.setenv("BNN_KERNEL", "avx3")
    with pytest.raises(UnknownName, match="unknown kernel 'avx3'"):
        Network.open(path)
    monkeypatch.setenv("BNN_KERNEL", "scalar")
    assert Network.open(path).kernels[1].startswith("bconv2d_scalar")


def test_wrong_images_and_files(tmp_path: Path) -> None:
    graph = random_graph(network(Block(16, 16)), np.random.default_rng(14))
    engine = Network(to_bytes(graph))
    assert engine.image_shape == (12, 12, 3)
    with pytest.raises(ValueError, match="expected images of 12x12x3, got 12x12x4"):
        engine.run(np.zeros((1, 12, 12, 4), np.float32))
    with pytest.raises(ValueError, match="expected"):
        engine.run(np.zeros((12, 12), np.float32))
    assert engine.run(np.zeros((0, 12, 12, 3), np.float32)).shape[0] == 0
    path = tmp_path / "net.bnn"
    path.write_bytes(b"PK\3\4" * 40)
    with pytest.raises(FileFormatError, match=r"net\.bnn: not a \.bnn file"):
        Network.open(path)


def test_the_arena_holds_rows_and_not_tensors() -> None:
    blocks = [Block(64, 64) for _ in range(6)]
    graph = random_graph(network(*blocks, size=(64, 64)), np.random.default_rng(15))
    steps = [deploy.step for deploy in graph.steps]
    tensor = max(step.out_height * step.out_width * step.out_channels * 4 for step in steps)
    engine = Network(to_bytes(graph))
    pages = 4096 * len(steps)  # for each step's place in its page
    assert engine.arena_bytes < 1.5 * tensor + pages, "one whole tensor, for the pool, and a few rows of each step"


@pytest.mark.parametrize("name", NETWORKS)
def test_threads_do_not_change_the_result(name: str) -> None:
    graph = random_graph(NETWORKS[name], np.random.default_rng(21))
    images = random_images(graph.architecture, 2, np.random.default_rng(22))
    data = to_bytes(graph)
    expected = Network(data).run(images)
    for threads in (2, 3, 5):
        engine = Network(data, threads=threads)
        assert engine.threads == threads
        np.testing.assert_array_equal(engine.run(images), expected)
        np.testing.assert_array_equal(engine.trace(images[0])[-1].values, expected[0].reshape(1, 1, -1))
    for threads in (0, 257):
        with pytest.raises(ValueError, match="expected 1 to 256"):
            Network(data, threads=threads)


def test_threads_share_a_network() -> None:
    graph = random_graph(NETWORKS["real 1x1"], np.random.default_rng(16))
    images = random_images(graph.architecture, 8, np.random.default_rng(17))
    engine = Network(to_bytes(graph))
    expected = engine.run(images)
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            wrong.append(int((engine.run(images) != expected).sum()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 80
    assert sum(wrong) == 0


def test_a_graph_is_not_changed(tmp_path: Path) -> None:
    graph: DeployGraph = random_graph(network(Block(16, 16)), np.random.default_rng(18))
    before = [{name: array.copy() for name, array in deploy.constants.items()} for deploy in graph.steps]
    write_bnn(tmp_path / "net.bnn", graph)
    for deploy, constants in zip(graph.steps, before, strict=True):
        for name, array in constants.items():
            np.testing.assert_array_equal(deploy.constants[name], array)
