"""Data sets: what the images look like, and that no image is ever in two splits."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bnn_deploy.errors import DataError, UnknownName
from bnn_deploy.training.data import Data, Split, load_data
from bnn_deploy.training.data.resize import cubic_matrix, resize
from bnn_deploy.training.data.split import partition

CIFAR_RECORD = 3073


def write_cifar10(folder: Path, *, duplicates: bool = True) -> Path:
    """5 x 40 training and 30 test images; some occur twice, within train and across train and test."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    records = rng.integers(0, 256, (230, CIFAR_RECORD), dtype=np.uint8)
    records[:, 0] = np.arange(230) % 10
    if duplicates:
        records[40:60] = records[:20]  # twice in train
        records[205] = records[7]  # train (twice) and test
    for batch in range(5):
        records[batch * 40 : batch * 40 + 40].tofile(folder / f"data_batch_{batch + 1}.bin")
    records[200:].tofile(folder / "test_batch.bin")
    return folder


def write_imagefolder(folder: Path) -> Path:
    """Three classes of 20 training and 4 test images, again with duplicates, and a file that is no image."""
    rng = np.random.default_rng(4)
    for name in ("ant", "bee", "cow"):
        for part, count in (("train", 20), ("val", 4)):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (20 + number % 3, 30, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number:02d}.png")
        (folder / "train" / name / "notes.txt").write_text("not an image")
    copy = (folder / "train/ant/03.png").read_bytes()
    (folder / "train/ant/zz.png").write_bytes(copy)
    (folder / "train/bee/zz.png").write_bytes((folder / "val/bee/01.png").read_bytes())
    return folder


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("data")
    return {
        "digits": "digits",
        "shapes": "shapes",
        "cifar10": f"cifar10:{write_cifar10(folder / 'cifar')}",
        "imagefolder": f"imagefolder:{write_imagefolder(folder / 'tree')}",
    }


@pytest.fixture(params=["digits", "shapes", "cifar10", "imagefolder"])
def data(request: pytest.FixtureRequest, specs: dict[str, str]) -> Data:
    return load_data(specs[request.param], 32, 32)


def everything(split: Split) -> np.ndarray:
    return split.images(np.arange(len(split)))


def hashes(split: Split) -> set[str]:
    return {hashlib.sha256(image.tobytes()).hexdigest() for image in everything(split)}


def test_splits_never_share_an_image(data: Data) -> None:
    contents = [hashes(split) for split in (data.train, data.val, data.test)]
    ids = [set(split.ids.tolist()) for split in (data.train, data.val, data.test)]
    for sets in (contents, ids):
        assert all(sets)
        assert not sets[0] & sets[1]
        assert not sets[0] & sets[2]
        assert not sets[1] & sets[2]
    assert all(len(split.ids) == len(set(split.ids.tolist())) for split in (data.train, data.val, data.test))


def test_images_are_rgb_in_range(data: Data) -> None:
    for split in (data.train, data.val, data.test):
        images = split.images(np.arange(3), augment=(0, 1, 2))
        assert images.shape == (3, 32, 32, 3)
        assert images.dtype == np.float32
        assert images.min() >= -1
        assert images.max() <= 1
        assert split.labels.dtype == np.int64
        assert set(split.labels.tolist()) <= set(range(data.classes))


def test_every_class_is_in_every_split(data: Data) -> None:
    for split in (data.train, data.val, data.test):
        assert len(set(split.labels.tolist())) == data.classes


def test_loading_twice_gives_the_same(data: Data, specs: dict[str, str]) -> None:
    again = load_data(specs[data.name], 32, 32)
    assert again.digest == data.digest
    for first, second in ((data.train, again.train), (data.val, again.val), (data.test, again.test)):
        assert np.array_equal(first.ids, second.ids)
        assert np.array_equal(first.images(np.arange(5)), second.images(np.arange(5)))


def test_test_split_does_not_depend_on_the_seed(data: Data, specs: dict[str, str]) -> None:
    other = load_data(specs[data.name], 32, 32, seed=1)
    assert np.array_equal(everything(other.test), everything(data.test))
    assert np.array_equal(other.test.labels, data.test.labels)
    assert hashes(other.val) != hashes(data.val)
    assert other.digest != data.digest


def test_image_does_not_depend_on_its_batch(data: Data) -> None:
    together = data.train.images(np.arange(6))
    assert np.array_equal(together[4:5], data.train.images(np.array([4])))


def test_augmentation_follows_from_its_key(data: Data) -> None:
    indices = np.arange(8)
    first = data.train.images(indices, augment=(0, 3, 7))
    assert np.array_equal(first, data.train.images(indices, augment=(0, 3, 7)))
    for key in ((1, 3, 7), (0, 4, 7), (0, 3, 8)):
        assert not np.array_equal(first, data.train.images(indices, augment=key))
    assert not np.array_equal(first, data.train.images(indices))


