"""Exported files run and timed here and on devices: which file in which runtime, answers, samples, steps."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from bnn_deploy.cli import cli
from bnn_deploy.deploy_graph import DeployGraph
from bnn_deploy.errors import BnnDeployError, DeviceError, FileFormatError, RuntimeUnavailable, UnknownName
from bnn_deploy.export.files import export_files
from bnn_deploy.profiling.description import device_descriptions
from bnn_deploy.profiling.device import Device, open_transport
from bnn_deploy.running.choice import BEST_FIRST, Choice, candidates, choose
from bnn_deploy.running.device_python import DevicePython
from bnn_deploy.running.here import Here
from bnn_deploy.running.place import Bench, Place
from bnn_deploy.running.there import There
from bnn_deploy.runtimes import stock_worker, timing
from bnn_deploy.runtimes.registry import RUNTIMES, missing_runtimes
from bnn_deploy.runtimes.sessions import SESSIONS, random_image
from bnn_deploy.runtimes.timing import LEAST_SAMPLES, interleaved
from tests.boards import guard_of_ones_own
from tests.graphs import named_graph
from tests.graphs import random_images as images_of
from tests.ssh_server import SshServer, needs_sshd
from tests.test_imports import MODULES, PACKAGE, loaded

SHAPE = (12, 12, 3)
THREADS = Path("/proc/self/task")
QEMU = shutil.which(f"qemu-{platform.machine()}-static")


@pytest.fixture(scope="module")
def graph() -> DeployGraph:
    return named_graph("dense")


@pytest.fixture(scope="module")
def folder(graph: DeployGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network's folder: its exported files in `export`."""
    folder = tmp_path_factory.mktemp("network")
    export_files(graph, folder / "export")
    return folder


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ssh_server: SshServer) -> str:
    """This computer as a device behind a real sshd."""
    path = tmp_path / "devices.toml"
    path.write_text(f'schema = 1\n[board]\nbased_on = "x86-64"\nhost = "board"\nssh_config = "{ssh_server.config}"\n')
    monkeypatch.setenv("BNN_DEPLOY_DEVICES", str(path))
    return "board"


def all_there(runtime: str) -> str | None:
    return None


def test_every_runtime_has_a_rank() -> None:
    assert sorted(BEST_FIRST) == sorted(RUNTIMES)


def test_the_best_runtime_that_is_there(folder: Path) -> None:
    assert choose(folder, [], all_there) == [Choice("engine", folder / "export" / "model.bnn")]
    assert choose(folder / "export", ["lce"], all_there) == [Choice("lce", folder / "export" / "model.tflite")]
    model = folder / "export" / "model.onnx"
    assert choose(model, [], all_there) == [Choice("onnxruntime+bnn", model)]
    assert choose(model, [], {"onnxruntime+bnn": "no library"}.get) == [Choice("onnxruntime", model)]
    assert [choice.runtime for choice in candidates(folder)] == list(BEST_FIRST)
    with pytest.raises(RuntimeUnavailable, match=r"(?s)no runtime for it is installed:.*lce: why lce"):
        choose(folder / "export" / "model.tflite", [], lambda name: f"why {name}")
    with pytest.raises(RuntimeUnavailable, match=r"^why engine$"):
        choose(folder, ["engine"], lambda name: f"why {name}")


@pytest.mark.parametrize(
    ("where", "names", "message"),
    [
        ("none.bnn", [], r"none\.bnn: no such file"),
        ("none", [], r"none: expected a file \.bnn, \.onnx, \.tflite, or the folder"),
        (".", [], r"expected model\.bnn or model\.onnx or model\.tflite in it, .*`bnn-deploy export`"),
        ("only", ["engine"], r"only: no model\.bnn for runtime engine; write it with `bnn-deploy export`"),
        ("only/model.onnx", ["lce"], r"runtime lce reads \.tflite files; .* take onnxruntime\+bnn or onnxruntime$"),
    ],
)
def test_files_that_do_not_fit(where: str, names: list[str], message: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "model.onnx").write_bytes((folder / "export" / "model.onnx").read_bytes())
    with pytest.raises(FileFormatError, match=message):
        choose(tmp_path / where, names, all_there)


