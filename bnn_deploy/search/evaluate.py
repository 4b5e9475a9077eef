"""How good a subnet is, judged by the supernet's weights."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from bnn_deploy.layers import recalibrate
from bnn_deploy.layers.supernet import Supernet
from bnn_deploy.training.accuracy import Evaluation, evaluate_batches
from bnn_deploy.training.batches import load_batch, plain_batches
from bnn_deploy.training.data import Data, Split
from bnn_deploy.training.loop import THREADS, fixed_threads

__all__ = ["Evaluation", "SubnetEvaluator"]

_CALIBRATION = 4  # keeps the choice of calibration images apart from other generators
_IN_MEMORY_BYTES = 512 << 20  # a validation split up to this size is kept as tensors


class SubnetEvaluator:
    """Group tuple -> quality on the search-validation split.

    Before each judgement the batch-norm statistics are computed anew from fixed training images (Guo et al., SPOS, ECCV
    2020, section 3.4), so that the result depends on the tuple alone and not on what was judged before.

    Args:
        supernet: trained; its active groups, and the statistics of the batch norms they use, change with each call.
        data: `train` gives the calibration images, `val` is judged on.
        calibration_images: about how many, in batches of `batch_size`; the same for every tuple and every run.
        batch_size: images per forward pass.

    Example:
        >>> judge = SubnetEvaluator(supernet, data)
        >>> judge((4, 8, 8, 8, 16, 8, 8)).accuracy
        0.9746478873239437

    Raises:
        ValueError: calibration_images or batch_size below 1.
    """

    def __init__(self, supernet: Supernet, data: Data, *, calibration_images: int = 256, batch_size: int = 128) -> None:
        if calibration_images < 1 or batch_size < 1:
            raise ValueError(
                f"calibration_images and batch_size must be at least 1, got {calibration_images} and {batch_size}"
            )
        self._supernet = supernet
        self._split, self._batch_size = data.val, batch_size
        self._calibration = _calibration_batches(data.train, calibration_images, batch_size)
        stored_bytes = len(data.val) * data.height * data.width * 3 * 4
        self._batches: list[tuple[Tensor, Tensor]] | None = None
        if stored_bytes <= _IN_MEMORY_BYTES:
            self._batches = list(plain_batches(data.val, batch_size))

    def __call__(self, groups: tuple[int, ...]) -> Evaluation:
        """Accuracy and loss of one subnet.

        Raises:
            ArchitectureError: groups outside the supernet's choices.
        """
        device = next(self._supernet.parameters()).device
        self._supernet.set_groups(groups)
        with fixed_threads(THREADS):
            recalibrate(self._supernet, (images.to(device) for images in self._calibration))
            batches = self._batches if self._batches is not None else plain_batches(self._split, self._batch_size)
            return evaluate_batches(self._supernet, batches)


def _calibration_batches(split: Split, count: int, batch_size: int) -> list[Tensor]:
    """Equal batches of unchanged training images, chosen once and for ever."""
    chosen = np.random.default_rng([_CALIBRATION]).permutation(len(split))[:count]
    size = min(batch_size, len(chosen))
    whole = chosen[: len(chosen) // size * size]
    return [load_batch(split, part, None)[0] for part in np.split(whole, len(whole) // size)]
