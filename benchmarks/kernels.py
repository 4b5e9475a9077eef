"""Percent of the core's own register-resident peak, layer by layer.

    python benchmarks/kernels.py [--isa NAME] [--only TEXT] [--rounds 20] [--out benchmarks/results/kernels.json]

The peak is what `bnn-board peak` reaches with the instructions of the kernels' inner loop on registers alone. It is
sampled before, between and after the layers of every round. Percent of peak = (binary MACs of the layer / shortest
sample) / best rate of the peak, both over the whole run: what neighbours and clock changes take away from either is
left out, and only from rates of the same minutes. The median of the rounds, each with its own shortest sample and the
peak's best, stands beside it.

Every layer twice, packed in: "bits", an integer threshold, packed out; and "block", as in a network: affine, identity
shortcut, RPReLU, floats and bits out. The block has a roofline: the larger of the arithmetic (binary MACs at peak, and
4 float32 operations per output at the peak of fused multiply-adds) and the traffic (activations, shortcut and weights,
each once, at the rate of copying a tensor of the layer's size on the same core, so from the same level of cache).
Every step's result is compared with the scalar kernel's before it is timed.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from common import Board, Json, Peak, Samples, binary_step, met, parser, progress, write_plan, write_results

from bnn_deploy.steps import Step

LAYERS_ARGUMENTS = ["--warm", "--samples", "60", "--min-sample-ns", "100000", "--warmup-ns", "3000000"]
FLOAT_OPERATIONS = 4  # per output: fused multiply-add of scale and bias, shortcut, slope of RPReLU, zeta
FLOAT_BYTES = 4
AVX2_MACS_PER_CYCLE = 170.0  # 3x3 with 256 channels


@dataclass
class Case:
    """A layer in one of its two forms."""

    step: Step
    target: float | None  # percent of peak
    kernel: str = ""
    samples: Samples = field(default_factory=Samples)

    @property
    def name(self) -> str:
        step = self.step
        per_group = step.in_channels // step.groups
        groups = "" if step.groups == 1 else " depthwise" if per_group == 1 else f" {per_group}/group"
        return f"{step.kernel}x{step.kernel} {step.in_channels}ch {step.in_height}x{step.in_width}{groups}"

    @property
    def out_bytes(self) -> int:
        return FLOAT_BYTES * self.step.out_height * self.step.out_width * self.step.out_channels


def percent_of_peak(size: int, channels: int, kernel: int, per_group: int) -> float | None:
    """What the fused threshold must reach with AVX-512."""
    if per_group == 1:
        return 85.0
    if per_group == channels:
        if kernel == 3:
            return 92.0 if channels >= 128 else 85.0
        return 85.0 if channels >= 512 else 75.0 if channels >= 256 else None
    if size > 28:  # a further row
        return None
    return {4: 55.0, 8: 80.0, 16: 80.0, 32: 80.0, 64: 80.0}.get(per_group)


def cases() -> Iterator[Case]:
    """All layers, those of one tensor shape together: they share a copy bandwidth."""
    dense3 = [(56, 64), (28, 128), (28, 256), (14, 256), (14, 512), (7, 512), (7, 1024)]
    dense1 = [(56, 64), (56, 128), (28, 128), (28, 256), (14, 256), (14, 512), (7, 1024)]
    grouped = [(56, 64), (56, 128), (28, 256), (14, 512)]
    layers = [(size, channels, 3, channels) for size, channels in dense3]
    layers += [(size, channels, 1, channels) for size, channels in dense1]
    layers += [(size, channels, 3, per) for size, channels in grouped for per in (1, 4, 8, 16, 32, 64, 128)]
    for size, channels, kernel, per_group in sorted(set(layers), key=lambda layer: (-layer[0], *layer[1:])):
        if per_group > channels or (per_group == 1 and size == 56):
            continue
        for block in (False, True):
            step = binary_step(
                size, channels, channels, kernel, channels // per_group, floats=block, bits=True, block=block
            )
            block_target = 60.0 if kernel == 3 and per_group == channels == 256 else None
            yield Case(step, block_target if block else percent_of_peak(size, channels, kernel, per_group))


def row(case: Case, peak: Peak, isa: str) -> Json:
    """A line of the results."""
    step, best_ns = case.step, case.samples.best_ns
    rate = step.macs / best_ns
    rounds = [min(ns / entry["iterations"] for ns in entry["samples_ns"]) for entry in case.samples.rounds]  # type: ignore
    middle_ns = sorted(rounds)[len(rounds) // 2]
    result: Json = {
        "layer": case.name,
        "epilogue": "block" if step.float_out else "bits",
        "kernel": case.kernel,
        "macs": step.macs,
        "best_ns": best_ns,
        "macs_per_cycle": rate * peak.cycle_ns,
        "percent_of_peak": 100 * rate / peak.macs_per_ns,
        "percent_of_peak_median_round": 100 * step.macs / middle_ns / peak.macs_per_ns,
        "target_percent": case.target if isa == "avx512" else None,
        "rounds": case.samples.rounds,
    }
    if step.float_out:
        bits = step.in_height * step.in_width * step.in_channels // 8 + case.out_bytes // FLOAT_BYTES // 8
        moved = 2 * case.out_bytes + bits + step.k_bits * step.out_channels // 8
        traffic_ns = moved / peak.traffic_per_ns(case.out_bytes)
        float_ns = FLOAT_OPERATIONS * case.out_bytes / FLOAT_BYTES / peak.float_macs_per_ns
        arithmetic_ns = step.macs / peak.macs_per_ns + float_ns
        roofline_ns = max(arithmetic_ns, traffic_ns)
        result |= {
            "moved_bytes": moved,
            "traffic_ns": traffic_ns,
            "binary_ns": step.macs / peak.macs_per_ns,
            "float_ns": float_ns,
            "bound": "memory" if traffic_ns > arithmetic_ns else "arithmetic",
            "roofline_ns": roofline_ns,
            "percent_of_roofline": 100 * roofline_ns / best_ns,
        }
    return result


def verdict(result: Json, case: Case, isa: str) -> str:
    """The target and whether it was met."""
    dense256 = case.step.kernel == 3 and case.step.groups == 1 and case.step.in_channels == 256
    if isa == "avx2" and dense256 and not case.step.float_out:
        return f">= {AVX2_MACS_PER_CYCLE:.0f}/cycle {met(result['macs_per_cycle'], AVX2_MACS_PER_CYCLE)}"  # type: ignore
    target = result["target_percent"]
    return f">= {target:.0f} % {met(result['percent_of_peak'], target)}" if target else ""  # type: ignore


def show(all_cases: list[Case], rows: list[Json], isa: str) -> int:
    """The two tables; returns how many targets were missed."""
    missed = 0
    for epilogue in ("bits", "block"):
        roofline = f"{'roofline us':>12}{'of it':>7}  {'bound':<11}" if epilogue == "block" else ""
        print(f"\n{epilogue:<28}{'us':>9}{'MAC/cycle':>11}{'of peak':>9}{'median':>8}{roofline}  target / kernel")
        for case, line in zip(all_cases, rows, strict=True):
            if line["epilogue"] != epilogue:
                continue
            text = verdict(line, case, isa)
            missed += "MISSED" in text
            bound = ""
            if epilogue == "block":
                bound = f"{line['roofline_ns'] / 1e3:>12.2f}{line['percent_of_roofline']:>6.1f}%  {line['bound']:<11}"  # type: ignore
            print(
                f"{case.name:<28}{line['best_ns'] / 1e3:>9.2f}{line['macs_per_cycle']:>11.1f}"  # type: ignore[operator]
                f"{line['percent_of_peak']:>8.1f}%{line['percent_of_peak_median_round']:>7.1f}%{bound}"
                f"  {text:<18} {case.kernel}"
            )
    return missed


def main() -> int:
    options = parser(__doc__, "kernels.json", 20)
    options.add_argument("--isa", help="force an instruction set (default: the best; its peak is the yardstick)")
    options.add_argument("--only", default="", metavar="TEXT", help="layers whose name holds it (give --out, too)")
    arguments = options.parse_args()
    board = Board(arguments.board, arguments.core)
    isa = arguments.isa or board.best_isa
    peak = Peak(board, isa)
    all_cases = [case for case in cases() if arguments.only in case.name]
    chunks = [list(group) for _, group in groupby(all_cases, key=lambda case: case.out_bytes)]
    order = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="bnn-kernels-") as folder:
        plans = [
            write_plan(Path(folder) / f"{index}.bnn", [case.step for case in chunk])
            for index, chunk in enumerate(chunks)
        ]
        for number in range(arguments.rounds):
            progress(f"round {number + 1} of {arguments.rounds}")
            for index in order.sample(range(len(chunks)), len(chunks)):
                peak.sample(chunks[index][0].out_bytes)
                records = board.layers(plans[index], ["--isa", isa, *LAYERS_ARGUMENTS])
                for case, record in zip(chunks[index], records, strict=True):
                    case.kernel = str(record["kernel"])
                    case.samples.add(record)
            peak.sample()
    rows = [row(case, peak, isa) for case in all_cases]
    print(
        f"peak of {isa}: {peak.macs_per_ns * peak.cycle_ns:.1f} binary MAC/cycle, {peak.macs_per_ns:.0f} GMAC/s, "
        f"{peak.float_macs_per_ns:.1f} float32 GMAC/s; cycle {peak.cycle_ns:.4f} ns"
    )
    missed = show(all_cases, rows, isa)
    print(f"\n{missed} targets missed")
    settings = {"rounds": arguments.rounds, "isa": isa, "layers": LAYERS_ARGUMENTS}
    write_results(
        arguments.out, {"device": board.to_json(), "settings": settings, "peak": peak.to_json(), "rows": rows}
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
