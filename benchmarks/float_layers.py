"""The float32 layers of a network beside LiteRT with XNNPACK, in one run, one thread.

    python benchmarks/float_layers.py [--rounds 8] [--out benchmarks/results/float_layers.json]

The layers of `mobilenet-224` that stay real-valued: stem, classifier, global average pool; and the real-valued 1x1s
that `doubling = "real"` puts in place of binary ones. In each round the engine and XNNPACK take turns at one layer.
XNNPACK's figure is the better of one inference of a model with the layer once, and the slope between models with
the layer once and REPEAT times on the same input, which leaves out the call; each side's is its minimum over the
run.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common import Board, Json, Samples, Worker, met, parser, peers_python, progress, write_plan, write_results

from bnn_deploy.references import reference
from bnn_deploy.steps import Step, StepKind, plan

REPEAT = 9
SECONDS = 0.1  # of each model and round
ENGINE_ARGUMENTS = ["--warm", "--samples", "20", "--min-sample-ns", "300000", "--warmup-ns", "5000000"]
AT_MOST = 1.3  # our time as a multiple of XNNPACK's
LIMITED = (StepKind.CONV2D, StepKind.LINEAR)


@dataclass
class Layer:
    """One layer, ours and theirs: {copies: the shortest of each round, nanoseconds}."""

    name: str
    step: Step
    ours: Samples = field(default_factory=Samples)
    theirs: dict[int, list[float]] = field(default_factory=lambda: {1: [], REPEAT: []})

    @property
    def xnnpack_ns(self) -> float:
        once, often = (min(self.theirs[copies]) for copies in (1, REPEAT))
        return min(once, (often - once) / (REPEAT - 1))

    @property
    def ratio(self) -> float:
        return self.ours.best_ns / self.xnnpack_ns

    @property
    def target(self) -> float | None:
        return AT_MOST if self.step.kind in LIMITED else None

    def model(self, copies: int) -> Json:
        step = self.step
        shape = [1, step.in_height, step.in_width, step.in_channels]
        operator = {StepKind.CONV2D: "convolution", StepKind.LINEAR: "linear", StepKind.GLOBAL_AVGPOOL: "pool"}
        arguments = {
            "operator": operator[step.kind],
            "shape": shape,
            "outputs": step.out_channels,
            "kernel": step.kernel,
            "stride": step.stride,
            "copies": copies,
        }
        return {"runtime": "litert", "seconds": SECONDS, "model": "tflite_float_layers", "arguments": arguments}

    def to_json(self) -> Json:
        return {
            "layer": self.name,
            "key": self.step.key,
            "best_ns": self.ours.best_ns,
            "xnnpack_ns": self.xnnpack_ns,
            "ratio": self.ratio,
            "target": self.target,
            "rounds": self.ours.rounds,
            "xnnpack_rounds_ns": self.theirs,
        }


def layers() -> Iterator[Layer]:
    """Every float layer, with floats in and out alone."""
    network = plan(reference("reactnet-a"))
    names = {StepKind.CONV2D: "stem", StepKind.GLOBAL_AVGPOOL: "global average pool", StepKind.LINEAR: "classifier"}
    for step in network:
        if step.kind in names:
            yield Layer(names[step.kind], bare(step))
    for size, channels in ((56, 64), (28, 128), (14, 256), (7, 512)):
        shape = (size, size, channels, size, size, 2 * channels)
        yield Layer(f"1x1 {size}x{size}x{channels}", Step(StepKind.CONV2D, *shape))


def bare(step: Step) -> Step:
    """The step without packed output."""
    shape = (step.in_height, step.in_width, step.in_channels, step.out_height, step.out_width, step.out_channels)
    return Step(step.kind, *shape, kernel=step.kernel, stride=step.stride)


def main() -> int:
    options = parser(__doc__, "float_layers.json", 8)
    options.add_argument("--peers-python", type=Path, help="default: .venv-peers/bin/python")
    arguments = options.parse_args()
    board = Board(arguments.board, arguments.core)
    worker = Worker(peers_python(arguments.peers_python), "peers_worker.py", board.core)
    contest = list(layers())
    with tempfile.TemporaryDirectory(prefix="bnn-float-") as folder:
        plans = [write_plan(Path(folder) / f"{i}.bnn", [layer.step]) for i, layer in enumerate(contest)]
        try:
            for number in range(arguments.rounds):
                progress(f"round {number + 1} of {arguments.rounds}")
                for layer, path in zip(contest, plans, strict=True):
                    (record,) = board.layers(path, ENGINE_ARGUMENTS)
                    layer.ours.add(record)
                    for copies, shortest in layer.theirs.items():
                        answer = worker.ask(layer.model(copies))
                        if "error" in answer:
                            raise SystemExit(f"LiteRT: {layer.name}: {answer['error']}")
                        shortest.append(min(answer["samples_ns"]))  # type: ignore[call-overload]
        finally:
            worker.close()
    print(f"{'layer':<22}{'ours us':>10}{'XNNPACK us':>12}{'ratio':>8}")
    for layer in contest:
        verdict = f"<= {layer.target} {met(layer.ratio, layer.target, at_most=True)}" if layer.target else ""
        times = f"{layer.ours.best_ns / 1e3:>10.2f}{layer.xnnpack_ns / 1e3:>12.2f}"
        print(f"{layer.name:<22}{times}{layer.ratio:>8.2f}  {verdict}")
    missed = sum(layer.target is not None and layer.ratio > layer.target for layer in contest)
    print(f"\n{missed} targets missed")
    settings = {"rounds": arguments.rounds, "repeat": REPEAT, "seconds": SECONDS, "engine": ENGINE_ARGUMENTS}
    rows = [layer.to_json() for layer in contest]
    write_results(arguments.out, {"device": board.to_json(), "settings": settings, "layers": rows})
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
