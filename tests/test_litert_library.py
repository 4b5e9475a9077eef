"""libbnn_litert.so in stock LiteRT: exported networks, single operators of Larq Compute Engine, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert.interpreter import Interpreter, load_delegate

import bnn_deploy
from bnn_deploy.engine.bnn_file import to_bytes
from bnn_deploy.engine.network import Network
from bnn_deploy.export.small_groups import SmallGroups
from bnn_deploy.export.tflite import to_flatbuffer
from bnn_deploy.export.tflite_writer import NO_TENSOR, TfliteWriter
from bnn_deploy.kernels import available_kernels, unpack_bits
from bnn_deploy.runtimes.tflite_file import TfliteFile
from bnn_deploy.steps import StepKind
from tests import litert_own_matrix
from tests.graphs import NETWORKS, named_graph, random_images

ROOT = Path(__file__).resolve().parents[1]
THREADS = Path("/proc/self/task")
LCE_PYTHON = ROOT / ".venv-lce" / "bin" / "python"
ISAS = sorted({kernel.isa for kernel in available_kernels() if kernel.supported})

Floats = npt.NDArray[np.float32]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(17)


def open_model(model: bytes, options: Mapping[str, str] | None = None) -> Interpreter:
    delegate = load_delegate(str(bnn_deploy.litert_library_path()), dict(options or {}))
    return Interpreter(model_content=model, experimental_delegates=[delegate])


def run(interpreter: Interpreter, value: npt.NDArray[np.generic]) -> list[npt.NDArray[np.generic]]:
    """All outputs for one input, after allocate_tensors()."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]


def delegated(interpreter: Interpreter) -> int:
    return [entry["op_name"] for entry in interpreter._get_ops_details()].count("DELEGATE")


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("small_groups", SmallGroups)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_the_engine_s_answers(
    name: str, small_groups: SmallGroups, threads: int, rng: np.random.Generator
) -> None:
    graph = named_graph(name)
    images = random_images(graph.architecture, 2, rng)
    expected = Network(to_bytes(graph)).run(images)
    interpreter = open_model(to_flatbuffer(graph, small_groups=small_groups), {"threads": str(threads)})
    interpreter.allocate_tensors()
    assert delegated(interpreter) == 1
    for image, scores in zip(images, expected, strict=True):
        (found,) = run(interpreter, image[np.newaxis])
        if small_groups is SmallGroups.NATIVE:
            np.testing.assert_array_equal(found.ravel(), scores)
        else:  # taking padding's share off a bias rounds once
            np.testing.assert_allclose(found.ravel(), scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "num_threads", "threads"),
    [({}, None, 1), ({}, 1, 1), ({}, 3, 3), ({"threads": "2"}, 4, 2), ({"threads": "4"}, None, 4)],
)
def test_the_number_of_threads(
    options: dict[str, str], num_threads: int | None, threads: int, rng: np.random.Generator, tmp_path: Path
) -> None:
    """The option's, else the runtime's: so many are there, and have worked."""
    graph = named_graph("groups-of-32")
    images, profile = random_images(graph.architecture, 1, rng), tmp_path / "profile.json"
    library, options = str(bnn_deploy.litert_library_path()), {**options, "profile": str(profile)}
    before = set(THREADS.iterdir())
    interpreter = Interpreter(
        model_content=to_flatbuffer(graph),
        experimental_delegates=[load_delegate(library, options)],
        num_threads=num_threads,
    )
    interpreter.allocate_tensors()
    np.testing.assert_array_equal(run(interpreter, images)[0], Network(to_bytes(graph)).run(images).reshape(1, -1))
    assert len(set(THREADS.iterdir()) - before) == threads - 1
    del interpreter
    assert json.loads(profile.read_text())["threads"] == threads


def test_a_batch(rng: np.random.Generator) -> None:
    graph = named_graph("dense")
    images = random_images(graph.architecture, 3, rng)
    interpreter = open_model(to_flatbuffer(graph))
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], images.shape)
    interpreter.allocate_tensors()
    np.testing.assert_array_equal(run(interpreter, images)[0], Network(to_bytes(graph)).run(images).reshape(3, -1))


