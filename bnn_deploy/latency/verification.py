"""Predicted against measured: how far a table can be trusted, beside what two simpler predictors reach.

The simpler ones are least-squares fits, with an intercept, to the very networks that they are judged on, which is in
their favour:

    FLOPs   multiply-accumulates of the real layers
    OPs     FLOPs + BOPs / 64 (bnn_deploy.cost); among networks of one skeleton the same line as a count of all
            multiply-accumulates, binary or real, which is what a framework's FLOPs counter prints

Within a space of groups the real layers are the same everywhere: there the fit on FLOPs is the mean of what was
measured, and the fit on OPs is the one to beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bnn_deploy.cost import network_cost
from bnn_deploy.latency.correction import MIN_NETWORKS, Correction, fit, skeleton_of
from bnn_deploy.latency.networks import MeasuredNetwork
from bnn_deploy.latency.predict import predict_ns
from bnn_deploy.latency.statistics import Agreement, Floats, agreement, least_squares
from bnn_deploy.latency.table import LatencyTable

SUM = "sum of the table's rows"
CORRECTED = "corrected by a stored fit"
LEFT_OUT = "corrected, each network left out"
FLOPS = "least squares on FLOPs"
OPS = "least squares on OPs"


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of comparing.

    Args:
        networks: those that could be compared.
        left_out: how many could not: another clock than the table's, or unsteady.
        predictions: name of the predictor -> nanoseconds, one for each network.
        agreements: name of the predictor -> how well it agrees.
        fitted: a correction fitted to these networks; None where they are too few.
        tested: the stored correction under CORRECTED; None where there was none.
        seen: how many of the networks the tested correction was fitted to.
    """

    networks: tuple[MeasuredNetwork, ...]
    left_out: int
    predictions: dict[str, Floats]
    agreements: dict[str, Agreement]
    fitted: Correction | None
    tested: Correction | None
    seen: int

    @property
    def measured_ns(self) -> Floats:
        """One for each network."""
        return np.array([network.latency_ns for network in self.networks])

    def to_json(self) -> dict[str, object]:
        """JSON-ready."""
        rows = [
            {
                "digest": network.architecture.digest,
                "groups": list(network.architecture.groups),
                "measured_ns": network.latency_ns,
                "visits": len(network.good),
                "spread": network.spread,
                "predicted_ns": {name: float(values[index]) for name, values in self.predictions.items()},
            }
            for index, network in enumerate(self.networks)
        ]
        return {
            "agreement": {name: found.to_json() for name, found in self.agreements.items()},
            "networks": rows,
            "left_out": self.left_out,
            "correction": self.fitted.to_json() if self.fitted else None,
            "tested_correction_seen": self.seen if self.tested else None,
        }


def verify_table(
    networks: Sequence[MeasuredNetwork], table: LatencyTable, space: str, stored: Correction | None = None
) -> Verification:
    """Compare.

    Args:
        space: name of the networks' space, for the correction.
        stored: a correction to test, if it holds for these networks.

    Raises:
        LatencyTableMiss: a network needs a row that the table lacks.
        ValueError: fewer than two networks can be compared.
    """
    good = [network for network in networks if network.good]
    nets = [network.architecture for network in good]
    measured = np.array([network.latency_ns for network in good])
    if len(good) < 2:
        raise ValueError(f"expected at least 2 networks that can be compared with the table, got {len(good)}")
    costs = [network_cost(net) for net in nets]
    predictions = {SUM: np.array([predict_ns(net, table) for net in nets])}
    tested = stored if stored is not None and not any(stored.applies_to(net, table) for net in nets) else None
    if tested:
        predictions[CORRECTED] = np.array([predict_ns(net, table, tested.coefficients) for net in nets])
    fitted = None
    if len(nets) >= MIN_NETWORKS and len({skeleton_of(net) for net in nets}) == 1:
        fitted, predictions[LEFT_OUT] = fit(nets, measured, table, space)
    predictions[FLOPS] = least_squares(np.array([[float(cost.flops)] for cost in costs]), measured)
    predictions[OPS] = least_squares(np.array([[cost.ops] for cost in costs]), measured)
    return Verification(
        networks=tuple(good),
        left_out=len(networks) - len(good),
        predictions=predictions,
        agreements={name: agreement(values, measured) for name, values in predictions.items()},
        fitted=fitted,
        tested=tested,
        seen=len({net.digest for net in nets} & set(tested.networks)) if tested else 0,
    )
