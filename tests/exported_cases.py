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
from tests.litert_cases import write_case
from tests.onnxruntime_cases import write_answers

IMAGES = 8
NAME = "exported"


def main(export: Path, cases: Path, litert_cases: Path) -> None:
    """The command line."""
    (images,) = load_images(["digits"], Network.open(export / "model.bnn").image_shape).first(IMAGES).batches()
    for folder in (cases, litert_cases):
        folder.mkdir(parents=True, exist_ok=True)
    for suffix in ("bnn", "onnx"):
        shutil.copy(export / f"model.{suffix}", cases / f"{NAME}.{suffix}")
    logits = write_answers(cases / f"{NAME}.bnn", images)
    model = (export / "model.tflite").read_bytes()
    write_case(litert_cases, NAME, model, images[:, np.newaxis], logits[:, np.newaxis])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
