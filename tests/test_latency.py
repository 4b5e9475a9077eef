import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnn_deploy.cli.table_view import provenance
from bnn_deploy.errors import FileFormatError, InfeasibleBudget, LatencyTableMiss, TableMismatch
from bnn_deploy.journal import encode_line
from bnn_deploy.latency.check import check
from bnn_deploy.latency.judgement import Quality
from bnn_deploy.latency.predict import GenomeLatency, predict_ns
from bnn_deploy.latency.table import IDENTITY, KIND, SCHEMA, LatencyTable, check_identity
from bnn_deploy.space import load_space
from bnn_deploy.steps import plan
from tests.tables import BLOCK, HEADER, block, formula_ns, formula_row, formula_table, write_table

SPACE = load_space("mobilenet-32")


@pytest.fixture(name="table")
def make_table(tmp_path: Path) -> LatencyTable:
    return formula_table(tmp_path / "table.jsonl", SPACE)


def test_round_trip(table: LatencyTable) -> None:
    assert set(table.rows) == set(SPACE.steps())
    assert table.blocks == (block(0), block(1))
    for step, row in table.rows.items():
        assert table.measurements[step] == [formula_row(step, 0), formula_row(step, 1)]
        assert (row.latency_ns, row.quality, row.attempts) == (formula_ns(step), Quality.OK, 2)
        assert row.cold_latency_ns == 2 * formula_row(step).samples_ns[0]


def test_statistics_are_derived() -> None:
    row = formula_row(SPACE.steps()[0])
    assert row.percentile_ns(50) == row.latency_ns
    assert row.percentile_ns(10) < row.latency_ns < row.percentile_ns(90)
    assert row.mad_ns == pytest.approx(0.1)
    low, high = row.interval_ns
    assert low <= row.latency_ns <= high
    assert row.interval_ns == (low, high)
    assert row.relative_interval == pytest.approx((high - low) / row.latency_ns)


def test_many_genomes_at_once_equal_the_sum_of_rows(table: LatencyTable) -> None:
    latency = GenomeLatency(SPACE, table)
    genomes = SPACE.sample(np.random.default_rng(0), 300)
    sums = [predict_ns(SPACE.decode(genome), table) for genome in genomes]
    np.testing.assert_allclose(latency(genomes), sums, rtol=1e-12)
    assert predict_ns(SPACE.decode(latency.fastest), table) <= min(sums)
    steps = plan(SPACE.decode(genomes[0]))
    assert sums[0] == sum(formula_ns(step) for step in steps)


def test_at_least_100000_architectures_per_second(table: LatencyTable) -> None:
    latency = GenomeLatency(SPACE, table)
    genomes = SPACE.sample(np.random.default_rng(0), 100_000)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        latency(genomes)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1


def test_a_missing_row_names_the_step_and_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "short.jsonl"
    table = write_table(path, [BLOCK], [formula_row(step) for step in SPACE.steps()[:-3]])
    missing = SPACE.steps()[-3]
    with pytest.raises(
        LatencyTableMiss, match=rf"{re.escape(missing.key)}.*and 2 more.*bnn-deploy profile --device formula"
    ):
        GenomeLatency(SPACE, table)
    with pytest.raises(LatencyTableMiss, match=re.escape(missing.key)):
        table.latency_ns(missing)


def test_infeasible_budget_answers_the_smallest_latency(table: LatencyTable) -> None:
    latency = GenomeLatency(SPACE, table)
    smallest = latency.one(latency.fastest)
    latency.check_budget(smallest)
    with pytest.raises(InfeasibleBudget, match=f"smallest reachable latency is {smallest / 1e3:.1f} us"):
        latency.check_budget(smallest * 0.99)


GOOD_ROW = formula_row(SPACE.steps()[0]).to_json()
GOOD_BLOCK = BLOCK.to_json()


