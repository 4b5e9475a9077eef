"""Top-1 of two runtimes that round differently: which differences are errors, and how many may be excused."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MOST_EXCUSED = 0.1  # share of images whose top-1 may differ for a tie: random weights leave logits near to each other

Logits = npt.NDArray[np.float32]


def compare_answers(expected: Logits, moved: Logits, found: Logits) -> dict[str, object]:
    """The logits [images, classes] of one runtime, its own after a change as small as a rounding, and the other's.

    bound: twice the largest difference that the change makes to a logit. ties: images whose two highest logits are no
    further apart; there another top-1 is excused, elsewhere it is wrong. A tie excuses no NaN, and nothing passes
    when more than MOST_EXCUSED of the images were excused.
    """
    images = len(expected)
    bound = 2 * float(np.abs(expected - moved).max())
    ordered = np.sort(expected, axis=1)
    tie = ordered[:, -1] - ordered[:, -2] <= bound
    differs = expected.argmax(axis=1) != found.argmax(axis=1)
    sound = np.isfinite(found - expected).all(axis=1)
    excused = int((differs & tie & sound).sum())
    wrong = int((differs & ~tie | ~sound).sum())
    return {
        "images": images,
        "agree": int((~differs).sum()),
        "lce_agrees_with_itself": int((expected.argmax(axis=1) == moved.argmax(axis=1)).sum()),
        "bound": bound,
        "ties": int(tie.sum()),
        "tie_share": int(tie.sum()) / images,
        "excused": excused,
        "excused_share": excused / images,
        "most_excused": MOST_EXCUSED,
        "wrong": wrong,
        "largest_difference": float(np.abs(expected - found).max()),
        "largest_logit": float(np.abs(expected).max()),
        "passed": not wrong and excused <= MOST_EXCUSED * images,
    }
