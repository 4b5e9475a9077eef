"""Generated figures in clutter: harder than digits, any size, the same images for ever.

An image is a background (two colours blended, three sine waves on top), four pieces of clutter behind a figure, the
figure (position, scale, rotation, colour), and a bar across it. All of it follows from a row of uniform numbers; the
pixels are computed when asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bnn_deploy.training.data.augment import shift, unchanged
from bnn_deploy.training.data.figures import FIGURES
from bnn_deploy.training.data.split import Data, Images, Indices, RenderedSplit, digest_of

_TRAIN, _VAL, _TEST = 4000, 1000, 1000
_CLUTTER, _WAVES = 4, 3
_DRAWN, _FIXED = 5, 6  # generators: first numbers differ, as [5] and [5, 0] would give one sequence
_NUMBERS = 6 + 3 + 3 + 3 + 7 * _CLUTTER + 4 * _WAVES + 6  # uniform numbers that make one image

Grid = npt.NDArray[np.floating[Any]]  # [n, height, width]


def load_shapes(height: int, width: int, seed: int) -> Data:
    """6000 images of ten figures, the classes equally often. Train and val follow from the seed, test never changes."""
    drawn = np.random.default_rng([_DRAWN, seed]).random((_TRAIN + _VAL, _NUMBERS), dtype=np.float32)
    fixed = np.random.default_rng([_FIXED]).random((_TEST, _NUMBERS), dtype=np.float32)
    numbers = np.concatenate([drawn, fixed])
    labels = np.arange(len(numbers), dtype=np.int64) % len(FIGURES)

    def render(ids: Indices) -> Images:
        return _draw(numbers[ids], labels[ids], height, width)

    def split(first: int, count: int, *, training: bool = False) -> RenderedSplit:
        ids = np.arange(first, first + count, dtype=np.int64)
        return RenderedSplit(ids, labels[ids], render, shift if training else unchanged)

    return Data(
        name="shapes",
        height=height,
        width=width,
        class_names=tuple(FIGURES),
        train=split(0, _TRAIN, training=True),
        val=split(_TRAIN, _VAL),
        test=split(_TRAIN + _VAL, _TEST),
        digest=digest_of("shapes 1", height, width, numbers.tobytes()),
    )


def _draw(numbers: npt.NDArray[np.float32], labels: Indices, height: int, width: int) -> Images:
    """Uniform numbers [n, _NUMBERS] and classes [n] -> images [n, height, width, 3]."""
    place, colour, second, contrast, clutter, waves, bar = (
        part[:, :, None, None] for part in np.split(numbers, np.cumsum([6, 3, 3, 3, 7 * _CLUTTER, 4 * _WAVES]), axis=1)
    )
    y = ((np.arange(height, dtype=np.float32) + 0.5) * 2 / height - 1)[None, :, None]
    x = ((np.arange(width, dtype=np.float32) + 0.5) * 2 / width - 1)[None, None, :]
    sharp = np.float32(min(height, width) / 2)  # pixels in one unit of length
    canvas = _background(x, y, place[:, 5], colour / 2, second / 2, waves)
    for piece in np.split(clutter, _CLUTTER, axis=1):
        size = 0.05 + 0.2 * piece[:, 2]
        u, v = _turned(x - 2 * piece[:, 0] + 1, y - 2 * piece[:, 1] + 1, 2 * np.pi * piece[:, 3])
        flat = np.maximum(np.abs(u) - size, np.abs(v) - size / 3)
        _paint(canvas, -flat * sharp, piece[:, 4:7] * 0.7)
    size = 0.45 + 0.35 * place[:, 2]
    room = 1.05 - size
    u, v = _turned(x - room * (2 * place[:, 0] - 1), y - room * (2 * place[:, 1] - 1), 2 * np.pi * place[:, 3])
    inside = np.empty_like(u)
    for number, figure in enumerate(FIGURES.values()):
        of_class = labels == number
        inside[of_class] = figure(u[of_class] / size[of_class], v[of_class] / size[of_class])
    # Each channel is 0.3 .. 0.5 brighter than the background's, whose own are 0 .. 0.5.
    _paint(canvas, inside * size * sharp, colour / 2 + 0.3 + 0.2 * contrast)
    u, v = _turned(x - 2 * bar[:, 0] + 1, y - 2 * bar[:, 1] + 1, np.pi * bar[:, 2])
    _paint(canvas, (0.02 + 0.02 * place[:, 4] - np.abs(v)) * sharp, bar[:, 3:6])
    return np.asarray(np.clip(canvas * 2 - 1, -1, 1), np.float32)


def _background(x: Grid, y: Grid, angle: Grid, first: Grid, second: Grid, waves: Grid) -> Images:
    along, _ = _turned(x, y, 2 * np.pi * angle)
    blend = (0.5 + 0.35 * along)[..., None]
    start = np.moveaxis(first, 1, -1)
    canvas = start + blend * 0.3 * (np.moveaxis(second, 1, -1) - start)
    for wave in np.split(waves, _WAVES, axis=1):
        along, _ = _turned(x, y, np.pi * wave[:, 0])
        canvas += (0.05 * wave[:, 1] * np.sin(along * (4 + 16 * wave[:, 2]) + 6.28 * wave[:, 3]))[..., None]
    return np.asarray(canvas, np.float32)


def _turned(x: Grid, y: Grid, angle: Grid) -> tuple[Grid, Grid]:
    cos, sin = np.cos(angle), np.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


def _paint(canvas: Images, inside_pixels: Grid, colour: Grid) -> None:
    """Blends a colour [n, 3, 1, 1] into the canvas where the distance to the outline, in pixels, is positive."""
    cover = np.clip(inside_pixels + 0.5, 0, 1)[..., None]
    canvas += cover * (np.moveaxis(colour, 1, -1) - canvas)
