"""Runs cases in the ONNX Runtime of the environment that it is started in; nothing of this package is imported.

    onnxruntime_worker.py LIBRARY FOLDER

FOLDER holds, for each case, NAME.onnx, NAME.images.npy and NAME.expected.npy: the engine's answer. With the library,
one thread and two must give the same bits; without it, the standard operators must come close. Exit code 1 if not.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

CLOSE = 1e-4


def outputs(model: Path, library: "str | None", threads: int) -> "np.ndarray":
    """The model's answer to its images."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if library:
        options.register_custom_ops_library(library)
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    (values,) = session.run(None, {"images": np.load(model.with_suffix(".images.npy"))})
    return values


def main(library: str, folder: str) -> int:
    """The command line."""
    models = sorted(Path(folder).glob("*.onnx"))
    wrong = 0
    for model in models:
        expected = np.load(model.with_suffix(".expected.npy"))
        same = all(np.array_equal(outputs(model, library, threads), expected) for threads in (1, 2))
        difference = float(np.abs(outputs(model, None, 1) - expected).max())
        if not same or difference > CLOSE:
            wrong += 1
            print(f"{model.stem}: with the library {same}, without it off by {difference:.2g}", file=sys.stderr)
    print(f"ONNX Runtime {onnxruntime.__version__}: {len(models) - wrong} of {len(models)} models right")
    return int(wrong > 0 or not models)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
