"""The binary kernels from Python, against a float convolution of the signs: integers are equal, no tolerance."""

from __future__ import annotations

import numpy as np
import pytest

from bnn_deploy import _native
from bnn_deploy.errors import RuntimeUnavailable, UnknownName
from bnn_deploy.kernels import Kernel, available_kernels, bconv2d, build_info, pack_bits, reference, unpack_bits

KERNELS = available_kernels()


def signs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.choice(np.array([-1, 1], np.float32), shape)


@pytest.mark.parametrize("channels", [1, 7, 63, 64, 65, 127, 128, 129, 200])
def test_bit_rule(channels: int) -> None:
    x = np.random.default_rng(channels).standard_normal((3, 5, channels)).astype(np.float32)
    words = pack_bits(x)
    assert words.shape == (3, 5, -(-channels // 64))
    for channel in range(channels):
        bit = words[..., channel // 64] >> np.uint64(channel % 64) & np.uint64(1)
        np.testing.assert_array_equal(bit, x[..., channel] < 0)
    if channels % 64:
        assert not (words[..., -1] >> np.uint64(channels % 64)).any()
    np.testing.assert_array_equal(unpack_bits(words, channels), np.where(x < 0, -1, 1))


def test_zero_is_plus_one() -> None:
    x = np.array([0.0, -0.0, -1e-45, 1e-45, -np.inf, np.inf], np.float32)
    assert pack_bits(x).tolist() == [0b010100]


def test_packing_refuses() -> None:
    with pytest.raises(ValueError, match="channels"):
        pack_bits(np.zeros((3, 0), np.float32))
    with pytest.raises(ValueError, match="at least one axis"):
        pack_bits(np.float32(1.0))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not those of 65 channels"):
        unpack_bits(np.zeros((2, 1), np.uint64), 65)
    assert pack_bits(np.zeros((0, 70), np.float32)).shape == (0, 2)


# height, width, channels, out, kernel, stride, groups: sizes around the vector widths, every way to group
SHAPES = [
    (1, 1, 1, 1, 1, 1, 1),
    (5, 7, 64, 33, 3, 1, 1),
    (8, 9, 65, 16, 3, 2, 1),
    (7, 6, 32, 32, 3, 1, 32),
    (9, 9, 130, 130, 3, 2, 130),
    (6, 5, 64, 64, 3, 1, 16),
    (6, 5, 128, 256, 5, 1, 16),
    (4, 4, 192, 96, 3, 2, 3),
    (3, 3, 512, 70, 1, 1, 1),
    (6, 8, 256, 256, 3, 1, 8),
    (2, 11, 512, 512, 3, 1, 8),
    (7, 7, 100, 50, 1, 2, 2),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_every_kernel_equals_the_float_convolution(kernel: Kernel, shape: tuple[int, ...]) -> None:
    if not kernel.supported:
        pytest.skip(f"this CPU has no {kernel.isa}")
    height, width, channels, out, k, stride, groups = shape
    rng = np.random.default_rng(shape)
    image, weights = signs(rng, height, width, channels), signs(rng, out, k, k, channels // groups)
    expected = reference.bconv2d(image, weights, stride=stride, groups=groups)
    try:
        sums = bconv2d(image, weights, stride=stride, groups=groups, kernel=kernel.name)
    except RuntimeUnavailable:  # a special kernel; test_every_supported_kernel_ran_at_least_once sees to the rest
        return
    assert sums.dtype == np.int32
    np.testing.assert_array_equal(sums, expected)


def test_every_supported_kernel_ran_at_least_once() -> None:
    for kernel in KERNELS:
        if not kernel.supported:
            continue
        ran = 0
        for height, width, channels, out, k, stride, groups in SHAPES:
            image, weights = np.ones((height, width, channels)), np.ones((out, k, k, channels // groups))
            try:
                bconv2d(image, weights, stride=stride, groups=groups, kernel=kernel.name)
                ran += 1
            except RuntimeUnavailable:
                continue
        assert ran, f"no shape of this test is supported by {kernel.name}"


def test_kernel_names(monkeypatch: pytest.MonkeyPatch) -> None:
    image, weights = np.ones((4, 4, 8)), np.ones((8, 3, 3, 8))
    assert any(kernel.isa == "scalar" and kernel.supported for kernel in KERNELS)
    assert build_info()["isa"] in {kernel.isa for kernel in KERNELS}
    with pytest.raises(UnknownName, match="unknown kernel 'bconv2d_magic'"):
        bconv2d(image, weights, kernel="bconv2d_magic")
    missing = {"neon", "neon_dot", "avx2", "avx512bw", "avx512"} - set(_native.isas())
    assert missing, "no CPU has them all"
    for isa in missing:
        with pytest.raises(RuntimeUnavailable, match="this CPU does not have"):
            bconv2d(image, weights, kernel=isa)
    monkeypatch.setenv("BNN_KERNEL", "wrong")
    with pytest.raises(UnknownName, match="unknown kernel 'wrong'"):
        bconv2d(image, weights)
    monkeypatch.setenv("BNN_KERNEL", "scalar")
    assert not bconv2d(image, weights).any()


def test_shapes_that_do_not_fit() -> None:
    image = np.ones((4, 4, 8))
    for weights, options in [
        (np.ones((8, 3, 3, 7)), {}),
        (np.ones((8, 3, 3, 4)), {"groups": 3}),
        (np.ones((8, 2, 2, 8)), {}),
        (np.ones((8, 3, 1, 8)), {}),
        (np.ones((8, 3, 3, 8)), {"stride": 3}),
        (np.ones((7, 3, 3, 4)), {"groups": 2}),
        (np.ones((8, 3, 3)), {}),
    ]:
        with pytest.raises(ValueError, match=r"\w"):
            bconv2d(image, weights, **options)
