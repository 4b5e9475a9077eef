"""Which differences of top-1 the comparison with LCE excuses, and how many."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.lce_top1 import MOST_EXCUSED, compare_answers

IMAGES = 20
MOST = int(MOST_EXCUSED * IMAGES)


def logits(gap: float) -> np.ndarray:
    return np.tile(np.array([0.0, 1.0, 1.0 + gap], np.float32), (IMAGES, 1))


def compare(gap: float, differing: int) -> dict[str, object]:
    """Logits that a rounding moves by 0.125, so that the bound is 0.25; top-1 differs on so many images."""
    expected, found = logits(gap), logits(gap)
    found[:differing, 1] += 2 * gap
    return compare_answers(expected, expected + np.float32(0.125), found)


@pytest.mark.parametrize(
    ("gap", "differing", "excused", "wrong", "passed"),
    [
        (0.25, 0, 0, 0, True),
        (0.25, MOST, MOST, 0, True),
        (0.25, MOST + 1, MOST + 1, 0, False),
        (0.5, 0, 0, 0, True),
        (0.5, 1, 0, 1, False),
    ],
)
def test_differences(gap: float, differing: int, excused: int, wrong: int, passed: bool) -> None:
    result = compare(gap, differing)
    assert result["bound"] == 0.25
    assert result["tie_share"] == (1.0 if gap == 0.25 else 0.0)
    assert result["agree"] == IMAGES - differing
    assert (result["excused"], result["excused_share"]) == (excused, excused / IMAGES)
    assert (result["wrong"], result["passed"]) == (wrong, passed)


def test_a_tie_excuses_no_nan() -> None:
    expected, found = logits(0.25), logits(0.25)
    found[3, 0] = np.nan
    result = compare_answers(expected, expected + np.float32(0.125), found)
    assert (result["wrong"], result["passed"]) == (1, False)
