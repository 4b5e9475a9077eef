"""The correction of sums: found again when it is there, not made up when it is not, used only where it holds."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnn_deploy.architecture import Architecture
from bnn_deploy.errors import FileFormatError
from bnn_deploy.latency.correction import MIN_NETWORKS, Coefficients, Correction, fit
from bnn_deploy.latency.networks import MeasuredNetwork, NetworkLatency
from bnn_deploy.latency.predict import GenomeLatency, predict_ns
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.latency.verification import CORRECTED, FLOPS, LEFT_OUT, OPS, SUM, verify_table
from bnn_deploy.settings import read_json, write_json
from bnn_deploy.space import load_space
from tests.tables import formula_table

SPACE = load_space("mobilenet-32")
NETS = [SPACE.decode(genome) for genome in SPACE.sample(np.random.default_rng(3), 60)]
TRUTH = Coefficients(intercept_ns=4000.0, row_factor=1.03, kib_ns=25.0)


@pytest.fixture(name="table")
def make_table(tmp_path: Path) -> LatencyTable:
    return formula_table(tmp_path / "t.jsonl", SPACE)


def measured(nets: Sequence[Architecture], latencies: Sequence[float]) -> list[MeasuredNetwork]:
    found = []
    for net, latency_ns in zip(nets, latencies, strict=True):
        visit = NetworkLatency(1, (round(latency_ns),) * 5, (1000,) * 5, clock=1.0)
        found.append(MeasuredNetwork(net, [visit, visit]))
    return found


def test_a_correction_is_found_again(table: LatencyTable) -> None:
    rng = np.random.default_rng(0)
    truth = np.array([predict_ns(net, table, TRUTH) for net in NETS])
    correction, unseen = fit(NETS[:40], (truth * rng.normal(1, 0.005, 60))[:40], table, SPACE.name)
    found = [predict_ns(net, table, correction.coefficients) for net in NETS[40:]]
    assert np.abs(found / truth[40:] - 1).mean() < 0.005
    assert correction.helps
    assert correction.error == pytest.approx(0.004, abs=0.0015)  # mean |error| of 0.5 % noise is 0.4 %
    assert correction.error_before > 0.03
    assert np.abs(unseen / truth[:40] - 1).max() < 0.02


def test_leave_one_out_is_not_fooled_by_noise(table: LatencyTable) -> None:
    """Where sums are right but for noise, a fit to few networks must not look better than it is on others."""
    sums = np.array([predict_ns(net, table) for net in NETS])
    inside, outside = [], []
    for seed in range(20):
        noisy = sums * np.random.default_rng(seed).normal(1, 0.02, 60)
        correction, _ = fit(NETS[:MIN_NETWORKS], noisy[:MIN_NETWORKS], table, SPACE.name)
        inside.append(correction.error)
        found = [predict_ns(net, table, correction.coefficients) for net in NETS[MIN_NETWORKS:]]
        outside.append(np.abs(found / noisy[MIN_NETWORKS:] - 1).mean())
    assert np.mean(inside) == pytest.approx(np.mean(outside), rel=0.15)


def test_what_is_the_same_everywhere_is_left_out(table: LatencyTable) -> None:
    correction, _ = fit(NETS, [predict_ns(net, table, TRUTH) for net in NETS], table, SPACE.name)
    assert correction.coefficients.step_ns == 0
    assert correction.coefficients.row_factor == pytest.approx(TRUTH.row_factor, abs=0.01)


def test_few_or_different_networks_are_refused(table: LatencyTable) -> None:
    with pytest.raises(ValueError, match="at least 10 networks of one skeleton, got 9"):
        fit(NETS[:9], [1.0] * 9, table, SPACE.name)


def test_a_file_comes_back_and_an_altered_one_does_not(table: LatencyTable, tmp_path: Path) -> None:
    correction, _ = fit(NETS, [predict_ns(net, table, TRUTH) for net in NETS], table, SPACE.name)
    path = tmp_path / "c.json"
    correction.save(path)
    assert Correction.open(path) == correction
    for name in ("kind", "coefficients", "table"):
        data = read_json(path)
        write_json(tmp_path / "bad.json", {key: value for key, value in data.items() if key != name})
        with pytest.raises(FileFormatError, match="expected a bnn-deploy latency correction"):
            Correction.open(tmp_path / "bad.json")
    path.write_text(path.read_text().replace('"intercept_ns"', '"intercept_us"'))
    with pytest.raises(FileFormatError, match="altered"):
        Correction.open(path)


def test_it_holds_for_its_table_and_skeleton_alone(table: LatencyTable, tmp_path: Path) -> None:
    correction, _ = fit(NETS, [predict_ns(net, table, TRUTH) for net in NETS], table, SPACE.name)
    assert correction.applies_to(SPACE.base, table) == ""
    assert correction.applies_to(SPACE.with_classes(100).base, table) == ""
    other = formula_table(tmp_path / "other.jsonl", SPACE, device="another")
    assert "fitted on another table" in correction.applies_to(SPACE.base, other)
    assert "another skeleton, that of space mobilenet-32" in correction.applies_to(
        load_space("mobilenet-224").base, table
    )


def test_many_genomes_at_once_are_corrected_alike(table: LatencyTable) -> None:
    latency = GenomeLatency(SPACE, table, TRUTH)
    genomes = SPACE.sample(np.random.default_rng(0), 50)
    np.testing.assert_allclose(
        latency(genomes), [predict_ns(SPACE.decode(genome), table, TRUTH) for genome in genomes], rtol=1e-12
    )


def test_verification_judges_each_predictor(table: LatencyTable) -> None:
    rng = np.random.default_rng(1)
    truth = np.array([predict_ns(net, table, TRUTH) for net in NETS]) * rng.normal(1, 0.003, 60)
    found = verify_table(measured(NETS, truth), table, SPACE.name)
    assert list(found.agreements) == [SUM, LEFT_OUT, FLOPS, OPS]
    assert found.agreements[SUM].bias.value < -0.03
    assert found.agreements[LEFT_OUT].mape.value < 0.005
    assert found.agreements[LEFT_OUT].tau.value > 0.93
    assert found.fitted is not None
    assert found.fitted.error == pytest.approx(found.agreements[LEFT_OUT].mape.value)
    mean_error = np.abs(truth.mean() / truth - 1).mean()  # all networks of the space have the same real layers
    assert found.agreements[FLOPS].mape.value == pytest.approx(mean_error, rel=1e-3)
    assert found.agreements[LEFT_OUT].mape.value < found.agreements[OPS].mape.value < mean_error
    again = verify_table(measured(NETS[30:], truth[30:]), table, SPACE.name, found.fitted)
    assert CORRECTED in again.agreements
    assert again.seen == 30


def test_a_stored_correction_of_another_table_is_not_tested(table: LatencyTable, tmp_path: Path) -> None:
    truth = [predict_ns(net, table, TRUTH) for net in NETS]
    correction, _ = fit(NETS, truth, table, SPACE.name)
    stranger = replace(correction, table={**correction.table, "device": "another"})
    found = verify_table(measured(NETS, truth), table, SPACE.name, stranger)
    assert found.tested is None
    assert CORRECTED not in found.agreements


def test_networks_that_cannot_be_compared_are_counted_out(table: LatencyTable) -> None:
    good = measured(NETS[:3], [predict_ns(net, table) for net in NETS[:3]])
    slow = NetworkLatency(1, (10**7,) * 5, (1300,) * 5, clock=1.3)
    found = verify_table([*good, MeasuredNetwork(NETS[3], [slow])], table, SPACE.name)
    assert (len(found.networks), found.left_out, found.fitted) == (3, 1, None)
    with pytest.raises(ValueError, match="at least 2 networks that can be compared"):
        verify_table([good[0], MeasuredNetwork(NETS[3], [slow])], table, SPACE.name)
