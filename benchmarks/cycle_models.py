"""The cycle models of `bnn-deploy profile --estimate`: what a row of each NEON kernel costs on each core.

    cmake -S . -B build/aarch64-bench --toolchain cmake/aarch64-linux-gnu.cmake -DBNN_TESTS=OFF -DBNN_BENCH=ON
    cmake --build build/aarch64-bench --target trace_rows
    python benchmarks/cycle_models.py build/aarch64-bench/trace_rows [--check]

For each model (a kernel with one version of its epilogue) rows of different shapes are traced and priced by llvm-mca
(traces.py). Their cycles are fitted, with coefficients that are not negative and relative errors that count alike, to
the numbers of loops that bnn_deploy/latency/loops.py expects. Then rows of the preset spaces, which the fit has not
seen, are traced and compared. The result is bnn_deploy/latency/cycle_models.json.

--check: which kernels run, for all steps of the preset spaces, and a few short rows against the stored models: about 2
minutes. Exit code 1 when a row is more than TOLERANCE off, 2 when another kernel runs than expected.

PREDICTIONS of a model of the core, no measurements: caches always hit and branches are always guessed. Cortex-A76 is
priced as Neoverse N1: LLVM 19 gives A76 the model of A57. Cortex-A72 is priced by LLVM's model of A57, as LLVM does it.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import re
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from mca import version_of
from programs import ProgramError, run, run_study, tool
from scipy.optimize import nnls
from traces import AARCH64, Tracer, cycles

from bnn_deploy.journal import write_atomically
from bnn_deploy.latency.estimate import KIND, MODELS, row_cycles
from bnn_deploy.latency.loops import AVGPOOL, Loops, avgpool_loops, walk
from bnn_deploy.space import load_space
from bnn_deploy.steps import Shortcut, Step, StepKind

SPACES = ("mobilenet-32", "mobilenet-224")
TOLERANCE = 0.12  # of one row of a space
MOST_INSTRUCTIONS = 60_000  # of a row that a model is fitted to, about
LONGEST = 300_000  # of a row that models are compared with
SHORT, CHECKED = 40_000, 6  # --check: rows of no more instructions, every sixth
SHAPES = 16  # of a model
PLACE = re.compile(r"^((?:adrp|add|ldr|ldp|str|stp)\b.*?)#-?\d+")
WIDTHS = (4, 5, 7, 10, 14, 20, 28, 40, 56, 112)
CHANNELS = (32, 64, 96, 128, 192, 256, 512)


Off = tuple[float, Step]  # relative error of a row


@dataclass(frozen=True)
class Core:
    """A core: the name that llvm-mca knows its model by, and the instruction set that it has."""

    name: str
    mcpu: str
    isa: str


CORES = (
    Core("cortex-a53", "cortex-a53", "neon"),
    Core("cortex-a72", "cortex-a72", "neon"),
    Core("cortex-a76", "neoverse-n1", "neon_dot"),
)


def bconv2d(width: int, channels: int, kernel: int, groups: int, bits: bool, stride: int = 1) -> Step:
    """A binary convolution as a block of a network has it; a row of it is what is traced."""
    return Step(
        StepKind.BCONV2D,
        *(2 * stride, width * stride, channels, 2, width, channels),
        kernel=kernel,
        stride=stride,
        groups=groups,
        shortcut=Shortcut.AVGPOOL if stride == 2 else Shortcut.IDENTITY,
        rprelu=True,
        bits_out=bits,
        border=int(bits),
    )


def conv2d(width: int, inputs: int, outputs: int, kernel: int, bits: bool, rprelu: bool) -> Step:
    """A stem (stride 2), or a real 1x1 of a block."""
    stride = 2 if kernel > 1 else 1
    shape = (3 * stride, width * stride, inputs, 3, width, outputs)  # the middle row's window is inside
    return Step(StepKind.CONV2D, *shape, kernel=kernel, stride=stride, rprelu=rprelu, bits_out=bits, border=int(bits))


def candidates() -> Iterable[Step]:
    """Steps of many shapes, of every kernel and epilogue."""
    grid = itertools.product(WIDTHS, CHANNELS, (True, False))
    for width, channels, bits in grid:
        for kernel, per_group in [(1, 0), *itertools.product((3, 5), (0, 64, 32, 16, 8, 4, 2, 1, 3, 12, 24, 48))]:
            groups = channels // per_group if per_group else 1
            if groups * (per_group or channels) == channels and (per_group == 0 or groups > 1):
                yield bconv2d(width, channels, kernel, groups, bits)
        yield conv2d(width, 3, channels, 3, bits, rprelu=False)
        yield conv2d(width, channels // 4, channels, 3, bits, rprelu=True)
        yield conv2d(width, channels // 2, channels, 1, bits, rprelu=True)
        yield Step(StepKind.GLOBAL_AVGPOOL, width, width, channels, 1, 1, channels)
        yield Step(StepKind.LINEAR, 1, 1, channels, 1, 1, 8 * width)


def instructions(step: Step) -> float:
    """About as many as a row takes."""
    rows = step.out_height if step.kind in (StepKind.BCONV2D, StepKind.CONV2D) else 1
    if step.kind is StepKind.GLOBAL_AVGPOOL:
        return step.in_height * step.in_width * step.in_channels / 3
    macs = step.macs / rows / (30 if step.kind is StepKind.BCONV2D else 3)
    return macs + 10 * step.out_width * step.out_channels


def samples(isa: str) -> dict[str, list[Step]]:
    """Model -> steps to fit it to, of different sizes."""
    found: dict[str, list[Step]] = {}
    for step in dict.fromkeys(candidates()):
        walked = walk(step, isa)
        if walked and instructions(step) <= MOST_INSTRUCTIONS:
            found.setdefault(walked.model, []).append(step)
    rng = np.random.default_rng(0)
    return {
        model: [steps[i] for i in sorted(rng.permutation(len(steps))[:SHAPES])]
        for model, steps in found.items()
        if len(steps) >= SHAPES // 2
    }


class Prices:
    """Cycles of rows on every core; each row is traced once for each instruction set.

    Prices of code are kept in a file, so that another run prices only what has changed.
    """

    def __init__(self, tracer: Tracer, file: Path) -> None:
        self._tracer, self._file = tracer, file
        self._known: dict[tuple[Step, str, str], float] = {}
        self._of_code: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}

    def of(self, steps: Sequence[Step], core: Core) -> list[float]:
        """In the order of the steps.

        Raises:
            ProgramError: another kernel ran than loops.py expects.
        """
        missing = [step for step in steps if (step, core.isa, core.mcpu) not in self._known]
        for trace in self._tracer.trace(missing, core.isa) if missing else ():
            check_kernel(trace.step, trace.kernel, core.isa)
            for each in CORES:
                if each.isa == core.isa:
                    self._known[trace.step, each.isa, each.mcpu] = self._price(trace.code, each.mcpu)
        if missing:
            write_atomically(self._file, json.dumps(self._of_code).encode())
        return [self._known[step, core.isa, core.mcpu] for step in steps]

    def _price(self, code: Sequence[str], mcpu: str) -> float:
        # Where data stands in memory makes no difference to a price, and moves with every build.
        text = "\n".join(PLACE.sub(r"\1", line) for line in code)
        digest = hashlib.sha256(f"{mcpu}\n{text}".encode()).hexdigest()
        if digest not in self._of_code:
            self._of_code[digest] = cycles(code, AARCH64, mcpu)
        return self._of_code[digest]


def check_kernel(step: Step, kernel: str, isa: str) -> None:
    walked = walk(step, isa)
    expected = walked.kernel if walked else "no kernel"
    if kernel != expected:
        raise ProgramError(f"{step.key}: {kernel} ran, bnn_deploy/latency/loops.py expects {expected}")


def counts(loops: Loops) -> list[float]:
    return [float(value) for value in astuple(loops)]


def fit(rows: Sequence[Loops], found: Sequence[float]) -> dict[str, object]:
    """A model: cycles of each loop, and how well they tell the rows that they were fitted to."""
    design, target = np.array([counts(loops) for loops in rows]), np.array(found)
    coefficients, _ = nnls(design / target[:, None], np.ones(len(target)))
    errors = np.abs(design @ coefficients / target - 1)
    named = zip((field.name for field in fields(Loops)), coefficients, strict=True)
    return {
        "cycles": {name: round(float(value), 3) for name, value in named if value},
        "shapes": len(rows),
        "worst_error": round(float(errors.max()), 4),
        "median_error": round(float(np.median(errors)), 4),
    }


def fit_core(core: Core, prices: Prices) -> dict[str, object]:
    models: dict[str, object] = {}
    for model, steps in samples(core.isa).items():
        rows = [walked.loops for step in steps if (walked := walk(step, core.isa))]
        models[model] = fit(rows, prices.of(steps, core))
        print(f"{core.name} {model}: {models[model]}", file=sys.stderr)
    models[AVGPOOL] = fit_avgpool(core, prices)
    return models


def fit_avgpool(core: Core, prices: Prices) -> dict[str, object]:
    """The row of means that a stride-2 step takes its shortcut from: what such a step takes beyond another."""
    sizes = [
        (width, channels) for width in (4, 7, 14, 28, 56) for channels in (32, 64, 128, 256) if width * channels < 4000
    ]
    pooled = [bconv2d(width, channels, 1, 1, True, stride=2) for width, channels in sizes]
    plain = [bconv2d(width, channels, 1, 1, True) for width, channels in sizes]
    extra = [a - b for a, b in zip(prices.of(pooled, core), prices.of(plain, core), strict=True)]
    return fit([avgpool_loops(step) for step in pooled], extra)


def predicted(step: Step, core: Core, models: Mapping[str, Mapping[str, object]]) -> float:
    """Cycles of a row by the models."""
    return row_cycles(step, core.isa, {name: model["cycles"] for name, model in models.items()})  # type: ignore[misc]


def preset_steps() -> list[Step]:
    return list(dict.fromkeys(step for name in SPACES for step in load_space(name).steps()))


def compare(core: Core, prices: Prices, models: Mapping[str, Mapping[str, object]], steps: Sequence[Step]) -> list[Off]:
    """Relative error of a row of each step."""
    found = prices.of(steps, core)
    return [(predicted(step, core, models) / value - 1, step) for step, value in zip(steps, found, strict=True)]


def made_by(program: Path) -> dict[str, str]:
    return {
        "llvm_mca": version_of(tool("LLVM_MCA", "llvm-mca-19")),
        "compiler": version_of(tool("CXX", "aarch64-linux-gnu-g++")),
        "qemu": run([AARCH64.emulator, "--version"]).splitlines()[0],
        "binary_sha256": hashlib.sha256(program.read_bytes()).hexdigest(),
    }


def summary(errors: Sequence[Off]) -> dict[str, object]:
    sizes = [abs(error) for error, _ in errors]
    return {"rows": len(sizes), "worst_error": round(max(sizes), 4), "median_error": round(statistics.median(sizes), 4)}


def make(prices: Prices, program: Path) -> int:
    """Fits all models and writes them; returns how many rows of the preset spaces they miss."""
    steps = [step for step in preset_steps() if instructions(step) <= LONGEST]
    cores: dict[str, object] = {}
    missed = 0
    for core in CORES:
        models = fit_core(core, prices)
        errors = compare(core, prices, models, steps)
        cores[core.name] = {"mcpu": core.mcpu, "isa": core.isa, "models": models, "checked": summary(errors)}
        missed += tell(core, errors)
    head = {"schema": 1, "kind": KIND, "about": "predictions, no measurements", "made_by": made_by(program)}
    write_atomically(MODELS, (json.dumps({**head, "cores": cores}, indent=1) + "\n").encode())
    return missed


def check(prices: Prices, tracer: Tracer) -> int:
    """Compares the stored models with a build; returns how many rows they miss."""
    stored = json.loads(MODELS.read_text())["cores"]
    steps = preset_steps()
    for isa in sorted({core.isa for core in CORES}):
        for step, kernel in zip(steps, tracer.kernels(steps, isa), strict=True):
            check_kernel(step, kernel, isa)
    short = [step for step in steps if instructions(step) <= SHORT]
    return sum(tell(core, compare(core, prices, stored[core.name]["models"], short[::CHECKED])) for core in CORES)


def tell(core: Core, errors: Sequence[Off]) -> int:
    worst = "; ".join(
        f"{error:+.1%} {step.key}" for error, step in sorted(errors, key=lambda entry: -abs(entry[0]))[:3]
    )
    print(f"{core.name}: {summary(errors)}; worst: {worst}")
    return sum(not abs(error) <= TOLERANCE for error, _ in errors)


def main() -> int:
    parser = argparse.ArgumentParser(description="Cycle models of the NEON kernels (llvm-mca)")
    parser.add_argument("program", type=Path, metavar="TRACE_ROWS", help="of an AArch64 build with -DBNN_BENCH=ON")
    parser.add_argument("--check", action="store_true", help="compare the stored models with this build")
    arguments = parser.parse_args()
    tracer = Tracer(arguments.program, AARCH64)
    prices = Prices(tracer, arguments.program.with_name("prices.json"))
    missed = check(prices, tracer) if arguments.check else make(prices, arguments.program)
    if missed:
        print(f"{missed} rows are more than {TOLERANCE:.0%} off", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    run_study(main)
