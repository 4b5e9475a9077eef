"""The seam: open a file, run images, and, on demand, show what every binary layer saw and summed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bnn_deploy.architecture import Architecture
from bnn_deploy.errors import FileFormatError

Floats = npt.NDArray[np.float32]

NO_SUM = np.iinfo(np.int32).min  # stands where a runtime's output was no integer


@dataclass(frozen=True, slots=True)
class Tap:
    """One binary layer of one run.

    negative: bool [N, H, W, C], True where the input sign is -1. sums: int32 [N, OH, OW, O], the dot products; NO_SUM
    where the runtime gave no integer. readable: bool [O], False for channels whose sums cannot be told from the
    runtime's output (a scale of 0, or one too small beside the bias).
    """

    negative: npt.NDArray[np.bool_]
    sums: npt.NDArray[np.int32]
    readable: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Trace:
    """logits: float32 [N, classes]; taps: one for each binary layer, in order."""

    logits: Floats
    taps: tuple[Tap, ...]


class Runtime(Protocol):
    """A network, opened. Images are float32 [N, H, W, C] everywhere, whatever the layout inside."""

    @property
    def name(self) -> str:
        """ "torch" or a name of registry.RUNTIMES."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one image."""

    def run(self, images: Floats) -> Floats:
        """Logits [N, classes].

        Raises:
            ValueError: images of another shape or type.
        """

    def trace(self, images: Floats) -> Trace:
        """The same, with every binary layer's input signs and integer sums.

        Raises:
            ValueError: images of another shape or type.
            FileFormatError: a file that was altered, or not written by this package, so that its layers cannot be
                matched.
        """


def check_images(images: Floats, shape: tuple[int, ...]) -> None:
    """Images must be float32 [N, *shape] with N >= 1.

    Raises:
        ValueError: they are not.
    """
    if images.dtype != np.float32 or images.shape[1:] != shape or len(images) < 1:
        expected = ", ".join(map(str, shape))
        raise ValueError(f"images: expected float32 [N, {expected}], got {images.dtype} {list(images.shape)}")


def image_shape(architecture: Architecture) -> tuple[int, int, int]:
    """(H, W, C) of an input image."""
    return architecture.height, architecture.width, architecture.image_channels


def integers(values: npt.NDArray[np.floating], tolerance: float) -> npt.NDArray[np.int32]:
    """Nearest int32; NO_SUM where a value is further than `tolerance` from it, is not finite or does not fit."""
    nearest = np.rint(values)
    with np.errstate(invalid="ignore"):
        good = (np.abs(values - nearest) <= tolerance) & (np.abs(nearest) < 2**31)
    return np.where(good, nearest, NO_SUM).astype(np.int32)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever the code inside stumbles over in a file that was damaged or altered becomes a FileFormatError.

    Raises:
        FileFormatError: an index, a name, a type or a shape that the file should not hold.
    """
    try:
        yield
    except (AttributeError, LookupError, MemoryError, OverflowError, TypeError, ValueError, struct.error) as exc:
        raise FileFormatError(f"{path}: damaged or altered: {type(exc).__name__}: {exc}") from exc
