"""Runs cases in the runtime of .tflite files of the environment that it is started in, with our delegate.

    litert_worker.py LIBRARY FOLDER

The runtime is LiteRT, tflite-runtime or TensorFlow, whichever is installed; nothing of this package is imported. FOLDER
holds, for each case, NAME.tflite, NAME.inputs.npy and NAME.expected.npy: the right answers, for networks those of the
engine on the machine that wrote them. One thread and two, asked of the delegate and of the runtime, must give the same
bits, on that kind of machine the expected ones; another machine must come close, for a stem may round differently.
Exit code 1 if not.
"""

import importlib
import importlib.metadata
import platform
import sys
from pathlib import Path

import numpy as np

CLOSE = 1e-4


def installed() -> tuple:
    """Interpreter and load_delegate of the runtime that is installed, and what it is called."""
    for name in ("ai-edge-litert", "tflite-runtime"):
        try:
            module = importlib.import_module(f"{name.replace('-', '_')}.interpreter")
        except ModuleNotFoundError:
            continue
        return module.Interpreter, module.load_delegate, f"{name} {importlib.metadata.version(name)}"
    import tensorflow

    lite = tensorflow.lite
    return lite.Interpreter, lite.experimental.load_delegate, f"tensorflow {tensorflow.__version__}"


Interpreter, load_delegate, RUNTIME = installed()


def outputs(model: Path, library: str, options: "dict[str, str]", threads: "int | None") -> "np.ndarray":
    """The model's answers to its inputs, one after another."""
    delegate = load_delegate(library, options)
    interpreter = Interpreter(str(model), experimental_delegates=[delegate], num_threads=threads)
    interpreter.allocate_tensors()
    (x,), (y,) = interpreter.get_input_details(), interpreter.get_output_details()
    answers = []
    for values in np.load(model.with_suffix(".inputs.npy")):
        interpreter.set_tensor(x["index"], values)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(y["index"]))
    return np.stack(answers)


def is_right(model: Path, library: str) -> bool:
    """Whether one case passes; says why not."""
    expected = np.load(model.with_suffix(".expected.npy"))
    ways = [({"threads": threads}, None) for threads in "12"] + [({}, threads) for threads in (1, 2)]
    try:
        one, *others = (outputs(model, library, *way) for way in ways)
    except (RuntimeError, ValueError) as exc:
        print(f"{model.stem}: {exc}", file=sys.stderr)
        return False
    difference = float(np.abs(one.astype(np.float64) - expected.astype(np.float64)).max())
    alike = one.dtype == expected.dtype and all(np.array_equal(one, other) for other in others)
    same = alike and (platform.machine() != "x86_64" or difference == 0)
    right = same and difference <= CLOSE
    if not right:
        print(f"{model.stem}: bits the same: {same}; off by {difference:.2g}", file=sys.stderr)
    return right


def main(library: str, folder: str) -> int:
    """The command line."""
    models = sorted(Path(folder).glob("*.tflite"))
    right = sum(is_right(model, library) for model in models)
    print(f"{RUNTIME} on {platform.machine()}: {right} of {len(models)} models right")
    return int(right < len(models) or not models)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
