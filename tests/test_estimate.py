"""Estimates: the formula, the choice of kernels, and that nobody can take one for a measurement."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bnn_deploy.cli import cli
from bnn_deploy.errors import BnnDeployError, EstimateMiss, FileFormatError, TableMismatch, UnknownName
from bnn_deploy.latency import estimate
from bnn_deploy.latency.estimate import (
    L2_BYTES_PER_CYCLE,
    SOURCE,
    Core,
    CycleModels,
    constant_bytes,
    row_bytes,
    row_cycles,
)
from bnn_deploy.latency.judgement import Quality
from bnn_deploy.latency.loops import AVGPOOL, walk
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.description import device_descriptions
from bnn_deploy.profiling.estimated import core_of, estimate_table
from bnn_deploy.profiling.profile import profile
from bnn_deploy.profiling.protocol import ProfileSettings
from bnn_deploy.references import reference
from bnn_deploy.space import load_space, parse_space
from bnn_deploy.steps import Shortcut, Step, StepKind, plan
from tests.boards import FakeTransport, device_with

SMALL = load_space("mobilenet-32")
BOARDS = ("rpi4", "rpi5")
MODELS = CycleModels.open()

# A dense 3x3 of 128 channels on 8x8 pixels, as a block has it.
DENSE = Step(
    StepKind.BCONV2D, 8, 8, 128, 8, 8, 128, kernel=3, shortcut=Shortcut.IDENTITY, rprelu=True, bits_out=True, border=1
)


def core(board: str) -> Core:
    return core_of(device_descriptions()[board], MODELS)


def test_cycles_are_counts_of_loops_times_their_cycles() -> None:
    # 16 blocks of 8 filters, 2 tiles of 4 pixels; a window is 3 runs of 3 vectors
    walked = walk(DENSE, "neon")
    assert walked is not None
    assert (walked.kernel, walked.model) == ("bconv2d_neon_dense", "bconv2d_neon_dense block")
    counts = (walked.loops.block, walked.loops.tile, walked.loops.output, walked.loops.run)
    assert counts == (16, 32, 8 * 16, 32 * 3)
    assert (walked.loops.tile_step, walked.loops.pixel_step) == (32 * 9, 16 * 8 * 9)
    models = {walked.model: {"row": 100.0, "tile": 10.0, "pixel_step": 2.0}, AVGPOOL: {"output": 7.0}}
    assert row_cycles(DENSE, "neon", models) == 100 + 320 + 2 * 1152
    strided = replace(DENSE, in_height=16, in_width=16, stride=2, shortcut=Shortcut.AVGPOOL)
    assert row_cycles(strided, "neon", models) == 100 + 320 + 2 * 1152 + 7 * 8 * 16


def test_the_slower_of_cycles_and_traffic_counts() -> None:
    model = {"bconv2d_neon_dense block": {"row": 1000.0}}
    step_constants = 128 * 1152 / 8 + 6 * 4 * 128  # bits; scale, bias, gamma, beta, zeta, threshold
    assert constant_bytes(DENSE) == step_constants
    moved = step_constants + 2 * 4 * 8 * 128  # floats out, and in for the shortcut
    assert row_bytes(DENSE) == moved
    near = moved / L2_BYTES_PER_CYCLE
    assert near > 1000
    slow_memory = Core("c", "neon", 1e9, 1e9, model)
    assert slow_memory.latency_ns(DENSE) == pytest.approx(8 * near + (step_constants - near))
    fast_memory = Core("c", "neon", 1e9, 1e12, model)
    assert fast_memory.latency_ns(DENSE) == pytest.approx(8 * near)
    compute = {"bconv2d_neon_dense block": {"row": 10 * near}}
    assert Core("c", "neon", 1e9, 1e12, compute).latency_ns(DENSE) == pytest.approx(80 * near)
    assert Core("c", "neon", 2e9, 1e12, compute).latency_ns(DENSE) == pytest.approx(40 * near)


@pytest.mark.parametrize(
    ("kernel", "groups", "isa", "expected"),
    [
        (3, 128, "neon", "depthwise3x3"),
        (5, 128, "neon", "masked8"),
        (3, 64, "neon", "masked8"),
        (3, 32, "neon", "lanes4"),
        (3, 16, "neon", "lanes8"),
        (3, 8, "neon", "lanes16"),
        (5, 8, "neon", "side16"),
        (3, 4, "neon", "side32"),
        (3, 2, "neon", "side64"),
        (3, 1, "neon", "dense"),
        (3, 1, "neon_dot", "dot_dense"),
        (1, 1, "neon_dot", "dot_dense"),
    ],
)
def test_the_kernel_is_the_one_that_the_engine_chooses(kernel: int, groups: int, isa: str, expected: str) -> None:
    """The order of kernels.inc; benchmarks/cycle_models.py compares with what runs."""
    walked = walk(replace(DENSE, kernel=kernel, groups=groups), isa)
    assert walked is not None
    assert walked.kernel == f"bconv2d_neon_{expected}"


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("space", ["mobilenet-32", "mobilenet-224"])
def test_every_step_of_the_presets_has_an_estimate(board: str, space: str) -> None:
    one, steps = core(board), load_space(space).steps()
    assert all(one.latency_ns(step) > 0 for step in steps)


def test_another_space_has_one_as_well() -> None:
    space = parse_space(
        "odd",
        {
            "schema": 1,
            "input": [160, 160, 3],
            "classes": 7,
            "doubling": "real",
            "stem": {"channels": 48},
            "blocks": [{"channels": 96, "stride": 2, "kernel": 5}, {"channels": 96}, {"channels": 192, "stride": 2}],
        },
    )
    for board in BOARDS:
        assert all(core(board).latency_ns(step) > 0 for step in space.steps())


def test_estimates_are_in_a_sane_order() -> None:
    """Not that they are right: that a slip of a unit or a loop would show."""
    for name in ("uniform-g8", "reactnet-a", "depthwise"):
        totals = [sum(core(board).latency_ns(step) for step in plan(reference(name))) / 1e6 for board in BOARDS]
        assert 5 < totals[1] < totals[0] / 1.5 < 200
    dense = sum(core("rpi4").latency_ns(step) for step in plan(reference("reactnet-a")))
    grouped = sum(core("rpi4").latency_ns(step) for step in plan(reference("uniform-g8")))
    assert dense > 1.3 * grouped


def test_no_model_is_an_error() -> None:
    with pytest.raises(EstimateMiss, match="no cycle model for this shape"):
        core("rpi4").latency_ns(replace(DENSE, in_channels=12, out_channels=12))
    with pytest.raises(EstimateMiss, match="no cycle model"):
        row_cycles(DENSE, "neon", {})


@pytest.mark.parametrize(
    ("device", "error", "message"),
    [
        ("rpi44", UnknownName, "did you mean rpi4"),
        ("host", BnnDeployError, "its CPU is not described"),
        ("jetson-nano", BnnDeployError, "no cycle model of cortex-a57, only of cortex-a53, cortex-a72, cortex-a76"),
        ("rpi3", BnnDeployError, "its memory's bandwidth is not described; give max_khz"),
    ],
)
def test_boards_of_which_too_little_is_known(device: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        estimate_table(SMALL.steps(), device, tmp_path / "t.jsonl")
    assert not (tmp_path / "t.jsonl").exists()


def test_malformed_models(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    for text in ("", "{}", '{"schema": 2}', json.dumps({"schema": 1, "kind": estimate.KIND, "cores": {"a": {}}})):
        path.write_text(text)
        with pytest.raises(FileFormatError, match="install the package again"):
            CycleModels.open(path)


class TestMark:
    """Whatever is made from an estimate says so."""

    @pytest.fixture(name="table")
    def make_table(self, tmp_path: Path) -> LatencyTable:
        return estimate_table(SMALL.steps(), "rpi4", tmp_path / "rpi4.jsonl")

    def test_every_row(self, table: LatencyTable) -> None:
        assert table.source == SOURCE
        assert {row.source for row in table.rows.values()} == {SOURCE}
        assert {row.quality for row in table.rows.values()} == {Quality.ESTIMATE}
        lines = table.path.read_text().splitlines()
        assert all(json.loads(line)["source"] == SOURCE for line in lines)
        for step, row in table.rows.items():
            assert row.latency_ns == pytest.approx(core("rpi4").latency_ns(step), rel=1e-3)

    def test_it_is_continued_and_never_changed(self, table: LatencyTable) -> None:
        before = table.path.read_bytes()
        estimate_table(SMALL.steps(), "rpi4", table.path)
        assert table.path.read_bytes() == before
        estimate_table(load_space("mobilenet-224").steps(), "rpi4", table.path)
        assert table.path.read_bytes().startswith(before)

    def test_it_never_mixes_with_measurements(self, table: LatencyTable, tmp_path: Path) -> None:
        with pytest.raises(TableMismatch, match="made with device"):
            profile(SMALL.steps()[:2], device_with(FakeTransport()), table.path, settings=ProfileSettings(samples=3))
        measured = profile(
            SMALL.steps()[:2], device_with(FakeTransport(), "rpi4"), tmp_path / "m.jsonl", settings=ProfileSettings()
        )
        with pytest.raises(TableMismatch, match="rows of both cannot stand in one table"):
            estimate_table(SMALL.steps(), "rpi4", measured.path)
        same = {**measured.header, "source": "measured"}
        from bnn_deploy.latency.table import check_identity

        with pytest.raises(TableMismatch, match=f"made with source 'measured', this run has '{SOURCE}'"):
            check_identity(measured.path, same, {**same, "source": SOURCE})

    def test_the_screen_and_json(self, tmp_path: Path) -> None:
        path = tmp_path / "t.jsonl"
        arguments = ["profile", "--estimate", "--device", "rpi5", "--out", str(path)]
        shown = CliRunner().invoke(cli, arguments)
        assert shown.exit_code == 0, shown.output
        assert "an estimate, no measurement" in shown.stdout
        assert "computed, not measured" in shown.output
        data = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)["tables"][0]
        assert {row["source"] for row in data["rows"]} == {SOURCE}
        for command in (["show", str(path)], ["tables", "show", str(path)]):
            assert SOURCE in CliRunner().invoke(cli, command).output

    def test_verify_refuses_it(self, table: LatencyTable) -> None:
        result = CliRunner().invoke(cli, ["verify", "--latency", "--table", str(table.path), "--space", "mobilenet-32"])
        assert isinstance(result.exception, TableMismatch)
        assert "only a measured table can be verified" in str(result.exception)

    def test_a_search_says_so_everywhere(self, table: LatencyTable, tmp_path: Path) -> None:
        out = tmp_path / "run"
        arguments = ["search", "--table", str(table.path), "--out", str(out), "--recipe", "quick-supernet"]
        arguments += ["--epochs", "1", "--population", "2", "--generations", "0"]
        result: Result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, result.output
        assert "no measurements but estimate:llvm-mca-19" in result.stderr
        assert "(estimate)" in result.stdout
        found = json.loads((out / "search.json").read_text())
        assert found["latency"]["source"] == SOURCE
        for row in [found["winner"], found["random"], *found["front"]]:
            assert row["latency_source"] == SOURCE
        assert json.loads((out / "settings.json").read_text())["table"]["source"] == SOURCE
        assert "(estimate)" in CliRunner().invoke(cli, ["show", str(out)]).stdout
