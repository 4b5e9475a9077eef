import re
import time
from pathlib import Path

import numpy as np
import pytest

from bnn_deploy.errors import FileFormatError, InfeasibleBudget, LatencyTableMiss, TableMismatch
from bnn_deploy.journal import Journal, encode_line
from bnn_deploy.latency.measurement import Measurement
from bnn_deploy.latency.predict import GenomeLatency, predict_ns
from bnn_deploy.latency.table import IDENTITY, KIND, SCHEMA, LatencyTable, check_identity
from bnn_deploy.space import load_space
from bnn_deploy.steps import plan
from tests.tables import formula_ns, formula_row, formula_table

SPACE = load_space("mobilenet-32")


@pytest.fixture(name="table")
def make_table(tmp_path: Path) -> LatencyTable:
    return formula_table(tmp_path / "table.jsonl", SPACE)


def test_round_trip(table: LatencyTable) -> None:
    assert set(table.rows) == set(SPACE.steps())
    for step, row in table.rows.items():
        assert row == formula_row(step)
        assert row.latency_ns == formula_ns(step)


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
    with Journal(path, KIND, SCHEMA, {"device": "formula"}) as journal:
        for step in SPACE.steps()[:-3]:
            journal.append(formula_row(step).to_json())
    table = LatencyTable.open(path)
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


def test_rows_that_make_no_sense(tmp_path: Path, table: LatencyTable) -> None:
    good = formula_row(SPACE.steps()[0]).to_json()
    path = tmp_path / "bad.jsonl"
    bad_rows = [
        {**good, "samples_ns": []},
        {**good, "samples_ns": [0]},
        {**good, "iterations": 0},
        {**good, "step": {}},
        {**good, "extra": 1},
    ]
    for bad in bad_rows:
        with pytest.raises(FileFormatError, match=r"malformed|no latency"):
            Measurement.from_json(bad)
        header = encode_line({"kind": KIND, "schema": SCHEMA})
        path.write_bytes(header + encode_line(bad))
        with pytest.raises(FileFormatError, match=r"bad.jsonl: line 2"):
            LatencyTable.open(path)
    path.write_bytes(encode_line({"kind": KIND, "schema": SCHEMA}) + 2 * encode_line(good))
    with pytest.raises(FileFormatError, match="stands there twice"):
        LatencyTable.open(path)


@pytest.mark.parametrize("name", IDENTITY)
def test_other_devices_builds_and_settings_are_refused(name: str) -> None:
    wanted = dict.fromkeys(IDENTITY, "a")
    check_identity(Path("t"), wanted, wanted)
    with pytest.raises(TableMismatch, match=rf"made with {name} 'b', this run has 'a'"):
        check_identity(Path("t"), {**wanted, name: "b"}, wanted)
