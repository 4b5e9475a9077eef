"""How far the estimates of `bnn-deploy profile --estimate` can be trusted: three questions to what silicon there is.

    python benchmarks/estimates.py x86 --table TABLE --trace-rows build/bench/trace_rows [--out FILE]
    python benchmarks/estimates.py lce
    python benchmarks/estimates.py sensitivity

x86: the same method (traces, llvm-mca, roofline) applied to this computer's AVX2 kernels, against a table measured here
with `bnn-deploy profile --isa avx2`: rows, and sums for random networks. qemu has no AVX-512. LLVM 19 prices Zen 5 with
its model of Zen 4. The clock is the table's; the memory is the rate of a copy of 8 MiB (`bnn-board peak`), which stays
in the third cache, as the constants of a network do here.

lce: the A72 model against what Larq Compute Engine publishes for a Raspberry Pi 4 at 1.5 GHz: QuickNet's binary layers
at the predicted rate of the arithmetic of LCE's 8x4 kernel (per 128 bits of 8 filters: 8 EOR, 8 CNT, 7 ADDP, 1 UADALP,
which is this engine's too), its real layers at the predicted rate of fused multiply-adds, and the float tensors between
its operators at the memory's rate. What it leaves out (im2col, packing of weights at the first run, operator calls)
LCE has to do: expect a lower bound.

sensitivity: what networks on the boards would take if an assumption were half or twice as good.

Each part replaces its own member of --out; the others stay.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from programs import run_study
from traces import AARCH64, X86_64, Tracer, cycles

from bnn_deploy.cost import network_cost
from bnn_deploy.latency import estimate
from bnn_deploy.latency.estimate import Core, CycleModels, constant_bytes, row_bytes, rows_of
from bnn_deploy.latency.predict import predict_ns
from bnn_deploy.latency.statistics import Agreement, agreement, kendall_tau
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.description import device_descriptions
from bnn_deploy.profiling.device import BOARD_BINARY
from bnn_deploy.profiling.estimated import core_of
from bnn_deploy.references import reference
from bnn_deploy.space import Space, load_space
from bnn_deploy.steps import Step, StepKind, plan

Json = dict[str, object]

MCPU = "znver5"
L2_BYTES_PER_CYCLE = 32.0  # Zen 4 and 5: half a line a cycle
NETWORKS = 50


# --- x86 ----------------------------------------------------------------------------------------------------------


def x86(table: LatencyTable, program: Path, space: Space) -> Json:
    clock_hz = 1e3 * statistics.median(
        state.clock_khz for block in table.blocks for state in (block.before, block.after)
    )
    memory = copy_bytes_per_s(table.core)
    steps = list(space.steps())
    table.require(steps)
    found: dict[Step, float] = {}
    tracer = Tracer(program, X86_64)
    kernels = sorted({table.rows[step].kernel for step in steps})
    for number, kernel in enumerate(kernels):
        print(f"{kernel} ({number + 1} of {len(kernels)})", file=sys.stderr)
        same = [step for step in steps if table.rows[step].kernel == kernel]
        for trace in tracer.trace(same, kernel if same[0].kind is StepKind.BCONV2D else "avx2"):
            found[trace.step] = latency_ns(trace.step, cycles(trace.code, X86_64, MCPU), clock_hz, memory)
    rows = agreement([found[step] for step in steps], [table.latency_ns(step) for step in steps])
    nets = [space.decode(genome) for genome in space.sample(np.random.default_rng(0), NETWORKS)]
    sums = [sum(found[step] for step in plan(net)) for net in nets]
    measured = [predict_ns(net, table) for net in nets]
    networks = agreement(sums, measured)
    ops = kendall_tau([network_cost(net).ops for net in nets], measured)
    factor = statistics.median(found[step] / table.latency_ns(step) for step in steps)
    scaled = statistics.mean(abs(found[step] / table.latency_ns(step) / factor - 1) for step in steps)
    print(f"clock {clock_hz / 1e9:.2f} GHz, memory {memory / 1e9:.1f} GB/s")
    show("rows", rows)
    print(f"rows, with one factor of {factor:.2f} taken out: MAPE {scaled:.1%}")
    show(f"{NETWORKS} random networks of {space.name}", networks)
    print(f"the same networks by their OPs: tau {ops:.3f}")
    kinds: Json = {}
    for kernel in kernels:
        ratios = [found[step] / table.latency_ns(step) for step in steps if table.rows[step].kernel == kernel]
        kinds[kernel] = {"rows": len(ratios), "estimated_of_measured": round(statistics.median(ratios), 3)}
        print(f"  {kernel:<32}{len(ratios):>4} rows, estimate {statistics.median(ratios):.2f} of the measurement")
    return {
        "mcpu": MCPU,
        "clock_hz": clock_hz,
        "memory_bytes_per_s": memory,
        "cpu": table.header.get("cpu"),
        "table": {name: table.header.get(name) for name in ("binary_sha256", "isa", "utc")},
        "rows": rows.to_json(),
        "rows_factor": round(factor, 3),
        "rows_mape_without_factor": round(scaled, 4),
        "networks": networks.to_json(),
        "networks_tau_of_ops": ops,
        "kernels": kinds,
    }


def latency_ns(step: Step, row_cycles: float, clock_hz: float, memory_bytes_per_s: float) -> float:
    """The roofline of bnn_deploy/latency/estimate.py."""
    row = max(row_cycles, row_bytes(step) / L2_BYTES_PER_CYCLE) / clock_hz
    return 1e9 * (rows_of(step) * row + max(0.0, constant_bytes(step) / memory_bytes_per_s - row))


def copy_bytes_per_s(core: int) -> float:
    size = 8 << 20
    command = [str(BOARD_BINARY), "peak", "--core", str(core), "--isa", "avx2", "--copy", str(size)]
    record = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return 2 * size / (min(record["copy_samples_ns"]) / record["copy_iterations"]) * 1e9


# --- lce ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class QuickNet:
    """A network of larq-zoo: sections of 3x3 binary layers at 56, 28, 14 and 7 pixels.

    published_ms: LCE's README, Raspberry Pi 4B at 1.5 GHz, one thread. real_macs: of stem, transitions, classifier.
    """

    name: str
    filters: tuple[int, ...]
    layers: tuple[int, ...]
    real_macs: float
    published_ms: float

    @property
    def outputs(self) -> list[tuple[int, int]]:
        """(values, number of input channels) of each binary layer's output."""
        sizes = zip((56, 28, 14, 7), self.filters, self.layers, strict=True)
        return [(size * size * channels, channels) for size, channels, count in sizes for _ in range(count)]

    @property
    def binary_macs(self) -> float:
        return sum(9.0 * channels * values for values, channels in self.outputs)


