"""Images for `bnn-deploy run`: arrays, pictures, data sets, random ones; and those that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bnn_deploy.errors import DataError
from bnn_deploy.running.images import load_images, random_images

SHAPE = (12, 12, 3)


def test_images_from_arrays(tmp_path: Path) -> None:
    array = np.random.default_rng(1).standard_normal((5, *SHAPE))
    np.save(tmp_path / "a.npy", array)
    np.save(tmp_path / "one.npy", array[0])
    np.savez(tmp_path / "a.npz", images=array, labels=np.arange(5))
    images = load_images([str(tmp_path / "a.npy")], SHAPE)
    assert len(images) == 5
    np.testing.assert_array_equal(np.concatenate(list(images.batches())), array.astype(np.float32))
    assert len(load_images([str(tmp_path / "one.npy")], SHAPE)) == 1
    labelled = load_images([str(tmp_path / "a.npz")], SHAPE).first(3)
    assert labelled.labels is not None
    assert labelled.labels.tolist() == [0, 1, 2]
    assert sum(map(len, labelled.batches())) == 3


def test_images_from_pictures_and_data_sets(tmp_path: Path) -> None:
    paths = [tmp_path / "black.png", tmp_path / "white.JPG"]
    for path, colour in zip(paths, ("black", "white"), strict=True):
        Image.new("RGB", (40, 20), colour).save(path)
    images = load_images([str(path) for path in paths], SHAPE)
    (batch,) = images.batches()
    assert (batch.shape, batch.dtype) == ((2, *SHAPE), np.float32)
    assert (batch[0] == -1).all()
    assert (batch[1] == 1).all()
    assert images.names == tuple(map(str, paths))
    digits = load_images(["digits"], SHAPE)
    assert digits.labels is not None
    assert len(digits) == len(digits.labels) == 377
    assert digits.class_names == tuple("0123456789")
    assert max(map(len, digits.batches())) <= 64


def test_random_images_have_a_seed() -> None:
    (first,), (again,), (other,) = (list(random_images(3, seed, SHAPE).batches()) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.abs(first).max() <= 1


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["none.npy"], r"none\.npy: cannot be read: No such file"),
        (["none.png"], r"none\.png: no such file"),
        (["text.png"], r"text\.png: cannot be read as an image"),
        (["text.npy"], r"text\.npy: no array file"),
        (
            ["small.npy"],
            r"expected float32 \[N, 12, 12, 3\] in \[-1, 1\], got float32 \[2, 3, 12, 12\]; move the channels",
        ),
        (["pixels.npy"], r"got uint8 \[1, 12, 12, 3\]; of pixels 0 to 255 make pixels / 127.5 - 1"),
        (["empty.npz"], r"expected an array `images` in it, found other"),
        (["labels.npz"], r"labels: expected 2 integers, got float64 \[2\]"),
        (["small.npy", "text.png"], r"several files must all be pictures"),
        (["digit"], r"no array .* and unknown data set 'digit'; did you mean digits"),
        (["imagefolder:none"], r"no such folder"),
    ],
)
def test_images_that_do_not_fit(
    specs: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("text.png", "text.npy"):
        Path(name).write_text("no image\n")
    np.save("small.npy", np.zeros((2, 3, 12, 12), np.float32))
    np.save("pixels.npy", np.zeros((1, *SHAPE), np.uint8))
    np.savez("empty.npz", other=np.zeros(1))
    np.savez("labels.npz", images=np.zeros((2, *SHAPE), np.float32), labels=np.zeros(2))
    with pytest.raises(DataError, match=message):
        list(load_images(specs, SHAPE).batches())


def test_a_network_of_grey_images_takes_no_pictures(tmp_path: Path) -> None:
    for spec in (str(tmp_path / "a.png"), "digits"):
        with pytest.raises(DataError, match="the network takes 1"):
            load_images([spec], (12, 12, 1))
