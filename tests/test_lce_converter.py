"""LCE's own converter against the direct writer: the same network by two ways, in LCE's interpreter."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from bnn_deploy.architecture import Architecture, Block, Stem
from bnn_deploy.cli import cli
from bnn_deploy.errors import ExportError, RuntimeUnavailable
from bnn_deploy.export.tflite import export_tflite, to_flatbuffer
from bnn_deploy.runtimes.lce import PYTHON_VARIABLE
from bnn_deploy.runtimes.lce_converter import compare_files, convert, converter_python
from bnn_deploy.runtimes.registry import missing_runtimes
from bnn_deploy.runtimes.tflite_file import TfliteFile
from bnn_deploy.training import Recipe, load_data
from bnn_deploy.training.network_folder import NetworkFolder
from tests.graphs import NETWORKS, binary_steps, named_graph, with_constant

TINY = Architecture(8, 8, 3, Stem(8, stride=1), (Block(8, 16, stride=2, groups=2), Block(16, 16, groups=4)), classes=10)


def _converter_is_missing() -> str:
    try:
        converter_python()
    except RuntimeUnavailable as exc:
        return str(exc)
    return ""


needs_lce = pytest.mark.skipif("lce" in missing_runtimes(), reason=missing_runtimes().get("lce", ""))
needs_converter = pytest.mark.skipif(bool(_converter_is_missing()), reason=_converter_is_missing())


@needs_converter
@pytest.mark.parametrize("name", NETWORKS)
def test_both_ways_give_the_same_answers(name: str, tmp_path: Path) -> None:
    graph = named_graph(name)
    written, converted = tmp_path / "model.tflite", tmp_path / "model.lce.tflite"
    export_tflite(graph, written)
    stages: list[tuple[int, int, str]] = []
    convert(graph, converted, lambda *stage: stages.append(stage))
    assert stages[0] == (0, 3, "importing TensorFlow")
    assert stages[-1] == (3, 3, "")
    layers = len(binary_steps(graph))
    custom = Counter(operator.custom for operator in TfliteFile(converted).operators if operator.custom)
    assert custom == {"LceQuantize": layers, "LceBconv2d": layers}
    ours, theirs = compare_files(graph, written, converted)
    assert ours.passed
    assert theirs.passed
    assert (ours.file, theirs.file) == (written, converted)
    assert theirs.sums_compared == ours.sums_compared
    assert theirs.max_rel_diff < 1e-5, "both files round alike, but for the float operators around the binary ones"
    assert theirs.sign_flips_total <= 1e-3 * theirs.signs_compared


@needs_converter
def test_the_command(tmp_path: Path) -> None:
    NetworkFolder(tmp_path, TINY, "digits", Recipe(epochs=1, batch_size=256), 0).train(load_data("digits", 8, 8))
    arguments = ["export", str(tmp_path), "--format", "tflite", "--converter", "lce"]
    result = CliRunner().invoke(cli, [*arguments, "--json"])
    assert result.exit_code == 0
    written, converted = json.loads(result.stdout)
    assert (Path(written["path"]).name, Path(converted["path"]).name) == ("model.tflite", "model.lce.tflite")
    assert [row["passed"] for row in converted["comparison"]] == [True, True]
    assert converted["comparison"][1]["max_rel_diff"] < 1e-5
    shown = CliRunner().invoke(cli, arguments)
    assert "by LCE's converter; largest relative difference of logits" in shown.stdout
    assert "importing TensorFlow" in shown.stderr


@needs_lce
def test_a_wrong_weight_shows(tmp_path: Path) -> None:
    graph = named_graph("dense")
    weights = graph.steps[1].constants["weights"].copy()
    weights[0, 1, 1, 0] *= -1
    export_tflite(graph, tmp_path / "model.tflite")
    export_tflite(with_constant(graph, 1, "weights", weights), tmp_path / "model.lce.tflite")
    ours, theirs = compare_files(graph, tmp_path / "model.tflite", tmp_path / "model.lce.tflite", images=2)
    assert ours.passed
    assert theirs.sums_wrong == 2 * 12 * 12
    assert not theirs.passed


def _stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe: str, worker: str) -> None:
    """A Python of which only the answers are known: to `-I -c CODE`, and to `-I WORKER FOLDER`."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nif [ "$2" = -c ]; then {probe}; fi\n{worker}\n')
    python.chmod(0o755)
    monkeypatch.setenv(PYTHON_VARIABLE, str(python))


def test_layers_that_the_converter_left_float(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = named_graph("dense")
    model = tmp_path / "converted.tflite"
    model.write_bytes(to_flatbuffer(graph).replace(b"LceBconv2d", b"SomeConv2d"))
    _stand_in(tmp_path, monkeypatch, "exit 0", f'echo "error: odd groups" >&2; cp {model} "$3/model.tflite"')
    message = "wrote 0 LceBconv2d operators for 4 binary layers and left the others float.*error: odd groups"
    with pytest.raises(ExportError, match=message):
        convert(graph, tmp_path / "model.lce.tflite")
    assert not (tmp_path / "model.lce.tflite").exists()


def test_a_converter_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(tmp_path, monkeypatch, "exit 0", "echo importing; echo no memory >&2; exit 1")
    with pytest.raises(ExportError, match="LCE's converter failed: no memory"):
        convert(named_graph("dense"), tmp_path / "model.lce.tflite")


def test_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PYTHON_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(RuntimeUnavailable, match=r"make it with `scripts/lce-env --tensorflow`"):
        converter_python()


def test_an_environment_without_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(tmp_path, monkeypatch, "exit 1", "exit 1")
    with pytest.raises(RuntimeUnavailable, match=r"needs TensorFlow.*`scripts/lce-env --tensorflow`"):
        convert(named_graph("dense"), tmp_path / "model.lce.tflite")
