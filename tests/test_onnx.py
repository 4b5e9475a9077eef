"""The .onnx export, checked in stock ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from bnn_deploy.architecture import Architecture, Block
from bnn_deploy.errors import BnnDeployError, ExportError, FileFormatError, RuntimeUnavailable
from bnn_deploy.export.onnx import NETWORK, export_onnx, inlined, to_model
from bnn_deploy.export.onnx_function import DOMAIN, OPERATOR, pack_weights
from bnn_deploy.runtimes.onnxruntime import OnnxRuntime
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
from tests.stepwise import assert_steps_equal


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_step_equals_torch(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph(name)
    export_onnx(graph, tmp_path / "model.onnx")
    runtime = OnnxRuntime(tmp_path / "model.onnx")
    images = random_images(graph.architecture, 3, rng)
    last = len(graph.steps) - 1
    names = [f"step{index}" for index in range(last)] + ["logits"]
    outputs = [x.transpose(0, 2, 3, 1) if x.ndim == 4 else x for x in runtime.tensors(images, names)]
    assert_steps_equal(graph, images, dict(enumerate(outputs)))


@pytest.mark.parametrize("name", ["dense", "depthwise", "real"])
def test_dot_products_are_integers_in_the_file_as_it_is_run(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Without taps ONNX Runtime may fuse across nodes; the logits must not change by a bit."""
    graph = named_graph(name)
    export_onnx(graph, tmp_path / "model.onnx")
    runtime = OnnxRuntime(tmp_path / "model.onnx")
    images = random_images(graph.architecture, 4, rng)
    np.testing.assert_array_equal(runtime.run(images), runtime.trace(images).logits)


def test_no_scale_is_folded_into_binary_weights(tmp_path: Path) -> None:
    graph = named_graph("dense")
    path = tmp_path / "optimized.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(to_model(graph).SerializeToString(), options, providers=["CPUExecutionProvider"])
    weights = [onnx.numpy_helper.to_array(value) for value in onnx.load(path).graph.initializer if len(value.dims) == 4]
    binary = [values for values in weights if np.unique(np.abs(values)).tolist() == [2.0]]
    assert len(binary) == len(binary_steps(graph))


def test_ties_and_minus_zero_are_plus_one(tmp_path: Path, rng: np.random.Generator) -> None:
    graph = tied_graph()
    export_onnx(graph, tmp_path / "model.onnx")
    trace = OnnxRuntime(tmp_path / "model.onnx").trace(random_images(graph.architecture, 1, rng))
    assert not trace.taps[0].negative.any()
    expected = binary_steps(graph)[0].constants["weights"].astype(np.int32).sum((1, 2, 3))
    np.testing.assert_array_equal(trace.taps[0].sums, np.broadcast_to(expected, trace.taps[0].sums.shape))


