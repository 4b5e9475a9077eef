"""A quickstart's summary.json as tables that a person can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from bnn_deploy.report.tables import percent, print_table, us


def print_summary(summary: Mapping[str, Any]) -> None:
    """The networks, the runtimes, the seconds; on stdout."""
    rows = [("winner", summary["winner"])] + [(row["name"], row) for row in summary["baselines"]]
    columns = ["network", "groups", "test accuracy", "latency predicted", "measured", "error", "OPs"]
    title = f"{summary['data']['name']}: budget {us(summary['budget_ns'])} on {summary['device']['cpu']}"
    print_table(title, columns, [_network(name, row) for name, row in rows])
    if not summary["table"]["comparable"]:
        click.echo("the clock of this computer did not hold still: do not compare predicted with measured latencies")
    print_parity("The winner's exported files against torch", summary["parity"])
    stages = [[name, f"{seconds:.1f} s"] for name, seconds in summary["seconds"].items()]
    print_table("Time", ["stage", "took"], [*stages, ["all", f"{sum(summary['seconds'].values()):.0f} s"]])


def print_parity(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per runtime; rows as Parity.to_json gives them."""
    columns = ["runtime", "images", "top-1 agrees", "max |logit diff|", "sums wrong", "sign flips"]
    print_table(title, columns, [_parity(row) for row in rows])


def _network(name: str, row: Mapping[str, Any]) -> list[str]:
    predicted, measured = row["latency_predicted_ns"], row["latency_measured_ns"]
    error = "" if predicted is None else f"{100 * (predicted / measured - 1):+.1f} %"
    return [
        name,
        ",".join(map(str, row["groups"])),
        percent(row["test_accuracy"]),
        "" if predicted is None else us(predicted),
        us(measured),
        error,
        "" if row["ops"] is None else f"{row['ops'] / 1e6:.2f} M",
    ]


def _parity(row: Mapping[str, Any]) -> list[str]:
    wrong = f"{row['sums_wrong']} of {row['sums_compared'] / 1e6:.1f} M"
    wrong += f", {row['sums_unreadable']} unreadable" if row["sums_unreadable"] else ""
    flips = f"{row['sign_flips_total']} of {row['signs_compared'] / 1e6:.1f} M"
    agreement = percent(row["top1_agreement"])
    return [row["runtime"], str(row["images"]), agreement, f"{row['max_abs_diff']:.1e}", wrong, flips]