QUICKNETS = (  # binary MACs: 1156, 1850, 3699 million, as larq's documentation has them
    QuickNet("QuickNetSmall", (32, 64, 256, 512), (4, 4, 4, 4), 15e6, 27.7),
    QuickNet("QuickNet", (64, 128, 256, 512), (4, 4, 4, 4), 29e6, 45.0),
    QuickNet("QuickNetLarge", (64, 128, 256, 512), (6, 8, 12, 6), 29e6, 77.0),
)


def binary_macs_per_cycle(cpu: str) -> float:
    """A loop of the arithmetic and the loads of an 8x4 tile."""
    loads = [f"ldr q{8 + f}, [x0, #{16 * f}]" for f in range(8)] + [f"ldr q{16 + p}, [x1, #{16 * p}]" for p in range(4)]
    code = [*loads, "add x0, x0, #128", "add x1, x1, #64"]
    for p in range(4):
        code += [f"eor v{f}.16b, v{16 + p}.16b, v{8 + f}.16b" for f in range(8)]
        code += [f"cnt v{f}.16b, v{f}.16b" for f in range(8)]
        for width in (4, 2, 1):
            code += [f"addp v{i}.16b, v{2 * i}.16b, v{2 * i + 1}.16b" for i in range(width)]
        code.append(f"uadalp v{24 + p}.8h, v0.16b")
    return 8 * 4 * 128 * 200 / cycles([*code, "subs x2, x2, #1", "b.ne #0"] * 200, AARCH64, cpu)


def real_macs_per_cycle(cpu: str) -> float:
    """Independent fused multiply-adds of 4 floats."""
    code = [f"fmla v{i}.4s, v30.4s, v31.4s" for i in range(24)]
    return 4 * len(code) * 100 / cycles(code * 100, AARCH64, cpu)


