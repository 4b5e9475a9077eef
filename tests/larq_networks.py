"""larq-zoo's networks in stock LiteRT with our delegate and in Larq Compute Engine's interpreter, from the same file.

    scripts/larq-zoo [NETWORK...]

Weights and batch norms are random: larq-zoo's trained ones would have to be downloaded. The files are what LCE's
converter writes. What is binarized is compared, layer after layer: LCE folds K into the bias and rounds there, so that
a value near 0 can get another sign, after which a random network goes another way. So the comparison of a network ends
where a sign differs. Prints a JSON line for each: its layers, those before a sign differs, and the largest difference
up to there, as a part of its layer's largest value. Exit code 1 when one is above 1e-4; LCE's own kernels differ by as
much.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import larq_compute_engine
import larq_zoo
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, load_delegate

from bnn_deploy.runtimes.lce_worker import load_interpreter
from bnn_deploy.runtimes.tflite_file import TfliteFile

NETWORKS = (
    "BinaryAlexNet",
    "BiRealNet",
    "BinaryDenseNet28",
    "BinaryResNetE18",
    "MeliusNet22",
    "QuickNetSmall",
    "QuickNet",
    "RealToBinaryNet",
    "XNORNet",
)
CLOSE = 1e-4

Floats = npt.NDArray[np.float32]


def convert(name: str, path: Path) -> TfliteFile:
    """The .tflite file of a network with random weights, always the same."""
    tf.keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    network = getattr(larq_zoo.sota, name, None) or getattr(larq_zoo.literature, name)
    model = network(weights=None)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            *others, variance = layer.get_weights()
            moved = [weights + rng.normal(0, 0.3, weights.shape) for weights in others]
            layer.set_weights([*moved, rng.uniform(0.5, 1.5, variance.shape)])
    path.write_bytes(larq_compute_engine.convert_keras_model(model))
    return TfliteFile(path)


def run_litert(model: bytes, library: str, image: Floats) -> list[Floats]:
    """All outputs. The delegate runs every binary layer, or LiteRT refuses the file."""
    interpreter = Interpreter(model_content=model, experimental_delegates=[load_delegate(library)])
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]


def main(library: str, *names: str) -> int:
    """The command line."""
    worst = 0.0
    image = np.random.default_rng(1).standard_normal((1, 224, 224, 3)).astype(np.float32)
    for name in names or NETWORKS:
        with tempfile.TemporaryDirectory() as scratch:
            file = convert(name, Path(scratch) / "model.tflite")
        binarized = [operator.inputs[0] for operator in file.operators if operator.custom == "LceQuantize"]
        model = file.with_outputs(binarized)
        found, expected = (
            run_litert(model, library, image),
            load_interpreter()(model, 1, False, True, True).predict([image]),
        )
        equal, difference = 0, 0.0
        for ours, theirs in zip(found, expected, strict=True):
            difference = max(difference, float(np.abs(ours - theirs).max() / np.abs(theirs).max()))
            if ((ours < 0) != (theirs < 0)).any():
                break
            equal += 1
        worst = max(worst, difference)
        line = {"network": name, "layers": len(binarized), "equal_signs": equal, "difference": difference}
        print(json.dumps(line), flush=True)
    return int(worst > CLOSE)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
