"""A .bnn file in the engine of this package."""

from __future__ import annotations

import os
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bnn_deploy.errors import FileFormatError
from bnn_deploy.runtimes.base import Floats, Tap, Trace, check_images
from bnn_deploy.steps import StepKind

Number = TypeVar("Number", bound=np.generic)


class EngineRuntime:
    """A .bnn file, opened.

    Args:
        path: a file of write_bnn.
        kernel: a kernel or an ISA by name; None: the environment variable BNN_KERNEL, else the best of this CPU.

    Raises:
        FileFormatError: no file, a truncated or altered one, or a plan without constants.
        UnknownName, RuntimeUnavailable: see bnn_deploy.engine.network.Network.
    """

    name = "engine"

    def __init__(self, path: str | os.PathLike[str], kernel: str | None = None) -> None:
        from bnn_deploy.engine.bnn_file import read_bnn
        from bnn_deploy.engine.network import Network

        try:
            self._network = Network.open(path, kernel)
            self._steps = read_bnn(path).steps
        except OSError as exc:
            raise FileFormatError(f"{path}: cannot be read: {exc.strerror}") from exc

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """See Runtime."""
        return self._network.image_shape

    def run(self, images: Floats) -> Floats:
        """See Runtime.run."""
        check_images(images, self._network.image_shape)
        return self._network.run(images)

    def trace(self, images: Floats) -> Trace:
        """See Runtime.trace. The engine counts differing bits, acc; the dot product is K - 2*acc."""
        check_images(images, self._network.image_shape)
        runs = [self._network.trace(image) for image in images]
        taps = []
        for index, step in enumerate(self._steps):
            if step.kind is StepKind.BCONV2D:
                counts = _stack([run[index].sums for run in runs])
                words = _stack([run[index - 1].bits for run in runs])
                every = np.ones(step.out_channels, np.bool_)
                taps.append(Tap(_negative(words, step.in_channels), (step.k_bits - 2 * counts).astype(np.int32), every))
        logits = _stack([run[-1].values for run in runs]).reshape(len(runs), -1)
        return Trace(logits, tuple(taps))


def _stack(arrays: list[npt.NDArray[Number] | None]) -> npt.NDArray[Number]:
    return np.stack([array for array in arrays if array is not None])


def _negative(words: npt.NDArray[np.uint64], channels: int) -> npt.NDArray[np.bool_]:
    """uint64 [..., words] -> bool [..., channels], bit i of word w being channel 64*w + i."""
    octets = np.ascontiguousarray(words.astype("<u8", copy=False)).view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little")[..., :channels].astype(np.bool_)
