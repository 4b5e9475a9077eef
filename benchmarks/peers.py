"""Binary layers beside every peer that can run them, in one run, one thread.

    python benchmarks/peers.py [--rounds 6] [--out benchmarks/results/peers.json]

Each layer packed in and packed out by an integer threshold ("bits"), and packed in and float out by scale and bias
("float"). In each round the engine and all peers take turns at one layer, then go on to the next, so that a busy
neighbour hits all of them; the figure is each one's minimum over the run. Peers are chains of the same convolution,
timed in two ways of which the better counts: a model with the layer once, and the slope between models with the layer
once and REPEAT times, which leaves out everything at the edges (layouts, copies, the call itself).

    LCE             Larq Compute Engine 0.16's default and indirect kernels; the same outputs as ours
    OpenVINO        BinaryConvolution by its best recipe (see peers_models.onnx_chain). "node": its own counters
                    (whole microseconds, cut, not rounded: in its favour) or the slope of a chain, in which the
                    binarisation is fused into the convolution before; float output: the counter of the last node.
                    "chain": a binarise node and a convolution node. Dense layers: it crashes on grouped ones
    ONNX Runtime    float32, and int8 (QLinearConv)
    LiteRT          with XNNPACK: float32 and int8

Every step of ours is compared with the scalar kernel before it is timed.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tflite
from common import (
    Board,
    Json,
    Peak,
    Samples,
    Worker,
    binary_step,
    met,
    parser,
    peers_python,
    progress,
    write_plan,
    write_results,
)

from bnn_deploy.export.tflite import pack_words
from bnn_deploy.export.tflite_writer import NO_TENSOR, TfliteWriter
from bnn_deploy.runtimes.lce import lce_python
from bnn_deploy.steps import Step

# height = width, channels, kernel, groups. The nine of the comparison with LCE, then groups that LCE cannot run.
NINE = [
    (56, 64, 3, 1),
    (28, 128, 3, 1),
    (14, 256, 3, 1),
    (7, 512, 3, 1),
    (28, 256, 1, 1),
    (14, 512, 1, 1),
    (7, 1024, 1, 1),
    (14, 512, 3, 4),
    (14, 512, 3, 16),
]
SMALL_GROUPS = [(14, 512, 3, 32), (14, 512, 3, 64), (14, 512, 3, 128), (14, 512, 3, 512), (28, 256, 3, 32)]
LCE_GROUP = 32  # its channels per group are a multiple of this
REPEAT = 5
SECONDS = 0.12  # of each model and round
KEPT = 25  # samples of a peer's model and round in the results: the shortest; and how many there were, and their median
ENGINE_ARGUMENTS = ["--warm", "--samples", "20", "--min-sample-ns", "500000", "--warmup-ns", "5000000"]
FLOAT_PEERS = {
    "ort_float32": ("onnxruntime", "onnx_chain", "float32"),
    "ort_int8": ("onnxruntime", "onnx_chain", "int8"),
    "litert_float32": ("litert", "tflite_chain", "float32"),
    "litert_int8": ("litert", "tflite_chain", "int8"),
}
# What each peer's column must reach, as a multiple of our time.
DENSE_TARGETS = {
    "openvino_node": 1.0,
    "openvino_chain": 1.2,
    "lce_indirect": 15.0,
    "lce_default": 90.0,
    "ort_float32": 16.0,
}
GROUPED_TARGETS = {"lce_indirect": 15.0, "ort_float32": 40.0}
NODE_GEOMEAN = 1.12
COLUMNS = [*DENSE_TARGETS, "ort_int8", "litert_float32", "litert_int8"]


@dataclass
class Peer:
    """One peer's times of one layer: a model with it once, and one with it REPEAT times."""

    rounds: dict[int, list[Json]] = field(default_factory=lambda: {1: [], REPEAT: []})
    error: str = ""

    def add(self, copies: int, answer: Json) -> None:
        if "error" in answer:
            self.error = str(answer["error"])
        else:
            ordered = sorted(answer["samples_ns"])  # type: ignore[call-overload]
            summary: Json = {"count": len(ordered), "median_ns": ordered[len(ordered) // 2]}
            self.rounds[copies].append({**summary, "shortest_ns": ordered[:KEPT]})

    def shortest_ns(self, copies: int) -> float:
        return min(float(entry["shortest_ns"][0]) for entry in self.rounds[copies])  # type: ignore[index]

    @property
    def slope_ns(self) -> float:
        return (self.shortest_ns(REPEAT) - self.shortest_ns(1)) / (REPEAT - 1)

    @property
    def best_ns(self) -> float:
        return min(self.shortest_ns(1), self.slope_ns)


@dataclass
class Layer:
    """One layer, ours and theirs."""

    size: int
    channels: int
    kernel: int
    groups: int
    plan: Path
    ours: dict[str, Samples] = field(default_factory=lambda: {"bits": Samples(), "float": Samples()})
    kernels: dict[str, str] = field(default_factory=dict)
    peers: dict[str, Peer] = field(default_factory=dict)
    nodes_us: dict[str, list[int]] = field(default_factory=dict)  # OpenVINO's: bits, float, binarise

    @property
    def name(self) -> str:
        groups = f" g{self.groups}" if self.groups > 1 else ""
        return f"{self.size}x{self.size}x{self.channels} {self.kernel}x{self.kernel}{groups}"

    def step(self, output: str) -> Step:
        floats = output == "float"
        return binary_step(
            self.size, self.channels, self.channels, self.kernel, self.groups, floats=floats, bits=not floats
        )

    def peer(self, name: str) -> Peer:
        return self.peers.setdefault(name, Peer())

    def peer_ns(self, name: str, output: str) -> float | None:
        """The best time of a column; None where the peer cannot run the layer."""
        if name == "openvino_node":
            if not self.nodes_us:
                return None
            counted = 1e3 * min(self.nodes_us[output])
            return min(counted, self.peers["openvino"].slope_ns) if output == "bits" else counted
        if name == "openvino_chain":
            return 1e3 * (min(self.nodes_us["binarise"]) + min(self.nodes_us["float"])) if self.nodes_us else None
        if name.startswith("lce"):
            name = f"{name}_{output}"
        peer = self.peers.get(name)
        return None if peer is None or peer.error else peer.best_ns


def lce_model(step: Step, copies: int) -> bytes:
    """`copies` LceBconv2d operators that read the same bits; the last one's output is the model's."""
    writer = TfliteWriter()
    words = -(-step.in_channels // 32)
    bits = writer.tensor("bits", (1, step.in_height, step.in_width, words), "int32")
    shape = (step.out_channels, step.kernel, step.kernel, step.in_channels // step.groups)
    weights = writer.constant("weights", pack_words(np.random.default_rng(0).random(shape) < 0.5))
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
        out_channels, dtype = -(-step.out_channels // 32), "int32"
    else:
        constants = [weights, writer.constant("multiplier", ones), writer.constant("bias", ones), NO_TENSOR]
        out_channels, dtype = step.out_channels, "float32"
    out_shape = (1, step.out_height, step.out_width, out_channels)
    outputs = [
        writer.custom("LceBconv2d", [bits, *constants], f"y{copy}", out_shape, options, dtype=dtype)
        for copy in range(copies)
    ]
    return writer.finish([bits], outputs[-1:], {})


class Contest:
    """All layers; each round adds samples to every one."""

    def __init__(self, folder: Path, board: Board, python: Path) -> None:
        self._folder = folder
        self._board = board
        self.peak = Peak(board, board.best_isa)
        self._lce = Worker(lce_python(), "peers_lce.py", board.core)
        self._peers = Worker(python, "peers_worker.py", board.core)
        self.layers = [Layer(*shape, folder / f"{i}.bnn") for i, shape in enumerate(NINE + SMALL_GROUPS)]
        for layer in self.layers:
            write_plan(layer.plan, [layer.step("bits"), layer.step("float")])

    def round(self) -> None:
        for layer in self.layers:
            self.peak.sample()
            records = self._board.layers(layer.plan, ENGINE_ARGUMENTS)
            for output, record in zip(("bits", "float"), records, strict=True):
                layer.ours[output].add(record)
                layer.kernels[output] = str(record["kernel"])
            for run in (self._time_lce, self._time_openvino, self._time_float_peers):
                run(layer)

    def close(self) -> None:
        self._lce.close()
        self._peers.close()

    def _time_lce(self, layer: Layer) -> None:
        if layer.channels // layer.groups % LCE_GROUP:
            return
        for output in ("bits", "float"):
            step = layer.step(output)
            shape = [1, layer.size, layer.size, -(-layer.channels // 32)]
            for copies in (1, REPEAT):
                path = self._folder / f"{layer.plan.stem}-{output}-{copies}.tflite"
                if not path.exists():
                    path.write_bytes(lce_model(step, copies))
                for kernel in ("default", "indirect"):
                    peer = layer.peer(f"lce_{kernel}_{output}")
                    if not peer.error:
                        job = {"path": str(path), "shape": shape, "indirect": kernel == "indirect", "seconds": SECONDS}
                        peer.add(copies, self._lce.ask(job))

    def _time_openvino(self, layer: Layer) -> None:
        if layer.groups > 1:
            return
        for copies in (1, REPEAT):
            layer.peer("openvino").add(copies, self._ask(layer, "openvino", "onnx_chain", "binary", copies))
            answer = self._ask(layer, "openvino_nodes", "onnx_chain", "binary", copies)
            found: dict[str, list[int]] = answer["nodes_us"]  # type: ignore[assignment]
            layer.nodes_us.setdefault("binarise", []).extend(found["FakeQuantize"])
            # In a chain, all but the last convolution binarise their own output.
            convolutions = found["BinaryConvolution"]
            for i, node_us in enumerate(convolutions):
                output = "float" if i % copies == copies - 1 else "bits"
                layer.nodes_us.setdefault(output, []).append(node_us)

    def _time_float_peers(self, layer: Layer) -> None:
        for name, (runtime, model, kind) in FLOAT_PEERS.items():
            for copies in (1, REPEAT):
                if not layer.peer(name).error:
                    layer.peer(name).add(copies, self._ask(layer, runtime, model, kind, copies))

    def _ask(self, layer: Layer, runtime: str, model: str, kind: str, copies: int) -> Json:
        window = {"size": layer.size, "channels": layer.channels, "kernel": layer.kernel, "groups": layer.groups}
        arguments = {"kind": kind, **window, "copies": copies}
        return self._peers.ask({"runtime": runtime, "seconds": SECONDS, "model": model, "arguments": arguments})


def row(layer: Layer, output: str, peak: Peak) -> Json:
    """A line of the results: our time, and each peer's as a multiple of it."""
    ours = layer.ours[output]
    times = {name: layer.peer_ns(name, output) for name in COLUMNS}
    percent = 100 * layer.step(output).macs / ours.best_ns / peak.macs_per_ns
    return {
        "layer": layer.name,
        "output": output,
        "dense": layer.groups == 1,
        "macs": layer.step(output).macs,
        "kernel": layer.kernels[output],
        "best_ns": ours.best_ns,
        "median_ns": ours.median_ns,
        "percent_of_peak": percent,
        "peers_ns": times,
        "ratios": {name: ns / ours.best_ns for name, ns in times.items() if ns is not None},
    }


def raw(layer: Layer) -> Json:
    """All samples of a layer."""
    peers = {name: {"error": peer.error} if peer.error else peer.rounds for name, peer in layer.peers.items()}
    ours = {output: samples.rounds for output, samples in layer.ours.items()}
    return {"layer": layer.name, "ours": ours, "peers_ns": peers, "openvino_nodes_us": layer.nodes_us}


def show(rows: list[Json]) -> int:
    """The table and the verdicts; returns how many targets were missed."""
    heads = [name.replace("openvino", "ov").replace("litert", "rt").replace("float", "f") for name in COLUMNS]
    print("Times of peers as multiples of ours.\n")
    print(
        f"{'layer':<22}{'out':<6}{'ours us':>8}{'of peak':>9}" + "".join(f"{head:>13}" for head in heads) + "  kernel"
    )
    for line in rows:
        ratios: dict[str, float] = line["ratios"]  # type: ignore[assignment]
        cells = "".join(f"{ratios[name]:>13.2f}" if name in ratios else f"{'-':>13}" for name in COLUMNS)
        own = f"{line['best_ns'] / 1e3:>8.2f}{line['percent_of_peak']:>8.1f}%"  # type: ignore[operator]
        print(f"{line['layer']:<22}{line['output']:<6}{own}{cells}  {line['kernel']}")
    missed = 0
    print()
    for label, value, target in verdicts(rows):
        word = met(value, target)
        missed += word == "MISSED"
        print(f"{word:<7} >= {target:<5} {label}")
    return missed


def verdicts(rows: list[Json]) -> Iterator[tuple[str, float, float]]:
    """What was asked for: description, what was reached, target."""
    dense: Callable[[Json], bool] = lambda line: bool(line["dense"])  # noqa: E731
    for kind, targets in (("dense", DENSE_TARGETS), ("grouped", GROUPED_TARGETS)):
        for output in ("bits", "float"):
            chosen = [line for line in rows if dense(line) == (kind == "dense") and line["output"] == output]
            for name, target in targets.items():
                ratios = {str(line["layer"]): line["ratios"].get(name) for line in chosen}  # type: ignore[attr-defined]
                known = {layer: ratio for layer, ratio in ratios.items() if ratio is not None}
                smallest = min(known, key=lambda layer: known[layer])
                # What the ratio would be if we ran at peak: no kernel of ours can lead by more.
                limits = {str(line["layer"]): 100 / line["percent_of_peak"] for line in chosen}  # type: ignore[operator]
                short = ", ".join(
                    f"{layer} {ratio:.2f} (at peak {ratio * limits[layer]:.2f})"
                    for layer, ratio in known.items()
                    if ratio < target
                )
                text = f"{kind}, {output}: {name} at least {known[smallest]:.2f} ({smallest})"
                yield text + (f"; too few: {short}" if short else ""), known[smallest], target
                if name == "openvino_node":
                    mean = math.exp(sum(map(math.log, known.values())) / len(known))
                    yield f"{kind}, {output}: {name}, geometric mean {mean:.2f}", mean, NODE_GEOMEAN


def main() -> int:
    options = parser(__doc__, "peers.json", 6)
    options.add_argument("--peers-python", type=Path, help="default: .venv-peers/bin/python")
    arguments = options.parse_args()
    board = Board(arguments.board, arguments.core)
    with tempfile.TemporaryDirectory(prefix="bnn-peers-") as folder:
        contest = Contest(Path(folder), board, peers_python(arguments.peers_python))
        try:
            for number in range(arguments.rounds):
                progress(f"round {number + 1} of {arguments.rounds}")
                contest.round()
        finally:
            contest.close()
    rows = [row(layer, output, contest.peak) for layer in contest.layers for output in ("bits", "float")]
    missed = show(rows)
    print(f"\n{missed} targets missed")
    settings = {"rounds": arguments.rounds, "repeat": REPEAT, "seconds": SECONDS, "engine": ENGINE_ARGUMENTS}
    raw_layers = [raw(layer) for layer in contest.layers]
    write_results(
        arguments.out,
        {
            "device": board.to_json(),
            "settings": settings,
            "peak": contest.peak.to_json(),
            "rows": rows,
            "layers": raw_layers,
        },
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
