"""Sessions of ONNX Runtime with our library, opened, run and closed again and again: resident memory must not grow.

    python benchmarks/load_cycles.py [--cycles 10000] [--out benchmarks/results/load_cycles.json]

A small network on two threads. The first tenth warms up; what grows after it is a leak. Allowed: MOST_BYTES in all,
less than a hundredth of the network in every cycle would take.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from common import HERE, progress, write_results
from doors import session

import bnn_deploy
from bnn_deploy.engine.invented import invented_graph
from bnn_deploy.export.onnx import to_model
from bnn_deploy.space import load_space

MOST_BYTES = 4 << 20
PAGE_BYTES = resource.getpagesize()


def resident_bytes() -> int:
    """Of this process, now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def main() -> int:
    """The command line; exit code 1 when memory grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "load_cycles.json")
    options = parser.parse_args()
    graph = invented_graph(load_space("mobilenet-32").nearest_uniform(8))
    model, net = to_model(graph).SerializeToString(), graph.architecture
    images = np.zeros((1, net.image_channels, net.height, net.width), np.float32)
    start, resident = time.monotonic(), []
    for index in range(options.cycles):
        session(model, bnn_deploy.onnx_library_path(), threads=2).run(None, {"images": images})
        if (index + 1) % max(1, options.cycles // 10) == 0:
            resident.append(resident_bytes())
            progress(f"{index + 1} cycles, {resident[-1] / 1e6:.1f} MB resident")
    grown = resident[-1] - resident[0]
    print(f"{options.cycles} cycles in {time.monotonic() - start:.0f} s; grown by {grown / 1e6:.2f} MB")
    data = {"onnxruntime": onnxruntime.__version__, "cycles": options.cycles, "model_bytes": len(model)}
    write_results(options.out, {**data, "resident_bytes": resident})
    return int(grown > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
