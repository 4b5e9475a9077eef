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
from importlib.metadata import version
from pathlib import Path

from common import HERE, progress, write_results

from bnn_deploy.engine.invented import invented_graph
from bnn_deploy.export.onnx import to_model
from bnn_deploy.export.small_groups import SmallGroups
from bnn_deploy.export.tflite import to_flatbuffer
from bnn_deploy.runtimes.registry import runtime_entry
from bnn_deploy.runtimes.sessions import SESSIONS, random_image
from bnn_deploy.space import load_space

MOST_BYTES = 4 << 20
PAGE_BYTES = resource.getpagesize()
THREADS = 2
PACKAGES = {"onnxruntime": "onnxruntime", "litert": "ai-edge-litert"}
MODELS = {
    "onnxruntime": lambda graph: to_model(graph).SerializeToString(),
    "litert": lambda graph: to_flatbuffer(graph, SmallGroups.NATIVE),
}


def resident_bytes() -> int:
    """Of this process, now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def main() -> int:
    """The command line; exit code 1 when memory grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--door", choices=MODELS, required=True)
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    net = load_space("mobilenet-32").nearest_uniform(8)
    model, images = MODELS[options.door](invented_graph(net)), random_image((net.height, net.width, net.image_channels))
    runtime = f"{options.door}+bnn"
    make_session, library = SESSIONS[runtime], runtime_entry(runtime).library
    assert library is not None
    start, resident = time.monotonic(), []
    for index in range(options.cycles):
        make_session(model, library(None), THREADS).run(images)
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
