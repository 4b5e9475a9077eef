"""What keeps the depthwise kernel at 28x28x256 below 85 % of peak: its loop with its loads replaced, in one run.

    python benchmarks/depthwise_limit.py [--samples 1000] [--out benchmarks/results/depthwise_limit.json]

`depthwise_limit` (native/bench, CMake option BNN_BENCH) times the kernel's own loop on registers, on loads that cross
no cache line (wrong sums), and as it is. 100 % is the register-resident peak, 27 instructions in 6.75 cycles. AVX-512
with VPOPCNTDQ only; figures are minima over the run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from common import HERE, Board, Json, progress, write_results
from programs import run, run_study

from bnn_deploy.profiling.device import BOARD_BINARY

FOLDER = HERE.parent / "build" / "bench"
PEAK_CYCLES = 27 / 4  # of a vector: four vector instructions a cycle
WAYS = ("registers", "aligned", "real")


def build() -> Path:
    """The program.

    Raises:
        ProgramError: it cannot be built.
    """
    run(["cmake", "-S", str(HERE.parent), "-B", str(FOLDER), "-DBNN_BENCH=ON", "-DBNN_TESTS=OFF"])
    run(["cmake", "--build", str(FOLDER), "--target", "depthwise_limit"])
    return FOLDER / "depthwise_limit"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "depthwise_limit.json")
    options = parser.parse_args()
    program, board = build(), Board(BOARD_BINARY)
    progress(f"measuring on core {board.core}")
    text = run([str(program), str(board.core), str(options.samples)])
    *lines, clock = (json.loads(line) for line in text.splitlines())
    cycle_ns = min(clock["samples_ns"]) / clock["iterations"]
    rows: list[Json] = []
    for line in lines:
        cycles = min(line["samples_ns"]) / line["iterations"] / cycle_ns
        rows.append({**line, "cycles": cycles, "percent": 100 * PEAK_CYCLES / cycles})
    for size, count, channels in dict.fromkeys((row["size"], row["rows"], row["channels"]) for row in rows):
        same = {
            row["way"]: row for row in rows if (row["size"], row["rows"], row["channels"]) == (size, count, channels)
        }
        figures = "   ".join(f"{way} {same[way]['cycles']:.2f} cycles {same[way]['percent']:.1f} %" for way in WAYS)
        print(f"{count} rows of {size}x{channels}: {figures}")
    write_results(options.out, {"board": board.to_json(), "cycle_ns": cycle_ns, "clock": clock, "rows": rows})
    return 0


if __name__ == "__main__":
    run_study(main)
