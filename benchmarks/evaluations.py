"""How many architectures per second a latency table judges, one core.

python benchmarks/evaluations.py TABLE [--space mobilenet-32] [--out benchmarks/results/evaluations.json]
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from bnn_deploy.latency.predict import GenomeLatency
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.settings import write_json
from bnn_deploy.space import load_space

BATCH = 100_000
ROUNDS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--space", default="mobilenet-32")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "evaluations.json")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    space = load_space(arguments.space)
    latency = GenomeLatency(space, LatencyTable.open(arguments.table))
    genomes = space.sample(np.random.default_rng(0), BATCH)
    samples = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        latency(genomes)
        samples.append(time.perf_counter_ns() - start)
    per_second = BATCH / (float(np.median(samples)) / 1e9)
    write_json(arguments.out, {"space": space.name, "batch": BATCH, "samples_ns": samples, "per_second": per_second})
    print(f"{per_second / 1e6:.1f} million architectures of {space.name} per second on one core (median of {ROUNDS})")


if __name__ == "__main__":
    main()
