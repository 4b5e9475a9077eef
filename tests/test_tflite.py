"""The .tflite export in LCE's dialect: the bytes here, the numbers in LCE's own interpreter."""

from __future__ import annotations

import tempfile
from pathlib import Path

import flatbuffers.flexbuffers
import numpy as np
import pytest
import tflite

from bnn_deploy.architecture import Block
from bnn_deploy.deploy_graph import DeployGraph, DeployStep
from bnn_deploy.errors import ExportError, FileFormatError, RuntimeUnavailable
from bnn_deploy.export.common import architecture_of
from bnn_deploy.export.small_groups import padded_channels
from bnn_deploy.export.tflite import export_tflite, pack_words, to_flatbuffer
from bnn_deploy.runtimes.lce import PYTHON_VARIABLE, LceRuntime, lce_python
from bnn_deploy.runtimes.tflite_file import Operator, TfliteFile
from bnn_deploy.steps import StepKind
from tests.graphs import (
    NETWORKS,
    binary_steps,
    named_graph,
    network,
    random_graph,
    random_images,
    tied_graph,
    with_constant,
)
from tests.stepwise import ATOL, assert_steps_equal


def _lce_is_missing() -> str:
    try:
        lce_python()
    except RuntimeUnavailable as exc:
        return str(exc)
    return ""