@pytest.mark.parametrize("kind", ["digits", "shapes", "cifar10"])
def test_val_and_test_are_never_augmented(kind: str, specs: dict[str, str]) -> None:
    data = load_data(specs[kind], 32, 32)
    for split in (data.val, data.test):
        assert np.array_equal(split.images(np.arange(4), augment=(0, 0, 0)), split.images(np.arange(4)))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 8), (17, 40), (64, 48)])
def test_any_size(height: int, width: int, specs: dict[str, str]) -> None:
    for spec in specs.values():
        data = load_data(spec, height, width)
        assert data.train.images(np.arange(2), augment=(0, 0, 0)).shape == (2, height, width, 3)
        assert data.test.images(np.arange(2)).shape == (2, height, width, 3)


def test_digits_sizes() -> None:
    data = load_data("digits", 32, 32)
    assert len(data.test) >= 360
    assert len(data.val) >= 350
    assert len(data.train) + len(data.val) + len(data.test) == 1797
    assert data.class_names == tuple("0123456789")


def test_digits_at_their_own_size_are_the_source() -> None:
    from sklearn.datasets import load_digits

    data = load_data("digits", 8, 8)
    source = load_digits()
    images = everything(data.test)
    assert np.array_equal(images[..., 0], source.images[data.test.ids] / 8 - 1)
    assert np.array_equal(images[..., 0], images[..., 2])
    assert np.array_equal(data.test.labels, source.target[data.test.ids])


def test_shapes_classes_look_different_and_fill_the_frame() -> None:
    from bnn_deploy.training.data.figures import FIGURES

    axis = np.linspace(-1, 1, 81)
    v, u = np.meshgrid(axis, axis, indexing="ij")
    masks = {name: figure(u, v) > 0 for name, figure in FIGURES.items()}
    for name, mask in masks.items():
        assert 0.1 < mask.mean() < 0.7, name
        assert not mask[0].any(), f"{name} is cut off"
    names = list(masks)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            assert (masks[first] != masks[second]).mean() > 0.03, (first, second)


def test_cifar10_pixels_and_labels(tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path / "cifar-10-batches-bin", duplicates=False)
    data = load_data(f"cifar10:{tmp_path}", 32, 32)  # the folder above is enough
    record = np.fromfile(folder / "test_batch.bin", np.uint8).reshape(-1, CIFAR_RECORD)[5]
    assert data.test.labels[5] == record[0]
    image = data.test.images(np.array([5]))[0]
    assert image[2, 7, 1] == pytest.approx(record[1 + 1024 + 2 * 32 + 7] / 127.5 - 1, abs=1e-6)
    assert (len(data.train), len(data.val), len(data.test)) == (180, 20, 30)


def test_cifar10_python_version_is_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "owned").encode() + b"'\ntR.")
    with pytest.raises(DataError, match=r"Python version.*never opened.*cifar-10-binary"):
        load_data(f"cifar10:{tmp_path}", 32, 32)
    assert not (tmp_path / "owned").exists()


def test_cifar10_damaged_files(tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path / "c")
    batch = folder / "data_batch_3.bin"
    whole = batch.read_bytes()
    batch.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"data_batch_3\.bin: expected a multiple of 3073"):
        load_data(f"cifar10:{folder}", 32, 32)
    batch.write_bytes(b"\x0a" + whole[1:])
    with pytest.raises(DataError, match=r"data_batch_3\.bin: expected labels 0 to 9, got 10"):
        load_data(f"cifar10:{folder}", 32, 32)
    (folder / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"expected data_batch_1\.bin"):
        load_data(f"cifar10:{folder}", 32, 32)


def test_imagefolder_unreadable_image_is_named(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "tree")
    victim = folder / "val/cow/02.png"
    for content in (victim.read_bytes()[:200], b"", b"text"):
        victim.write_bytes(content)
        data = load_data(f"imagefolder:{folder}", 16, 16)
        with pytest.raises(DataError, match=r"val/cow/02\.png: cannot be read as an image"):
            everything(data.test)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    path.symlink_to("nowhere.png")


def two_links_to_folders(path: Path) -> None:
    """Files of one size are opened when loading, to compare them."""
    path.symlink_to("..")
    path.with_name("99.png").symlink_to("..")


@pytest.mark.parametrize("spoil", [loop, dangling, two_links_to_folders])
def test_imagefolder_unreadable_file_is_named(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "tree")
    spoil(folder / "train/cow/98.png")
    with pytest.raises(DataError, match=r"train/cow/9[89]\.png: cannot be read: [A-Z][\w ]+; repair or remove it"):
        load_data(f"imagefolder:{folder}", 16, 16)


