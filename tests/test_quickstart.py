"""The whole road, small: every stage real, and repeated at no cost."""

import json
from pathlib import Path

import pytest

from bnn_deploy.cli import main
from bnn_deploy.errors import RuntimeUnavailable
from bnn_deploy.runtimes.lce import lce_python
from bnn_deploy.settings import read_json

ARGUMENTS = ["quickstart", "--epochs", "1", "--population", "3", "--generations", "1", "--json"]


@pytest.fixture(name="_lce")
def needs_lce() -> None:
    try:
        lce_python()
    except RuntimeUnavailable as exc:
        pytest.skip(str(exc))


@pytest.mark.usefixtures("_lce")
def test_the_road(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    main([*ARGUMENTS, "--out", str(folder)])
    shown = capsys.readouterr()
    summary = json.loads(shown.out)
    assert summary == read_json(folder / "summary.json")
    assert "supernet: 1/1" in shown.err
    winner = summary["winner"]
    assert winner["bytes"] == (folder / "networks/winner/export/model.bnn").stat().st_size
    assert winner["latency_predicted_ns"] <= summary["budget_ns"]
    assert winner["latency_measured_ns"] > 0
    assert isinstance(summary["table"]["comparable"], bool)
    assert 0 <= winner["test_accuracy"] <= 1
    assert [row["name"] for row in summary["baselines"]] == ["float-twin", "uniform", "random"]
    assert all(row["how"] and row["latency_measured_ns"] > 0 for row in summary["baselines"])
    runtimes = ["torch", "engine", "onnxruntime", "onnxruntime+bnn", "lce", "litert+bnn"]
    assert [row["runtime"] for row in summary["parity"]] == runtimes
    for row in summary["parity"]:
        assert (row["images"], row["sums_wrong"]) == (377, 0)
        assert row["top1_agreement"] > 0.9
    assert set(summary["seconds"]) >= {"profile", "supernet", "search", "train winner", "export", "verify", "measure"}

    main([*ARGUMENTS, "--out", str(folder)])
    again = json.loads(capsys.readouterr().out)
    assert again["winner"]["groups"] == winner["groups"]
    assert again["winner"]["test_accuracy"] == winner["test_accuracy"]
    assert again["seconds"] == summary["seconds"]

    with pytest.raises(SystemExit) as stopped:
        main([*ARGUMENTS, "--seed", "1", "--out", str(folder)])
    assert stopped.value.code == 1
    assert "holds a run with seed = 0, this one has 1" in capsys.readouterr().err
    main(["show", str(folder)])
    assert "float-twin" in capsys.readouterr().out
    main(["verify", str(folder / "networks" / "winner"), "--runtime", "engine", "--images", "20"])
    assert "engine" in capsys.readouterr().out