@pytest.mark.parametrize(
    ("records", "line", "message"),
    [
        ([{**GOOD_ROW, "samples_ns": []}], 2, "samples_ns: expected a list of at least 1"),
        ([{**GOOD_ROW, "samples_ns": [0]}], 2, "samples_ns: expected a whole number >= 1, got 0"),
        ([{**GOOD_ROW, "samples_ns": [True]}], 2, "samples_ns: expected a whole number"),
        ([{**GOOD_ROW, "iterations": 0}], 2, "iterations: expected a whole number >= 1"),
        ([{**GOOD_ROW, "step": {}}], 2, "step: kind is missing"),
        ([{**GOOD_ROW, "key": "another"}], 2, "the step is 'conv2d"),
        ([{**GOOD_ROW, "extra": 1}], 2, "unknown member extra"),
        ([{**GOOD_ROW, "error": "x"}], 2, "both an error and samples"),
        ([{**GOOD_ROW, "source": "guess"}], 2, "expected measured, emulated or estimate"),
        ([{**GOOD_ROW, "block": None}], 2, "expected the block in which it was measured"),
        ([{**GOOD_ROW, "source": "emulated"}], 2, "a row that is emulated in a table that is measured"),
        ([GOOD_ROW], 2, "block 0 does not stand before it"),
        ([GOOD_BLOCK, GOOD_ROW, GOOD_ROW], 4, "stands there twice"),
        ([GOOD_BLOCK, GOOD_BLOCK], 3, "block 0 stands there twice"),
        ([{**GOOD_BLOCK, "sentinel_ns": []}], 2, "sentinel_ns: expected a list of at least 1"),
        ([{**GOOD_BLOCK, "wall_sampled_ns": 0}], 2, "wall_sampled_ns: expected a whole number >= 1"),
        ([{**GOOD_BLOCK, "before": {}}], 2, "state: utc_ns is missing"),
        ([{**GOOD_BLOCK, "before": None}], 2, "state: expected an object, got None"),
        ([{"type": "guess"}], 2, "expected a row or a block, found 'guess'"),
    ],
)
def test_lines_that_make_no_sense(tmp_path: Path, records: list[dict[str, object]], line: int, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b"".join(map(encode_line, [{"kind": KIND, "schema": SCHEMA, **HEADER}, *records])))
    with pytest.raises(FileFormatError, match=rf"bad.jsonl: line {line}: .*{message}"):
        LatencyTable.open(path)


def places(data: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Of everything in a JSON document."""
    yield path
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        yield from places(value, (*path, key))


def test_whatever_stands_there_is_read_or_refused(tmp_path: Path) -> None:
    """Each member replaced by each of some values: an error that names the line, or a table that can be judged."""
    path = tmp_path / "t.jsonl"
    facts = {"caches": [{"level": 1, "type": "Data", "bytes": 32768}], "memory_bytes": 1, "core_facts": [{"core": 0}]}
    lines = [{"kind": KIND, "schema": SCHEMA, **HEADER, "facts": facts}, GOOD_BLOCK, GOOD_ROW]
    text = json.dumps(lines)
    outcomes = []
    for place in places(json.loads(text)):
        for value in (None, -1, 0, 10**30, 1.5, True, "x", [], {}):
            changed: Any = {"": json.loads(text)}
            inside, last = changed, ""
            for key in place:
                inside, last = inside[last], key
            if len(place) < 2:
                continue
            inside[last] = value
            path.write_bytes(b"".join(map(encode_line, changed[""])))
            try:
                table = LatencyTable.open(path)
            except FileFormatError:
                outcomes.append("refused")
            else:
                outcomes.append("read")
                check(table)
                assert all(row.latency_ns > 0 for row in table.rows.values())
                provenance(table)
    assert outcomes.count("refused") > 300
    assert outcomes.count("read") > 30


def test_a_failed_row_is_a_miss_that_tells_why(tmp_path: Path) -> None:
    step = SPACE.steps()[0]
    failed = replace(formula_row(step), samples_ns=(), cold_samples_ns=(), error="output is wrong")
    table = write_table(tmp_path / "t.jsonl", [BLOCK], [failed])
    assert step not in table.rows
    assert table.failed == {step: "output is wrong"}
    with pytest.raises(LatencyTableMiss, match="failed there: output is wrong; measure it with"):
        table.latency_ns(step)


@pytest.mark.parametrize("name", IDENTITY)
def test_other_devices_builds_and_settings_are_refused(name: str) -> None:
    wanted = dict.fromkeys(IDENTITY, "a")
    check_identity(Path("t"), wanted, wanted)
    with pytest.raises(TableMismatch, match=rf"made with {name} 'b', this run has 'a'"):
        check_identity(Path("t"), {**wanted, name: "b"}, wanted)