@pytest.mark.parametrize(
    ("name", "small_groups", "seen"),
    [
        ("groups-of-16", SmallGroups.PAD, (6, 2)),
        ("groups-of-16", SmallGroups.NATIVE, (6, 4)),
        ("odd-channels", SmallGroups.PAD, (8, 5)),
        ("odd-channels", SmallGroups.NATIVE, (8, 6)),
        ("real-grouped", SmallGroups.PAD, (6, 1)),
        ("real-grouped", SmallGroups.NATIVE, (6, 2)),
    ],
)
def test_inner_tensors_can_be_seen(
    name: str, small_groups: SmallGroups, seen: tuple[int, int], rng: np.random.Generator, tmp_path: Path
) -> None:
    """Whatever tensor is asked for as an output, in the middle of a step, too. seen: how many floats and how many bits;
    all but the last step's floats, and those bits that are not padded."""
    graph = named_graph(name)
    image = random_images(graph.architecture, 1, rng)
    (tmp_path / "model.tflite").write_bytes(to_flatbuffer(graph, small_groups=small_groups))
    file = TfliteFile(tmp_path / "model.tflite")
    produced = [operator.outputs[0] for operator in file.operators]
    names = [file.names[tensor] for tensor in produced]
    interpreter = open_model(file.with_outputs(produced))
    interpreter.allocate_tensors()
    found = dict(zip(names, run(interpreter, image), strict=True))
    floats = packed = 0
    for index, (deploy, traced) in enumerate(zip(graph.steps, Network(to_bytes(graph)).trace(image[0]), strict=True)):
        step = deploy.step
        if step.float_out and f"step{index}" in found:
            values = found[f"step{index}"].reshape(traced.values.shape)
            np.testing.assert_allclose(values, traced.values, rtol=1e-5, atol=1e-5)
            floats += 1
        if step.kind is StepKind.BCONV2D and (small_groups is SmallGroups.NATIVE or step.groups == 1):
            before = Network(to_bytes(graph)).trace(image[0])[index - 1]
            words = found[f"step{index}.bits"]
            bits = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")[0, ..., : step.in_channels]
            np.testing.assert_array_equal(bits, unpack_bits(before.bits, step.in_channels) < 0)
            packed += 1
    assert (floats, packed) == seen


