"""How long things take that are called from Python: warmed up by time, in samples that are taken in turns.

As in `bnn-board` (native/doors/board/measure.h) a sample is the duration of `iterations` calls in a row.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

MIN_SAMPLE_NS = 2_000_000  # calls are batched until a sample lasts this long
LEAST_SAMPLES = 5
WARMUP_NS = 100_000_000  # at least; then until the running median is stable, at most 10 times this

_WINDOW = 5  # batches under one running median
_STABLE = 0.01  # relative change between two windows
_BATCH_NS = 500_000

Sampler = Callable[[int], int]  # number of calls -> how long they took, nanoseconds
Tell = Callable[[float, float], None]  # seconds done, seconds in all


@dataclass(frozen=True, slots=True)
class Timed:
    """Samples of one thing.

    Args:
        iterations: calls per sample.
        warmup_ns: spent before the first.
        samples_ns: duration of each sample.
    """

    iterations: int
    warmup_ns: int
    samples_ns: list[int] = field(default_factory=list)


def sampler(call: Callable[[], object]) -> Sampler:
    """What takes samples of a call.

    >>> sampler(lambda: None)(1000) > 0
    True
    """

    def sample(iterations: int) -> int:
        start = time.perf_counter_ns()
        for _ in range(iterations):
            call()
        return time.perf_counter_ns() - start

    return sample


def interleaved(
    samplers: Mapping[str, Sampler], seconds: float, seed: int = 0, tell: Tell | None = None
) -> dict[str, Timed]:
    """Samples of several things in turns: each round takes one of each, in a freshly shuffled order.

    A slow minute then shows in all of them, and their ratios hold. Before each sample comes a call that is not timed,
    which brings back into the caches what the others have driven out.

    Args:
        samplers: by name.
        seconds: for each thing; LEAST_SAMPLES are taken in any case.
        seed: of the order.
        tell: called after each round.
    """
    found = {name: warmed_up(sample) for name, sample in samplers.items()}
    names, rng = list(samplers), np.random.default_rng(seed)
    start, total, spent, rounds = time.perf_counter(), seconds * len(names), 0.0, 0
    while spent < total or rounds < LEAST_SAMPLES:
        for index in rng.permutation(len(names)):
            name = names[index]
            samplers[name](1)
            found[name].samples_ns.append(samplers[name](found[name].iterations))
        spent, rounds = time.perf_counter() - start, rounds + 1
        if tell is not None:
            tell(min(spent, total), total)
    return found


def warmed_up(sample: Sampler) -> Timed:
    """Calls until the median of the last batches is within 1 % of that of the batches before, then sizes a sample."""
    start, calls_ns, iterations = time.perf_counter_ns(), list[float](), 1
    while not _warm(calls_ns, spent := time.perf_counter_ns() - start):
        calls_ns.append(max(sample(iterations), 1) / iterations)
        iterations = int(_BATCH_NS / calls_ns[-1]) + 1
    return Timed(int(MIN_SAMPLE_NS / min(calls_ns[-_WINDOW:])) + 1, spent)


def _warm(calls_ns: list[float], spent_ns: int) -> bool:
    if len(calls_ns) >= 3 and spent_ns > 10 * WARMUP_NS:
        return True
    if len(calls_ns) < 2 * _WINDOW or spent_ns < WARMUP_NS:
        return False
    before, now = (statistics.median(part) for part in (calls_ns[-2 * _WINDOW : -_WINDOW], calls_ns[-_WINDOW:]))
    return abs(now - before) <= _STABLE * now
