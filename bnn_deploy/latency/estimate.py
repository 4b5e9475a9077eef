"""Latency without a board: cycle models of the kernels, and traffic against the memory. An estimate, no measurement.

Of a step with R rows (a pool and a linear step are one row), on a core of f cycles per second:

    compute = cycles of a row / f                                      cycle_models.json
    near    = bytes of a row / (L2_BYTES_PER_CYCLE * f)                what a row takes from the second cache
    far     = bytes of the constants / bytes per second of the memory  what a run takes from behind it, once

    step = R * max(compute, near) + max(0, far - max(compute, near))

A row overlaps with what it loads: a roofline (Williams, Waterman, Patterson 2009). So constants come from where
`bnn-board layers` lets them come from: from the second cache for every row, since other steps' pass through the first
between two rows, and from the memory once in a run. A row's bytes are all constants of the step, and the floats that it
reads and writes; packed bits are few.

Where the numbers come from:

* cycles: benchmarks/cycle_models.py: rows executed in qemu, every instruction priced by llvm-mca with LLVM's model of
  the core; fitted to the numbers of loops (loops.py). Caches always hit, branches are always guessed: a lower bound of
  what a core needs, if LLVM's model is right.
* clock and memory: the published figures of the board (profiling/devices.toml): STREAM where somebody ran it, else
  PEAK_SHARE of what the memory's pins allow.
* L2_BYTES_PER_CYCLE: an assumption; no published figure was found for these cores. Near traffic hardly ever decides:
  benchmarks/estimate_x86.py --sensitivity.

How far off such estimates are where there is silicon to ask: docs/estimates.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnn_deploy.deploy_graph import expected_constants
from bnn_deploy.errors import EstimateMiss, FileFormatError
from bnn_deploy.latency.loops import AVGPOOL, Loops, avgpool_loops, walk
from bnn_deploy.steps import Shortcut, Step, StepKind

SCHEMA = 1  # 1: first version
KIND = "bnn-deploy cycle models"
MODELS = Path(__file__).with_name("cycle_models.json")
SOURCE = "estimate:llvm-mca-19"

L2_BYTES_PER_CYCLE = 8.0
# Of what the pins allow. Raspberry Pi 4: STREAM 5.56 of 12.8 GB/s (LPDDR4-3200, 32 bits); Raspberry Pi 5: one core
# reads 9.1 to 9.4 of 17 GB/s (tinymembench, raspberrypi/firmware issue 1876).
PEAK_SHARE = 0.5

Models = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Core:
    """What a step is estimated with.

    Args:
        name: of the CPU, as cortex-a72.
        isa: whose kernels run.
        clock_hz: cycles per second.
        memory_bytes_per_s: that one core reads from behind its caches.
        models: model -> cycles of each loop.
    """

    name: str
    isa: str
    clock_hz: float
    memory_bytes_per_s: float
    models: Models

    def latency_ns(self, step: Step) -> float:
        """Of a step, by the formula above, nanoseconds.

        Raises:
            EstimateMiss: there is no cycle model for its shape.
        """
        rows = rows_of(step)
        compute = row_cycles(step, self.isa, self.models) / self.clock_hz
        near = row_bytes(step) / (L2_BYTES_PER_CYCLE * self.clock_hz)
        far = constant_bytes(step) / self.memory_bytes_per_s
        row = max(compute, near)
        return 1e9 * (rows * row + max(0.0, far - row))


@dataclass(frozen=True, slots=True)
class CycleModels:
    """cycle_models.json.

    Args:
        cores: CPU -> (instruction set, models).
        made_by: versions of the tools, and the hash of the binary whose kernels were traced.
    """

    cores: Mapping[str, tuple[str, Models]]
    made_by: Mapping[str, str]

    @classmethod
    def open(cls, path: Path = MODELS) -> CycleModels:
        """The models of the package.

        Raises:
            FileFormatError: missing, malformed, or of another schema.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_text())
            if data["schema"] != SCHEMA or data["kind"] != KIND:
                raise ValueError(f"expected {KIND}, schema {SCHEMA}")
            cores = {
                name: (core["isa"], {model: entry["cycles"] for model, entry in core["models"].items()})
                for name, core in data["cores"].items()
            }
            return cls(cores, data["made_by"])
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as exc:
            raise FileFormatError(f"{path}: {exc}; install the package again") from exc


def row_cycles(step: Step, isa: str, models: Models) -> float:
    """Cycles of one row of a step, all of it in the first cache.

    Raises:
        EstimateMiss: no model.
    """
    walked = walk(step, isa)
    if walked is None or walked.model not in models:
        raise EstimateMiss(
            f"{step.key}: there is no cycle model for this shape; measure it on the board, or add it to "
            "benchmarks/cycle_models.py"
        )
    total = _cycles(models[walked.model], walked.loops)
    if step.shortcut is Shortcut.AVGPOOL:
        total += _cycles(models[AVGPOOL], avgpool_loops(step))
    return total


def rows_of(step: Step) -> int:
    """How many rows a run of the step computes."""
    return step.out_height if step.kind in (StepKind.CONV2D, StepKind.BCONV2D) else 1


def constant_bytes(step: Step) -> float:
    """Constants of a step as the engine keeps them: binary weights are bits."""
    total = 0.0
    for shape, dtype in expected_constants(step).values():
        values = 1.0
        for size in shape:
            values *= size
        total += values / 8 if dtype == "int8" else 4 * values
    return total


def row_bytes(step: Step) -> float:
    """What a row reads and writes beyond packed bits: constants, floats in, shortcut, floats out."""
    total = constant_bytes(step) + 4.0 * step.out_width * step.out_channels * step.float_out
    match step.kind:
        case StepKind.CONV2D:
            total += 4.0 * step.stride * step.in_width * step.in_channels
        case StepKind.BCONV2D if step.shortcut is not Shortcut.NONE:
            rows = 2 if step.shortcut is Shortcut.AVGPOOL else 1
            total += 4.0 * rows * step.in_width * step.in_channels
        case StepKind.GLOBAL_AVGPOOL | StepKind.LINEAR:
            total += 4.0 * step.in_height * step.in_width * step.in_channels
    return total


def _cycles(model: Mapping[str, float], loops: Loops) -> float:
    return sum((cycles * float(getattr(loops, name)) for name, cycles in model.items()), 0.0)
