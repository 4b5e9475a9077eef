"""Smooth resizing as two matrix products, so that a batch is resized at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bnn_deploy.training.data.split import Images


def cubic_matrix(size_in: int, size_out: int) -> npt.NDArray[np.float32]:
    """Matrix [size_out, size_in] that resamples one axis with Keys' cubic kernel, a = -1/2 (Keys 1981, eq. 4).

    Pixel centres are at half-integers; outside pixels repeat the border. When shrinking, the kernel is widened, so
    that nothing is skipped.
    """
    stretch = max(size_in / size_out, 1.0)
    centres = (np.arange(size_out) + 0.5) * size_in / size_out - 0.5
    reach = int(np.ceil(2 * stretch)) + 1
    taps = np.floor(centres)[:, None].astype(int) + np.arange(-reach, reach + 1)
    distance = np.abs(taps - centres[:, None]) / stretch
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((size_out, size_in))
    np.add.at(matrix, (np.arange(size_out)[:, None], np.clip(taps, 0, size_in - 1)), weights)
    return matrix.astype(np.float32)


def resize(images: Images, height: int, width: int) -> Images:
    """[n, h, w, c] -> [n, height, width, c], clipped to [-1, 1]."""
    _, rows, columns, _ = images.shape
    if (rows, columns) == (height, width):
        return images
    tall = np.einsum("Hh,nhwc->nHwc", cubic_matrix(rows, height), images, optimize=True)
    wide = np.einsum("Ww,nHwc->nHWc", cubic_matrix(columns, width), tall, optimize=True)
    return np.ascontiguousarray(np.clip(wide, -1.0, 1.0, dtype=np.float32))