def places() -> list[object]:
    return [
        pytest.param(None, id="here"),
        pytest.param("host", id="host"),
        pytest.param("board", id="ssh", marks=needs_sshd),
    ]


@pytest.fixture(params=places())
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """This computer, this computer as a device, and behind sshd."""
    device = request.param
    if device == "board":
        request.getfixturevalue("board")
    with closing(There(device, sys.executable) if device else Here()) as found:
        yield found


@pytest.mark.parametrize("runtime", ["engine", "onnxruntime", "onnxruntime+bnn", "lce", "litert+bnn"])
def test_the_same_answers_everywhere(place: Place, runtime: str, graph: DeployGraph, folder: Path) -> None:
    if why := place.missing(runtime) or missing_runtimes([runtime]).get(runtime):
        pytest.skip(why)
    images = images_of(graph.architecture, 3, np.random.default_rng(5))
    with closing(Here()) as here:
        expected = here.open(Choice("engine", folder / "export" / "model.bnn")).run(images)
    (choice,) = choose(folder, [runtime], place.missing)
    model = place.open(choice)
    assert model.image_shape == SHAPE
    logits = model.run(images)
    assert (logits.shape, logits.dtype) == ((3, 10), np.float32)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(model.run(images[:1]), logits[:1])


def quick(place: Place, choices: list[Choice], monkeypatch: pytest.MonkeyPatch, threads: int = 1) -> list[Bench]:
    monkeypatch.setattr(timing, "WARMUP_NS", 1_000_000)
    told: list[tuple[float, float, str]] = []
    found = place.bench(choices, threads, 0.05, lambda *words: told.append(words))
    assert told
    assert all(0 <= done <= total for done, total, _ in told)
    return found


def check_bench(bench: Bench, steps: int | None) -> None:
    timings = bench.timings
    assert len(timings.samples_ns) >= LEAST_SAMPLES
    assert all(isinstance(sample, int) and sample > 0 for sample in timings.samples_ns)
    data = json.loads(json.dumps(bench.to_json()))
    assert data["min_ns"] <= data["p10_ns"] <= data["latency_ns"] <= data["p90_ns"]
    assert data["samples_ns"] == list(timings.samples_ns)
    if steps is None:
        assert bench.steps is None
        return
    assert bench.steps is not None
    assert len(bench.steps.steps) == steps
    assert sum(step.total_ns for step in bench.steps.steps) + bench.steps.remainder_ns == bench.steps.total_ns
    assert bench.steps.remainder_ns >= 0
    assert bench.steps.runs >= LEAST_SAMPLES


