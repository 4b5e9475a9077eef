"""Exported networks in stock ONNX Runtime, with our library and without, beside the engine itself: one run, one thread.

    python benchmarks/onnx_door.py [--rounds 30] [--out benchmarks/results/onnx_door.json]

Random constants, batch 1. The engine is called from Python as ONNX Runtime is, so both pay for the call; images are
channels first for ONNX Runtime, as a model's users have them, and channels last for the engine. Calls of all are taken
in turns; figures are minima over the run. Asked: with the library at most 1.15 times the engine's time.
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
import onnxruntime
from common import Board, Json, Samples, met, parser, progress, write_results

import bnn_deploy
from bnn_deploy.architecture import Architecture
from bnn_deploy.engine.bnn_file import write_bnn
from bnn_deploy.engine.invented import invented_graph
from bnn_deploy.engine.network import Network
from bnn_deploy.export.onnx import to_model
from bnn_deploy.references import reference
from bnn_deploy.space import load_space

NETWORKS = ("uniform-g8", "reactnet-a")
MOST = 1.15  # times the engine's time
SAMPLE_NS = 10_000_000
WAYS = ("engine", "library", "stock")


def session(model: bytes, library: Path | None, threads: int = 1) -> onnxruntime.InferenceSession:
    """One thread stays where it is: the pool of one has no workers."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if library:
        options.register_custom_ops_library(str(library))
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def ways(architecture: Architecture, folder: Path) -> dict[str, Callable[[], object]]:
    """One call of each of WAYS."""
    graph = invented_graph(architecture, seed=0)
    write_bnn(folder / "model.bnn", graph)
    model = to_model(graph).SerializeToString()
    shape = (1, architecture.height, architecture.width, architecture.image_channels)
    images = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    network = Network.open(folder / "model.bnn")
    fast = session(model, bnn_deploy.onnx_library_path())
    stock = session(model, None)
    if not np.array_equal(fast.run(None, {"images": planes})[0], network.run(images).reshape(1, -1)):
        raise SystemExit("the library's answer is not the engine's")
    return {
        "engine": lambda: network.run(images),
        "library": lambda: fast.run(None, {"images": planes}),
        "stock": lambda: stock.run(None, {"images": planes}),
    }


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
    options = parser(__doc__, "onnx_door.json", 30).parse_args()
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
        ratio = best["library"] / best["engine"]
        target = MOST if name in NETWORKS else None
        missed += met(ratio, target, at_most=True) == "MISSED"
        rows.append({"network": name, "best_ns": best, "rounds": {way: times[way].rounds for way in WAYS}})
        print(
            f"{name:28} engine {best['engine'] / 1e3:9.1f} us   library {ratio:5.3f}   "
            f"stock {best['stock'] / best['engine']:6.1f}   {met(ratio, target, at_most=True)}"
        )
    progress(f"{missed} missed")
    library = hashlib.sha256(bnn_deploy.onnx_library_path().read_bytes()).hexdigest()
    versions = {"onnxruntime": onnxruntime.__version__, "library_sha256": library}
    write_results(options.out, {"board": board.to_json(), **versions, "networks": rows})
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
