"""The small correction of a table's sums, fitted to networks that were measured whole.

    latency = intercept + sum over steps of (row_factor * row + step_ns + kib_ns * constants in KiB)

row_factor is 1 and the rest 0 where nothing is corrected. What a coefficient stands for: the intercept for what happens
once in a run; step_ns for what happens between two steps; kib_ns for constants that a network finds farther away than a
row's measurement does; row_factor for everything in proportion.

Fitted by ridge regression (Hoerl, Kennard 1970) of measured - sum on standardised features, each network weighted by
1 / measured, since relative errors count; the intercept is not shrunk, a feature that is the same in all networks is
left out. The error is told by leave-one-out: each network is predicted by the fit to all others.

It holds for the table and the skeleton (a space's architectures apart from their groups) that it was fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bnn_deploy.architecture import Architecture
from bnn_deploy.deploy_graph import expected_constants
from bnn_deploy.errors import FileFormatError
from bnn_deploy.latency.table import IDENTITY, LatencyTable
from bnn_deploy.settings import read_json, write_json
from bnn_deploy.steps import Step, plan

KIND = "bnn-deploy latency correction"
MIN_NETWORKS = 10
SHRINKAGE = 0.01  # of the ridge, for each network: stops what few networks cannot tell, changes little else

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Coefficients:
    """See the formula above; nanoseconds, row_factor without a unit."""

    intercept_ns: float = 0.0
    row_factor: float = 1.0
    step_ns: float = 0.0
    kib_ns: float = 0.0

    def latency_ns(self, steps: Sequence[Step], table: LatencyTable) -> float:
        """Of a network's steps.

        Raises:
            LatencyTableMiss: a step has no row.
        """
        return self.of(_features(steps, table))

    def of(self, features: Floats) -> float:
        """features: as _features gives them."""
        return self.intercept_ns + float(features @ [self.row_factor, self.step_ns, self.kib_ns])


@dataclass(frozen=True, slots=True)
class Correction:
    """Coefficients, and what they hold for.

    Args:
        table: identity of the table.
        skeleton: digest of the networks' common skeleton, see skeleton_of.
        space: its name, for people.
        networks: digests of the networks that it was fitted to.
        error, error_before: mean absolute percentage error over those networks (1 is 100 %), left out one by one, and
            of the plain sums.
    """

    coefficients: Coefficients
    table: Mapping[str, object]
    skeleton: str
    space: str
    networks: tuple[str, ...]
    error: float
    error_before: float

    @property
    def helps(self) -> bool:
        """True when it predicts networks that it has not seen better than the plain sum."""
        return self.error < self.error_before

    def applies_to(self, architecture: Architecture, table: LatencyTable) -> str:
        """Why it does not hold for this network and table; "" when it does."""
        if self.table != identity_of(table):
            return f"it was fitted on another table than {table.path}"
        if self.skeleton != skeleton_of(architecture):
            return f"it was fitted on networks of another skeleton, that of space {self.space}"
        return ""

    def to_json(self) -> dict[str, object]:
        """JSON-ready."""
        return asdict(self) | {"networks": list(self.networks)}

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        write_json(path, {"kind": KIND, **self.to_json()})

    @classmethod
    def open(cls, path: Path) -> Correction:
        """Inverse of save.

        Raises:
            FileFormatError: missing, damaged, or something else.
        """
        data: dict[str, Any] = read_json(path)
        try:
            if data.pop("kind") != KIND:
                raise ValueError("it is something else")
            coefficients = Coefficients(**data.pop("coefficients"))
            networks = tuple(data.pop("networks"))
            return cls(coefficients=coefficients, networks=networks, **data)
        except (KeyError, TypeError, ValueError) as exc:
            raise FileFormatError(f"{path}: expected a {KIND}: {exc}") from exc


def fit(
    architectures: Sequence[Architecture], measured_ns: Sequence[float] | Floats, table: LatencyTable, space: str
) -> tuple[Correction, Floats]:
    """The correction from measured networks of one skeleton, and each network's leave-one-out prediction, nanoseconds.

    Raises:
        ValueError: fewer than MIN_NETWORKS networks, or several skeletons.
        LatencyTableMiss: a step has no row.
    """
    skeletons = {skeleton_of(net) for net in architectures}
    if len(architectures) < MIN_NETWORKS or len(skeletons) != 1:
        raise ValueError(f"expected at least {MIN_NETWORKS} networks of one skeleton, got {len(architectures)}")
    features = np.array([_features(plan(net), table) for net in architectures])
    measured = np.asarray(measured_ns, np.float64)
    everyone = np.arange(len(measured))
    unseen = np.empty(len(measured))
    for left_out in everyone:
        some = everyone != left_out
        unseen[left_out] = _ridge(features[some], measured[some]).of(features[left_out])
    coefficients = _ridge(features, measured)
    correction = Correction(
        coefficients=coefficients,
        table=identity_of(table),
        skeleton=skeletons.pop(),
        space=space,
        networks=tuple(net.digest for net in architectures),
        error=float(np.abs(unseen / measured - 1).mean()),
        error_before=float(np.abs(features[:, 0] / measured - 1).mean()),
    )
    return correction, unseen


def correction_path(table: Path) -> Path:
    """Where a table's correction is."""
    return table.with_suffix(".correction.json")


def identity_of(table: LatencyTable) -> dict[str, object]:
    """What must be equal for a correction to hold: device, build, settings, core and when the table was begun."""
    return {name: table.header.get(name) for name in (*IDENTITY, "core", "utc")}


def skeleton_of(architecture: Architecture) -> str:
    """Digest of everything but the groups and the classes."""
    return replace(architecture.with_groups((1,) * len(architecture.blocks)), classes=1).digest


def _constant_kib(step: Step) -> float:
    """Constants of a step as the engine keeps them: binary weights are bits."""
    total = 0.0
    for shape, dtype in expected_constants(step).values():
        total += float(np.prod(shape)) * (1 / 8 if dtype == "int8" else np.dtype(dtype).itemsize)
    return total / 1024


def _features(steps: Sequence[Step], table: LatencyTable) -> Floats:
    """[sum of rows in ns, number of steps, KiB of constants]"""
    kib = sum(_constant_kib(step) for step in steps)
    return np.array([sum(table.latency_ns(step) for step in steps), len(steps), kib])


def _ridge(features: Floats, measured: Floats) -> Coefficients:
    mean, spread = features.mean(axis=0), features.std(axis=0)
    used = spread > 1e-9 * np.abs(mean)
    standard = (features[:, used] - mean[used]) / spread[used]
    design = np.column_stack([np.ones(len(measured)), standard])
    weights = measured.mean() / measured
    shrink = SHRINKAGE * len(measured) * np.diag([0.0, *np.ones(standard.shape[1])])
    weighted = design * weights[:, None]
    wanted = (measured - features[:, 0]) * weights
    found = np.linalg.solve(weighted.T @ weighted + shrink, weighted.T @ wanted)
    raw = np.zeros(features.shape[1])
    raw[used] = found[1:] / spread[used]
    intercept = float(found[0] - raw @ mean)
    return Coefficients(intercept, 1 + float(raw[0]), float(raw[1]), float(raw[2]))
