"""Stock LiteRT: files without binary layers alone; and what is asked of a delegate, of one that pretends."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tflite

import bnn_deploy
from bnn_deploy.errors import FileFormatError, RuntimeUnavailable
from bnn_deploy.export.tflite import export_tflite
from bnn_deploy.export.tflite_writer import BuiltinOptions, TfliteWriter
from bnn_deploy.runtimes import sessions, step_times
from bnn_deploy.runtimes.litert import LiteRt
from bnn_deploy.runtimes.registry import missing_runtimes, open_runtime
from bnn_deploy.runtimes.sessions import LiteRtSession, Profile, random_image
from bnn_deploy.runtimes.step_times import LEAST_RUNS, profiled
from tests.graphs import named_graph

pytestmark = pytest.mark.skipif("litert" in missing_runtimes(["litert"]), reason="LiteRT is not installed")

SHAPE = (6, 5, 3)

# The interface of an external delegate (tensorflow/lite/delegates/external); it takes no operator.
PRETENDER = r"""
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
struct Delegate { void* data; int (*prepare)(void*, Delegate*); void* hooks[3]; long flags; void* builder; };
static std::string profile, threads;
extern "C" Delegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count,
                                                   void (*report)(const char*)) {
  profile.clear();
  for (size_t i = 0; i < count; ++i) (std::strcmp(keys[i], "profile") ? threads : profile) = values[i];
  if (threads == "13") return report("threads: 13 is unlucky"), nullptr;
  Delegate* made = static_cast<Delegate*>(std::calloc(1, sizeof(Delegate)));
  made->prepare = [](void*, Delegate*) { return 0; };
  return made;
}
extern "C" void tflite_plugin_destroy_delegate(Delegate* made) {
  if (FILE* file = profile.empty() ? nullptr : std::fopen(profile.c_str(), "w")) {
    std::fprintf(file, "{\"schema\": 1, \"steps\": [{\"name\": \"all\", \"total_ns\": 123, \"rows\": 4}], ");
    std::fprintf(file, "\"runs\": 7, \"threads\": %s}", threads.c_str());
    std::fclose(file);
  }
  std::free(made);
}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The mean of an image, which any TensorFlow Lite computes."""
    writer = TfliteWriter()
    images = writer.tensor("images", (1, *SHAPE))
    axes = writer.constant("axes", np.array([1, 2], np.int32))
    options = BuiltinOptions(tflite.BuiltinOptions.ReducerOptions, {})
    mean = writer.builtin(tflite.BuiltinOperator.MEAN, [images, axes], "mean", (1, SHAPE[2]), options)
    path = tmp_path / "mean.tflite"
    path.write_bytes(writer.finish([images], [mean], {}))
    return path


@pytest.fixture(scope="module")
def pretender(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    library = tmp_path_factory.mktemp("delegate") / "pretender.so"
    command = [compiler, "-shared", "-fPIC", "-x", "c++", "-", "-o", str(library)]
    subprocess.run(command, input=PRETENDER, text=True, check=True)
    return library


def test_a_file_without_custom_operators(model: Path) -> None:
    runtime = open_runtime("litert", model)
    assert isinstance(runtime, LiteRt)
    assert (runtime.name, runtime.image_shape) == ("litert", SHAPE)
    images = np.random.default_rng(1).standard_normal((4, *SHAPE)).astype(np.float32)
    expected = images.mean(axis=(1, 2))
    np.testing.assert_allclose(runtime.run(images), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(FileFormatError, match=r"mean\.tflite: not written by bnn-deploy"):
        runtime.trace(images)
    with pytest.raises(ValueError, match=r"expected float32 \[N, 6, 5, 3\]"):
        runtime.run(images[:, 1:])


def test_binary_layers_are_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    export_tflite(named_graph("dense"), path)
    with pytest.raises(
        FileFormatError, match=r"custom op: LceQuantize; LiteRT alone knows no binary layers: take runtime"
    ):
        LiteRt(path)


@pytest.mark.parametrize("content", [None, b"", b"noise" * 100])
def test_files_that_are_no_models(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"model\.tflite: LiteRT refuses it"):
        LiteRt(path)


def test_a_delegate_gets_its_options_and_writes_its_profile(model: Path, pretender: Path, tmp_path: Path) -> None:
    session = LiteRtSession(model, pretender, 2, tmp_path / "profile")
    session.run(random_image(SHAPE))
    assert not (tmp_path / "profile").exists()
    assert session.end_profile() == Profile(2, [{"name": "all", "total_ns": 123, "rows": 4}])
    steps = profiled("litert+bnn", model, pretender, 1)
    assert steps is not None
    assert steps.threads == 1
    assert steps.runs >= LEAST_RUNS
    assert [(step.name, step.kernel, step.total_ns) for step in steps.steps] == [("all", "", 123)]
    assert steps.remainder_ns == steps.total_ns - 123
    assert profiled("litert", model, None, 1) is None


def test_a_profile_of_threads_covers_them_all(model: Path, pretender: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(perf_counter_ns=iter([5000, 6000]).__next__)
    monkeypatch.setattr(step_times, "time", clock)
    monkeypatch.setattr(step_times, "MOST_RUNS", 2)
    steps = profiled("litert+bnn", model, pretender, 3)
    assert steps is not None
    assert (steps.runs, steps.threads, steps.total_ns, steps.remainder_ns) == (2, 3, 3000, 3000 - 123)
    assert steps.mean_ns(steps.total_ns) == 500


def test_a_delegate_that_refuses(model: Path, pretender: Path) -> None:
    with pytest.raises(
        RuntimeUnavailable, match=r"pretender\.so: LiteRT cannot use this library: threads: 13 is unlucky"
    ):
        LiteRtSession(model, pretender, 13)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # ai-edge-litert's Delegate.__del__
def test_libraries_that_cannot_be_loaded(model: Path, tmp_path: Path) -> None:
    for library in (tmp_path / "missing.so", bnn_deploy.onnx_library_path()):
        with pytest.raises(RuntimeUnavailable, match=r"\.so: LiteRT cannot use this library"):
            LiteRt(model, library)


def test_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    assert missing_runtimes(["litert"])["litert"].endswith("pip install ai-edge-litert")
    with pytest.raises(RuntimeUnavailable, match="pip install ai-edge-litert"):
        sessions.LiteRtSession(tmp_path / "model.tflite")


def test_where_libraries_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bnn_deploy, "native_folder", lambda: tmp_path)
    with pytest.raises(RuntimeUnavailable, match=r"lib/libbnn_litert\.so: missing: this library is not built"):
        bnn_deploy.litert_library_path()
    with pytest.raises(RuntimeUnavailable, match=r"lib/riscv64/libbnn_litert\.so: missing: .* for riscv64; copy there"):
        bnn_deploy.litert_library_path("riscv64")
    other = tmp_path / "lib" / "riscv64" / "libbnn_litert.so"
    other.parent.mkdir(parents=True)
    other.touch()
    assert bnn_deploy.litert_library_path("riscv64") == other


def test_a_profile_is_json(pretender: Path, model: Path, tmp_path: Path) -> None:
    steps = profiled("litert+bnn", model, pretender, 1)
    assert steps is not None
    assert type(steps).from_json(json.loads(json.dumps(steps.to_json()))) == steps
