"""Runs a model in Larq Compute Engine's interpreter; a script for LCE's own environment (numpy < 2, no TensorFlow).

    stdin   the model, .npy uint8 [bytes]; then the images, .npy float32 [N, H, W, C]
    stdout  one .npy [N, ...] for each output of the model
    exit    0; 3 when LCE is not installed here; anything else when the model was refused (stderr says why)

With arguments MODEL THREADS it times a file instead, on a random image:

    stdin   lines: how many runs
    stdout  a line for each: how long they took, nanoseconds

`import larq_compute_engine` would import TensorFlow, so its extension module is loaded by path. Nothing of bnn_deploy
is imported: it is not installed in that environment. Grouped layers need the indirect kernel.
"""

import importlib.util
import io
import os
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

NOT_INSTALLED = 3
REFERENCE_BCONV, INDIRECT_BGEMM, XNNPACK = False, True, False


def interpreter(model: bytes, threads: int) -> Any:
    """An opened model."""
    return load_interpreter()(model, threads, REFERENCE_BCONV, INDIRECT_BGEMM, XNNPACK)


def load_interpreter() -> Any:
    """LCE's LiteInterpreter class, which only that environment knows."""
    package = importlib.util.find_spec("larq_compute_engine")
    if package is None or not package.submodule_search_locations:
        print("larq-compute-engine is not installed in this environment", file=sys.stderr)
        sys.exit(NOT_INSTALLED)
    name = "interpreter_wrapper_lite"
    path = Path(package.submodule_search_locations[0]) / "tflite" / "python" / f"{name}.so"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        print(f"{path} is missing: another version of larq-compute-engine", file=sys.stderr)
        sys.exit(NOT_INSTALLED)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LiteInterpreter


def main() -> None:
    """The command line."""
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not stand among the results
    if len(sys.argv) > 1:
        time_runs(Path(sys.argv[1]), int(sys.argv[2]), stdout)
    else:
        run_images(stdout)


def time_runs(path: Path, threads: int, stdout: BinaryIO) -> None:
    """Answers each line of stdin, until it ends."""
    opened = interpreter(path.read_bytes(), threads)
    image = np.random.default_rng(0).uniform(-1, 1, opened.input_shapes[0]).astype(np.float32)
    for line in sys.stdin:
        start = time.perf_counter_ns()
        for _ in range(int(line)):
            opened.predict([image])
        stdout.write(b"%d\n" % (time.perf_counter_ns() - start))
        stdout.flush()


def run_images(stdout: BinaryIO) -> None:
    """One model, any number of images, one at a time."""
    stdin = io.BytesIO(sys.stdin.buffer.read())
    model, images = np.load(stdin).tobytes(), np.load(stdin)
    opened = interpreter(model, 1)
    runs = [opened.predict([image[np.newaxis]]) for image in images]
    arrays = io.BytesIO()  # np.save wants a file that can seek, stdout cannot
    for outputs in zip(*runs):  # noqa: B905 (all runs have the outputs of one model)
        np.save(arrays, np.concatenate(outputs))
    stdout.write(arrays.getbuffer())
    stdout.flush()


if __name__ == "__main__":
    main()
