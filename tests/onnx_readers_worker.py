"""Exported .onnx files without our library in other readers: `python -m tests.onnx_readers_worker FOLDER`.

FOLDER holds, for each case, NAME.onnx, NAME.images.npy and NAME.expected.npy: the engine's answers. ONNX Runtime,
onnx's reference evaluator and OpenVINO, which knows no model-local functions and gets them inlined in memory, must give
the same top-1. Exit code 1 if not.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import openvino
from onnx.reference import ReferenceEvaluator

from tests.onnxruntime_worker import images_of, outputs


def in_reference(model: Path) -> "np.ndarray":
    """Logits [N, classes]."""
    return ReferenceEvaluator(str(model)).run(None, {"images": images_of(model)})[0]


def in_openvino(model: Path) -> "np.ndarray":
    """Logits [N, classes]."""
    inlined = onnx.inliner.inline_local_functions(onnx.load(model))
    core = openvino.Core()
    read = core.read_model(inlined.SerializeToString())
    compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return next(iter(compiled({"images": images_of(model)}).values()))


READERS = {
    f"ONNX Runtime {onnxruntime.__version__}": lambda model: outputs(model, None, 1),
    f"onnx {onnx.__version__}, reference evaluator": in_reference,
    f"OpenVINO {openvino.__version__.partition('-')[0]}, functions inlined": in_openvino,
}


def main(folder: str) -> int:
    """The command line."""
    models = sorted(Path(folder).glob("*.onnx"))
    wrong = 0
    for name, logits in READERS.items():
        images = agree = 0
        for model in models:
            expected = np.load(model.with_suffix(".expected.npy"))
            found = logits(model)
            images += len(expected)
            agree += int((found.argmax(axis=1) == expected.argmax(axis=1)).sum())
        wrong += images - agree
        print(f"{name}: {len(models)} models, top-1 of {agree} of {images} images", flush=True)
    return int(wrong > 0 or not models)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
