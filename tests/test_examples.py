"""examples/: an exported network in stock runtimes, ONNX Runtime from C and LiteRT from Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import bnn_deploy
from bnn_deploy.engine.bnn_file import write_bnn
from bnn_deploy.engine.network import Network
from bnn_deploy.export.onnx import export_onnx
from bnn_deploy.export.tflite import export_tflite
from tests.graphs import named_graph, random_images

EXAMPLES = Path(__file__).parents[1] / "examples"
SOURCE = EXAMPLES / "onnxruntime.c"
(RUNTIME,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("c") / "classify"
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run(["gcc", "-std=c99", *warnings, "-O2", "-o", built, SOURCE, "-ldl"], check=True)
    return built


def classify(program: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [program, RUNTIME, bnn_deploy.onnx_library_path(), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_c_gives_python_s_answer(program: Path, tmp_path: Path) -> None:
    graph = named_graph("groups-of-16")
    export_onnx(graph, tmp_path / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(str(bnn_deploy.onnx_library_path()))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", options, providers=["CPUExecutionProvider"])
    images = random_images(graph.architecture, 3, np.random.default_rng(7)).transpose(0, 3, 1, 2)
    for image in (*images, np.zeros_like(images[0])):
        image.tofile(tmp_path / "image.f32")
        (logits,) = session.run(None, {"images": np.ascontiguousarray(image[None])})
        given = [tmp_path / "image.f32"] if image.any() else []
        done = classify(program, tmp_path / "model.onnx", *given)
        best, value = done.stdout.split()
        assert (int(best), np.float32(value)) == (logits.argmax(), logits.max()), done.stderr


def test_c_says_what_is_wrong(program: Path, tmp_path: Path) -> None:
    for missing in ([tmp_path / "none.onnx"], []):
        done = classify(program, *missing)
        assert done.returncode == 1
        assert ("none.onnx" if missing else "usage") in done.stderr


def classify_in_litert(*arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXAMPLES / "litert.py", bnn_deploy.litert_library_path(), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_litert_gives_the_engine_s_answer(tmp_path: Path) -> None:
    graph = named_graph("groups-of-16")
    export_tflite(graph, tmp_path / "model.tflite")
    write_bnn(tmp_path / "model.bnn", graph)
    images = random_images(graph.architecture, 1, np.random.default_rng(7))
    for image in (images, np.zeros_like(images)):
        image.tofile(tmp_path / "image.f32")
        logits = Network.open(tmp_path / "model.bnn").run(image)
        done = classify_in_litert(tmp_path / "model.tflite", *([tmp_path / "image.f32"] if image.any() else []))
        best, value = done.stdout.split()
        assert (int(best), np.float32(value)) == (logits.argmax(), logits.max()), done.stderr
    np.zeros(7, np.float32).tofile(tmp_path / "image.f32")
    done = classify_in_litert(tmp_path / "model.tflite", tmp_path / "image.f32")
    assert done.returncode == 1
    assert "got 7" in done.stderr
