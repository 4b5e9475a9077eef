"""libbnn_onnxruntime.so in stock ONNX Runtime: both operators, threads, and whatever a file may hold."""

from __future__ import annotations

import gc
import json
import resource
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as state

import bnn_deploy
from bnn_deploy.engine.bnn_file import write_bnn
from bnn_deploy.engine.network import Network
from bnn_deploy.export.onnx import to_model
from bnn_deploy.export.onnx_function import (
    DOMAIN,
    DOMAIN_VERSION,
    IR_VERSION,
    OPERATOR,
    OPSET,
    binary_conv2d,
    pack_weights,
)
from bnn_deploy.steps import same_pad
from tests.graphs import NETWORKS, named_graph, random_images

Floats = npt.NDArray[np.float32]
REFUSED = (state.Fail, state.InvalidArgument, state.RuntimeException)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(17)


def open_session(
    model: ModelProto, *, library: bool = True, threads: int = 1, profile: Path | None = None
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    if library:
        options.register_custom_ops_library(str(bnn_deploy.onnx_library_path()))
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, images: Floats) -> Floats:
    (output,) = session.run(None, {"images": images})
    return np.asarray(output)


def channels_first(images: Floats) -> Floats:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_the_engine_s_bits(name: str, threads: int, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph(name)
    images = random_images(graph.architecture, 3, rng)
    write_bnn(tmp_path / "model.bnn", graph)
    expected = Network.open(tmp_path / "model.bnn").run(images).reshape(3, -1)
    session = open_session(to_model(graph), threads=threads)
    np.testing.assert_array_equal(run(session, channels_first(images)), expected)
    np.testing.assert_array_equal(run(session, channels_first(images[:1])), expected[:1])


def test_the_library_runs_the_network_and_nothing_else_does(tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph("dense")
    session = open_session(to_model(graph), profile=tmp_path / "profile")
    run(session, channels_first(random_images(graph.architecture, 1, rng)))
    events = json.loads(Path(session.end_profiling()).read_text())
    operators = {event["args"]["op_name"] for event in events if event.get("args", {}).get("op_name")}
    assert operators == {"Network"}


def test_one_session_serves_several_threads(rng: np.random.Generator) -> None:
    graph = named_graph("groups-of-16")
    session = open_session(to_model(graph), threads=2)
    images = channels_first(random_images(graph.architecture, 8, rng))
    with ThreadPoolExecutor(4) as pool:  # the first run among them
        rows = list(pool.map(lambda i: run(session, images[i % 8 : i % 8 + 1]), range(200)))
    expected = run(open_session(to_model(graph)), images)
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(row[0], expected[i % 8])


def convolution(
    weights: npt.NDArray[np.int8],
    threshold: Floats,
    size: tuple[int, int],
    stride: int,
    group: int,
    pads: Sequence[int] | None = None,
    constant: bool = True,
) -> ModelProto:
    """A model of one BinaryConv2d; weights [O, C/group, k, k]."""
    kernel = weights.shape[2]
    (top, bottom), (left, right) = (same_pad(axis, kernel, stride) for axis in size)
    node = helper.make_node(
        OPERATOR,
        ["images", "threshold", "weights"],
        ["dot"],
        domain=DOMAIN,
        weight_shape=list(weights.shape),
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=list(pads or (top, left, bottom, right)),
        group=group,
    )
    packed = pack_weights(weights)
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", len(threshold), *size])]
    if not constant:
        inputs.append(helper.make_tensor_value_info("weights", TensorProto.UINT8, packed.shape))
    initializers = [numpy_helper.from_array(threshold, "threshold")]
    initializers += [numpy_helper.from_array(packed, "weights")] if constant else []
    outputs = [helper.make_tensor_value_info("dot", TensorProto.FLOAT, None)]
    return helper.make_model(
        helper.make_graph([node], "one", inputs, outputs, initializers),
        functions=[binary_conv2d()],
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)],
        ir_version=IR_VERSION,
    )


