"""What the build installs: the extension, which needs neither torch nor onnx, and the board binary."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bnn_deploy
from bnn_deploy import _native
from bnn_deploy.architecture import Block, Doubling
from bnn_deploy.engine.bnn_file import plan_to_bytes, to_bytes
from bnn_deploy.engine.network import Network
from bnn_deploy.kernels import available_kernels
from bnn_deploy.steps import Step, plan
from tests.graphs import network, random_graph, random_images

BOARD = Path(_native.__file__).parent / "bin" / "bnn-board"
QUICK = ["--samples", "3", "--min-sample-ns", "20000", "--warmup-ns", "20000"]

ARCHITECTURE = network(Block(24, 48, groups=4), Block(48, 48, stride=2, groups=48), size=(12, 10))


def board(*arguments: object, expect: int = 0) -> list[dict[str, object]]:
    """The JSON lines of one run."""
    done = subprocess.run([BOARD, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == expect, done.stderr
    if expect:
        assert done.stderr.startswith("bnn-board")
    return [json.loads(line) for line in done.stdout.splitlines()]


def layers(*arguments: object) -> list[dict[str, object]]:
    """The rows of one run of `layers`."""
    before, *rows, after = board("layers", *arguments)
    assert list(before) == list(after) == ["block"]
    return rows


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    real = network(Block(8, 16), doubling=Doubling.REAL)
    threshold = Step(plan(ARCHITECTURE)[1].kind, 6, 6, 64, 6, 6, 64, kernel=3, float_out=False, bits_out=True, border=1)
    path = tmp_path / "plan.bnn"
    path.write_bytes(plan_to_bytes([*plan(ARCHITECTURE), *plan(real), threshold]))
    return path


@pytest.mark.parametrize("module", ["bnn_deploy.kernels", "bnn_deploy.engine", "bnn_deploy.engine.network"])
def test_the_light_half_is_light(module: str) -> None:
    program = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'tflite', 'sklearn', 'PIL', 'tensorflow'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_build_info() -> None:
    info = _native.build_info()
    assert set(info) == {"version", "compiler", "flags", "machine", "isa"}
    assert info["version"] == bnn_deploy.__version__
    assert "-ffp-contract=off" in info["flags"]


def test_layers(plan_file: Path) -> None:
    rows = layers("--plan", plan_file, "--seed", 3, *QUICK)
    steps = len(plan(ARCHITECTURE)) + len(plan(network(Block(8, 16), doubling=Doubling.REAL))) + 1
    assert sorted(int(str(row["index"])) for row in rows) == list(range(steps))
    names = {kernel.name for kernel in available_kernels()}
    for row in rows:
        assert row["checked"] is True
        assert "cold_samples_ns" not in row
        assert int(str(row["iterations"])) >= 1
        for key in ("samples_ns", "sentinel_ns"):
            samples = row[key]
            assert isinstance(samples, list)
            assert len(samples) == 3
            assert all(isinstance(sample, int) and sample > 0 for sample in samples)
        kernel = str(row["kernel"])
        assert kernel in names or kernel.split("_")[0] in ("conv2d", "global", "linear")


def methods(names: object) -> list[str]:
    """Kernels without their tiles, which are found by measuring and so may differ from load to load."""
    assert isinstance(names, (list, tuple))
    known = {kernel.name: f"{kernel.isa} {kernel.method}" for kernel in available_kernels()}
    return [known.get(name, name) for name in names]


def test_a_table_row_times_the_kernel_that_the_engine_runs(plan_file: Path) -> None:
    plan_file.write_bytes(plan_to_bytes(plan(ARCHITECTURE)))
    rows = {int(str(row["index"])): row["kernel"] for row in layers("--plan", plan_file, *QUICK)}
    engine = Network(to_bytes(random_graph(ARCHITECTURE, np.random.default_rng(1))))
    assert methods([rows[index] for index in range(len(rows))]) == methods(engine.kernels)


def test_layers_options(plan_file: Path) -> None:
    for row in layers("--plan", plan_file, "--isa", "scalar", "--cold-samples", 2, *QUICK):
        assert [len(row[key]) for key in ("samples_ns", "cold_samples_ns")] == [3, 2]  # type: ignore[arg-type]
        assert "avx" not in str(row["kernel"])
        assert "neon" not in str(row["kernel"])


def test_a_kernel_that_does_not_fit_is_an_error_of_its_row(plan_file: Path) -> None:
    special = [kernel.name for kernel in available_kernels() if kernel.supported and "depthwise" in kernel.name]
    if not special:
        pytest.skip("this CPU has no depthwise kernel")
    rows = layers("--plan", plan_file, "--isa", special[0], *QUICK)
    failed = [row for row in rows if "error" in row]
    assert failed
    assert all("does not support" in str(row["error"]) and "samples_ns" not in row for row in failed)
    assert len(failed) < len(rows)


def test_net(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    graph = random_graph(ARCHITECTURE, rng)
    image = random_images(ARCHITECTURE, 1, rng)[0]
    (tmp_path / "net.bnn").write_bytes(to_bytes(graph))
    image.tofile(tmp_path / "image.f32")
    (row,) = board("net", "--model", tmp_path / "net.bnn", "--input", tmp_path / "image.f32", "--core", 0, *QUICK)
    engine = Network(to_bytes(graph))
    assert methods(row["kernels"]) == methods(engine.kernels)
    segments = row["segments"]
    assert isinstance(segments, list)
    assert segments[0] == 0
    assert segments == sorted(set(segments))
    assert (row["threads"], row["arena_bytes"]) == (1, engine.arena_bytes)
    assert "section_ns" not in row
    assert 0 < int(str(row["resident_bytes"])) <= int(str(row["peak_resident_bytes"]))
    assert np.array_equal(np.array(row["outputs"], np.float32), engine.run(image))  # bit for bit
    assert len(row["samples_ns"]) == 3  # type: ignore[arg-type]
    (timed,) = board("net", "--model", tmp_path / "net.bnn", *QUICK)
    assert "outputs" not in timed
    files = ["--model", tmp_path / "net.bnn", "--input", tmp_path / "image.f32"]
    (threads,) = board("net", *files, "--threads", 2, *QUICK)
    assert threads["outputs"] == row["outputs"]
    assert threads["threads"] == 2
    assert int(str(threads["section_ns"])) > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_a_profile_gives_all_of_the_time_to_steps_or_the_remainder(tmp_path: Path, threads: int) -> None:
    (tmp_path / "net.bnn").write_bytes(to_bytes(random_graph(ARCHITECTURE, np.random.default_rng(2))))
    first, *steps, last = board("net", "--model", tmp_path / "net.bnn", "--profile", "--threads", threads, *QUICK)
    assert [step["step"] for step in steps] == list(range(len(plan(ARCHITECTURE))))
    assert [step["kernel"] for step in steps] == first["kernels"]
    times = [int(str(step["total_ns"])) for step in steps]
    remainder, total = int(str(last["remainder_ns"])), int(str(last["total_ns"]))
    assert sum(times) + remainder == total
    assert min(*times, remainder) >= 0
    assert (last["runs"], last["threads"]) == (3 * int(str(first["iterations"])), threads)


def test_a_block_says_what_happened_around_its_rows(plan_file: Path) -> None:
    before, *rows, after = (dict(line) for line in board("layers", "--plan", plan_file, "--core", 0, *QUICK))
    first, last = before["block"], after["block"]
    assert isinstance(first, dict)
    assert isinstance(last, dict)
    assert set(first) == {"before"}
    assert set(last) == {"after", "wall_ns", "cpu_ns", "wall_sampled_ns", "preempted", "sentinel_ns"}
    assert set(first["before"]) == set(last["after"])
    assert first["before"]["core"] == last["after"]["core"] == 0
    assert last["after"]["utc_ns"] - first["before"]["utc_ns"] > 0
    assert 0 < last["cpu_ns"] <= 1.01 * last["wall_sampled_ns"] < last["wall_ns"]
    assert last["sentinel_ns"] == rows[0]["sentinel_ns"]


def test_outputs_and_sums_are_those_of_the_engine(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    graph = random_graph(ARCHITECTURE, rng)
    images = random_images(ARCHITECTURE, 3, rng)
    model, image_file, output, sums = (tmp_path / name for name in ("net.bnn", "images.f32", "out.f32", "sums.i32"))
    model.write_bytes(to_bytes(graph))
    images.tofile(image_file)
    (record,) = board("net", "--model", model, "--input", image_file, "--output", output, "--sums", sums)
    assert record["images"] == 3
    assert "samples_ns" not in record
    engine = Network(to_bytes(graph))
    results = np.fromfile(output, np.float32)
    assert np.array_equal(results, np.concatenate([engine.run(image).reshape(-1) for image in images]))
    expected = [step.sums.reshape(-1) for step in engine.trace(images[0]) if step.sums is not None]
    assert len(expected) > 2
    assert np.array_equal(np.fromfile(sums, np.int32), np.concatenate(expected))
    images[:, :-1].tofile(image_file)
    assert board("net", "--model", model, "--input", image_file, "--output", output, expect=1) == []
    board("net", "--model", model, "--input", image_file, "--output", tmp_path / "none" / "x", expect=1)


def test_exit_codes(tmp_path: Path, plan_file: Path) -> None:
    wrong = [
        [],
        ["no-such"],
        ["layers"],
        ["layers", "--plan"],
        ["facts", "--x"],
        ["net", "--samples", "0"],
        ["net", "--threads", "0"],
        ["net", "--model", "x", "--output", "y"],
        ["net", "--model", "x", "--input", "y", "--output", "z", "--profile"],
        ["state", "--core", "x"],
        ["hold"],
        ["hold", "--core", "0", "--khz", "1000", "--governor", "performance"],
    ]
    wrong += [["layers", "--plan", "x", "--samples", "3x"], ["layers", "--plan", str(plan_file), "--isa", "magic"]]
    for arguments in wrong:
        board(*arguments, expect=2)
    damaged = tmp_path / "damaged.bnn"
    damaged.write_bytes(plan_file.read_bytes()[:-1])
    (tmp_path / "short.f32").write_bytes(b"1234")
    (tmp_path / "net.bnn").write_bytes(to_bytes(random_graph(ARCHITECTURE, np.random.default_rng(3))))
    for arguments in [
        ["layers", "--plan", str(tmp_path / "missing.bnn")],
        ["layers", "--plan", str(damaged)],
        ["layers", "--plan", str(plan_file), "--core", "4000"],
        ["net", "--model", str(plan_file)],
        ["net", "--model", str(tmp_path / "net.bnn"), "--input", str(tmp_path / "short.f32")],
    ]:
        assert board(*arguments, expect=1) == []


def test_help() -> None:
    done = subprocess.run([BOARD, "--help"], capture_output=True, text=True, check=True)
    for word in (
        "facts",
        "state",
        "hold",
        "layers",
        "net",
        "--min-sample-ns",
        "--cold-samples",
        "--threads",
        "--profile",
        "Exit code",
    ):
        assert word in done.stdout
