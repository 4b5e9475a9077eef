"""Batches of a split as tensors; which images, in which order and how changed follows from (seed, epoch, batch)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bnn_deploy.training.data import Split

_ORDER = 1  # keeps the order's generator apart from others of the same seed


def batch_count(split: Split, batch_size: int) -> int:
    """Batches of one epoch: as many as makes them nearest to `batch_size`, at least one."""
    return max(1, round(len(split) / batch_size))


def train_batches(
    split: Split, batch_size: int, *, seed: int, epoch: int, first: int = 0, augment: bool = True
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in random order, cut into batches whose sizes differ by at most 1; the next is prepared meanwhile.

    Args:
        first: number of the batch to begin with, when resuming.

    Yields:
        images float32 [n, 3, height, width] (channels last), labels int64 [n].
    """
    order = np.random.default_rng([_ORDER, seed, epoch]).permutation(len(split))
    parts = np.array_split(order, batch_count(split, batch_size))

    def load(batch: int) -> tuple[Tensor, Tensor]:
        return load_batch(split, parts[batch], (seed, epoch, batch) if augment else None)

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as worker:
        pending = worker.submit(load, first) if first < len(parts) else None
        for batch in range(first, len(parts)):
            assert pending is not None
            current = pending.result()
            if batch + 1 < len(parts):
                pending = worker.submit(load, batch + 1)
            yield current


def plain_batches(split: Split, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in their order, unchanged; as train_batches otherwise."""
    for part in np.array_split(np.arange(len(split)), -(-len(split) // batch_size)):
        yield load_batch(split, part, None)


def load_batch(
    split: Split, indices: npt.NDArray[np.int64], augment: tuple[int, int, int] | None
) -> tuple[Tensor, Tensor]:
    """Images [n, 3, height, width] (channels last, no copy of the NHWC array) and labels [n]."""
    images = np.ascontiguousarray(split.images(indices, augment))
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(split.labels[indices])
