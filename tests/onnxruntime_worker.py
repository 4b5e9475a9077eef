"""Runs cases in the ONNX Runtime of the environment that it is started in; nothing of this package is imported.

    onnxruntime_worker.py LIBRARY FOLDER

FOLDER holds, for each case, NAME.onnx, NAME.images.npy and NAME.expected.npy: the engine's answer on the machine that
wrote it. With the library, one thread and two must give the same bits, on that kind of machine those; without it, the
standard operators must come close, and so must another machine, whose stem may round differently. Exit code 1 if not.
"""

import platform
import sys
from pathlib import Path

import numpy as np
import onnxruntime

CLOSE = 1e-4


def images_of(model: Path) -> "np.ndarray":
    """float32 [N, C, H, W]."""
    return np.load(model.with_suffix(".images.npy"))


def outputs(model: Path, library: "str | None", threads: int) -> "np.ndarray":
    """The model's answer to its images."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if library:
        options.register_custom_ops_library(library)
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    (values,) = session.run(None, {"images": images_of(model)})
    return values


def is_right(model: Path, library: str) -> bool:
    """Whether one case passes; says why not."""
    expected = np.load(model.with_suffix(".expected.npy"))
    one, two, stock = outputs(model, library, 1), outputs(model, library, 2), outputs(model, None, 1)
    same = np.array_equal(one, two) and (platform.machine() != "x86_64" or np.array_equal(one, expected))
    difference = float(np.max([np.abs(values - expected).max() for values in (one, stock)]))  # a NaN stays
    right = same and difference <= CLOSE
    if not right:
        print(f"{model.stem}: bits the same: {same}; off by {difference:.2g}", file=sys.stderr)
    return right


def main(library: str, folder: str) -> int:
    """The command line."""
    models = sorted(Path(folder).glob("*.onnx"))
    right = sum(is_right(model, library) for model in models)
    print(f"ONNX Runtime {onnxruntime.__version__} on {platform.machine()}: {right} of {len(models)} models right")
    return int(right < len(models) or not models)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