@pytest.mark.parametrize(
    ("method", "name"), [("open", "train/ant/03.png"), ("stat", "val/cow"), ("stat", "tree"), ("iterdir", "train/bee")]
)
def test_imagefolder_without_permission(
    method: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_imagefolder(tmp_path / "tree")
    real = getattr(Path, method)

    def refuse(self: Path, *args: object, **options: object) -> object:
        if name in str(self):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return real(self, *args, **options)

    monkeypatch.setattr(Path, method, refuse)  # chmod would not stop root
    with pytest.raises(DataError, match=rf"{name}[\w/.]*: cannot be read: Permission denied"):
        load_data(f"imagefolder:{folder}", 16, 16)


def test_imagefolder_folder_named_like_an_image(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "tree")
    before = load_data(f"imagefolder:{folder}", 16, 16).digest
    (folder / "train/ant/folder.jpg").mkdir()
    assert load_data(f"imagefolder:{folder}", 16, 16).digest == before


def test_imagefolder_duplicates_and_foreign_files(tmp_path: Path) -> None:
    data = load_data(f"imagefolder:{write_imagefolder(tmp_path / 'tree')}", 16, 16)
    assert data.class_names == ("ant", "bee", "cow")
    # 60 + one copy within train; the copy of a test image is left out
    assert len(data.train) + len(data.val) == 61
    assert len(data.test) == 12


def test_imagefolder_centre_crop(tmp_path: Path) -> None:
    """A picture with a bright middle: the crop keeps the middle and loses the far ends of the longer side."""
    folder = write_imagefolder(tmp_path / "tree")
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 100:200] = 255
    Image.fromarray(pixels).save(folder / "val/ant/00.png")
    data = load_data(f"imagefolder:{folder}", 32, 32)
    assert data.test.images(np.array([0])).min() == 1.0


def folder_without(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).rename(folder / "elsewhere")

    return change


def extra_class(folder: Path) -> None:
    (folder / "val/dog").mkdir()


def no_images(folder: Path) -> None:
    for path in folder.glob("val/*/*"):
        path.unlink()


def too_few(folder: Path) -> None:
    for path in folder.glob("train/*/*"):
        if path.name != "00.png":
            path.unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (folder_without("val"), r"no such folder; expected train/CLASS"),
        (folder_without("train"), r"no such folder; expected train/CLASS"),
        (extra_class, r"classes without a folder in train: dog"),
        (no_images, r"expected images in both"),
        (too_few, r"too few images"),
    ],
)
def test_imagefolder_errors(change: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "tree")
    change(folder)
    with pytest.raises(DataError, match=message):
        load_data(f"imagefolder:{folder}", 16, 16)


@pytest.mark.parametrize("spec", ["digit", "cifar", "digits:here", "", "mnist:/tmp"])
def test_unknown_data_set(spec: str) -> None:
    with pytest.raises(UnknownName, match=r"unknown data set.*digits.*imagefolder:DIR.*shapes"):
        load_data(spec, 32, 32)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load_data(f"cifar10:{tmp_path / 'none'}", 32, 32)
    with pytest.raises(DataError, match="expected a folder, as in cifar10:DIR"):
        load_data("cifar10", 32, 32)


def test_size_below_one() -> None:
    with pytest.raises(ValueError, match="height=0"):
        load_data("digits", 0, 32)


def test_partition_keeps_equal_keys_together_and_ignores_order() -> None:
    keys = [bytes([number // 2]) for number in range(200)]
    labels = np.arange(200) // 2 % 5
    parts = partition(keys, labels, [0.2, 0.3], "salt")
    assert [len(part) for part in parts] == [40, 60, 100]
    assert sorted(index for part in parts for index in part) == list(range(200))
    for part in parts:
        assert {keys[i] for i in part}.isdisjoint({keys[i] for i in set(range(200)) - set(part)})
        assert np.ptp(np.bincount(labels[part])) == 0
    backwards = partition(keys[::-1], labels[::-1], [0.2, 0.3], "salt")
    assert [{keys[i] for i in part} for part in parts] == [{keys[199 - i] for i in part} for part in backwards]


@pytest.mark.parametrize(("size_in", "size_out"), [(8, 32), (8, 8), (8, 1), (32, 8), (1, 5), (7, 9)])
def test_resampling_keeps_constants_and_lines(size_in: int, size_out: int) -> None:
    matrix = cubic_matrix(size_in, size_out).astype(np.float64)
    assert matrix.shape == (size_out, size_in)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-6)  # float32 entries
    centres = (np.arange(size_out) + 0.5) * size_in / size_out - 0.5
    inner = (centres > 2 * max(1, size_in / size_out)) & (centres < size_in - 1 - 2 * max(1, size_in / size_out))
    np.testing.assert_allclose((matrix @ np.arange(size_in))[inner], centres[inner], rtol=0, atol=1e-4)


def test_resize_clips_overshoot() -> None:
    images = np.full((1, 4, 4, 3), -1, np.float32)
    images[:, 1:3] = 1
    large = resize(images, 33, 33)
    assert large.min() >= -1
    assert large.max() <= 1
    assert resize(images, 4, 4) is images
