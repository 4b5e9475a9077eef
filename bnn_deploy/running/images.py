"""Images for a network: arrays, picture files, a data set's test split, or random ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bnn_deploy.errors import DataError, RuntimeUnavailable, UnknownName
from bnn_deploy.runtimes.base import Floats

PICTURES = (".png", ".jpg", ".jpeg")

_BATCH_BYTES = 16 << 20
_MOST_AT_ONCE = 64  # or fewer, so that progress can be seen

Shape = tuple[int, int, int]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Images:
    """Images, made when they are asked for.

    Args:
        names: of each image, for people.
        shape: (H, W, C) of one.
        load: indices [n] -> float32 [n, H, W, C].
        labels: int64 [N], where they are known.
        class_names: where they are known.
    """

    names: tuple[str, ...]
    shape: Shape
    load: Callable[[Indices], Floats]
    labels: Indices | None = None
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def first(self, count: int) -> Images:
        """The first images only."""
        labels = None if self.labels is None else self.labels[:count]
        return replace(self, names=self.names[:count], labels=labels)

    def batches(self) -> Iterator[Floats]:
        """All of them, a few at a time."""
        size = min(_MOST_AT_ONCE, max(1, _BATCH_BYTES // (4 * int(np.prod(self.shape)))))
        for start in range(0, len(self), size):
            yield self.load(np.arange(start, min(start + size, len(self))))


def load_images(specs: Sequence[str], shape: Shape) -> Images:
    """What --images names.

    Args:
        specs: one array file (.npy, or .npz with `images` and perhaps `labels`), one data set as load_data takes it, or
            any number of pictures, which are cropped and resized as those of an image folder are.
        shape: (H, W, C) that the network takes.

    Raises:
        DataError: nothing of the kind, or images of another shape.
        RuntimeUnavailable: a package that reads them is not installed.
    """
    suffixes = {Path(spec).suffix.lower() for spec in specs}
    if suffixes <= set(PICTURES):
        return _pictures([Path(spec) for spec in specs], shape)
    if len(specs) > 1:
        raise DataError(f"images: several files must all be pictures ({', '.join(PICTURES)}), got {', '.join(specs)}")
    return _array(Path(specs[0]), shape) if suffixes <= {".npy", ".npz"} else _data_set(specs[0], shape)


def random_images(count: int, seed: int, shape: Shape) -> Images:
    """Uniform in [-1, 1]; the same for the same seed."""
    array = np.random.default_rng(seed).uniform(-1, 1, (count, *shape)).astype(np.float32)
    return Images(_numbered(count), shape, array.__getitem__)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _array(path: Path, shape: Shape) -> Images:
    expected = f"float32 [N, {', '.join(map(str, shape))}] in [-1, 1]"
    try:
        loaded = np.load(path, allow_pickle=False)
    except OSError as exc:
        raise DataError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise DataError(f"{path}: no array file: {exc}") from exc
    labels = None
    if isinstance(loaded, np.lib.npyio.NpzFile):
        with loaded:
            if "images" not in loaded:
                raise DataError(f"{path}: expected an array `images` in it, found {', '.join(loaded) or 'nothing'}")
            array, labels = loaded["images"], loaded.get("labels")
    else:
        array = loaded
    array = array[np.newaxis] if array.ndim == 3 else array
    if not np.issubdtype(array.dtype, np.floating) or array.shape[1:] != shape or not len(array):
        hint = "; of pixels 0 to 255 make pixels / 127.5 - 1" if array.dtype == np.uint8 else ""
        hint += "; move the channels to the end" if array.shape[1:] == (shape[2], *shape[:2]) != shape else ""
        raise DataError(f"{path}: expected {expected}, got {array.dtype} {list(array.shape)}{hint}")
    if labels is not None and (labels.shape != (len(array),) or not np.issubdtype(labels.dtype, np.integer)):
        raise DataError(f"{path}: labels: expected {len(array)} integers, got {labels.dtype} {list(labels.shape)}")
    images = array.astype(np.float32, copy=False)
    return Images(
        _numbered(len(images)), shape, images.__getitem__, None if labels is None else labels.astype(np.int64)
    )


def _pictures(paths: Sequence[Path], shape: Shape) -> Images:
    height, width, channels = shape
    if channels != 3:
        raise DataError(f"pictures have 3 channels, the network takes {channels}; give its images as .npy")
    try:
        import PIL.Image  # noqa: F401

        from bnn_deploy.training.data.imagefolder import load_image
    except ImportError as exc:
        raise RuntimeUnavailable(f"pictures need {exc.name}; pip install 'bnn-deploy[train]', or give .npy") from exc
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: no such file")

    def load(indices: Indices) -> Floats:
        return np.stack([load_image(paths[index], height, width) for index in indices.tolist()])

    return Images(tuple(map(str, paths)), shape, load)


def _data_set(spec: str, shape: Shape) -> Images:
    try:
        from bnn_deploy.training.data import load_data
    except ImportError as exc:
        raise RuntimeUnavailable(f"{spec}: data sets need {exc.name}; pip install 'bnn-deploy[train]'") from exc
    height, width, channels = shape
    try:
        data = load_data(spec, height, width)
    except UnknownName as exc:
        raise DataError(f"{spec}: no array (.npy, .npz), no picture ({', '.join(PICTURES)}), and {exc}") from exc
    if channels != 3:
        raise DataError(f"{spec}: its images have 3 channels, the network takes {channels}")
    test = data.test
    return Images(_numbered(len(test)), shape, test.images, np.asarray(test.labels), data.class_names)
