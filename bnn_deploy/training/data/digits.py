"""scikit-learn's 1797 real handwritten digits, 8x8, upscaled: the quickstart's data set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bnn_deploy.errors import RuntimeUnavailable
from bnn_deploy.training.data.augment import shift, unchanged
from bnn_deploy.training.data.resize import resize
from bnn_deploy.training.data.split import Data, Images, Indices, RenderedSplit, digest_of, partition

_TEST, _VAL = 0.21, 0.25  # of all; of what is left: about 60 / 20 / 20


def load_digits(height: int, width: int, seed: int) -> Data:
    """Handwritten digits, grey on black as RGB.

    Raises:
        RuntimeUnavailable: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as exc:
        raise RuntimeUnavailable("digits: scikit-learn is missing; pip install 'bnn-deploy[train]'") from exc
    source = datasets.load_digits()
    pixels = np.ascontiguousarray(source.images, dtype=np.uint8)  # [1797, 8, 8], 0..16
    labels = source.target.astype(np.int64)

    def render(ids: Indices) -> Images:
        small = pixels[ids, :, :, None].astype(np.float32) / np.float32(8) - np.float32(1)
        return np.repeat(resize(small, height, width), 3, axis=3)

    keys = [image.tobytes() for image in pixels]
    test, rest = partition(keys, labels, [_TEST], "digits test")
    val, train = partition([keys[i] for i in rest], labels[rest], [_VAL], f"digits val {seed}")
    val, train = [rest[i] for i in val], [rest[i] for i in train]

    def split(indices: Iterable[int], *, training: bool = False) -> RenderedSplit:
        ids = np.fromiter(indices, np.int64)
        return RenderedSplit(ids, labels[ids], render, shift if training else unchanged)

    return Data(
        name="digits",
        height=height,
        width=width,
        class_names=tuple("0123456789"),
        train=split(train, training=True),
        val=split(val),
        test=split(test),
        digest=digest_of("digits 1", height, width, pixels.tobytes(), labels.tobytes(), train, val, test),
    )
