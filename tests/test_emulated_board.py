"""The AArch64 board binary through ssh on the emulated board (scripts/arm64-board): results, not latencies.

`.ci/run` starts the board; by hand: `sudo scripts/arm64-board F start`, then `BNN_ARM64_BOARD=F pytest -m board`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnn_deploy.deploy_graph import DeployGraph
from bnn_deploy.engine import Network, plan_to_bytes, write_bnn
from bnn_deploy.errors import DeviceError
from bnn_deploy.latency.check import check
from bnn_deploy.latency.judgement import Quality
from bnn_deploy.profiling.device import Device, open_device
from bnn_deploy.profiling.own_devices import add_device
from bnn_deploy.profiling.profile import profile
from bnn_deploy.profiling.protocol import ProfileSettings
from bnn_deploy.space import load_space
from bnn_deploy.steps import StepKind
from tests.boards import guard_of_ones_own
from tests.graphs import random_graph, random_images
from tests.test_transport import soon

FOLDER = os.environ.get("BNN_ARM64_BOARD")
QUICK = ["--samples", "1", "--min-sample-ns", "1", "--warmup-ns", "0", "--core", "0"]

pytestmark = [
    pytest.mark.board,
    pytest.mark.skipif(not FOLDER, reason="BNN_ARM64_BOARD names no folder of scripts/arm64-board"),
]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BNN_DEPLOY_DEVICES", str(tmp_path_factory.mktemp("board") / "devices.toml"))
        config = str(Path(str(FOLDER)).resolve() / "ssh_config")
        add_device("arm64-board", {"based_on": "aarch64", "host": "arm64-board", "ssh_config": config})
        with open_device("arm64-board") as device:
            yield device
            folder = Path(str(FOLDER)) / "root" / "tmp"
            assert list(folder.glob("bnn-deploy.*"))
        assert soon(lambda: not list(folder.glob("bnn-deploy.*")))


def test_facts(board: Device) -> None:
    assert board.emulated
    assert board.facts["machine"] == "aarch64"
    assert board.facts["isa"] == ["scalar", "neon", "neon_dot"]
    assert board.run(["uname", "-m"]) == ["aarch64"]


@pytest.mark.parametrize("isa", ["neon", "neon_dot"])
def test_every_layer_of_the_space_is_right(board: Device, isa: str, tmp_path: Path) -> None:
    steps = load_space("mobilenet-224").steps()
    plan = tmp_path / "plan.bnn"
    plan.write_bytes(plan_to_bytes(steps))
    words = ["layers", "--plan", board.push(plan), "--isa", isa, *QUICK]
    rows = [record for record in board.board(words, 900) if "block" not in record]
    assert [row.get("error") for row in rows] == [None] * len(steps)
    assert all(row["checked"] is True for row in rows)
    assert sorted(row["index"] for row in rows) == list(range(len(steps)))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_networks_sums_are_this_computers(board: Device, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    space = load_space("mobilenet-224")
    graph = exact_stem(random_graph(space.decode(space.sample(rng)[0]), rng))
    # Eighths, so that the stem's sums are exact in any order, and its signs are the same everywhere.
    image = np.round(8 * random_images(graph.architecture, 1, rng)[0]) / np.float32(8)
    model, input_file, sums_file, scores_file = (tmp_path / name for name in ("net.bnn", "in", "sums", "scores"))
    write_bnn(model, graph)
    input_file.write_bytes(image.tobytes())
    words = ["net", "--model", board.push(model), "--input", board.push(input_file)]
    list(board.board([*words, "--sums", "sums.raw", "--output", "scores.raw"], 900))
    board.pull("sums.raw", sums_file)
    board.pull("scores.raw", scores_file)
    traced = Network.open(model).trace(image)
    expected = np.concatenate([step.sums.ravel() for step in traced if step.sums is not None])
    assert expected.size > 1_000_000
    np.testing.assert_array_equal(np.fromfile(sums_file, np.int32), expected)
    assert traced[-1].values is not None
    # rtol: the last layer adds up 1024 products in an order of its own
    scores = np.fromfile(scores_file, np.float32)
    np.testing.assert_allclose(scores, traced[-1].values.ravel(), rtol=1e-4, atol=1e-4)


def test_its_table_is_refused_or_marked(board: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard_of_ones_own(tmp_path, monkeypatch)
    path, steps = tmp_path / "t.jsonl", load_space("mobilenet-32").steps()[-6:]
    settings = ProfileSettings(samples=1, min_sample_ns=1, warmup_ns=0, cold_samples=1)
    with pytest.raises(DeviceError, match=r"an emulated board.*--estimate.*--allow-emulated"):
        profile(steps, board, path, settings=settings)
    assert not path.exists()
    table = profile(steps, board, path, settings=settings, allow_emulated=True)
    assert set(table.rows) == set(steps)
    assert {(row.source, row.quality) for row in table.rows.values()} == {("emulated", Quality.EMULATED)}
    assert not check(table).passed


def exact_stem(graph: DeployGraph) -> DeployGraph:
    """The float convolution's constants as multiples of 2^-10."""
    first, *others = graph.steps
    assert first.step.kind is StepKind.CONV2D
    constants = {
        name: np.round(1024 * value) / np.float32(1024) if name in ("weights", "bias") else value
        for name, value in first.constants.items()
    }
    return replace(graph, steps=(replace(first, constants=constants), *others))
