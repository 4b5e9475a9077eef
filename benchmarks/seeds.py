"""The quickstart with several seeds: the winner, its float twin, the baselines; latency, parity, seconds.

    python benchmarks/seeds.py [--seeds 3] [--runs runs/seeds] [--out benchmarks/results/seeds.json]

A run folder that is there already is finished, not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from bnn_deploy.report.tables import percent, print_table, us
from bnn_deploy.settings import write_json


def quickstart(seed: int, folder: Path) -> dict[str, object]:
    entry = [sys.executable, "-c", "from bnn_deploy.cli import main; main()"]
    command = [*entry, "quickstart", "--seed", str(seed), "--out", str(folder), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    summary = json.loads(done.stdout)
    assert isinstance(summary, dict)
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/seeds"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "seeds.json")
    arguments = parser.parse_args()
    summaries = [quickstart(seed, arguments.runs / str(seed)) for seed in range(arguments.seeds)]
    write_json(arguments.out, {"runs": summaries})
    rows = []
    for summary in summaries:
        winner = summary["winner"]
        networks = [("winner", winner), *((row["name"], row) for row in summary["baselines"])]  # type: ignore
        for name, row in networks:
            predicted, measured = row["latency_predicted_ns"], row["latency_measured_ns"]
            error = "" if predicted is None else f"{100 * (predicted / measured - 1):+.1f} %"
            shown = "" if predicted is None else us(predicted)
            rows.append([str(summary["seed"]), name, percent(row["test_accuracy"]), shown, us(measured), error])
    print_table("Quickstart", ["seed", "network", "test accuracy", "predicted", "measured", "error"], rows)


if __name__ == "__main__":
    main()
