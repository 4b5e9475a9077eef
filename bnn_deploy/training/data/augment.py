"""Random changes of training images, a whole batch at a time."""

from __future__ import annotations

import numpy as np

from bnn_deploy.training.data.split import Images


def unchanged(images: Images, rng: np.random.Generator) -> Images:
    """No change: validation and test."""
    return images


def shift(images: Images, rng: np.random.Generator, fraction: float = 0.1) -> Images:
    """Moves each image by up to `fraction` of its size in both directions; the border pixels are repeated.

    Args:
        images: [n, height, width, 3].
    """
    count, height, width, _ = images.shape
    rows, columns = (
        np.clip(np.arange(size) + _integers(rng, round(fraction * size), count)[:, None], 0, size - 1)
        for size in (height, width)
    )
    return np.ascontiguousarray(images[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]])


def shift_and_flip(images: Images, rng: np.random.Generator) -> Images:
    """`shift`, and half of the images mirrored left to right."""
    moved = shift(images, rng)
    mirrored = rng.random(len(moved)) < 0.5
    moved[mirrored] = moved[mirrored, :, ::-1]
    return moved


def _integers(rng: np.random.Generator, largest: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return rng.integers(-largest, largest + 1, size=count)
