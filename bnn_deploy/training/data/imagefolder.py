"""Images in folders, ImageNet's layout: train/CLASS/*.jpg and val/CLASS/*.jpg, decoded with Pillow when asked for.

The folder `val` is the test split; the search's validation split is held out of `train`.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bnn_deploy.errors import DataError, RuntimeUnavailable
from bnn_deploy.training.data.split import AugmentKey, Data, Images, Indices, augment_rng, digest_of, partition

if TYPE_CHECKING:
    from PIL import Image

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_VAL, _VAL_LARGEST = 0.1, 10_000  # share of `train` held out for the search, and its largest size
_PROBE = 4096  # bytes from the middle of a file that tell files of one size apart
_RESIZE = 256 / 224  # the shorter side before the centre crop, as in the ImageNet evaluation of the papers
_AREA, _ASPECT = (0.25, 1.0), (3 / 4, 4 / 3)  # random crop: share of the image, width / height


@dataclass(frozen=True)
class FolderSplit:
    """Image files with labels; see Split."""

    paths: tuple[Path, ...]
    ids: Indices
    labels: Indices
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.paths)

    def images(self, indices: Indices, augment: AugmentKey | None = None) -> Images:
        """See Split.images."""

        def load(place: int) -> Images:
            rng = None if augment is None else augment_rng(augment, place)
            return load_image(self.paths[int(indices[place])], self.height, self.width, rng)

        return np.stack(list(_decoders().map(load, range(len(indices)))))


def load_imagefolder(root: Path, height: int, width: int, seed: int) -> Data:
    """Folders of images. A training image that is also in `val` is left out.

    Two files are one image if their size and 4 KiB from their middle are equal; the digest knows files by path and
    size, as reading all of ImageNet at every start would take minutes.

    Raises:
        DataError: folders missing or empty, or classes of `val` that `train` lacks.
        OSError: a file cannot be read.
        RuntimeUnavailable: Pillow is not installed.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as exc:
        raise RuntimeUnavailable("imagefolder: Pillow is missing; pip install 'bnn-deploy[train]'") from exc
    names = _classes(root / "train")
    extra = sorted(set(_classes(root / "val")) - set(names))
    if extra:
        raise DataError(f"{root / 'val'}: classes without a folder in train: {', '.join(extra)}")
    files = [
        (path, names.index(name)) for part in ("train", "val") for name in names for path in _files(root / part / name)
    ]
    paths = [path for path, _ in files]
    labels = np.array([label for _, label in files], np.int64)
    test = [i for i, path in enumerate(paths) if path.parent.parent.name == "val"]
    if not test or len(test) == len(paths):
        raise DataError(f"{root}: expected images in both train/CLASS and val/CLASS ({', '.join(sorted(_SUFFIXES))})")

    sizes = [path.stat().st_size for path in paths]
    keys = _identities(paths, sizes, root)
    tested = {keys[i] for i in test}
    rest = [i for i in range(len(paths)) if i < test[0] and keys[i] not in tested]
    share = min(_VAL, _VAL_LARGEST / len(rest)) if rest else _VAL
    val, train = partition([keys[i] for i in rest], labels[rest], [share], f"imagefolder val {seed}")
    val, train = [rest[i] for i in val], [rest[i] for i in train]
    if not val or not train:
        raise DataError(
            f"{root / 'train'}: too few images to hold {_VAL:.0%} of each class out; have at least 5 of each"
        )

    def split(indices: Iterable[int]) -> FolderSplit:
        ids = np.fromiter(indices, np.int64)
        return FolderSplit(tuple(paths[i] for i in ids), ids, labels[ids], height, width)

    known = [(path.relative_to(root).as_posix(), size) for path, size in zip(paths, sizes, strict=True)]
    return Data(
        name="imagefolder",
        height=height,
        width=width,
        class_names=tuple(names),
        train=split(train),
        val=split(val),
        test=split(test),
        digest=digest_of("imagefolder 1", height, width, known, train, val),
    )


def _classes(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected train/CLASS/*.jpg and val/CLASS/*.jpg")
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())


def _files(folder: Path) -> list[Path]:
    """Images by name; a link that leads nowhere is among them, so that it is reported and not left out."""
    if not folder.is_dir():
        return []
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    return [path for path in images if path.is_file() or path.is_symlink()]


def _identities(paths: list[Path], sizes: list[int], root: Path) -> list[bytes]:
    """A key for each file, equal for equal files; only files that share their size are opened."""
    shared = Counter(sizes)

    def key(place: int) -> bytes:
        path, size = paths[place], sizes[place]
        if shared[size] == 1:
            return path.relative_to(root).as_posix().encode()
        with path.open("rb") as file:
            file.seek(max(0, (size - _PROBE) // 2))
            return size.to_bytes(8, "little") + hashlib.sha256(file.read(_PROBE)).digest()

    return list(_decoders().map(key, range(len(paths))))


@functools.lru_cache(maxsize=1)
def _decoders() -> ThreadPoolExecutor:
    """Pillow decodes without the interpreter's lock."""
    return ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="decode")


def load_image(path: Path, height: int, width: int, rng: np.random.Generator | None = None) -> Images:
    """One image [height, width, 3] in [-1, 1]: its centre, or a random crop and flip of it.

    Raises:
        DataError: it cannot be read.
    """
    import PIL.Image

    try:
        with PIL.Image.open(path) as file:
            image = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as exc:
        raise DataError(f"{path}: cannot be read as an image: {exc}; remove or replace it") from exc
    box = _centre(image, height, width) if rng is None else _random_crop(image, rng)
    small = image.resize((width, height), PIL.Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(small, np.float32) / 127.5 - 1
    return pixels[:, ::-1] if rng is not None and rng.random() < 0.5 else pixels


def _centre(image: Image.Image, height: int, width: int) -> tuple[float, float, float, float]:
    """What a resize of the shorter side to 256/224 of the target and a centre crop would keep."""
    scale = min(image.width / width, image.height / height) / _RESIZE
    left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
    return left, top, left + scale * width, top + scale * height


def _random_crop(image: Image.Image, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A random part of random aspect; cut to the image where it would stick out."""
    area = image.width * image.height * rng.uniform(*_AREA)
    aspect = np.exp(rng.uniform(np.log(_ASPECT[0]), np.log(_ASPECT[1])))
    crop_width = min(float(np.sqrt(area * aspect)), image.width)
    crop_height = min(float(np.sqrt(area / aspect)), image.height)
    left, top = rng.random() * (image.width - crop_width), rng.random() * (image.height - crop_height)
    return left, top, left + crop_width, top + crop_height
