"""Exported networks in stock runtimes with our libraries, beside the engine itself: one run, one thread.

    python benchmarks/doors.py [--rounds 30] [--out benchmarks/results/doors.json]

Random constants, batch 1. The engine is called from Python as the runtimes are, so all pay for the call; images are
channels first for ONNX Runtime, as a model's users have them, and channels last for the others. LiteRT twice: groups of
few channels padded in the file, as Larq Compute Engine needs them, and in our own operator. Calls of all are taken in
turns; figures are minima over the run. Asked: with a library at most 1.15 times the engine's time.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from ai_edge_litert.interpreter import Interpreter, load_delegate
from common import Board, Json, Samples, met, parser, progress, write_results

import bnn_deploy
from bnn_deploy.architecture import Architecture
from bnn_deploy.engine.bnn_file import write_bnn
from bnn_deploy.engine.invented import invented_graph
from bnn_deploy.engine.network import Network
from bnn_deploy.export.onnx import to_model
from bnn_deploy.export.small_groups import SmallGroups
from bnn_deploy.export.tflite import to_flatbuffer
from bnn_deploy.references import reference
from bnn_deploy.space import load_space

NETWORKS = ("uniform-g8", "reactnet-a")
MOST = 1.15  # times the engine's time
SAMPLE_NS = 10_000_000
LIBRARIES = ("onnxruntime+bnn", "litert+bnn, padded", "litert+bnn, native")
WAYS = ("engine", *LIBRARIES, "onnxruntime")

Floats = npt.NDArray[np.float32]


def session(model: bytes, library: Path | None) -> onnxruntime.InferenceSession:
    """One thread stays where it is: the pool of one has no workers."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if library:
        options.register_custom_ops_library(str(library))
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def litert(model: bytes) -> Callable[[Floats], Floats]:
    """One call of stock LiteRT with our delegate."""
    delegate = load_delegate(str(bnn_deploy.litert_library_path()), {"threads": "1"})
    interpreter = Interpreter(model_content=model, experimental_delegates=[delegate], num_threads=1)
    interpreter.allocate_tensors()
    image, logits = (entry[0]["index"] for entry in (interpreter.get_input_details(), interpreter.get_output_details()))

    def call(images: Floats) -> Floats:
        interpreter.set_tensor(image, images)
        interpreter.invoke()
        found: Floats = interpreter.get_tensor(logits)
        return found

    return call


def ways(architecture: Architecture, folder: Path) -> dict[str, Callable[[], Floats]]:
    """One call of each of WAYS."""
    graph = invented_graph(architecture, seed=0)
    write_bnn(folder / "model.bnn", graph)
    model = to_model(graph).SerializeToString()
    shape = (1, architecture.height, architecture.width, architecture.image_channels)
    images = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    network = Network.open(folder / "model.bnn")
    fast, stock = session(model, bnn_deploy.onnx_library_path()), session(model, None)
    padded, native = (
        litert(to_flatbuffer(graph, small_groups=small)) for small in (SmallGroups.PAD, SmallGroups.NATIVE)
    )
    calls: dict[str, Callable[[], Floats]] = {
        "engine": lambda: network.run(images),
        "onnxruntime+bnn": lambda: fast.run(None, {"images": planes})[0],
        "litert+bnn, padded": lambda: padded(images),
        "litert+bnn, native": lambda: native(images),
        "onnxruntime": lambda: stock.run(None, {"images": planes})[0],
    }
    expected = calls["engine"]().ravel()
    for way in LIBRARIES:
        found = calls[way]().ravel()
        if not np.array_equal(found, expected) and not (
            way.endswith("padded") and np.allclose(found, expected, 1e-4, 1e-4)
        ):
            raise SystemExit(f"{way}: its answer is not the engine's")
    return calls


def sample(call: Callable[[], object]) -> Json:
    """Calls for SAMPLE_NS, each timed."""
    samples: list[int] = []
    start = time.perf_counter_ns()
    while (before := time.perf_counter_ns()) < start + SAMPLE_NS:
        call()
        samples.append(time.perf_counter_ns() - before)
    return {"iterations": 1, "samples_ns": samples}


def main() -> int:
    """The command line; exit code 1 when the target was missed."""
    options = parser(__doc__, "doors.json", 30).parse_args()
    board = Board(options.board, options.core)
    os.sched_setaffinity(0, {board.core})
    rows: list[Json] = []
    architectures = {name: reference(name) for name in NETWORKS}
    architectures["mobilenet-32, groups of 8"] = load_space("mobilenet-32").nearest_uniform(8)
    missed = 0
    for name, architecture in architectures.items():
        with tempfile.TemporaryDirectory() as scratch:
            calls = ways(architecture, Path(scratch))
            times = {way: Samples() for way in WAYS}
            for _ in range(options.rounds):
                for way in WAYS:
                    times[way].add(sample(calls[way]))
        best = {way: times[way].best_ns for way in WAYS}
        target = MOST if name in NETWORKS else None
        rows.append({"network": name, "best_ns": best, "rounds": {way: times[way].rounds for way in WAYS}})
        print(f"{name}: engine {best['engine'] / 1e3:.1f} us")
        for way in WAYS[1:]:
            ratio = best[way] / best["engine"]
            verdict = met(ratio, target if way in LIBRARIES else None, at_most=True)
            missed += verdict == "MISSED"
            print(f"    {way:20} {ratio:7.3f} times   {verdict}".rstrip())
    progress(f"{missed} missed")
    libraries = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (bnn_deploy.onnx_library_path(), bnn_deploy.litert_library_path())
    }
    write_results(
        options.out, {"board": board.to_json(), "onnxruntime": onnxruntime.__version__, **libraries, "networks": rows}
    )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
