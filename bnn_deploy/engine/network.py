"""A `.bnn` network on this machine's kernels.

>>> network = Network.open("net.bnn")           # doctest: +SKIP
>>> network.run(images).argmax(axis=1)          # doctest: +SKIP
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bnn_deploy import _native
from bnn_deploy.errors import FileFormatError
from bnn_deploy.kernels import kernel_errors

Floats = npt.NDArray[np.float32]

MAX_THREADS = 256  # kMaxThreads of native/engine/thread_pool.h


@dataclass(frozen=True, slots=True)
class StepTrace:
    """What one step wrote. sums: int32 XOR-popcounts [H, W, C] of a bconv2d; values: float32 [H, W, C]; bits: uint64
    [H, W, words], without the border. None for what the step does not write. kernel: the kernel that ran."""

    kind: str
    kernel: str
    sums: npt.NDArray[np.int32] | None
    values: Floats | None
    bits: npt.NDArray[np.uint64] | None


class Network:
    """A loaded network: kernels chosen, weights re-tiled, memory planned; a run allocates nothing but its result.

    The results are the same, bit for bit, for every kernel of an ISA and every number of threads.

    Args:
        data: the bytes of a `.bnn` file with constants; not kept.
        kernel: the name of a kernel or of an ISA for every binary convolution; None: the environment variable
            BNN_KERNEL, else the best of this CPU. Of an ISA's tiles the fastest for each step is found by measuring.
        threads: how many compute one image, this one included.
        name: for messages.

    Raises:
        FileFormatError: a truncated or altered file, or a plan without constants.
        UnknownName: no kernel or ISA of that name.
        RuntimeUnavailable: this CPU, or a step's shape, cannot use that kernel; the system refuses the threads.
        ValueError: a number of threads below 1 or above MAX_THREADS.
    """

    def __init__(self, data: bytes, kernel: str | None = None, threads: int = 1, *, name: str = "network") -> None:
        if not 1 <= threads <= MAX_THREADS:
            raise ValueError(f"threads: expected 1 to {MAX_THREADS}, got {threads}")
        with kernel_errors(kernel):
            try:
                self._native = _native.Network(data, kernel, threads)
            except ValueError as exc:
                raise FileFormatError(f"{name}: {exc}") from exc

    @classmethod
    def open(cls, path: str | os.PathLike[str], kernel: str | None = None, threads: int = 1) -> Network:
        """The network of a file; errors as above, and OSError."""
        return cls(Path(path).read_bytes(), kernel, threads, name=str(path))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return self._native.image_shape

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernel of each step, as it runs."""
        return tuple(self._native.kernels)

    @property
    def threads(self) -> int:
        """How many compute one image."""
        return self._native.threads

    @property
    def arena_bytes(self) -> int:
        """Memory of all activations together."""
        return self._native.arena_bytes

    def run(self, images: npt.NDArray[np.generic]) -> Floats:
        """Scores of images, computed one after another (the engine's unit is batch 1).

        Args:
            images: [N, H, W, C] or one image [H, W, C]; taken as float32.

        Returns:
            float32 [N, classes], or [classes] for one image. ([N, H, W, C] for a chain that ends in a convolution.)

        Raises:
            ValueError: images of another shape.
        """
        if images.ndim == 3:
            one: Floats = self.run(images[np.newaxis])[0]
            return one
        results = self._native.run(_floats(images, 4))
        return results[:, 0, 0, :] if results.shape[1:3] == (1, 1) else results

    def trace(self, image: npt.NDArray[np.generic]) -> list[StepTrace]:
        """One image [H, W, C] with what every step wrote, step by step on whole tensors: slower than a run.

        Raises:
            ValueError: an image of another shape.
        """
        return [StepTrace(**row) for row in self._native.trace(_floats(image, 3))]


def _floats(images: npt.NDArray[np.generic], ndim: int) -> Floats:
    if images.ndim != ndim:
        raise ValueError(f"expected {'[N, H, W, C]' if ndim == 4 else '[H, W, C]'}, got shape {images.shape}")
    return np.ascontiguousarray(images, np.float32)
