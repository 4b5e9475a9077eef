"""The parity check: every runtime against torch, and a check that a failure shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bnn_deploy.deploy_graph import DeployGraph
from bnn_deploy.errors import FileFormatError, RuntimeUnavailable, UnknownName
from bnn_deploy.export.files import export_files, model_path
from bnn_deploy.export.fold import fold
from bnn_deploy.export.small_groups import SmallGroups
from bnn_deploy.layers.binarize import Binarization, set_binarization
from bnn_deploy.layers.mobilenet import BinaryMobileNet
from bnn_deploy.references import reference
from bnn_deploy.runtimes import parity
from bnn_deploy.runtimes.base import NO_SUM, Floats, Runtime, Tap, Trace, integers
from bnn_deploy.runtimes.engine import EngineRuntime
from bnn_deploy.runtimes.parity import Parity, check_parity
from bnn_deploy.runtimes.registry import BINARY_RUNTIMES, RUNTIMES, missing_runtimes, open_runtime
from bnn_deploy.runtimes.torch import GraphRuntime, TorchRuntime
from tests.graphs import NETWORKS, named_graph, random_graph, random_images, tied_graph, with_constant

MISSING = missing_runtimes()


@pytest.fixture(params=BINARY_RUNTIMES)
def runtime_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name in MISSING:
        pytest.skip(MISSING[name])
    return name


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def export_for(runtime_name: str, graph: DeployGraph, folder: Path) -> Path:
    """Write the file that a runtime reads."""
    (file,) = export_files(graph, folder, [RUNTIMES[runtime_name].format])
    return file.path


def checked(graph: DeployGraph, images: Floats, runtime_name: str, folder: Path) -> Parity:
    """The parity of one runtime, of a file that is made in `folder`."""
    export_for(runtime_name, graph, folder)
    torch_row, row = check_parity(graph, folder, images, [runtime_name])
    assert torch_row.runtime == "torch"
    assert torch_row.passed
    return row


@pytest.mark.parametrize("network", NETWORKS)
def test_every_runtime_sums_exactly(runtime_name: str, network: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph(network)
    row = checked(graph, random_images(graph.architecture, 2, rng), runtime_name, tmp_path)
    assert row.sums_wrong == 0
    assert row.exact
    assert row.sums_compared > 0
    assert row.sums_unreadable == 0
    assert row.sign_flips_total <= 1e-3 * row.signs_compared, "only values within rounding of a threshold may flip"


@pytest.mark.parametrize("network", NETWORKS)
def test_litert_sums_small_groups_exactly(network: str, tmp_path: Path, rng: np.random.Generator) -> None:
    """Groups in the operator that only our delegate knows."""
    graph = named_graph(network)
    export_files(graph, tmp_path, ["tflite"], SmallGroups.NATIVE)
    _, row = check_parity(graph, tmp_path, random_images(graph.architecture, 2, rng), ["litert+bnn"])
    assert row.passed
    assert row.sums_unreadable == 0
    assert row.sign_flips_total <= 1e-3 * row.signs_compared


@pytest.mark.parametrize("small_groups", SmallGroups)
def test_litert_with_another_weight_is_wrong(
    small_groups: SmallGroups, tmp_path: Path, rng: np.random.Generator
) -> None:
    graph = named_graph("groups-of-16")
    weights = graph.steps[1].constants["weights"].copy()
    weights[5, 1, 1, 7] *= -1
    export_files(with_constant(graph, 1, "weights", weights), tmp_path, ["tflite"], small_groups)
    _, row = check_parity(graph, tmp_path, random_images(graph.architecture, 2, rng), ["litert+bnn"])
    step = graph.steps[1].step
    assert row.sums_wrong == 2 * step.out_height * step.out_width


def test_ties_do_not_flip(runtime_name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = tied_graph()
    row = checked(graph, random_images(graph.architecture, 1, rng), runtime_name, tmp_path)
    assert row.sign_flips[0] == 0


def test_contract_of_a_runtime(runtime_name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph("odd-sizes")
    runtime = open_runtime(runtime_name, export_for(runtime_name, graph, tmp_path))
    images = random_images(graph.architecture, 3, rng)
    assert runtime.name == runtime_name
    assert runtime.image_shape == (13, 7, 3)
    logits, trace = runtime.run(images), runtime.trace(images)
    assert (logits.shape, logits.dtype) == ((3, 10), np.float32)
    np.testing.assert_array_equal(logits, trace.logits)
    expected = GraphRuntime(graph).trace(images)
    for tap, other in zip(trace.taps, expected.taps, strict=True):
        assert (tap.negative.shape, tap.negative.dtype) == (other.negative.shape, np.bool_)
        assert (tap.sums.shape, tap.sums.dtype) == (other.sums.shape, np.int32)
    with pytest.raises(ValueError, match="expected float32"):
        runtime.run(images[:, :-1])
    with pytest.raises(FileFormatError, match="missing"):
        open_runtime(runtime_name, tmp_path / "missing")
    noise = tmp_path / "noise"
    noise.write_bytes(rng.bytes(500))
    with pytest.raises(FileFormatError, match="noise"):
        open_runtime(runtime_name, noise)


class _Split:
    """Images on demand; `asked` is how many were held at a time."""

    def __init__(self, images: Floats) -> None:
        self._images = images
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self._images)

    def images(self, indices: np.ndarray) -> Floats:
        self.asked.append(len(indices))
        return self._images[indices]


def test_batches_add_up(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = named_graph("dense")
    images = random_images(graph.architecture, 5, rng)
    whole = checked(graph, images, "onnxruntime", tmp_path)
    monkeypatch.setattr(parity, "_VALUES_AT_ONCE", 1)
    source, calls = _Split(images), []
    _, single = check_parity(graph, tmp_path, source, ["onnxruntime"], lambda *done: calls.append(done))
    assert source.asked == [1] * 5
    assert calls == [(done, 5) for done in range(1, 6)]
    assert (single.images, single.sums_compared) == (whole.images, whole.sums_compared)
    assert single.signs_compared == whole.signs_compared
    monkeypatch.setattr(parity, "_IMAGES_AT_ONCE", 2)
    monkeypatch.setattr(parity, "_VALUES_AT_ONCE", 1 << 30)
    source = _Split(images)
    _, first = check_parity(graph, tmp_path, source, ["onnxruntime"], count=3)
    assert source.asked == [2, 1]
    assert first.images == 3
    with pytest.raises(ValueError, match="at least one"):
        check_parity(graph, tmp_path, images[:0], ["onnxruntime"])


class _Faulty:
    """The graph in torch with planted faults: a sum off by 2, a sign flipped (and summed rightly), logits turned."""

    name = "faulty"

    def __init__(self, graph: DeployGraph) -> None:
        self._torch = GraphRuntime(graph)

    def run(self, images: np.ndarray) -> np.ndarray:
        return self.trace(images).logits

    def trace(self, images: np.ndarray) -> Trace:
        honest = self._torch.trace(images)
        first, second, *rest = honest.taps
        sums = first.sums.copy()
        sums[0, 0, 0, 0] += 2
        sums[1, 0, 0, 1] = NO_SUM
        negative = second.negative.copy()
        negative[0, 3, 3, 5] ^= True
        logits = honest.logits.copy()
        logits[0] = -logits[0]
        readable = first.readable.copy()
        readable[2] = False
        taps = Tap(first.negative, sums, readable), Tap(negative, second.sums, second.readable)
        return Trace(logits, (*taps, *rest))


def test_faults_are_reported(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = named_graph("depthwise")
    monkeypatch.setattr(parity, "open_runtime", lambda name, path: _Faulty(graph))
    row = checked(graph, random_images(graph.architecture, 4, rng), "onnxruntime", tmp_path)
    assert not row.exact
    assert not row.passed
    # Two planted sums, and the 1x1 layer's sums behind the flipped sign: its 16 output channels at that pixel.
    assert row.sums_wrong == 2 + 16
    assert row.sums_unreadable == 4 * 12 * 12
    assert row.sign_flips[:3] == (0, 1, 0)
    assert row.sign_flips_total == 1
    assert row.top1_agreement == 0.75
    assert row.max_abs_diff > 0.1
    assert json.loads(json.dumps(row.to_json()))["sums_wrong"] == 18
    assert "18 of" in str(row)


def test_trained_module_and_folded_graph_agree(rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    architecture = NETWORKS["odd-sizes"]
    module = BinaryMobileNet(architecture).train()
    module(torch.randn(8, 3, 13, 7))  # gives the batch norms statistics
    images = random_images(architecture, 4, rng)
    runtime: Runtime = TorchRuntime(module, architecture)
    trace = runtime.trace(images)
    assert module.training, "the mode comes back"
    folded = GraphRuntime(fold(module.eval())).trace(images)
    np.testing.assert_array_equal(runtime.run(images), trace.logits)
    np.testing.assert_array_equal(trace.taps[0].negative, folded.taps[0].negative)
    for tap, other in zip(trace.taps, folded.taps, strict=True):
        same = (tap.negative == other.negative).all(axis=(1, 2, 3))
        assert same.any()
        np.testing.assert_array_equal(tap.sums[same], other.sums[same])
    np.testing.assert_allclose(trace.logits, folded.logits, rtol=1e-4, atol=1e-4)


def test_a_module_that_is_not_binary_is_refused() -> None:
    module = BinaryMobileNet(NETWORKS["dense"])
    set_binarization(module, Binarization.NONE)
    with pytest.raises(ValueError, match=r"Binarization\.FULL"):
        TorchRuntime(module, NETWORKS["dense"])


def test_integers() -> None:
    values = np.array([1.2, -3.0, 0.4, np.nan, np.inf, 3e9])
    np.testing.assert_array_equal(integers(values, 0.25), [1, -3, NO_SUM, NO_SUM, NO_SUM, NO_SUM])


def test_unknown_and_missing_runtimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = named_graph("dense")
    images = random_images(graph.architecture, 1, np.random.default_rng(0))
    with pytest.raises(UnknownName, match="did you mean onnxruntime"):
        check_parity(graph, tmp_path, images, ["onnx-runtime"])
    monkeypatch.setenv("BNN_LCE_PYTHON", str(tmp_path / "none"))
    with pytest.raises(RuntimeUnavailable, match="make lce-env"):
        check_parity(graph, tmp_path, images, ["lce"])
    assert "lce" in missing_runtimes()


def _trained(name: str = "dense") -> BinaryMobileNet:
    """What training leaves, in a moment: random weights, batch norms that have seen data."""
    torch.manual_seed(0)
    module = BinaryMobileNet(NETWORKS[name]).train()
    module(torch.from_numpy(random_images(NETWORKS[name], 8, np.random.default_rng(1))).permute(0, 3, 1, 2))
    return module.eval()


def test_a_trained_network(runtime_name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    module = _trained()
    file = export_for(runtime_name, fold(module), tmp_path)
    images = random_images(module.architecture, 4, rng)
    torch_row, row = check_parity(module, tmp_path, images, [runtime_name])
    assert row.passed
    assert row.exact
    assert row.file == file
    assert row.sign_flips_total <= 1e-2 * row.signs_compared
    assert (torch_row.runtime, torch_row.file, torch_row.sign_flips_total) == ("torch", None, 0)
    assert torch_row.passed
    assert torch_row.sums_compared == row.sums_compared + row.sums_unreadable


def test_files_of_other_weights(tmp_path: Path, rng: np.random.Generator) -> None:
    """A file that was exported before the weights changed: its sums are not those of the network."""
    module = _trained()
    graph = fold(module)
    weights = graph.steps[1].constants["weights"].copy()
    weights[0, 0, 0, 0] *= -1
    export_for("onnxruntime", with_constant(graph, 1, "weights", weights), tmp_path)
    torch_row, row = check_parity(module, tmp_path, random_images(module.architecture, 2, rng), ["onnxruntime"])
    assert torch_row.exact
    assert row.sums_wrong > 0


def test_a_fold_that_takes_a_wrong_sign(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file agrees with the wrong graph; torch's own sums do not."""
    module = _trained()
    graph = fold(module)
    weights = graph.steps[2].constants["weights"].copy()
    weights[5, 0, 0, 7] *= -1
    wrong = with_constant(graph, 2, "weights", weights)
    monkeypatch.setattr(parity, "fold", lambda _: wrong)
    export_for("onnxruntime", wrong, tmp_path)
    torch_row, row = check_parity(module, tmp_path, random_images(module.architecture, 2, rng), ["onnxruntime"])
    assert torch_row.sums_wrong == 2 * 12 * 12
    assert not torch_row.passed
    assert row.exact


