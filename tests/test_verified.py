"""What `verify` leaves out unless asked for, and that it says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bnn_deploy.architecture import Architecture, Block, Stem
from bnn_deploy.cli import cli
from bnn_deploy.export.files import export_files
from bnn_deploy.export.small_groups import SmallGroups
from bnn_deploy.runtimes import verified
from bnn_deploy.runtimes.verified import left_out_runtimes, verified_runtimes
from bnn_deploy.training import Recipe, load_data
from bnn_deploy.training.network_folder import NetworkFolder
from tests.graphs import named_graph

TINY = Architecture(8, 8, 3, Stem(8, stride=1), (Block(8, 16, stride=2, groups=2),), classes=10)
STANDARD = ["engine", "onnxruntime", "onnxruntime+bnn"]


def pretend_missing(monkeypatch: pytest.MonkeyPatch, missing: dict[str, str]) -> None:
    monkeypatch.setattr(verified, "missing_runtimes", lambda names: dict(missing))


def test_a_runtime_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_missing(monkeypatch, {"litert+bnn": "why"})
    assert left_out_runtimes() == {"litert+bnn": "why"}
    assert verified_runtimes() == verified_runtimes(tmp_path) == [*STANDARD, "lce"]


def test_our_own_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_missing(monkeypatch, {})
    graph = named_graph("groups-of-16")
    export_files(graph, tmp_path, ["tflite"], SmallGroups.NATIVE)
    assert list(left_out_runtimes(tmp_path)) == ["lce"]
    assert verified_runtimes(tmp_path) == [*STANDARD, "litert+bnn"]
    export_files(graph, tmp_path, ["tflite"], SmallGroups.PAD)
    assert left_out_runtimes(tmp_path) == {}
    assert verified_runtimes(tmp_path) == [*STANDARD, "lce", "litert+bnn"]


def verify(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["verify", str(folder), "--images", "2", "--json", *arguments])


def runtimes(result: Result) -> list[str]:
    assert result.exit_code in (0, 1), result.stderr
    return [row["runtime"] for row in json.loads(result.stdout)["parity"]]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    NetworkFolder(tmp_path, TINY, "digits", Recipe(epochs=1, batch_size=256), 0).train(load_data("digits", 8, 8))
    assert CliRunner().invoke(cli, ["export", str(tmp_path), "--small-groups", "native"]).exit_code == 0
    pretend_missing(monkeypatch, {"litert+bnn": "pip install ai-edge-litert"})
    result = verify(tmp_path)
    assert runtimes(result) == ["torch", *STANDARD]
    assert "litert+bnn is left out: pip install ai-edge-litert\n" in result.stderr
    assert f"lce is left out: {tmp_path}/export/model.tflite: exported with --small-groups native" in result.stderr
    result = verify(tmp_path, "--runtime", "engine")
    assert runtimes(result) == ["torch", "engine"]
    assert "left out" not in result.stderr
