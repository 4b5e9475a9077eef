"""The binary kernels on numpy arrays. The bit rule: bit i of word w is channel 64*w + i; bit = (x < 0); tail bits 0.

>>> import numpy as np
>>> from bnn_deploy.kernels import bconv2d
>>> image = np.random.default_rng(0).standard_normal((8, 8, 64)).astype(np.float32)
>>> weights = np.random.default_rng(1).standard_normal((32, 3, 3, 64)).astype(np.float32)
>>> sums = bconv2d(image, weights)  # differing bits; the +-1 dot product is 9 * 64 - 2 * sums
>>> sums.shape, sums.dtype
((8, 8, 32), dtype('int32'))
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bnn_deploy import _native
from bnn_deploy.errors import RuntimeUnavailable, UnknownName

__all__ = ["Kernel", "available_kernels", "bconv2d", "build_info", "kernel_errors", "pack_bits", "unpack_bits"]

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Kernel:
    """One binary convolution kernel: its name, its instruction set, and whether this CPU has that.

    method: how it computes. Kernels of one instruction set and method differ in their tile alone; the engine finds the
    fastest for a shape by measuring.
    """

    name: str
    method: str
    isa: str
    supported: bool


def available_kernels() -> tuple[Kernel, ...]:
    """Every kernel in this build, best first, whether or not this CPU can run it."""
    return tuple(Kernel(**row) for row in _native.kernels())


def build_info() -> dict[str, str]:
    """version, compiler, flags and machine of the native build, and the best isa of this CPU."""
    return _native.build_info()


def pack_bits(x: Array) -> npt.NDArray[np.uint64]:
    """Signs of the last axis, packed.

    Args:
        x: [..., channels] of any real dtype; taken as float32. bit = (x < 0): 0.0 and -0.0 are +1. No NaN.

    Returns:
        uint64 [..., ceil(channels / 64)].

    Raises:
        ValueError: no axis, or no channels.
    """
    if x.ndim == 0:
        raise ValueError("x must have at least one axis")
    rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1]) if x.size else x.reshape(0, x.shape[-1]), np.float32)
    return _native.pack_bits(rows).reshape(*x.shape[:-1], -(-x.shape[-1] // 64))


def unpack_bits(words: npt.NDArray[np.uint64], channels: int) -> npt.NDArray[np.float32]:
    """+1.0 and -1.0 for each bit: the inverse of pack_bits on +-1 data.

    Args:
        words: uint64 [..., ceil(channels / 64)].
        channels: how many channels the last axis holds.

    Returns:
        float32 [..., channels].

    Raises:
        ValueError: the words of a row are not those of that many channels.
    """
    if words.ndim == 0:
        raise ValueError("words must have at least one axis")
    rows = np.ascontiguousarray(words.reshape(-1, words.shape[-1]), np.uint64)
    return _native.unpack_bits(rows, channels).reshape(*words.shape[:-1], channels)


def bconv2d(
    image: Array, weights: Array, *, stride: int = 1, groups: int = 1, kernel: str | None = None
) -> npt.NDArray[np.int32]:
    """XOR-popcount sums of a binary convolution; SAME padding with +1.

    Args:
        image: [height, width, channels], any real dtype; its signs are taken as pack_bits does.
        weights: [out, k, k, channels / groups], likewise; k odd.
        stride: 1 or 2.
        groups: divides channels and out.
        kernel: the name of a kernel or of an ISA; None: the environment variable BNN_KERNEL, else the best.

    Returns:
        int32 [ceil(height / stride), ceil(width / stride), out]: differing bits, 0..K with K = k*k*channels/groups;
        the +-1 dot product is K - 2 * sums.

    Raises:
        ValueError: shapes that do not fit together.
        UnknownName: no kernel or ISA of that name.
        RuntimeUnavailable: this CPU or this shape cannot use the kernel.
    """
    if image.ndim != 3 or weights.ndim != 4:
        raise ValueError(f"expected image [H, W, C] and weights [out, k, k, C/g], got {image.shape}, {weights.shape}")
    if groups < 1 or weights.shape[-1] * groups != image.shape[-1]:
        raise ValueError(
            f"weights of {weights.shape[-1]} channels in {groups} groups do not read {image.shape[-1]} channels"
        )
    with kernel_errors(kernel):
        return _native.bconv2d(pack_bits(image), pack_bits(weights), image.shape[-1], stride, groups, kernel)


@contextmanager
def kernel_errors(kernel: str | None) -> Iterator[None]:
    """Turns the extension's complaints about a kernel's name into this package's errors."""
    try:
        yield
    except KeyError as exc:
        known = [row["name"] for row in _native.kernels()] + _native.isas()
        name = kernel or str(exc.args[0]).split("'")[1]  # else it came from BNN_KERNEL
        raise UnknownName("kernel", name, known) from exc
    except RuntimeError as exc:
        raise RuntimeUnavailable(str(exc)) from exc
