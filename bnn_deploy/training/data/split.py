"""What a data set is to the rest of the package, and how one list of images becomes disjoint splits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]  # [n, height, width, 3] in [-1, 1]
Indices = npt.NDArray[np.int64]
AugmentKey = tuple[int, int, int]  # (seed, epoch, batch): the same key gives the same random changes, always

_AUGMENT = 2  # keeps these generators apart from others that are seeded with small numbers


def augment_rng(key: AugmentKey, place: int = 0) -> np.random.Generator:
    """The generator of a key; of one image of the batch, if `place` (from 0) is given."""
    return np.random.default_rng([_AUGMENT, *key, place])


class Split(Protocol):
    """Images with labels. Images are made on demand, so a split of any size fits in memory."""

    @property
    def labels(self) -> Indices:
        """Class numbers, [n]."""

    @property
    def ids(self) -> Indices:
        """Places in the source data, [n]; no id is in two splits of one data set."""

    def __len__(self) -> int: ...

    def images(self, indices: Indices, augment: AugmentKey | None = None) -> Images:
        """Images number `indices` of this split, float32 [n, height, width, 3] in [-1, 1], changed at random by a key.

        Raises:
            DataError: a file cannot be read.
        """


@dataclass(frozen=True)
class Data:
    """A data set of one image size.

    Args:
        name: digits, shapes, cifar10 or imagefolder.
        class_names: a name for each class number.
        train, val, test: disjoint; val is for the search, test for the last word.
        digest: SHA-256 of what the images are and how they are split, 64 hexadecimal digits.
    """

    name: str
    height: int
    width: int
    class_names: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    digest: str

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


@dataclass(frozen=True)
class RenderedSplit:
    """A split whose images a function makes from source ids.

    Args:
        ids, labels: int64 [n].
        render: source ids -> images, without randomness.
        change: (images, generator) -> images; applied when a key is given.
    """

    ids: Indices
    labels: Indices
    render: Callable[[Indices], Images]
    change: Callable[[Images, np.random.Generator], Images]

    def __len__(self) -> int:
        return len(self.ids)

    def images(self, indices: Indices, augment: AugmentKey | None = None) -> Images:
        """See Split.images."""
        images = self.render(self.ids[indices])
        return images if augment is None else self.change(images, augment_rng(augment))


def partition(keys: Sequence[bytes], labels: Indices, fractions: Sequence[float], salt: str) -> tuple[list[int], ...]:
    """Parts `range(len(keys))` class by class; equal keys stay together.

    The order in which a class is dealt out is that of SHA-256(salt, key): it does not depend on the order of the
    images, nor on any random generator, so it is the same everywhere and for ever.

    Args:
        keys: what each image is; images with equal keys are one image.
        labels: class numbers; of several equal images, the first decides.
        fractions: share of each class for all parts but the last, which takes the rest.

    Returns:
        Sorted indices, one list for each fraction and one for the rest.
    """
    members: dict[bytes, list[int]] = {}
    for index, key in enumerate(keys):
        members.setdefault(key, []).append(index)
    classes: dict[int, list[bytes]] = {}
    for key, indices in members.items():
        classes.setdefault(int(labels[indices[0]]), []).append(key)
    parts: tuple[list[int], ...] = tuple([] for _ in range(len(fractions) + 1))
    for unique in classes.values():
        unique.sort(key=lambda key: hashlib.sha256(salt.encode() + b"\0" + key).digest())
        bounds = np.rint(np.cumsum(fractions) * len(unique)).astype(int)
        for place, key in enumerate(unique):
            parts[int(np.searchsorted(bounds, place, side="right"))].extend(members[key])
    for part in parts:
        part.sort()
    return parts


def digest_of(*facts: object) -> str:
    """SHA-256 over facts; bytes count as they are, anything else by its repr."""
    total = hashlib.sha256()
    for fact in facts:
        data = fact if isinstance(fact, bytes) else repr(fact).encode()
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()
