"""Stock runtimes with our libraries, opened, run and closed again and again: resident memory must not grow.

    python benchmarks/load_cycles.py --door onnxruntime [--cycles 10000] [--out benchmarks/results/load_cycles-...json]
    python benchmarks/load_cycles.py --door litert

A small network on two threads; of LiteRT, a delegate and an interpreter in every cycle. The first tenth warms up; what
grows after it is a leak. Allowed: MOST_BYTES in all, less than a hundredth of the network in every cycle would take.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from common import HERE, progress, write_results
from doors import litert, session

import bnn_deploy
from bnn_deploy.deploy_graph import DeployGraph
from bnn_deploy.engine.invented import invented_graph
from bnn_deploy.export.onnx import to_model
from bnn_deploy.export.small_groups import SmallGroups
from bnn_deploy.export.tflite import to_flatbuffer
from bnn_deploy.space import load_space

MOST_BYTES = 4 << 20
PAGE_BYTES = resource.getpagesize()
THREADS = 2
PACKAGES = {"onnxruntime": "onnxruntime", "litert": "ai-edge-litert"}

Cycle = Callable[[], object]


def onnxruntime_cycle(graph: DeployGraph) -> tuple[bytes, Cycle]:
    """The model, and a session of ONNX Runtime with our library that runs it once."""
    net = graph.architecture
    model = to_model(graph).SerializeToString()
    images = np.zeros((1, net.image_channels, net.height, net.width), np.float32)
    library = bnn_deploy.onnx_library_path()
    return model, lambda: session(model, library, threads=THREADS).run(None, {"images": images})


def litert_cycle(graph: DeployGraph) -> tuple[bytes, Cycle]:
    """The model, and an interpreter of LiteRT with our delegate that runs it once."""
    net = graph.architecture
    model = to_flatbuffer(graph, SmallGroups.NATIVE)
    images = np.zeros((1, net.height, net.width, net.image_channels), np.float32)
    return model, lambda: litert(model, THREADS)(images)


CYCLES = {"onnxruntime": onnxruntime_cycle, "litert": litert_cycle}


def resident_bytes() -> int:
    """Of this process, now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def main() -> int:
    """The command line; exit code 1 when memory grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--door", choices=CYCLES, required=True)
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model, cycle = CYCLES[options.door](invented_graph(load_space("mobilenet-32").nearest_uniform(8)))
    start, resident = time.monotonic(), []
    for index in range(options.cycles):
        cycle()
        if (index + 1) % max(1, options.cycles // 10) == 0:
            resident.append(resident_bytes())
            progress(f"{index + 1} cycles, {resident[-1] / 1e6:.1f} MB resident")
    grown = resident[-1] - resident[0]
    print(f"{options.cycles} cycles in {time.monotonic() - start:.0f} s; grown by {grown / 1e6:.2f} MB")
    package = PACKAGES[options.door]
    data = {package: version(package), "cycles": options.cycles, "model_bytes": len(model), "resident_bytes": resident}
    write_results(options.out or HERE / "results" / f"load_cycles-{options.door}.json", data)
    return int(grown > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
