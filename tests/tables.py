"""Latency tables for tests: files of the real format whose numbers are a formula."""

from pathlib import Path

from bnn_deploy.journal import Journal
from bnn_deploy.latency.measurement import Measurement
from bnn_deploy.latency.table import KIND, SCHEMA, LatencyTable
from bnn_deploy.space import Space
from bnn_deploy.steps import Step


def formula_ns(step: Step) -> int:
    return 500 + step.macs // 300 + step.out_height * step.out_width * step.out_channels // 8


def formula_row(step: Step) -> Measurement:
    samples = tuple(10 * formula_ns(step) + delta for delta in (-3, -1, 0, 1, 3))
    return Measurement(10, samples, (1000,) * 5, step, "formula", "ok", "2026-01-01T00:00:00+00:00")


def formula_table(path: Path, space: Space, device: str = "formula") -> LatencyTable:
    with Journal(path, KIND, SCHEMA, {"device": device, "binary_sha256": "0", "core": 0, "isa": "scalar"}) as journal:
        for step in space.steps():
            journal.append(formula_row(step).to_json())
    return LatencyTable.open(path)
