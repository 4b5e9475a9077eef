"""Makes cases of exported files as they are: `python -m tests.exported_cases EXPORT CASES LITERT_CASES`.

EXPORT is a folder that `bnn-deploy export` wrote for a network of the digits. CASES gets its .onnx and .bnn for
onnxruntime_worker.py and wheel_worker.py, LITERT_CASES its .tflite for litert_worker.py, each with images of the test
split and the engine's answers.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

from bnn_deploy.engine.network import Network
from bnn_deploy.running.images import load_images

IMAGES = 8
NAME = "exported"


def main(export: Path, cases: Path, litert_cases: Path) -> None:
    """The command line."""
    network = Network.open(export / "model.bnn")
    (images,) = load_images(["digits"], network.image_shape).first(IMAGES).batches()
    logits = network.run(images).reshape(IMAGES, -1)
    for suffix, folder in (("onnx", cases), ("bnn", cases), ("tflite", litert_cases)):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(export / f"model.{suffix}", folder / f"{NAME}.{suffix}")
    np.save(cases / f"{NAME}.images.npy", np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    np.save(cases / f"{NAME}.expected.npy", logits)
    np.save(litert_cases / f"{NAME}.inputs.npy", images[:, np.newaxis])
    np.save(litert_cases / f"{NAME}.expected.npy", logits[:, np.newaxis])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
