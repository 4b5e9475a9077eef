"""Images to train, search and test on. No downloads: two sets are built in, two are read from disk.

    digits            scikit-learn's real handwritten digits, upscaled
    shapes            generated figures in clutter, any size
    cifar10:DIR       the binary version (data_batch_1.bin ...)
    imagefolder:DIR   the ImageNet layout, train/CLASS/*.jpg and val/CLASS/*.jpg

Each has three splits that never share an image: `train`, `val` (the search looks at it) and `test` (nobody does until
the end). Which image is where depends on the content alone, never on the seed of a run.
"""

from __future__ import annotations

from pathlib import Path

from bnn_deploy.errors import DataError, UnknownName
from bnn_deploy.training.data.cifar10 import load_cifar10
from bnn_deploy.training.data.digits import load_digits
from bnn_deploy.training.data.imagefolder import load_imagefolder
from bnn_deploy.training.data.shapes import load_shapes
from bnn_deploy.training.data.split import AugmentKey, Data, Split

__all__ = ["SPLIT_SEED", "AugmentKey", "Data", "Split", "load_data"]

SPLIT_SEED = 0

_BUILT_IN = {"digits": load_digits, "shapes": load_shapes}
_ON_DISK = {"cifar10": load_cifar10, "imagefolder": load_imagefolder}


def load_data(spec: str, height: int, width: int, seed: int = SPLIT_SEED) -> Data:
    """Opens a data set at a given image size.

    Args:
        spec: `digits`, `shapes`, `cifar10:DIR` or `imagefolder:DIR`.
        height, width: pixels; the images are RGB.
        seed: parts train from val. The test split is the same for every seed.

    Example:
        >>> data = load_data("digits", 32, 32)
        >>> data.classes, len(data.test) >= 360
        (10, True)

    Raises:
        UnknownName: no such kind of data set.
        DataError: the folder is missing, holds something else, or a file in it cannot be read.
        ValueError: height or width below 1.
    """
    if height < 1 or width < 1:
        raise ValueError(f"expected an image of at least 1x1 pixels, got height={height}, width={width}")
    kind, colon, folder = spec.partition(":")
    if kind in _BUILT_IN and not colon:
        return _BUILT_IN[kind](height, width, seed)
    if kind in _ON_DISK:
        if not folder:
            raise DataError(f"{kind}: expected a folder, as in {kind}:DIR, got {spec!r}")
        root = Path(folder).expanduser()
        try:
            if not root.is_dir():
                raise DataError(f"{spec}: no such folder: {root}")
            return _ON_DISK[kind](root, height, width, seed)
        except OSError as exc:
            raise DataError(f"{exc.filename or root}: cannot be read: {exc.strerror}; repair or remove it") from exc
    raise UnknownName("data set", spec, [*_BUILT_IN, *(f"{name}:DIR" for name in _ON_DISK)])
