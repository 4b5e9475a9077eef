"""CIFAR-10 from its binary version: files of 10 000 records, one label byte and 3 x 32 x 32 pixels, planes R, G, B."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bnn_deploy.errors import DataError
from bnn_deploy.training.data.augment import shift_and_flip, unchanged
from bnn_deploy.training.data.resize import resize
from bnn_deploy.training.data.split import Data, Images, Indices, RenderedSplit, digest_of, partition

_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_RECORD = 1 + 3 * 32 * 32
_VAL = 0.1  # of the training images


def load_cifar10(root: Path, height: int, width: int, seed: int) -> Data:
    """Train and val from data_batch_*.bin, test from test_batch.bin; a training image that is also in test is left out.

    Args:
        root: the folder of the .bin files, or the one that holds `cifar-10-batches-bin`.

    Raises:
        DataError: files missing, cut short or with impossible labels; or only the pickled Python version is there.
    """
    inner = root / "cifar-10-batches-bin"
    folder = inner if inner.is_dir() else root
    names = sorted(path.name for path in folder.glob("data_batch_*.bin"))
    if not names or not (folder / "test_batch.bin").is_file():
        raise DataError(_missing(root))
    parts = [_read(folder / name) for name in [*names, "test_batch.bin"]]
    pixels = np.concatenate([part[:, 1:] for part in parts])
    labels = np.concatenate([part[:, 0] for part in parts]).astype(np.int64)
    test = range(len(labels) - len(parts[-1]), len(labels))

    keys = [image.tobytes() for image in pixels]
    tested = {keys[i] for i in test}
    rest = [i for i in range(test.start) if keys[i] not in tested]
    val, train = partition([keys[i] for i in rest], labels[rest], [_VAL], f"cifar10 val {seed}")
    val, train = [rest[i] for i in val], [rest[i] for i in train]

    def render(ids: Indices) -> Images:
        planes = pixels[ids].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return resize(np.ascontiguousarray(planes, dtype=np.float32) / 127.5 - 1, height, width)

    def split(indices: Iterable[int], *, training: bool = False) -> RenderedSplit:
        ids = np.fromiter(indices, np.int64)
        return RenderedSplit(ids, labels[ids], render, shift_and_flip if training else unchanged)

    return Data(
        name="cifar10",
        height=height,
        width=width,
        class_names=_CLASSES,
        train=split(train, training=True),
        val=split(val),
        test=split(test),
        digest=digest_of("cifar10 1", height, width, pixels.tobytes(), labels.tobytes(), train, val),
    )


def _read(path: Path) -> npt.NDArray[np.uint8]:
    """Records [n, 3073] of one file."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as exc:
        raise DataError(f"{path}: cannot be read: {exc.strerror}") from exc
    if not data.size or data.size % _RECORD:
        raise DataError(f"{path}: expected a multiple of {_RECORD} bytes, got {data.size}; unpack the archive again")
    records = data.reshape(-1, _RECORD)
    if records[:, 0].max() >= len(_CLASSES):
        raise DataError(
            f"{path}: expected labels 0 to 9, got {records[:, 0].max()}; this is not CIFAR-10's binary version"
        )
    return records


def _missing(root: Path) -> str:
    python = [folder for folder in (root, root / "cifar-10-batches-py") if (folder / "data_batch_1").is_file()]
    if python:
        return (
            f"{python[0]}: this is CIFAR-10's Python version, whose files are pickles and are never opened here "
            f"(a pickle can run any code); get the binary version, cifar-10-binary.tar.gz"
        )
    return (
        f"{root}: expected data_batch_1.bin ... and test_batch.bin, CIFAR-10's binary version (cifar-10-binary.tar.gz)"
    )