@pytest.mark.filterwarnings("ignore:Warning. Enabling `experimental_preserve_all_tensors`")
@pytest.mark.parametrize("small_groups", SmallGroups)
@pytest.mark.parametrize("name", ["dense", "odd-channels", "real-grouped"])
def test_every_node_alone(name: str, small_groups: SmallGroups, rng: np.random.Generator) -> None:
    """A runtime that preserves all tensors cuts a model into single nodes."""
    graph = named_graph(name)
    image = random_images(graph.architecture, 1, rng)
    model = to_flatbuffer(graph, small_groups=small_groups)
    delegate = load_delegate(str(bnn_deploy.litert_library_path()))
    interpreter = Interpreter(
        model_content=model, experimental_delegates=[delegate], experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    assert delegated(interpreter) > len(graph.steps)
    (found,) = run(interpreter, image)
    np.testing.assert_allclose(found, Network(to_bytes(graph)).run(image).reshape(1, -1), rtol=1e-4, atol=1e-4)


def beside_lce(module: str, models: int, seed: int, threads: int, kernel: str | None = None) -> dict[str, object]:
    """What a script says that compares the delegate with LCE's reference kernel, in LCE's environment."""
    command = [LCE_PYTHON, "-m", module, bnn_deploy.litert_library_path()]
    command += ["--models", str(models), "--seed", str(seed), "--threads", str(threads)]
    environment = {"BNN_KERNEL": kernel} if kernel else {}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_every_option_of_larq_compute_engine() -> None:
    result = beside_lce("tests.litert_matrix", 6000, seed=0, threads=1)
    assert result["wrong"] == 0
    assert result["models"] == {
        "LceBconv2d": 3000,
        "LceQuantize": 1000,
        "LceDequantize": 1000,
        "LceBMaxPool2d": 1000,
    }


@pytest.mark.parametrize("isa", ISAS)
def test_every_option_on_every_instruction_set(isa: str) -> None:
    assert beside_lce("tests.litert_matrix", 600, seed=1, threads=3, kernel=isa)["wrong"] == 0


@pytest.mark.parametrize("isa", ISAS)
def test_every_option_of_our_own_operator(isa: str) -> None:
    options = {"kernel": isa, "threads": str(1 + ISAS.index(isa) % 3)}
    result = litert_own_matrix.check(str(bnn_deploy.litert_library_path()), 300, ISAS.index(isa), options)
    assert result["wrong"] == 0
    assert result["models"] == {"float32": 100, "int8": 100, "bits": 100}
    assert result["refused"] in range(1, 100)


@pytest.mark.parametrize(("seed", "models", "threads"), [(0, 1500, 1), (1, 300, 3)])
def test_random_networks(seed: int, models: int, threads: int) -> None:
    assert beside_lce("tests.litert_graphs", models, seed, threads)["wrong"] == 0


def test_options(tmp_path: Path) -> None:
    model = to_flatbuffer(named_graph("one-pixel"))
    for options, message in [
        ({"speed": "11"}, "unknown option 'speed': there are threads, kernel and profile"),
        ({"threads": "0"}, "option threads must be 1 to 256, not '0'"),
        ({"threads": "two"}, "option threads must be 1 to 256, not 'two'"),
        ({"kernel": "avx3"}, "unknown kernel or ISA 'avx3'"),
        ({"profile": str(tmp_path / "no" / "file")}, "No such file or directory"),
    ]:
        with pytest.raises(ValueError, match=message):
            open_model(model, options)
    interpreter = open_model(model, {"kernel": "scalar", "threads": "1"})
    interpreter.allocate_tensors()
    assert delegated(interpreter) == 1


def test_a_profile(tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph("groups-of-16")
    path = tmp_path / "profile.json"
    interpreter = open_model(to_flatbuffer(graph), {"profile": str(path)})
    interpreter.allocate_tensors()
    for _ in range(3):
        run(interpreter, random_images(graph.architecture, 1, rng))
    del interpreter
    document = json.loads(path.read_text())
    assert document["schema"] == 1
    assert document["runs"] == 3
    assert [row["name"].split()[0] for row in document["steps"]] == [deploy.step.kind.value for deploy in graph.steps]
    assert all(row["total_ns"] > 0 for row in document["steps"])


def bconv2d_model(**changes: int) -> bytes:
    """One LceBconv2d of 64 channels with its options changed; an option of -1 is left out."""
    options = {
        "channels_in": 64,
        "dilation_height_factor": 1,
        "dilation_width_factor": 1,
        "fused_activation_function": 0,
        "pad_values": 1,
        "padding": 0,
        "stride_height": 1,
        "stride_width": 1,
    }
    writer = TfliteWriter()
    x = writer.tensor("x", (1, 4, 4, 2), "int32")
    weights = writer.constant("filter", np.zeros((8, 3, 3, changes.pop("words", 2)), np.int32))
    ones = writer.constant("ones", np.ones(changes.pop("multipliers", 8), np.float32))
    inputs = [x, weights, ones, ones, NO_TENSOR][: changes.pop("inputs", 5)]
    options = {key: value for key, value in {**options, **changes}.items() if value != -1}
    y = writer.custom("LceBconv2d", inputs, "y", (1, 4, 4, 8), options)
    return writer.finish([x], [y], {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pad_values": -1}, "option pad_values is missing or no integer"),
        ({"stride_height": 0}, "option stride_height must be 1 to 65536, not 0"),
        ({"fused_activation_function": 4}, "option fused_activation_function must be 0 to 3, not 4"),
        ({"padding": 1 << 40}, "option padding must be 0 to 1, not 1099511627776"),
        ({"channels_in": 65}, "65 channels need 3 words, its input has 2"),
        ({"words": 1, "channels_in": 63}, "a filter of 1 words does not part 63 channels into groups of whole words"),
        ({"words": 3}, "a filter of 3 words does not part 64 channels into groups"),
        ({"multipliers": 7}, "its multiplier must hold 8 constant float32 numbers"),
        ({"inputs": 4}, "expected 5 inputs"),
        (
            {"channels_in": 63, "pad_values": 0, "fused_activation_function": 1},
            "zero padding of an odd number of channels, 63, needs float32 outputs and no activation",
        ),
        ({"padding": 1, "dilation_width_factor": 2}, "a window of 3x3 does not fit an image of 4x4"),
    ],
)
def test_malformed_operators_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(RuntimeError, match="unresolved custom op: LceBconv2d") as refusal:
        open_model(bconv2d_model(**changes)).allocate_tensors()
    assert f"bnn_deploy: node 0 (LceBconv2d) cannot be run: {message}" in str(refusal.value)


def test_an_input_that_no_longer_fits() -> None:
    interpreter = open_model(bconv2d_model(padding=1))
    interpreter.allocate_tensors()
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, (2, 2, 9, 2))
    with pytest.raises(
        RuntimeError, match=r"(?s)a window of 3x3 does not fit an image of 2x9.*node 0 \(LceBconv2d\) does not"
    ):
        interpreter.allocate_tensors()
    interpreter.resize_tensor_input(index, (2, 7, 9, 2))
    interpreter.allocate_tensors()
    assert run(interpreter, np.zeros((2, 7, 9, 2), np.int32))[0].shape == (2, 5, 7, 8)