def test_bench(place: Place, graph: DeployGraph, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard_of_ones_own(tmp_path, monkeypatch)
    choices = choose(folder, ["engine", "onnxruntime+bnn", "onnxruntime"], place.missing)
    engine, fast, stock = quick(place, choices, monkeypatch)
    assert [bench.choice for bench in (engine, fast, stock)] == choices
    check_bench(engine, len(graph.steps))
    check_bench(fast, 1)
    assert fast.steps is not None
    assert (fast.steps.steps[0].name, fast.steps.steps[0].kernel) == ("Network", "Network")
    assert stock.steps is not None
    check_bench(stock, len(stock.steps.steps))
    assert {"Conv", "PRelu", "Gemm"} <= {step.kernel for step in stock.steps.steps}
    assert place.facts()["machine"]
    assert engine.steps is not None
    assert [step.name for step in engine.steps.steps] == [deploy.step.key for deploy in graph.steps]


def test_threads_on_a_device_have_cores(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard_of_ones_own(tmp_path, monkeypatch)
    cores = os.cpu_count() or 1
    with closing(There("host")) as there:
        monkeypatch.setattr(Device, "choose_core", lambda self: cores - 1)
        (bench,) = quick(there, choose(folder, ["engine"], there.missing), monkeypatch, threads=min(2, cores))
        check_bench(bench, 7)
        with pytest.raises(DeviceError, match="cannot start thread"):
            quick(there, [bench.choice], monkeypatch, threads=cores + 1)


def test_bench_with_threads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Here()) as here:
        choices = choose(folder, ["engine", "onnxruntime+bnn"], here.missing)
        engine, onnx = quick(here, choices, monkeypatch, threads=2)
    check_bench(engine, 7)
    check_bench(onnx, 1)
    assert engine.steps is not None
    assert engine.steps.threads == 2
    assert onnx.steps is not None
    assert onnx.steps.threads == 1, "its profiler tells the time of the thread that waits for the others"


@pytest.mark.parametrize("there", [False, True])
def test_bench_of_litert_with_threads(there: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(There("host") if there else Here()) as place:
        (bench,) = quick(place, choose(folder, ["litert+bnn"], place.missing), monkeypatch, threads=2)
    check_bench(bench, 7)
    assert bench.steps is not None
    assert bench.steps.threads == 2


@pytest.mark.parametrize("runtime", ["onnxruntime", "onnxruntime+bnn", "litert+bnn"])
def test_a_session_has_so_many_threads(runtime: str, folder: Path) -> None:
    entry = RUNTIMES[runtime]
    library = entry.library(None) if entry.library else None

    def started(threads: int) -> int:
        before = set(THREADS.iterdir())
        session = SESSIONS[runtime](folder / "export" / f"model.{entry.format}", library, threads)
        session.run(random_image(SHAPE))
        return len(set(THREADS.iterdir()) - before)

    started(1)  # whatever a runtime starts once
    assert [started(threads) for threads in (1, 2, 4)] == [0, 1, 3]


def test_lce_needs_a_reader_of_files() -> None:
    program = "import sys; sys.modules['tflite'] = None; from bnn_deploy.runtimes.registry import missing_runtimes; "
    program += "print(missing_runtimes(['lce'])['lce'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "lce needs tflite to read files; pip install" in done.stdout


@pytest.mark.parametrize("runtime", ["lce", "litert+bnn"])
def test_bench_of_a_tflite_file(runtime: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why := missing_runtimes([runtime]).get(runtime):
        pytest.skip(why)
    with closing(Here()) as here:
        (bench,) = quick(here, choose(folder, [runtime], here.missing), monkeypatch)
    check_bench(bench, None if bench.steps is None else len(bench.steps.steps))
    assert (bench.steps is None) == (runtime == "lce")


def test_a_file_that_lce_refuses_while_it_is_timed(folder: Path, tmp_path: Path) -> None:
    if why := missing_runtimes(["lce"]).get("lce"):
        pytest.skip(why)
    data = (folder / "export" / "model.tflite").read_bytes()
    (tmp_path / "model.tflite").write_bytes(data.replace(b"LceQuantize", b"LceQuantise"))
    with closing(Here()) as here, pytest.raises(FileFormatError, match="LCE's interpreter refuses it"):
        here.bench([Choice("lce", tmp_path / "model.tflite")], 1, 0.01, lambda *_: None)


def test_samples_are_taken_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "WARMUP_NS", 0)
    calls: list[tuple[str, int]] = []

    def fake(name: str, call_ns: int):  # type: ignore[no-untyped-def]
        def sample(iterations: int) -> int:
            calls.append((name, iterations))
            return call_ns * iterations

        return sample

    told: list[tuple[float, float]] = []
    found = interleaved({"a": fake("a", 1000), "b": fake("b", 10_000_000)}, 0, tell=lambda *s: told.append(s))
    assert found["a"].iterations == 2001
    assert found["b"].iterations == 1
    rounds = calls[-4 * LEAST_SAMPLES :]
    for start in range(0, len(rounds), 4):
        first, _, second, _ = rounds[start : start + 4]
        assert {first, second} == {("a", 1), ("b", 1)}
    assert len({rounds[start][0] for start in range(0, len(rounds), 4)}) == 2, "the order is shuffled"
    assert found["a"].samples_ns == [2_001_000] * LEAST_SAMPLES
    assert len(told) == LEAST_SAMPLES


def test_the_worker_carries_all_that_it_imports(tmp_path: Path) -> None:
    needed = {name for name in loaded("bnn_deploy.runtimes.stock_worker") if name in MODULES}
    packages = {name for module in needed for name in (module, module.rpartition(".")[0]) if name in MODULES}
    root = MODULES[PACKAGE].parent
    assert {str(MODULES[name].relative_to(root)) for name in packages | {PACKAGE}} == set(stock_worker.SOURCES)
    worker = tmp_path / "stock_worker.zip"
    worker.write_bytes(stock_worker.archive())
    assert stock_worker.archive() == worker.read_bytes()
    assert zipfile.ZipFile(worker).testzip() is None
    request = {"do": "describe", "model": "none.onnx", "runtimes": {"onnxruntime": None}, "threads": 1, "core": 0}
    (tmp_path / "request.json").write_text(json.dumps(request))
    argv = [sys.executable, "-I", str(worker), str(tmp_path / "request.json")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout)["kind"] == "FileFormatError"


def script(path: Path, body: str) -> str:
    """A program that stands in for a device's Python."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


PROBE = {"python": [3, 11], "machine": "riscv64", "found": ["numpy", "onnxruntime"], "libraries": {}}


@pytest.mark.parametrize(
    ("found", "runtime", "message"),
    [
        (
            None,
            "onnxruntime",
            r"python does not work .*exit code 1: no such luck\); install it, name another with --python",
        ),
        ({"python": [3, 9]}, "onnxruntime", r"expected Python 3\.10 or later, .*python is 3\.9"),
        (
            {"found": []},
            "onnxruntime",
            r"no numpy and no onnxruntime; there, `.*python -m pip install numpy onnxruntime`",
        ),
        ({}, "litert", r"no ai-edge-litert; there, `.*pip install ai-edge-litert`, or name another Python"),
        ({}, "onnxruntime+bnn", r"lib/riscv64/libbnn_onnxruntime\.so: missing: .* no such library for riscv64"),
        ({}, "lce", r"runtime lce runs on this computer only"),
    ],
)
def test_what_a_device_lacks(
    found: dict[str, object] | None, runtime: str, message: str, folder: Path, tmp_path: Path
) -> None:
    answer = "echo no such luck >&2; exit 1" if found is None else f"echo '{json.dumps({**PROBE, **found})}'"
    with (
        closing(There("host", script(tmp_path / "python", answer))) as there,
        pytest.raises(RuntimeUnavailable, match=message),
    ):
        choose(folder, [runtime], there.missing)


def test_a_device_may_lack_what_nobody_asked_for(folder: Path, tmp_path: Path) -> None:
    with closing(There("host", script(tmp_path / "python", f"echo '{json.dumps(PROBE)}'"))) as there:
        assert there.missing("onnxruntime") is None
        assert choose(folder / "export" / "model.onnx", [], there.missing)[0].runtime == "onnxruntime"
        assert choose(folder, [], there.missing)[0].runtime == "engine"


def test_a_device_may_have_the_library_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((1, *SHAPE), np.float32)

    def onnx_library_path(machine: str | None = None) -> Path:
        raise RuntimeUnavailable("nothing is carried for it")

    entry = replace(RUNTIMES["onnxruntime+bnn"], library=onnx_library_path)
    monkeypatch.setattr("bnn_deploy.running.device_python.runtime_entry", lambda name: entry)
    with closing(There("host")) as there, closing(Here()) as here:
        (choice,) = choose(folder, ["onnxruntime+bnn"], there.missing)
        assert there.missing("onnxruntime+bnn") is None
        expected = here.open(Choice("engine", folder / "export" / "model.bnn")).run(image)
        assert np.array_equal(there.open(choice).run(image), expected)


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ('{"error": "no luck", "kind": "RuntimeUnavailable"}', RuntimeUnavailable, "^host: no luck"),
        ('{"error": "no luck", "kind": "FileFormatError"}', FileFormatError, "^host: no luck"),
        ('{"error": "no luck", "kind": "DataError"}', DeviceError, "^host: no luck"),
        ('{"error": "unknown name", "kind": "UnknownName"}', DeviceError, "^host: unknown name"),
        ('{"error": "no luck", "kind": "OfTomorrow"}', DeviceError, "^host: no luck"),
        ("Segmentation fault", DeviceError, "expected a JSON line from .*python, got 'Segmentation fault'"),
    ],
)
def test_what_goes_wrong_there(
    line: str, kind: type[BnnDeployError], message: str, folder: Path, tmp_path: Path
) -> None:
    python = script(tmp_path / "python", f"[ $1 = -c ] && echo '{json.dumps(PROBE)}' || echo '{line}'")
    with closing(There("host", python)) as there:
        model = there.open(Choice("onnxruntime", folder / "export" / "model.onnx"))
        with pytest.raises(kind, match=message) as error:
            model.run(np.zeros((1, *SHAPE), np.float32))
    assert type(error.value) is kind


def test_a_file_that_the_runtime_there_refuses(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"noise")
    with closing(There("host")) as there:
        model = there.open(Choice("onnxruntime", tmp_path / "model.onnx"))
        with pytest.raises(FileFormatError, match=r"host: .*model\.onnx: ONNX Runtime refuses it"):
            model.run(np.zeros((1, *SHAPE), np.float32))


def test_a_core_to_stay_on(folder: Path) -> None:
    transport = open_transport(device_descriptions()["host"])
    with closing(transport):
        python = DevicePython("host", transport, core=4000)
        with pytest.raises(BnnDeployError, match="Invalid argument"):
            list(python.ask("describe", [Choice("onnxruntime", folder / "export" / "model.onnx")], 60))


def command(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)


def test_run_prints_answers(folder: Path, tmp_path: Path) -> None:
    result = command("run", folder, "--images", "digits", "--first", 25)
    assert result.exit_code == 0
    for text in ("top-5 with their scores", "label", "and 5 more; --json prints all", "accuracy", "of 25)"):
        assert text in result.stdout
    assert "model.bnn in engine" in result.stderr
    data = json.loads(command("run", folder, "--images", "digits", "--first", 25, "--json").stdout)
    logits = np.array(data["logits"])
    assert logits.shape == (25, 10)
    assert data["top1"] == logits.argmax(axis=1).tolist()
    assert data["accuracy"] == np.mean(logits.argmax(axis=1) == np.array(data["labels"]))
    assert data["runtime"] == "engine"
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    text = command("run", folder, "--runtime", "onnxruntime", "--images", tmp_path / "red.png").stdout
    assert "red.png" in text
    assert "accuracy" not in text


def test_bench_prints_a_table_for_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "WARMUP_NS", 1_000_000)
    result = command("bench", folder, "--all", "--seconds", 0.02)
    assert result.exit_code == 0
    for text in ("called from Python", "of the fastest", "engine: mean of", "shorter steps", "between steps"):
        assert text in result.stdout
    assert "without litert: " in result.stderr
    data = json.loads(command("bench", folder / "export" / "model.bnn", "--seconds", 0.02, "--json").stdout)
    (found,) = data["results"]
    assert (found["runtime"], data["threads"], data["device"]) == ("engine", 1, None)
    assert data["facts"]["cpu"]
    assert len(found["samples_ns"]) >= LEAST_SAMPLES
    assert len(found["steps"]["steps"]) == 7


def test_times_of_an_emulated_device_are_marked(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard_of_ones_own(tmp_path, monkeypatch)
    read = Device._read_facts
    monkeypatch.setattr(Device, "_read_facts", lambda self: {**read(self), "emulated": True})
    result = command("bench", folder, "--device", "host", "--seconds", 0)
    assert "host is emulated: these times say nothing about a real one" in result.stderr


@pytest.mark.skipif(not QEMU, reason="needs qemu-user-static")
def test_times_of_an_emulated_python_are_marked(folder: Path, tmp_path: Path) -> None:
    model = folder / "export" / "model.onnx"
    python = script(tmp_path / "python", f'exec {QEMU} {sys.executable} "$@"')
    arguments = ["bench", model, "--runtime", "onnxruntime", "--device", "host", "--seconds", 0]
    result = command(*arguments, "--python", python)
    assert "host is emulated: these times say nothing about a real one" in result.stderr
    assert "emulated" not in command(*arguments).stderr


@pytest.mark.parametrize("name", ["run", "bench"])
def test_a_python_without_a_device(name: str, folder: Path) -> None:
    images = ["--random", 1] if name == "run" else []
    result = command(name, folder, "--python", "python3", *images)
    assert result.exit_code == 2
    assert "--python is a device's: give --device, too" in result.stderr


def test_unknown_devices() -> None:
    with pytest.raises(UnknownName, match="did you mean host"):
        There("hots")
