"""Tables as files: checked, compared, merged; their lines follow the schema."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from bnn_deploy.cli import cli
from bnn_deploy.errors import BnnDeployError, TableMismatch
from bnn_deploy.latency import table as table_module
from bnn_deploy.latency.check import check
from bnn_deploy.latency.difference import difference
from bnn_deploy.latency.measurement import Measurement
from bnn_deploy.latency.merge import merge
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.space import load_space
from tests.tables import BLOCK, STATE, block, formula_row, formula_table, write_table

SPACE = load_space("mobilenet-32")
STEPS = SPACE.steps()
SCHEMA_FILE = Path(table_module.__file__).with_name("table.schema.json")


@pytest.fixture(name="table")
def make_table(tmp_path: Path) -> LatencyTable:
    return formula_table(tmp_path / "table.jsonl", SPACE)


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["tables", *map(str, words)])


def rows_of(blocks: Sequence[int], slower: float = 1) -> list[Measurement]:
    return [formula_row(step, block, slower) for block in blocks for step in STEPS]


class TestSchema:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))

    def lines(self, path: Path) -> list[dict[str, object]]:
        return [json.loads(line) for line in path.read_text().splitlines()]

    def test_the_schema_is_one(self) -> None:
        jsonschema.Draft202012Validator.check_schema(self.validator.schema)

    def test_every_line_follows_it(self, tmp_path: Path) -> None:
        failed = replace(formula_row(STEPS[0], 0), samples_ns=(), cold_samples_ns=(), error="wrong")
        estimate = replace(formula_row(STEPS[1]), source="estimate:pencil", block=None)
        write_table(tmp_path / "t.jsonl", [BLOCK], [failed, formula_row(STEPS[2])])
        write_table(tmp_path / "u.jsonl", [], [estimate], {"source": "estimate:pencil", "core": None})
        lines = [line for name in ("t.jsonl", "u.jsonl") for line in self.lines(tmp_path / name)]
        assert len(lines) == 6
        for line in lines:
            self.validator.validate(line)

    def test_it_says_no_where_the_reader_does(self, table: LatencyTable) -> None:
        header, conditions, row = (self.lines(table.path)[index] for index in (0, 1, 3))
        assert (conditions["type"], row["type"]) == ("block", "row")
        wrong = [{**line, name: None} for line in (conditions, row) for name in line if line[name] is not None]
        wrong = [line for line in wrong if line.get("block", 0) is not None and "governor" not in line.values()]
        wrong += [{**row, "extra": 1}, {**row, "samples_ns": []}, {**row, "error": "x"}, {**header, "schema": 1}]
        for line in wrong:
            assert not self.validator.is_valid(line), line


class TestCheck:
    def test_a_clean_table(self, table: LatencyTable) -> None:
        report = check(table)
        assert report.passed
        assert report.notes == (
            "the measurements of a row differ, at one clock, by 0.0% in the median, 0.0% at most",
            "clock not locked, 2.00 to 2.00 GHz, sentinel within 0.0%",
            "temperature 50 to 50 C",
        )

    def test_a_slow_quarter_of_an_hour(self, tmp_path: Path) -> None:
        """HAT's table: the rows look steady, and are wrong."""
        slow = block(1, sentinel_ns=(1400,) * 5)
        table = write_table(tmp_path / "t.jsonl", [BLOCK, slow], [*rows_of([0])[5:], *rows_of([1], 1.4)])
        first, second = check(table).problems
        assert first.startswith("5 of 47 rows are measured only in blocks that were set aside")
        assert second.startswith("42 of 47 rows are measured only once")
        assert check(table).notes[0].startswith("block 1 set aside, 2026-01-01T00:00:01+00:00 for 1 s: slow core")

    def test_a_throttled_block(self, tmp_path: Path) -> None:
        hot = block(1, after=replace(STATE, throttled=0x20002))
        table = write_table(tmp_path / "t.jsonl", [BLOCK, hot], rows_of([0, 1]))
        assert check(table).problems[0].startswith("47 of 47 rows are measured only once")
        assert "throttled: get_throttled was 0x0 before and 0x20002 after" in check(table).notes[0]

    def test_a_second_process(self, tmp_path: Path) -> None:
        blocks = [block(number, cpu_ns=250_000_000) for number in (0, 1)]
        table = write_table(tmp_path / "t.jsonl", blocks, rows_of([0, 1]))
        problems, notes = check(table).problems, check(table).notes
        assert problems[0].startswith("47 of 47 rows are measured only in blocks that were set aside")
        assert problems[1].startswith("2 of 2 blocks were set aside")
        assert notes[0].startswith("blocks 0 to 1 set aside")
        assert "another process had the core for 50%" in notes[0]

    def test_rows_that_disagree(self, tmp_path: Path) -> None:
        """A neighbour who wants the memory: the sentinel does not feel it."""
        rows = [*rows_of([0]), *rows_of([1])[1:], formula_row(STEPS[0], 1, 1.2)]
        table = write_table(tmp_path / "t.jsonl", [BLOCK, block(1)], rows)
        (problem,) = check(table).problems
        assert problem.startswith("1 of 47 rows are noisy")

    def test_an_estimate_is_told_and_passes(self, tmp_path: Path) -> None:
        rows = [replace(formula_row(step), source="estimate:pencil", block=None) for step in STEPS]
        table = write_table(tmp_path / "t.jsonl", [], rows, {"source": "estimate:pencil"})
        assert check(table).passed
        assert check(table).notes[0].startswith("computed, not measured (estimate:pencil)")

    def test_an_empty_table(self, tmp_path: Path) -> None:
        assert check(write_table(tmp_path / "t.jsonl", [], [])).problems == ("no step was measured",)

    def test_a_low_clock_is_told(self, tmp_path: Path) -> None:
        facts = {"hypervisor": True, "core_facts": [{"core": 0, "max_khz": 4_000_000}]}
        table = write_table(tmp_path / "t.jsonl", [BLOCK], rows_of([0]), {"facts": facts})
        notes = "; ".join(check(table).notes)
        assert "the core's highest is 4.00 GHz" in notes
        assert "a virtual machine" in notes

    def test_the_command(self, tmp_path: Path, table: LatencyTable) -> None:
        assert run("check", table.path).exit_code == 0
        bad = write_table(tmp_path / "bad.jsonl", [BLOCK], rows_of([0]))
        torn = tmp_path / "torn.jsonl"
        torn.write_bytes(table.path.read_bytes().replace(b"1000", b"1001", 1))
        result = run("check", table.path, bad.path, torn, "--json")
        assert result.exit_code == 1
        told = json.loads(result.stdout)
        assert [entry["passed"] for entry in told["tables"]] == [True, False, False]
        assert "line 2 is damaged" in told["tables"][2]["problems"][0]

    def test_another_build_is_told(self, tmp_path: Path) -> None:
        stale = formula_table(tmp_path / "t.jsonl", SPACE, device="host")
        result = run("check", stale.path)
        assert result.exit_code == 0
        assert "note: stale: " in result.output