def signs(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.int8]:
    return rng.choice(np.array([-1, 1], np.int8), shape)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("channels", "outputs", "kernel", "stride", "group", "size"),
    [
        (64, 64, 3, 1, 1, (9, 9)),
        (128, 128, 3, 2, 16, (8, 11)),
        (48, 96, 3, 1, 3, (5, 4)),
        (96, 96, 3, 1, 96, (7, 7)),
        (100, 36, 1, 1, 4, (6, 5)),
        (16, 24, 5, 2, 1, (11, 10)),
        (40, 40, 1, 2, 1, (7, 3)),
        (3, 5, 7, 1, 1, (2, 1)),
    ],
)
def test_a_binary_convolution_gives_its_body_s_integers(
    channels: int,
    outputs: int,
    kernel: int,
    stride: int,
    group: int,
    size: tuple[int, int],
    threads: int,
    rng: np.random.Generator,
) -> None:
    threshold = rng.normal(0, 0.3, channels).astype(np.float32)
    model = convolution(signs(rng, outputs, channels // group, kernel, kernel), threshold, size, stride, group)
    images = rng.normal(size=(2, channels, *size)).astype(np.float32)
    images[0, :, 0, 0] = threshold  # a tie is +1
    body = run(open_session(model, library=False), images)
    np.testing.assert_array_equal(run(open_session(model, threads=threads), images), body)


def test_a_binary_convolution_takes_images_of_any_size(rng: np.random.Generator) -> None:
    model = convolution(signs(rng, 32, 32, 3, 3), np.zeros(32, np.float32), (8, 8), 1, 1)
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.ClearField("dim_value")
    fast, body = open_session(model), open_session(model, library=False)
    for size in ((8, 8), (5, 9), (1, 1), (8, 8)):
        images = rng.normal(size=(1, 32, *size)).astype(np.float32)
        np.testing.assert_array_equal(run(fast, images), run(body, images))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pads": (0, 0, 0, 0)}, r"for 8x8 images pads must be 1, 1, 1, 1"),
        ({"constant": False}, r"input 2 must be an initializer"),
        ({"stride": 3}, r"strides 1 or 2"),
    ],
)
def test_what_the_kernels_cannot_do_is_said(change: dict[str, object], message: str, rng: np.random.Generator) -> None:
    settings: dict[str, object] = {"size": (8, 8), "stride": 1, "group": 1, **change}
    model = convolution(signs(rng, 32, 32, 3, 3), np.zeros(32, np.float32), **settings)  # type: ignore[arg-type]
    with pytest.raises(REFUSED, match=message):
        run(open_session(model), np.zeros((1, 32, 8, 8), np.float32))


def attribute(model: ModelProto, name: str) -> onnx.AttributeProto:
    return next(attribute for attribute in model.graph.node[0].attribute if attribute.name == name)


def initializer(model: ModelProto, name: str) -> TensorProto:
    return next(value for value in model.graph.initializer if value.name == name)


def set_step(index: int, field: int, value: int) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        attribute(model, "steps").ints[13 * index + field] = value

    return change


def replace_constant(name: str, values: npt.NDArray[np.generic]) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        initializer(model, name).CopyFrom(numpy_helper.from_array(values, name))

    return change


def drop_last_input(model: ModelProto) -> None:
    del model.graph.node[0].input[-1]


def one_input_more(model: ModelProto) -> None:
    model.graph.node[0].input.append(model.graph.node[0].input[-1])


def cut_steps(model: ModelProto) -> None:
    del attribute(model, "steps").ints[-1]


def another_version(model: ModelProto) -> None:
    attribute(model, "version").i = 2


def no_steps(model: ModelProto) -> None:
    del attribute(model, "steps").ints[:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (another_version, "expected version 1, got 2"),
        (cut_steps, "13 integers for each"),
        (no_steps, "of 1 to 4096 steps, not 0"),
        (drop_last_input, "input 32 must be an initializer"),
        (one_input_more, r"inputs, the node has"),
        (set_step(1, 0, 9), "step 1: unknown kind 9"),
        (set_step(1, 1, 0), "in_height must be 1"),
        (set_step(1, 1, 2**40), "no 32-bit integer"),
        (set_step(1, 3, 65536), "shortcut 1 does not fit"),
        (set_step(1, 6, 65536), "shortcut 1 does not fit"),
        (set_step(1, 9, 7), "groups must divide"),
        (set_step(1, 12, 3), "needs a border of 0"),
        (replace_constant("step1.weights", np.zeros(3, np.uint8)), "not its weights"),
        (replace_constant("step1.scale", np.zeros(3, np.float32)), "not its scale"),
        (replace_constant("step1.scale", np.zeros(64, np.int32)), "not its scale"),
    ],
)
def test_altered_networks_are_refused(change: Callable[[ModelProto], None], message: str) -> None:
    model = to_model(named_graph("dense"))
    change(model)
    with pytest.raises(REFUSED, match=message):
        open_session(model)


def test_images_of_another_shape_are_refused() -> None:
    model = to_model(named_graph("dense"))
    del model.graph.input[0].type.tensor_type.shape.dim[:]
    session = open_session(model)
    for shape in ((1, 3, 12, 13), (1, 4, 12, 12), (3, 12, 12)):
        with pytest.raises(REFUSED, match=r"images must be \[N, 3, 12, 12\]"):
            run(session, np.zeros(shape, np.float32))


def test_no_images_are_no_logits() -> None:
    graph = named_graph("dense")
    net = graph.architecture
    images = np.zeros((0, net.image_channels, net.height, net.width), np.float32)
    assert run(open_session(to_model(graph)), images).shape == (0, net.classes)


def test_sessions_that_end_leave_nothing() -> None:
    model = to_model(named_graph("dense"))

    images = np.zeros((1, 3, 12, 12), np.float32)

    def resident_after(times: int) -> int:
        for _ in range(times):
            run(open_session(model, threads=2), images)
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before = resident_after(30)
    assert resident_after(100) - before < 4 << 20  # a network that stays has 100 KiB
