"""How well predicted latencies agree with measured ones.

A prediction's relative error is predicted / measured - 1. Of n networks:

    MAPE   mean of |error|
    bias   mean of error: above 0 the predictions are too high
    tau    Kendall's tau-b of predicted and measured: 1 is the same order, -1 the reverse; NaN where one of them is
           constant, for then there is no order (Kendall 1945)

Intervals are bootstrap percentiles over networks: 95 % of resamples of n networks out of n lie inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic and its 95 % interval; all three NaN where it is not defined."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """JSON-ready; None for NaN."""
        return {
            "value": _finite(self.value),
            "low": _finite(self.low),
            "high": _finite(self.high),
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one way of predicting, over n networks. worst: the largest |error|."""

    networks: int
    mape: Estimate
    bias: Estimate
    tau: Estimate
    worst: float

    def to_json(self) -> dict[str, object]:
        """JSON-ready."""
        parts = {name: getattr(self, name).to_json() for name in ("mape", "bias", "tau")}
        return {"networks": self.networks, **parts, "worst": self.worst}


def agreement(predicted: Sequence[float] | Floats, measured: Sequence[float] | Floats, seed: int = 0) -> Agreement:
    """MAPE, bias and tau of predictions against measurements, both in the same unit.

    Args:
        seed: of the bootstrap.

    Raises:
        ValueError: fewer than two networks, different lengths, or a measurement that is not positive.
    """
    x, y = np.asarray(predicted, np.float64), np.asarray(measured, np.float64)
    if x.shape != y.shape or x.ndim != 1 or x.size < 2 or not (y > 0).all():
        raise ValueError(f"expected at least 2 predictions and as many positive measurements, got {x.shape}, {y.shape}")
    errors = x / y - 1
    resamples = np.random.default_rng(seed).integers(x.size, size=(RESAMPLES, x.size))
    x_order, y_order = _order(x), _order(y)

    def tau(chosen: npt.NDArray[np.int64]) -> float:
        square = np.ix_(chosen, chosen)
        return _tau(x_order[square], y_order[square])

    return Agreement(
        networks=x.size,
        mape=_estimate(lambda chosen: float(np.abs(errors[chosen]).mean()), resamples),
        bias=_estimate(lambda chosen: float(errors[chosen].mean()), resamples),
        tau=_estimate(tau, resamples),
        worst=float(np.abs(errors).max()),
    )


def kendall_tau(x: Sequence[float] | Floats, y: Sequence[float] | Floats) -> float:
    """Kendall's tau-b; NaN where x or y is constant.

    >>> kendall_tau([1, 2, 3, 4], [1, 2, 4, 3])
    0.6666666666666666
    """
    return _tau(_order(np.asarray(x, np.float64)), _order(np.asarray(y, np.float64)))


def least_squares(features: Floats, measured: Floats) -> Floats:
    """Predictions of the linear fit measured ~ intercept + features, for the very networks that it was fitted to.

    features: [n, any]; measured: [n]; returns [n]. Features that are the same everywhere leave the mean.
    """
    design = np.column_stack([np.ones(len(measured)), features / np.maximum(np.abs(features).max(axis=0), 1e-300)])
    coefficients = np.linalg.lstsq(design, measured, rcond=None)[0]
    return np.asarray(design @ coefficients)


def _order(values: Floats) -> npt.NDArray[np.int8]:
    """[n, n]: the sign of each difference."""
    return np.sign(values[:, None] - values[None, :]).astype(np.int8)


def _tau(x_order: npt.NDArray[np.int8], y_order: npt.NDArray[np.int8]) -> float:
    x, y = x_order.astype(np.int64), y_order.astype(np.int64)
    untied = math.sqrt(float((x * x).sum()) * float((y * y).sum()))
    return float((x * y).sum()) / untied if untied else math.nan


def _estimate(statistic: Callable[[npt.NDArray[np.int64]], float], resamples: npt.NDArray[np.int64]) -> Estimate:
    value = statistic(np.arange(resamples.shape[1]))
    if math.isnan(value):
        return Estimate(math.nan, math.nan, math.nan)
    low, high = np.nanpercentile([statistic(chosen) for chosen in resamples], [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
