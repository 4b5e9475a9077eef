"""Scripts that check the package on other machines: a NaN is never right."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from bnn_deploy.engine.bnn_file import write_bnn
from bnn_deploy.engine.network import Network
from tests import litert_matrix, litert_worker, onnxruntime_worker, wheel_worker
from tests.graphs import named_graph, random_images

ONES, BROKEN = np.ones((2, 3), np.float32), np.array([[1, 1, 1], [1, np.nan, 1]], np.float32)
machines = pytest.mark.parametrize("machine", ["x86_64", "aarch64"])


@machines
def test_wheels(machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    graph, path = named_graph("dense"), tmp_path / "case.bnn"
    write_bnn(path, graph)
    images = random_images(graph.architecture, 2, np.random.default_rng(0))
    expected = Network.open(path).run(images)
    np.save(path.with_suffix(".images.npy"), images.transpose(0, 3, 1, 2))
    np.save(path.with_suffix(".expected.npy"), expected)
    assert wheel_worker.is_right(path)
    expected[1, 0] = np.nan
    np.save(path.with_suffix(".expected.npy"), expected)
    assert not wheel_worker.is_right(path)


@machines
@pytest.mark.parametrize("broken", ["library", "stock"])
def test_onnxruntime(broken: str, machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    np.save(tmp_path / "case.expected.npy", ONES)
    monkeypatch.setattr(onnxruntime_worker, "outputs", lambda model, library, threads: ONES)
    assert onnxruntime_worker.is_right(tmp_path / "case.onnx", "library.so")
    monkeypatch.setattr(
        onnxruntime_worker,
        "outputs",
        lambda model, library, threads: BROKEN if (library is None) == (broken == "stock") else ONES,
    )
    assert not onnxruntime_worker.is_right(tmp_path / "case.onnx", "library.so")


@machines
def test_litert(machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    np.save(tmp_path / "case.expected.npy", ONES)
    for found, right in [(ONES, True), (BROKEN, False)]:
        monkeypatch.setattr(litert_worker, "outputs", lambda *arguments, found=found: found)
        assert litert_worker.is_right(tmp_path / "case.tflite", "library.so") is right


def test_single_operators() -> None:
    assert not litert_matrix.is_wrong(ONES, ONES, 0.0)
    assert litert_matrix.is_wrong(ONES, BROKEN, 1e9)
