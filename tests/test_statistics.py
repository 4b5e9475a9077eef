"""MAPE, bias, Kendall's tau and their intervals, against definitions written another way."""

import itertools
import math

import numpy as np
import pytest

from bnn_deploy.latency.statistics import agreement, kendall_tau, least_squares


def tau_by_pairs(x: list[float], y: list[float]) -> float:
    """Concordant minus discordant pairs over the geometric mean of the pairs that are not tied."""
    concordant = discordant = x_untied = y_untied = 0
    for (a, b), (c, d) in itertools.combinations(zip(x, y, strict=True), 2):
        product = (a - c) * (b - d)
        concordant += product > 0
        discordant += product < 0
        x_untied += a != c
        y_untied += b != d
    return (concordant - discordant) / math.sqrt(x_untied * y_untied)


@pytest.mark.parametrize("seed", range(5))
def test_tau_is_the_one_by_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 9, 25).astype(float), rng.integers(0, 9, 25).astype(float)
    assert kendall_tau(x, y) == pytest.approx(tau_by_pairs(list(x), list(y)), rel=1e-12)
    assert kendall_tau(x, x) == 1
    assert kendall_tau(x, -x) == -1


def test_a_constant_has_no_order() -> None:
    assert math.isnan(kendall_tau([1, 1, 1], [1, 2, 3]))
    found = agreement([2, 2, 2], [1, 2, 4])
    assert math.isnan(found.tau.value)
    assert found.tau.to_json() == {"value": None, "low": None, "high": None}


def test_errors_are_relative_to_what_was_measured() -> None:
    found = agreement([110, 180, 300], [100, 200, 300])
    assert found.mape.value == pytest.approx(0.2 / 3)
    assert found.bias.value == pytest.approx(0, abs=1e-12)
    assert found.worst == pytest.approx(0.1)
    assert found.tau.value == 1


def test_the_interval_holds_the_truth_about_95_times_in_100() -> None:
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        measured = rng.uniform(100, 200, 40)
        found = agreement(measured * (1 + rng.normal(0.02, 0.03, 40)), measured)
        assert found.bias.low <= found.bias.value <= found.bias.high
        inside += found.bias.low <= 0.02 <= found.bias.high
    assert 180 <= inside <= 198


def test_the_same_numbers_give_the_same_intervals() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(1, 2, 20), rng.uniform(1, 2, 20)
    assert agreement(x, y) == agreement(x, y)


@pytest.mark.parametrize(("x", "y"), [([1], [1]), ([1, 2], [1]), ([1, 2], [0, 1]), ([1, 2], [1, math.nan])])
def test_what_cannot_be_compared(x: list[float], y: list[float]) -> None:
    with pytest.raises(ValueError, match="at least 2 predictions"):
        agreement(x, y)


def test_least_squares() -> None:
    x = np.array([[1.0], [2.0], [4.0]])
    np.testing.assert_allclose(least_squares(x * 1e12, 3 + 2 * x[:, 0]), [5, 7, 11])
    np.testing.assert_allclose(least_squares(np.full((3, 1), 7.0), np.array([1.0, 2.0, 6.0])), [3, 3, 3])