class TestDiff:
    def test_rows_and_kernels(self, tmp_path: Path, table: LatencyTable) -> None:
        rows = rows_of([0, 1])
        rows = [replace(row, kernel="other") if row.step == STEPS[3] else row for row in rows if row.step != STEPS[0]]
        rows = [formula_row(row.step, row.block or 0, 1.5) if row.step == STEPS[5] else row for row in rows]
        blocks = [block(number, sentinel_ns=(1100,)) for number in (0, 1)]
        other = write_table(tmp_path / "other.jsonl", blocks, rows, {"core": 1})
        found = difference(table, other)
        assert found.changes[0].step == STEPS[5]
        assert found.changes[0].relative == pytest.approx(0.5, rel=1e-3)
        assert found.percentile(50) == 0
        assert found.percentile(100) == pytest.approx(0.5, rel=1e-3)
        assert (found.missing, found.new) == ((STEPS[0],), ())
        assert [change.kernel for change in found.other_kernels] == ["formula -> other"]
        assert found.headers == {"core": (0, 1)}
        assert found.sentinel == pytest.approx(1.1)

    def test_the_command(self, tmp_path: Path, table: LatencyTable) -> None:
        rows = rows_of([0, 1], 1.02)
        other = write_table(tmp_path / "other.jsonl", [BLOCK, block(1)], rows)
        result = run("diff", table.path, other.path)
        assert result.exit_code == 0
        assert "47 rows in both: median 2.00 % apart" in result.output
        assert json.loads(run("diff", table.path, other.path, "--json").stdout)["median"] == pytest.approx(
            0.02, abs=1e-3
        )


