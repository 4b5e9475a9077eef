"""Models of Larq Compute Engine's converter, as their users have them; a script for .venv-zoo (scripts/zoo-env).

    argv    a folder; then names, or all. Models that are there already stay.

larq-zoo's architectures, and a binary MobileNet of grouped convolutions, with random weights. Batch norms have the
statistics of 16 random images, and those behind a binary convolution a gamma so small that one flipped sign flips half
a sign in the next layer. Else answers would be chaos: what the last bit of the first layer flips grows tenfold in every
layer, in LCE's interpreter as well, and no answer could be compared.
"""

import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import larq
import larq_compute_engine as lce
import larq_zoo
import numpy as np
import tensorflow as tf

SEED, IMAGES, SIZE = 1, 16, 224
FLIPS = 0.5  # signs that a flipped sign flips in the next layer, about


def grouped():
    """Blocks of a 3x3 with 2 to 8 groups of at least 32 channels and a 1x1, each with its shortcut."""
    layers = tf.keras.layers
    options = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    options |= {"padding": "same", "pad_values": 1.0, "use_bias": False}

    def binary(x, filters, kernel, strides, groups):
        y = larq.layers.QuantConv2D(filters, kernel, strides=strides, groups=groups, **options)(x)
        y = layers.BatchNormalization(momentum=0.0)(y)
        if strides == 2:
            x = layers.AveragePooling2D(2, padding="same")(x)
        if filters == 2 * x.shape[-1]:
            x = layers.Concatenate()([x, x])
        return layers.PReLU(shared_axes=[1, 2], alpha_initializer=tf.keras.initializers.Constant(0.25))(
            layers.add([x, y])
        )

    image = layers.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(64, 3, strides=4, padding="same", use_bias=False)(image)
    x = layers.BatchNormalization(momentum=0.0)(x)
    for filters, strides, groups in [(128, 1, 2), (256, 2, 4), (256, 1, 8), (512, 2, 8), (512, 1, 4), (512, 1, 16)]:
        x = binary(x, x.shape[-1], 3, strides, groups)
        x = binary(x, filters, 1, 1, 1)
    x = layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(image, layers.Activation("softmax")(layers.Dense(1000)(x)))


MODELS = {
    "QuickNetSmall": lambda: larq_zoo.sota.QuickNetSmall(weights=None),
    "QuickNet": lambda: larq_zoo.sota.QuickNet(weights=None),
    "QuickNetLarge": lambda: larq_zoo.sota.QuickNetLarge(weights=None),
    "BiRealNet": lambda: larq_zoo.literature.BiRealNet(weights=None),
    "MeliusNet22": lambda: larq_zoo.literature.MeliusNet22(weights=None),
    "BinaryResNetE18": lambda: larq_zoo.literature.BinaryResNetE18(weights=None),
    "grouped": grouped,
}


def make(name):
    tf.keras.utils.set_random_seed(SEED)
    model = MODELS[name]()
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = 0.0  # its statistics are those of the next batch
            before = layer.inbound_nodes[0].inbound_layers
            if isinstance(before, larq.layers.QuantConv2D) and layer.scale:
                fan_in = np.prod(before.kernel.shape[:-1])
                layer.gamma.assign(layer.gamma * FLIPS / np.sqrt(fan_in))
    images = np.random.default_rng(SEED).uniform(-1, 1, (IMAGES, SIZE, SIZE, 3)).astype(np.float32)
    model(images, training=True)
    return lce.convert_keras_model(model)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or MODELS:
        path = folder / f"{name}.tflite"
        if path.is_file():
            continue
        print(f"making {name}", file=sys.stderr, flush=True)
        part = path.with_suffix(".part")
        part.write_bytes(make(name))
        part.rename(path)


if __name__ == "__main__":
    main()
