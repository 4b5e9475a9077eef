"""Nine binary layers in this engine and in Larq Compute Engine 0.16's interpreter, in one run, one thread.

    python benchmarks/layers.py [--out benchmarks/results/layers.json]

Each layer packed in and float out (b2f: scale and bias), and packed in and packed out (b2b: integer threshold). The two
take turns, round by round, so that a busy neighbour hits both; the figure is each one's minimum over all samples, and
the medians stand beside it. LCE is timed in two ways and gets the better one: `predict` of a model with the layer once,
which contains Python's copying of input and output, and the slope between models with the layer once and REPEAT times,
which does not. Every layer's output is checked before it is timed (by bnn-board against the scalar kernel).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tflite

from bnn_deploy.engine.bnn_file import plan_to_bytes
from bnn_deploy.export.tflite import pack_words
from bnn_deploy.export.tflite_writer import NO_TENSOR, TfliteWriter
from bnn_deploy.profiling.device import open_device
from bnn_deploy.runtimes.lce import lce_python
from bnn_deploy.settings import write_json
from bnn_deploy.steps import Step, StepKind

# height = width, input channels, output channels, kernel, groups
LAYERS = [
    (56, 64, 64, 3, 1),
    (28, 128, 128, 3, 1),
    (14, 256, 256, 3, 1),
    (7, 512, 512, 3, 1),
    (28, 256, 256, 1, 1),
    (14, 512, 512, 1, 1),
    (7, 1024, 1024, 1, 1),
    (14, 512, 512, 3, 4),
    (14, 512, 512, 3, 16),
]
REPEAT = 9
ROUNDS = 5
LCE_SECONDS = 0.25  # per model and round
ENGINE_ARGUMENTS = ["--samples", "20", "--min-sample-ns", "2000000", "--warmup-ns", "10000000"]


def step_of(size: int, channels: int, outputs: int, kernel: int, groups: int, packed: bool) -> Step:
    shape = (size, size, channels, size, size, outputs)
    return Step(
        StepKind.BCONV2D,
        *shape,
        kernel=kernel,
        groups=groups,
        float_out=not packed,
        bits_out=packed,
        border=kernel // 2 if packed else 0,
    )


def lce_model(step: Step, copies: int, rng: np.random.Generator) -> bytes:
    """A model of `copies` LceBconv2d operators that read the same bits; the last one's output is the model's."""
    writer = TfliteWriter()
    words = -(-step.in_channels // 32)
    bits = writer.tensor("bits", (1, step.in_height, step.in_width, words), "int32")
    negative = rng.random((step.out_channels, step.kernel, step.kernel, step.in_channels // step.groups)) < 0.5
    weights = writer.constant("weights", pack_words(negative))
    ones = np.ones(step.out_channels, np.float32)
    options = {
        "channels_in": step.in_channels,
        "dilation_height_factor": 1,
        "dilation_width_factor": 1,
        "fused_activation_function": tflite.ActivationFunctionType.NONE,
        "pad_values": 1,
        "padding": tflite.Padding.SAME,
        "stride_height": 1,
        "stride_width": 1,
    }
    if step.bits_out:
        threshold = writer.constant("threshold", np.full(step.out_channels, step.k_bits // 2, np.int32))
        constants = [weights, NO_TENSOR, NO_TENSOR, threshold]
        shape, dtype = (1, step.out_height, step.out_width, -(-step.out_channels // 32)), "int32"
    else:
        constants = [weights, writer.constant("multiplier", ones), writer.constant("bias", ones), NO_TENSOR]
        shape, dtype = (1, step.out_height, step.out_width, step.out_channels), "float32"
    outputs = [
        writer.custom("LceBconv2d", [bits, *constants], f"y{copy}", shape, options, dtype=dtype)
        for copy in range(copies)
    ]
    return writer.finish([bits], outputs[-1:], {})


class Contest:
    """All cases of one run; each round adds samples to every one."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.steps = [step_of(*layer, packed) for layer in LAYERS for packed in (False, True)]
        self.device = open_device("host")
        self.core = str(self.device.choose_core())
        self.plan = folder / "plan.bnn"
        self.plan.write_bytes(plan_to_bytes(self.steps))
        self.engine_ns: list[list[float]] = [[] for _ in self.steps]
        self.kernels = [""] * len(self.steps)
        self.models, self.keys = [], []
        for index, step in enumerate(self.steps):
            for copies in (1, REPEAT):
                path = folder / f"{index}-{copies}.tflite"
                path.write_bytes(lce_model(step, copies, rng))
                for indirect in (False, True):
                    words = -(-step.in_channels // 32)
                    shape = [1, step.in_height, step.in_width, words]
                    self.models.append({"path": str(path), "shape": shape, "indirect": indirect})
                    self.keys.append((index, indirect, copies))
        self.lce_ns: dict[tuple[int, bool, int], list[int]] = {key: [] for key in self.keys}
        self.errors: dict[tuple[int, bool], str] = {}

    def round(self) -> None:
        arguments = ["layers", "--plan", str(self.plan), "--core", self.core, *ENGINE_ARGUMENTS]
        for record in self.device.board(arguments, 120):
            index = int(str(record["index"]))
            if "error" in record:
                raise SystemExit(f"{self.steps[index].key}: {record['error']}")
            self.kernels[index] = str(record["kernel"])
            self.engine_ns[index] += [sample / record["iterations"] for sample in record["samples_ns"]]  # type: ignore
        job = json.dumps({"seconds": LCE_SECONDS, "models": self.models}) + "\n"
        script = Path(__file__).with_name("lce_layers.py")
        command = ["taskset", "-c", self.core, str(lce_python()), "-I", str(script)]
        done = subprocess.run(
            command, input=job, text=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for (index, indirect, copies), line in zip(self.keys, done.stdout.splitlines(), strict=True):
            answer = json.loads(line)
            if "error" in answer:
                self.errors[index, indirect] = answer["error"]
            else:
                self.lce_ns[index, indirect, copies] += answer["samples_ns"]

    def row(self, index: int) -> dict[str, object]:
        step = self.steps[index]
        engine = np.array(self.engine_ns[index])
        row: dict[str, object] = {
            "layer": f"{step.in_height}x{step.in_width}x{step.in_channels} {step.kernel}x{step.kernel} g{step.groups}",
            "output": "b2b" if step.bits_out else "b2f",
            "macs": step.macs,
            "kernel": self.kernels[index],
            "engine": {"minimum_ns": engine.min(), "median_ns": float(np.median(engine))},
        }
        for name, indirect in (("lce_default", False), ("lce_indirect", True)):
            if (index, indirect) in self.errors:
                row[name] = {"error": self.errors[index, indirect]}
                continue
            once, often = (np.array(self.lce_ns[index, indirect, copies]) for copies in (1, REPEAT))
            slopes = [(f(often) - f(once)) / (REPEAT - 1) for f in (np.min, np.median)]
            row[name] = {
                "minimum_ns": float(min(once.min(), slopes[0])),
                "median_ns": float(min(np.median(once), slopes[1])),
                "predict_minimum_ns": float(once.min()),
                "slope_minimum_ns": float(slopes[0]),
            }
            row[f"{name}_ratio"] = row[name]["minimum_ns"] / row["engine"]["minimum_ns"]  # type: ignore[index]
        return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "layers.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bnn-layers-") as folder:
        contest = Contest(Path(folder))
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
            contest.round()
    rows = [contest.row(index) for index in range(len(contest.steps))]
    facts = {
        name: contest.device.facts.get(name) for name in ("cpu", "best_isa", "compiler", "flags", "kernel_release")
    }
    facts["binary_sha256"] = contest.device.binary_sha256
    write_json(arguments.out, {"device": facts, "lce": "0.16.0", "rounds": ROUNDS, "rows": rows})
    print(f"{'layer':<28}{'out':<5}{'engine us':>10}{'GMAC/s':>8}{'LCE indirect':>14}{'LCE default':>13}  kernel")
    for row in rows:
        engine_ns = row["engine"]["minimum_ns"]  # type: ignore[index]
        ratios = [f"{row[key]:.1f}x" if key in row else "error" for key in ("lce_indirect_ratio", "lce_default_ratio")]
        rate = row["macs"] / engine_ns  # type: ignore[operator]
        print(
            f"{row['layer']:<28}{row['output']:<5}{engine_ns / 1e3:>10.2f}{rate:>8.0f}"
            f"{ratios[0]:>14}{ratios[1]:>13}  {row['kernel']}"
        )
    slowest = min(row["lce_indirect_ratio"] for row in rows if "lce_indirect_ratio" in row)  # type: ignore[type-var]
    print(f"smallest lead over LCE's indirect kernel: {slowest:.1f}x; raw figures in {arguments.out}")
    return 0 if slowest >= 5 else 1  # type: ignore[operator]


if __name__ == "__main__":
    sys.exit(main())