def lce() -> Json:
    core = core_of(device_descriptions()["rpi4"], CycleModels.open())
    binary, real = binary_macs_per_cycle(core.name), real_macs_per_cycle(core.name)
    print(f"{core.name}, {core.clock_hz / 1e9} GHz: {binary:.1f} binary, {real:.1f} real MACs per cycle (LLVM's model)")
    found: Json = {"binary_macs_per_cycle": binary, "real_macs_per_cycle": real, "networks": {}}
    predictions = []
    for net in QUICKNETS:
        parts = {
            "binary_ms": 1e3 * net.binary_macs / binary / core.clock_hz,
            "real_ms": 1e3 * net.real_macs / real / core.clock_hz,
            # written by the convolution; two read and one written by the addition; read by the sign
            "traffic_ms": 1e3 * sum(5 * 4.0 * values for values, _ in net.outputs) / core.memory_bytes_per_s,
        }
        total = sum(parts.values())
        predictions.append(total)
        text = " + ".join(f"{value:.1f}" for value in parts.values())
        off = total / net.published_ms - 1
        print(f"  {net.name:<14} {text} = {total:.1f} ms, published {net.published_ms} ms: {off:+.0%}")
        found["networks"] = {**found["networks"], net.name: {**parts, "published_ms": net.published_ms}}  # type: ignore
    ratios = [value / net.published_ms for value, net in zip(predictions, QUICKNETS, strict=True)]
    found["predicted_of_published"] = [round(min(ratios), 3), round(max(ratios), 3)]
    return found


# --- sensitivity --------------------------------------------------------------------------------------------------


def sensitivity() -> Json:
    found: Json = {}
    models = CycleModels.open()
    for board in ("rpi4", "rpi5"):
        core = core_of(device_descriptions()[board], models)
        for name in ("uniform-g8", "reactnet-a", "depthwise"):
            base = total_ms(core, name)
            kept = estimate.L2_BYTES_PER_CYCLE
            changes = {}
            for text, factor in (("half the L2 bandwidth", 0.5), ("twice the L2 bandwidth", 2.0)):
                estimate.L2_BYTES_PER_CYCLE = factor * kept
                changes[text] = total_ms(core, name) / base - 1
            estimate.L2_BYTES_PER_CYCLE = kept
            for text, factor in (("half the memory bandwidth", 0.5), ("twice the memory bandwidth", 2.0)):
                slower = replace(core, memory_bytes_per_s=factor * core.memory_bytes_per_s)
                changes[text] = total_ms(slower, name) / base - 1
            print(
                f"{board} {name}: {base:.1f} ms; "
                + ", ".join(f"{text} {value:+.1%}" for text, value in changes.items())
            )
            found[f"{board} {name}"] = {"ms": base, **changes}
    return found


def total_ms(core: Core, name: str) -> float:
    return sum(core.latency_ns(step) for step in plan(reference(name))) / 1e6


def show(title: str, found: Agreement) -> None:
    print(
        f"{title}: MAPE {found.mape.value:.1%}, bias {found.bias.value:+.1%}, "
        f"tau {found.tau.value:.3f} [{found.tau.low:.3f}, {found.tau.high:.3f}], worst {found.worst:.0%}"
    )


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How far estimates can be trusted")
    parser.add_argument("part", choices=["x86", "lce", "sensitivity"])
    parser.add_argument("--table", type=Path, help="measured on this computer with --isa avx2")
    parser.add_argument("--trace-rows", type=Path, help="of a build for this computer with -DBNN_BENCH=ON")
    parser.add_argument("--space", default="mobilenet-224")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "estimates.json")
    arguments = parser.parse_args(words)
    if arguments.part == "x86":
        if not arguments.table or not arguments.trace_rows:
            parser.error("x86 needs --table and --trace-rows")
        found = x86(LatencyTable.open(arguments.table), arguments.trace_rows, load_space(arguments.space))
    else:
        found = lce() if arguments.part == "lce" else sensitivity()
    whole = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    arguments.out.write_text(json.dumps({**whole, arguments.part: found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    run_study(main)