def test_nothing_compared_is_not_exact() -> None:
    row = Parity("lce", 4, 1.0, 0.0, 1.0, 0, 0, 100, 100, (0,), None, 0.1)
    assert not row.exact
    assert not row.passed
    assert Parity("lce", 4, 1.0, 0.0, 1.0, 9, 0, 100, 100, (0,), None, 0.1).passed
    assert not Parity("lce", 4, 0.99, 0.0, 1.0, 9, 0, 100, 100, (0,), None, 0.1).passed


@pytest.mark.parametrize("other", ["depthwise", "groups-of-32", "odd-sizes"])
def test_files_of_another_architecture(runtime_name: str, other: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph("dense")
    export_for(runtime_name, named_graph(other), tmp_path)
    images = random_images(graph.architecture, 1, rng)
    with pytest.raises(FileFormatError, match=r"model\.\w+: of another architecture"):
        check_parity(graph, tmp_path, images, [runtime_name])


def test_missing_files(runtime_name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph("dense")
    path = model_path(tmp_path, RUNTIMES[runtime_name].format)
    with pytest.raises(FileFormatError, match=f"{path.name}: missing; write it with `bnn-deploy export`"):
        check_parity(graph, tmp_path, random_images(graph.architecture, 1, rng), [runtime_name])


@pytest.mark.skipif("engine" in MISSING, reason=MISSING.get("engine", ""))
def test_engine_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="cannot be read"):
        EngineRuntime(tmp_path / "none.bnn")


def test_a_network_of_224(tmp_path: Path) -> None:
    graph = random_graph(reference("uniform-g8"), np.random.default_rng(0))
    export_files(graph, tmp_path)
    images = random_images(graph.architecture, 1, np.random.default_rng(1))
    available = [name for name in BINARY_RUNTIMES if name not in MISSING]
    for row in check_parity(graph, tmp_path, images, available):
        assert row.passed
        assert row.sums_compared == 4_641_280