needs_lce = pytest.mark.skipif(bool(_lce_is_missing()), reason=_lce_is_missing())


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@needs_lce
@pytest.mark.parametrize("name", NETWORKS)
def test_every_step_equals_torch(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph(name)
    export_tflite(graph, tmp_path / "model.tflite")
    images = random_images(graph.architecture, 2, rng)
    names = [f"step{index}" for index in range(len(graph.steps) - 1)] + ["logits"]
    outputs = LceRuntime(tmp_path / "model.tflite").tensors(images, names)
    assert_steps_equal(graph, images, {i: x.astype(np.float32) for i, x in enumerate(outputs)}, _lce_tolerance)


def _lce_tolerance(deploy: DeployStep) -> float:
    """LCE computes acc * (-2 * scale) + (bias + K * scale), so it rounds numbers of the size of K * scale."""
    if deploy.step.kind is not StepKind.BCONV2D:
        return ATOL
    k_bits = deploy.step.k_bits * padded_channels(deploy.step) // deploy.step.in_channels
    return ATOL + 2.0**-23 * k_bits * float(np.abs(deploy.constants["scale"]).max())


@needs_lce
@pytest.mark.parametrize("name", ["groups-of-48", "groups-of-odd", "odd-channels"])
def test_taps_do_not_change_the_run(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph(name)
    export_tflite(graph, tmp_path / "model.tflite")
    runtime = LceRuntime(tmp_path / "model.tflite")
    images = random_images(graph.architecture, 2, rng)
    trace = runtime.trace(images)
    np.testing.assert_array_equal(runtime.run(images), trace.logits)
    steps = [deploy.step for deploy in binary_steps(graph)]
    assert [tap.negative.shape[3] for tap in trace.taps] == [step.in_channels for step in steps]
    assert [tap.sums.shape[1:] for tap in trace.taps] == [
        (step.out_height, step.out_width, step.out_channels) for step in steps
    ]


@needs_lce
def test_ties_and_minus_zero_are_plus_one(tmp_path: Path, rng: np.random.Generator) -> None:
    graph = tied_graph()
    export_tflite(graph, tmp_path / "model.tflite")
    trace = LceRuntime(tmp_path / "model.tflite").trace(random_images(graph.architecture, 1, rng))
    assert not trace.taps[0].negative.any()


@needs_lce
def test_neighbours_of_the_threshold(tmp_path: Path, rng: np.random.Generator) -> None:
    """y - t < 0 exactly when y < t, down to one unit in the last place; 1e-30 is small, its ulp still normal."""
    graph = tied_graph()
    threshold = np.array([0.25, 1e-30, 3.0, -0.7], np.float32).repeat(8)
    steps = np.tile(np.array([-1, 0, 1, -1, 0, 1, -1, 1]), 4)
    toward = np.where(steps < 0, -np.inf, np.where(steps > 0, np.inf, threshold)).astype(np.float32)
    graph = with_constant(graph, 0, "bias", np.nextafter(threshold, toward))
    graph = with_constant(graph, 0, "threshold", threshold)
    export_tflite(graph, tmp_path / "model.tflite")
    trace = LceRuntime(tmp_path / "model.tflite").trace(random_images(graph.architecture, 1, rng))
    np.testing.assert_array_equal(trace.taps[0].negative[0, 0, 0], steps < 0)


@needs_lce
def test_sums_of_a_zero_scale_are_unreadable(tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph("dense")
    scale = graph.steps[1].constants["scale"].copy()
    scale[3], scale[5] = 0, 1e-12
    export_tflite(with_constant(graph, 1, "scale", scale), tmp_path / "model.tflite")
    tap = LceRuntime(tmp_path / "model.tflite").trace(random_images(graph.architecture, 1, rng)).taps[0]
    np.testing.assert_array_equal(np.flatnonzero(~tap.readable), [3, 5])


def test_even_paddings_leave_the_bias_alone() -> None:
    graph = named_graph("groups-of-16")
    file = _parsed(graph)
    for operator, deploy in zip(_bconvs(file), binary_steps(graph), strict=True):
        np.testing.assert_array_equal(file.constant(operator.inputs[3]), deploy.constants["bias"])


def test_packing() -> None:
    negative = np.zeros((2, 33), np.bool_)
    negative[0, [0, 31]] = negative[1, 32] = True
    np.testing.assert_array_equal(pack_words(negative), np.array([[-(2**31) + 1, 0], [0, 1]], np.int32))


def test_container(tmp_path: Path) -> None:
    graph = named_graph("real-grouped")
    data = to_flatbuffer(graph)
    assert data[4:8] == b"TFL3"
    assert len(data) % 16 == 0
    model = tflite.Model.GetRootAs(data, 0)
    assert model.Version() == 3
    assert model.Buffers(0).DataLength() == 0
    start = np.frombuffer(data, np.uint8).ctypes.data
    for index in range(1, model.BuffersLength()):
        assert (model.Buffers(index).DataAsNumpy().ctypes.data - start) % 16 == 0
    file = _parsed(graph)
    assert architecture_of(file.metadata, file.path) == graph.architecture
    assert to_flatbuffer(graph) == data


def test_lce_operators_have_all_their_options() -> None:
    graph = named_graph("groups-of-16")
    data = to_flatbuffer(graph)
    subgraph = tflite.Model.GetRootAs(data, 0).Subgraphs(0)
    file = _parsed(graph)
    names = [operator.custom for operator in file.operators]
    assert names.count("LceQuantize") == names.count("LceBconv2d") == 4
    options = [
        flatbuffers.flexbuffers.Loads(subgraph.Operators(i).CustomOptionsAsNumpy().tobytes())
        for i, name in enumerate(names)
        if name == "LceBconv2d"
    ]
    assert [entry["channels_in"] for entry in options] == [128, 64, 128, 64]
    assert all(len(entry) == 8 and entry["pad_values"] == 1 and entry["padding"] == 0 for entry in options)
    assert all(len(operator.inputs) == 5 for operator in _bconvs(file))


@pytest.mark.parametrize(("name", "value"), [("weights", 0), ("bias", np.nan)])
def test_constants_that_no_file_can_hold(name: str, value: float, tmp_path: Path) -> None:
    graph = named_graph("dense")
    values = graph.steps[1].constants[name].copy()
    values[0] = value
    with pytest.raises(ExportError, match="step 1"):
        export_tflite(with_constant(graph, 1, name, values), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


def test_a_padded_tensor_too_large_for_the_format() -> None:
    graph = random_graph(network(Block(16, 16, groups=16), size=(4096, 4096)), np.random.default_rng(0))
    with pytest.raises(ExportError, match="exceeds 2\\*\\*31 values"):
        to_flatbuffer(graph)


@needs_lce
@pytest.mark.parametrize("damage", ["empty", "noise", "missing", "truncated", "root"])
def test_files_that_are_no_models(damage: str, tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "model.tflite"
    data = to_flatbuffer(named_graph("dense"))
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "noise":
            path.write_bytes(rng.bytes(1000))
        case "truncated":
            path.write_bytes(data[: len(data) // 2])
        case "root":
            path.write_bytes(b"\xff\xff\xff\x7f" + data[4:])
    with pytest.raises(FileFormatError, match=r"model\.tflite"):
        LceRuntime(path)


@needs_lce
def test_a_model_that_lce_refuses(tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph("dense")
    path = tmp_path / "model.tflite"
    path.write_bytes(to_flatbuffer(graph).replace(b"LceQuantize", b"LceQuantise"))
    with pytest.raises(FileFormatError, match=r"model\.tflite: LCE's interpreter refuses it"):
        LceRuntime(path).run(random_images(graph.architecture, 1, rng))


@needs_lce
def test_a_foreign_model_runs_but_cannot_be_traced(tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph("dense")
    path = tmp_path / "model.tflite"
    path.write_bytes(to_flatbuffer(graph).replace(b"bnn_deploy.architecture", b"not_deploy.architecture"))
    runtime = LceRuntime(path)
    images = random_images(graph.architecture, 1, rng)
    assert runtime.run(images).shape == (1, 10)
    with pytest.raises(FileFormatError, match="not written by bnn-deploy"):
        runtime.trace(images)


@needs_lce
@pytest.mark.parametrize("damage", ["record", "constant-type", "constant-size", "few-layers"])
def test_altered_files_are_file_format_errors(damage: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph("dense")
    data = bytearray(to_flatbuffer(graph))
    subgraph = tflite.Model.GetRootAs(data, 0).Subgraphs(0)
    bconvs = [i for i in range(subgraph.OperatorsLength()) if subgraph.Operators(i).InputsLength() == 5]
    scale = subgraph.Tensors(subgraph.Operators(bconvs[0]).Inputs(2))
    match damage:
        case "record":
            data = data.replace(b'{"block', b'{"clock')
        case "constant-type":
            data[scale._tab.Pos + scale._tab.Offset(6)] = tflite.TensorType.INT64
        case "constant-size":
            shape = scale._tab.Vector(scale._tab.Offset(4))
            data[shape] += 1
        case "few-layers":
            data = data.replace(b"LceBconv2d", b"LceBconv2e")
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=r"model\.tflite"):
        LceRuntime(path).trace(random_images(graph.architecture, 1, rng))


@needs_lce
def test_images_of_another_shape(tmp_path: Path) -> None:
    export_tflite(named_graph("dense"), tmp_path / "model.tflite")
    with pytest.raises(ValueError, match=r"expected float32 \[N, 12, 12, 3\]"):
        LceRuntime(tmp_path / "model.tflite").run(np.zeros((1, 12, 11, 3), np.float32))


def test_missing_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_tflite(named_graph("dense"), tmp_path / "model.tflite")
    monkeypatch.setenv(PYTHON_VARIABLE, str(tmp_path / "python"))
    with pytest.raises(RuntimeUnavailable, match="make lce-env"):
        LceRuntime(tmp_path / "model.tflite")


def test_environment_without_lce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = named_graph("dense")
    export_tflite(graph, tmp_path / "model.tflite")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\ncat > /dev/null\necho larq-compute-engine is not installed >&2\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.setenv(PYTHON_VARIABLE, str(python))
    images = random_images(graph.architecture, 1, np.random.default_rng(0))
    with pytest.raises(RuntimeUnavailable, match="larq-compute-engine is not installed"):
        LceRuntime(tmp_path / "model.tflite").run(images)


def _parsed(graph: DeployGraph) -> TfliteFile:
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(to_flatbuffer(graph))
        file.flush()
        return TfliteFile(file.name)


def _bconvs(file: TfliteFile) -> list[Operator]:
    return [operator for operator in file.operators if operator.custom == "LceBconv2d"]
