"""The parity check: every runtime against torch, and a check that a failure shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bnn_deploy.deploy_graph import DeployGraph
from bnn_deploy.errors import FileFormatError, RuntimeUnavailable, UnknownName
from bnn_deploy.export.fold import fold
from bnn_deploy.layers.binarize import Binarization, set_binarization
from bnn_deploy.layers.mobilenet import BinaryMobileNet
from bnn_deploy.runtimes import parity
from bnn_deploy.runtimes.base import NO_SUM, Runtime, Tap, Trace, integers
from bnn_deploy.runtimes.engine import EngineRuntime
from bnn_deploy.runtimes.parity import check_parity
from bnn_deploy.runtimes.registry import RUNTIMES, export_for, missing_runtimes, open_runtime
from bnn_deploy.runtimes.torch import GraphRuntime, TorchRuntime
from bnn_deploy.settings import write_json
from bnn_deploy.training.checkpoint import save_weights
from bnn_deploy.training.network_folder import NetworkFolder
from bnn_deploy.training.recipe import Recipe
from bnn_deploy.training.single import new_model
from tests.graphs import NETWORKS, named_graph, random_images, tied_graph, with_constant

MISSING = missing_runtimes()


@pytest.fixture(params=RUNTIMES)
def runtime_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name in MISSING:
        pytest.skip(MISSING[name])
    return name


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_runtime_sums_exactly(runtime_name: str, network: str, rng: np.random.Generator) -> None:
    graph = named_graph(network)
    (row,) = check_parity(graph, random_images(graph.architecture, 2, rng), [runtime_name])
    assert row.sums_wrong == 0
    assert row.exact
    assert row.sums_compared > 0
    assert row.sums_unreadable == 0
    assert row.sign_flips_total <= 1e-3 * row.signs_compared, "only values within rounding of a threshold may flip"


def test_ties_do_not_flip(runtime_name: str, rng: np.random.Generator) -> None:
    graph = tied_graph()
    (row,) = check_parity(graph, random_images(graph.architecture, 1, rng), [runtime_name])
    assert row.sign_flips[0] == 0


def test_contract_of_a_runtime(runtime_name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = named_graph("odd-sizes")
    runtime = open_runtime(runtime_name, export_for(runtime_name, graph, tmp_path))
    images = random_images(graph.architecture, 3, rng)
    assert runtime.name == runtime_name
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


def test_batches_add_up(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = named_graph("dense")
    images = random_images(graph.architecture, 5, rng)
    (whole,) = check_parity(graph, images, ["onnxruntime"])
    monkeypatch.setattr(parity, "_VALUES_AT_ONCE", 1)
    (single,) = check_parity(graph, images, ["onnxruntime"])
    assert (single.images, single.sums_compared) == (whole.images, whole.sums_compared)
    assert single.signs_compared == whole.signs_compared


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


def test_faults_are_reported(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = named_graph("depthwise")
    monkeypatch.setattr(parity, "open_runtime", lambda name, path: _Faulty(graph))
    (row,) = check_parity(graph, random_images(graph.architecture, 4, rng), ["onnxruntime"])
    assert not row.exact
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
        check_parity(graph, images, ["onnx-runtime"])
    monkeypatch.setenv("BNN_LCE_PYTHON", str(tmp_path / "none"))
    with pytest.raises(RuntimeUnavailable, match="make lce-env"):
        check_parity(graph, images, ["lce"])
    assert "lce" in missing_runtimes()


def _trained_folder(path: Path) -> NetworkFolder:
    """What training leaves, in a moment: random weights, batch norms that have seen data."""
    folder = NetworkFolder(path, NETWORKS["dense"], data="digits", recipe=Recipe(epochs=1), seed=0)
    write_json(path / "network.json", folder._to_json())
    module = new_model(folder.architecture, folder.recipe, folder.seed)
    module(torch.from_numpy(random_images(folder.architecture, 8, np.random.default_rng(1))).permute(0, 3, 1, 2))
    save_weights(path / "weights.safetensors", module, {})
    return folder


def test_folder_of_a_trained_network(runtime_name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    folder = _trained_folder(tmp_path)
    images = random_images(folder.architecture, 4, rng)
    (row,) = check_parity(tmp_path, images, [runtime_name])
    assert row.exact
    assert row.file is None
    assert row.sums_compared > 0
    assert row.sign_flips_total <= 1e-2 * row.signs_compared


def test_exported_files_of_a_folder_are_what_is_checked(tmp_path: Path, rng: np.random.Generator) -> None:
    """A file that was exported before the weights changed: its sums are not those of the network."""
    folder = _trained_folder(tmp_path)
    (tmp_path / "export").mkdir()
    graph = fold(folder.load())
    weights = graph.steps[1].constants["weights"].copy()
    weights[0, 0, 0, 0] *= -1
    stale = export_for("onnxruntime", with_constant(graph, 1, "weights", weights), tmp_path / "export")
    (row,) = check_parity(tmp_path, random_images(folder.architecture, 2, rng), ["onnxruntime"])
    assert row.file == stale
    assert row.sums_wrong > 0


@pytest.mark.skipif("engine" in MISSING, reason=MISSING.get("engine", ""))
def test_engine_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="cannot be read"):
        EngineRuntime(tmp_path / "none.bnn")