class TestMerge:
    def test_two_halves(self, tmp_path: Path) -> None:
        one = write_table(tmp_path / "1.jsonl", [BLOCK], rows_of([0])[:20])
        rest = [block(0, utc="2026-01-02"), block(1, utc="2026-01-03")]
        two = write_table(tmp_path / "2.jsonl", rest, rows_of([0, 1]), {"utc": "2026-01-02"})
        both = merge([two, one], tmp_path / "both.jsonl")
        assert [entry.utc for entry in both.blocks] == [BLOCK.utc, "2026-01-02", "2026-01-03"]
        assert [len(both.measurements[step]) for step in STEPS] == [3] * 20 + [2] * 27
        assert both.header["utc"] == BLOCK.utc
        assert check(both).passed

    def test_a_copy_adds_nothing(self, tmp_path: Path, table: LatencyTable) -> None:
        lines = table.path.read_bytes().splitlines(keepends=True)
        (tmp_path / "older.jsonl").write_bytes(b"".join(lines[:10]))
        older = LatencyTable.open(tmp_path / "older.jsonl")
        both = merge([older, table], tmp_path / "both.jsonl")
        assert both.blocks == table.blocks
        assert dict(both.measurements) == dict(table.measurements)

    def test_a_slow_table_is_set_aside_as_a_whole(self, tmp_path: Path, table: LatencyTable) -> None:
        blocks = [block(number, sentinel_ns=(1500,)) for number in (0, 1)]
        slow = write_table(tmp_path / "slow.jsonl", blocks, rows_of([0, 1], 1.5))
        both = merge([slow, table], tmp_path / "both.jsonl")
        assert len(both.set_aside) == 2
        assert {step: row.latency_ns for step, row in both.rows.items()} == {
            step: row.latency_ns for step, row in table.rows.items()
        }

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *((name, "another") for name in ("device", "cpu", "binary_sha256", "isa")),
            ("settings", {"samples": 6}),
            ("source", "emulated"),
            ("core", 1),
        ],
    )
    def test_what_cannot_stand_together(self, tmp_path: Path, table: LatencyTable, name: str, value: object) -> None:
        other = write_table(tmp_path / "other.jsonl", [BLOCK], [], {name: value})
        with pytest.raises(TableMismatch, match=re.escape(f"made with {name} {value!r}, {table.path}")):
            merge([table, other], tmp_path / "both.jsonl")
        assert not (tmp_path / "both.jsonl").exists()

    def test_nothing_is_overwritten(self, table: LatencyTable) -> None:
        with pytest.raises(BnnDeployError, match="exists already"):
            merge([table], table.path)

    def test_the_command(self, tmp_path: Path, table: LatencyTable) -> None:
        result = run("merge", table.path, table.path, "--out", tmp_path / "m.jsonl", "--json")
        assert json.loads(result.stdout)["rows"] == 47
        assert run("merge", table.path, "--out", tmp_path / "m.jsonl").exit_code == 1


def test_list(tmp_path: Path, table: LatencyTable) -> None:
    (tmp_path / "other.jsonl").write_text('{"kind":"another journal"}\n')
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "torn.jsonl").write_bytes(table.path.read_bytes().replace(b"1000", b"1001", 1))
    assert "formula" in run("list", tmp_path).output
    told = json.loads(run("list", tmp_path, "--json").stdout)
    assert [(Path(row["table"]).name, row["check"]) for row in told] == [
        ("torn.jsonl", "unreadable"),
        ("table.jsonl", "ok"),
    ]
    assert "`bnn-deploy profile` makes one" in run("list", tmp_path / "nothing").output


def test_show_marks_what_must_not_be_trusted(tmp_path: Path) -> None:
    failed = replace(formula_row(STEPS[2], 1), samples_ns=(), cold_samples_ns=(), error="output is wrong")
    rows = [formula_row(STEPS[0], 0), formula_row(STEPS[0], 1), formula_row(STEPS[1], 0), failed]
    table = write_table(tmp_path / "t.jsonl", [BLOCK, block(1)], rows)
    output = run("show", table.path).output
    assert output.index("pencil") < output.index(STEPS[0].key)
    assert "unconfirmed" in output
    assert "output is wrong" in output
    told = json.loads(run("show", table.path, "--json").stdout)
    assert [row["latency_ns"] is None for row in told["rows"]] == [False, False, True]
    assert told["rows"][0]["quality"] == "ok"


@pytest.mark.parametrize("path", sorted(Path("latency_tables").glob("*.jsonl")), ids=lambda path: path.name)
def test_committed_tables_can_be_trusted(path: Path) -> None:
    report = check(LatencyTable.open(path))
    assert report.passed, report.problems
    for line in path.read_text().splitlines():
        TestSchema.validator.validate(json.loads(line))
