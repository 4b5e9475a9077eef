"""The command line as a person uses it: help, JSON, errors, exit codes."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bnn_deploy.cli import COMMANDS, cli, main
from bnn_deploy.space import load_space
from tests.tables import formula_table


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert f"bnn-deploy {name}" in result.output


def test_help_imports_neither_torch_nor_onnx() -> None:
    code = "import sys; from bnn_deploy.cli import cli; cli(['--help'], standalone_mode=False); "
    code += "assert not {'torch', 'onnx', 'onnxruntime', 'sklearn', 'tflite'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_profiling_imports_no_torch() -> None:
    code = "import sys, bnn_deploy.cli.profile, bnn_deploy.cli.show, bnn_deploy.cli.devices, bnn_deploy.cli.cost; "
    code += "assert not {'torch', 'onnx', 'onnxruntime', 'sklearn', 'tflite'} & set(sys.modules), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_cost_as_json() -> None:
    result = CliRunner().invoke(cli, ["cost", "reactnet-a", "--json"])
    assert [row["ops"] for row in json.loads(result.stdout)] == [87126016.0]
    per_step = CliRunner().invoke(cli, ["cost", "reactnet-a", "--steps", "--json"])
    assert sum(row["bops"] for row in json.loads(per_step.stdout)) == 4_816_896_000


def test_cost_of_groups() -> None:
    result = CliRunner().invoke(
        cli, ["cost", "reactnet-a", "--space", "mobilenet-32", "--groups", "1,2,4,8,8,8,8", "--json"]
    )
    channels = [(32, 64), (64, 128), (128, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
    weights = sum(9 * a * a // g + a * b for (a, b), g in zip(channels, [1, 2, 4, 8, 8, 8, 8], strict=True))
    assert json.loads(result.stdout)[0]["binary_weights"] == weights


@pytest.mark.parametrize("what", ["mobilenet-32", "reactnet-a"])
def test_show(what: str) -> None:
    assert CliRunner().invoke(cli, ["show", what]).exit_code == 0
    assert json.loads(CliRunner().invoke(cli, ["show", what, "--json"]).stdout)


def test_show_a_table(tmp_path: Path) -> None:
    table = formula_table(tmp_path / "t.jsonl", load_space("mobilenet-32"))
    assert "47 rows" in CliRunner().invoke(cli, ["show", str(table.path)]).output
    assert len(json.loads(CliRunner().invoke(cli, ["show", str(table.path), "--json"]).stdout)["rows"]) == 47


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "reaktnet-a"], 1, "did you mean reactnet-a"),
        (["show", "no/such.bnn"], 1, "no such file or folder"),
        (["show", "."], 1, "expected a run folder"),
        (["cost", "reactnet-z"], 1, "known: depthwise"),
        (["cost", "reactnet-a", "--groups", "1,2"], 1, "expected 13 group counts, got 2"),
        (["cost", "reactnet-a", "--groups", "1,x"], 1, "expected numbers with commas"),
        (["cost", "reactnet-a", "--groups", "3,1,1,1,1,1,1,1,1,1,1,1,1"], 1, "block 0: groups must divide 32"),
        (["cost", "--space", "mobilenet-31"], 1, "did you mean mobilenet-32"),
        (
            ["cost", "reactnet-a", "--gene", "blok2.groups=8"],
            1,
            "unknown gene 'blok2.groups'; did you mean block2.groups",
        ),
        (["cost", "reactnet-a", "--gene", "block2.groups=3"], 1, "block2.groups: 3 is not among the choices [1, 2, 4"),
        (["cost", "reactnet-a", "--gene", "block2"], 1, "expected NAME=NUMBER"),
        (["profile", "--isa", "avx513"], 1, "unknown instruction set of host 'avx513'; did you mean avx"),
        (["profile", "--device", "hots"], 1, "unknown device 'hots'; did you mean host"),
        (["profile", "--samples", "many"], 2, "not a valid integer"),
        (["search"], 2, "Missing option '--out'"),
        (["search", "--out", "x", "--table", "none.jsonl"], 1, "none.jsonl: cannot be read"),
        (["search", "--out", "x", "--data", "digit"], 1, "did you mean digits"),
        (["train", "--run", "none"], 1, "expected a finished search"),
        (["train"], 2, "give either --run, or --architecture"),
        (["train", "--architecture", "uniform-g8"], 2, "--out is needed"),
        (["export", "none"], 1, "expected a trained network"),
        (["export", "none", "--converter", "lce", "--small-groups", "native"], 2, "needs --format tflite"),
        (["export", "none", "--converter", "lce", "--format", "bnn"], 2, "needs --format tflite"),
        (["export", "none", "--small-groups", "native", "--format", "bnn"], 2, "it needs --format tflite"),
        (["verify", "none"], 1, "expected a trained network"),
        (["run", "none.bnn"], 2, "give images: --images FILE.npy"),
        (["run", "none.bnn", "--images", "digits", "--random", "1"], 2, "or --random N"),
        (["run", "none.bnn", "--random", "1"], 1, "none.bnn: no such file"),
        (["run", "none.bnn", "--random", "1", "--runtime", "lse"], 2, "'lse' is not one of 'engine'"),
        (["run", "none.bnn", "--random", "1", "--device", "hots"], 1, "unknown device 'hots'; did you mean host"),
        (["bench", "none.txt"], 1, "none.txt: expected a file .bnn, .onnx, .tflite, or the folder"),
        (["bench", "none.bnn", "--all", "--runtime", "engine"], 2, "give --runtime or --all, not both"),
        (["bench", "none.bnn", "--threads", "0"], 2, "0 is not in the range"),
        (["serch"], 2, "No such command"),
    ],
)
def test_bad_input_is_one_clear_error(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    shown = capsys.readouterr()
    assert stopped.value.code == code
    assert message in shown.err
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []


def test_infeasible_budget_names_the_smallest_latency(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = formula_table(tmp_path / "t.jsonl", load_space("mobilenet-32"))
    with pytest.raises(SystemExit) as stopped:
        main(["search", "--table", str(table.path), "--budget-us", "0.001", "--out", str(tmp_path / "run")])
    assert stopped.value.code == 1
    assert "the smallest reachable latency is" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_table_of_another_build_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = formula_table(tmp_path / "t.jsonl", load_space("mobilenet-32"), device="host")
    with pytest.raises(SystemExit) as stopped:
        main(["search", "--table", str(table.path), "--out", str(tmp_path / "run")])
    assert stopped.value.code == 1
    assert "t.jsonl: measured with cpu 'pencil', here it is" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    for arguments in (["profile", "--out", str(tmp_path / "t.jsonl")], ["search", "--out", str(tmp_path / "run")]):
        table = [] if arguments[0] == "profile" else ["--table", str(tmp_path / "whole.jsonl")]
        if table:
            monkeypatch.undo()
            formula_table(tmp_path / "whole.jsonl", load_space("mobilenet-32"))
            monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(SystemExit) as stopped:
            main([*arguments, *table])
        assert stopped.value.code == 1
        assert "No space left on device; free some space" in capsys.readouterr().err
    assert not list((tmp_path / "run").iterdir())


def test_an_error_has_no_traceback_in_a_real_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from bnn_deploy.cli import main; main()", "show", "reaktnet-a"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: unknown file, space or reference architecture 'reaktnet-a'; did you mean")
    assert done.stderr.count("\n") == 1