def test_batch_is_free(tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph("groups-of-16")
    export_onnx(graph, tmp_path / "model.onnx")
    runtime = OnnxRuntime(tmp_path / "model.onnx")
    images = random_images(graph.architecture, 3, rng)
    singles = np.concatenate([runtime.run(image[np.newaxis]) for image in images])
    np.testing.assert_allclose(runtime.run(images), singles, rtol=1e-5, atol=1e-5)


def test_weights_take_one_bit(tmp_path: Path) -> None:
    graph = random_graph(network(Block(256, 256, groups=2), Block(256, 256)), np.random.default_rng(0))
    model = to_model(graph)
    nodes = [node for node in inlined(model).graph.node if node.domain == DOMAIN and node.op_type == OPERATOR]
    values = {value.name: value for value in model.graph.initializer}
    bits = 0
    for node, deploy in zip(nodes, binary_steps(graph), strict=True):
        packed = values[node.input[2]]
        assert packed.data_type == onnx.TensorProto.UINT8
        assert list(packed.dims) == [-(-deploy.constants["weights"].size // 8)]
        bits += deploy.constants["weights"].size
    floats = sum(
        array.nbytes
        for deploy in graph.steps
        for name, array in deploy.constants.items()
        if array.dtype == np.float32 and name != "threshold"
    )
    thresholds = sum(deploy.step.in_channels * 4 for deploy in binary_steps(graph))
    overhead = model.ByteSize() - bits // 8 - floats - thresholds
    assert 0 < overhead < 16_000, "names, nodes, the function and the record of the architecture"


def test_packing_is_least_significant_first() -> None:
    weights = np.ones((1, 3, 1, 3), np.int8)
    weights[0, 0, 0, 0] = weights[0, 2, 0, 2] = -1
    np.testing.assert_array_equal(pack_weights(weights), np.array([1, 1], np.uint8))


def test_file_says_where_it_comes_from() -> None:
    graph = named_graph("dense")
    model = to_model(graph)
    record = {entry.key: entry.value for entry in model.metadata_props}
    assert Architecture.from_json(json.loads(record["bnn_deploy.architecture"])) == graph.architecture
    assert record["bnn_deploy.digest"] == graph.architecture.digest
    assert model.ir_version == 8
    assert {(opset.domain, opset.version) for opset in model.opset_import} == {("", 18), (DOMAIN, 1)}


def test_export_is_reproducible() -> None:
    first, second = (to_model(named_graph("real")).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("index", "name", "value", "message"),
    [
        (1, "weights", 0, "binary weights must be -1 or \\+1"),
        (1, "weights", 2, "binary weights must be -1 or \\+1"),
        (1, "scale", np.nan, "scale holds a NaN"),
        (0, "threshold", np.inf, "threshold holds a NaN or an infinity"),
        (0, "weights", -np.inf, "step 0 .* weights holds"),
    ],
)
def test_constants_that_no_file_can_hold(index: int, name: str, value: float, message: str) -> None:
    graph = named_graph("dense")
    values = graph.steps[index].constants[name].copy()
    values[0] = value
    with pytest.raises(ExportError, match=message):
        to_model(with_constant(graph, index, name, values))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(BnnDeployError, match="No space left"):
        export_onnx(named_graph("dense"), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["empty", "noise", "truncated", "missing", "foreign", "bad-record"])
def test_files_that_are_none_of_ours(damage: str, tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "model.onnx"
    model = to_model(named_graph("dense"))
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "noise":
            path.write_bytes(rng.bytes(1000))
        case "truncated":
            path.write_bytes(model.SerializeToString()[:-100])
        case "foreign":
            del model.metadata_props[:]
            path.write_bytes(model.SerializeToString())
        case "bad-record":
            model.metadata_props[0].value = "{"
            path.write_bytes(model.SerializeToString())
    with pytest.raises(FileFormatError, match=r"model\.onnx"):
        OnnxRuntime(path)


def test_a_model_that_onnxruntime_refuses(tmp_path: Path) -> None:
    model = to_model(named_graph("dense"))
    model.graph.node[0].op_type = "NoSuchOperator"
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FileFormatError, match="ONNX Runtime refuses it"):
        OnnxRuntime(path)


@pytest.mark.parametrize("damage", ["input-name", "output-name", "threshold", "no-threshold", "weights", "shape"])
def test_altered_models_are_file_format_errors(damage: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph("dense")
    model = to_model(graph)
    network = next(function for function in model.functions if function.name == NETWORK)
    node = next(node for node in network.node if node.op_type == OPERATOR)
    initializers = {value.name: value for value in model.graph.initializer}
    match damage:
        case "input-name":
            model.graph.input[0].name = model.graph.node[0].input[0] = "pictures"
        case "output-name":
            model.graph.output[0].name = model.graph.node[-1].output[0] = "scores"
        case "threshold":
            initializers[node.input[1]].raw_data = b"\0" * 7
        case "no-threshold":
            node.input[1] = "images"
        case "weights":
            values = onnx.numpy_helper.to_array(initializers[node.input[2]])[:-3]
            initializers[node.input[2]].CopyFrom(onnx.numpy_helper.from_array(values, node.input[2]))
        case "shape":
            del model.graph.input[0].type.tensor_type.shape.dim[:]
            initializers["step0.weights"].CopyFrom(
                onnx.numpy_helper.from_array(np.zeros((32, 2, 3, 3), np.float32), "step0.weights")
            )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FileFormatError, match=r"model\.onnx"):
        OnnxRuntime(path).trace(random_images(graph.architecture, 1, rng))


def test_a_library_that_cannot_be_loaded(tmp_path: Path) -> None:
    export_onnx(named_graph("dense"), tmp_path / "model.onnx")
    with pytest.raises(RuntimeUnavailable, match=r"missing\.so"):
        OnnxRuntime(tmp_path / "model.onnx", library=tmp_path / "missing.so")


def test_images_of_another_shape(tmp_path: Path) -> None:
    export_onnx(named_graph("dense"), tmp_path / "model.onnx")
    runtime = OnnxRuntime(tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=r"expected float32 \[N, 12, 12, 3\]"):
        runtime.run(np.zeros((1, 3, 12, 12), np.float32))
    with pytest.raises(ValueError, match="float64"):
        runtime.run(np.zeros((1, 12, 12, 3)))


@pytest.mark.parametrize("name", ["dense", "groups-of-16", "depthwise", "real"])
def test_onnx_s_own_evaluator_gives_the_same(name: str, rng: np.random.Generator) -> None:
    graph = named_graph(name)
    model = to_model(graph)
    images = np.ascontiguousarray(random_images(graph.architecture, 2, rng).transpose(0, 3, 1, 2))
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"images": images})
    (logits,) = ReferenceEvaluator(model).run(None, {"images": images})
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
