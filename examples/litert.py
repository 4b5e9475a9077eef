"""An exported network in stock LiteRT with bnn-deploy's delegate; nothing else of bnn-deploy is needed.

    pip install ai-edge-litert numpy
    python litert.py libbnn_litert.so model.tflite [image.f32]      # prints the class and its logit

The image: raw float32, as many as the model's input [1, H, W, 3] has; without one it is all zeros.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate


def main(library: str, model: str, image: str = "") -> int:
    """The command line."""
    delegate = load_delegate(library, {"threads": "1"})
    interpreter = Interpreter(model, experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    (images,), (logits,) = interpreter.get_input_details(), interpreter.get_output_details()
    shape = images["shape"]
    values = np.fromfile(image, np.float32) if image else np.zeros(np.prod(shape), np.float32)
    if values.size != np.prod(shape):
        raise SystemExit(f"{image}: expected {np.prod(shape)} float32 values, got {values.size}")
    interpreter.set_tensor(images["index"], values.reshape(shape))
    interpreter.invoke()
    answer = interpreter.get_tensor(logits["index"]).ravel()
    print(answer.argmax(), f"{answer.max():.9g}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    sys.exit(main(*sys.argv[1:]))
