"""Which blocks count, and what a table's row is: pure functions of what was measured.

A table keeps everything that was measured; what to believe of it is decided here, in the same way while profiling, when
a table is opened and by `tables check`. A block is set aside when something else than its steps shaped its times. A row
is confirmed by blocks, two at least, measured at different times, that agree: neither a slow quarter of an hour, which
looks steady to each row, nor a neighbour who wants the memory, which the sentinel does not feel, slows both alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from bnn_deploy.latency.block import Block, BoardState
from bnn_deploy.latency.measurement import EMULATED, ESTIMATE, NOISY_RELATIVE_CI, Floats, Measurement, Statistics

# A block is set aside ...
DRIFT = 0.08  # ... when its sentinel is this much slower than the table's fastest one: a boosted clock wanders by less
UNSTEADY = 0.15  # ... when a quarter of its sentinels are this much slower
CPU_SHARE = 0.97  # ... when its thread had less of the core's time than this
STOLEN_SHARE = 0.03  # ... when a hypervisor took its core away for longer than this
CLOCK_CHANGE = 0.10  # ... when its clock before and after differ by more than this

MANY = 3  # measurements that agree outweigh a faster one that none agrees with
AGREE = 0.05  # two measurements of a step that differ by less than this, at one clock, confirm each other

_THROTTLED_NOW = 0x0000F  # get_throttled: under-voltage, capped, throttled, soft limit: at this moment
_THROTTLED_EVER = 0xF0000  # the same, since boot


class Quality(str, Enum):
    """How far a row can be trusted."""

    OK = "ok"  # confirmed by a second block
    UNCONFIRMED = "unconfirmed"  # measured once so far
    NOISY = "noisy"  # measured several times, and no two that are steady agree
    DISTURBED = "disturbed"  # measured in blocks that were set aside only
    EMULATED = "emulated"  # by an emulator, whose times say nothing
    ESTIMATE = "estimate"  # computed, not measured


@dataclass(frozen=True, slots=True)
class Row(Statistics):
    """What a table says of one step; its samples are those of all measurements that confirm each other.

    Args:
        counted: those measurements, in different blocks; or the best one where none confirms another.
        quality: how far to trust it.
        attempts: how often the step was measured.
        clocks: for each of `counted`, the sentinel's duration beside it relative to the table's usual one.
    """

    counted: tuple[Measurement, ...]
    quality: Quality
    attempts: int
    clocks: tuple[float, ...]

    @property
    def calls_ns(self) -> Floats:
        """See Statistics; at the table's usual clock."""
        return np.concatenate([entry.calls_ns / clock for entry, clock in zip(self.counted, self.clocks, strict=True)])

    @property
    def cold_latency_ns(self) -> float | None:
        """Median of one call that began with nothing in the caches, nanoseconds, at no common clock, for memory has
        another; None when that was not measured."""
        cold = [sample for entry in self.counted for sample in entry.cold_samples_ns]
        return float(np.median(cold)) if cold else None

    @property
    def kernel(self) -> str:
        """Name of the kernel that ran."""
        return self.counted[0].kernel

    @property
    def source(self) -> str:
        """ "measured", "emulated" or "estimate:..."."""
        return self.counted[0].source

    @property
    def apart(self) -> float:
        """How far the medians of its measurements are apart, at one clock, relative to the smallest."""
        medians = [entry.latency_ns / clock for entry, clock in zip(self.counted, self.clocks, strict=True)]
        return max(medians) / min(medians) - 1


def fault(block: Block, fastest_sentinel_ns: float) -> str | None:
    """Why a block must be set aside; None when it counts.

    Args:
        block: to be judged.
        fastest_sentinel_ns: of the blocks that it stands beside in a table.
    """
    return (
        _throttled(block.before, block.after)
        or _shared(block)
        or _slow(block, fastest_sentinel_ns)
        or _clock_changed(block.before.clock_khz, block.after.clock_khz)
    )


def _throttled(before: BoardState, after: BoardState) -> str | None:
    bits, later = before.throttled or 0, after.throttled or 0
    now = (bits | later) & _THROTTLED_NOW
    if now:
        return f"throttled: get_throttled was 0x{bits:x} before and 0x{later:x} after (power supply? cooling?)"
    if later & ~bits & _THROTTLED_EVER:
        return f"throttled for a moment: get_throttled went from 0x{bits:x} to 0x{later:x}"
    return None


def _shared(block: Block) -> str | None:
    if block.cpu_share < CPU_SHARE:
        lost, times = 1 - block.cpu_share, block.preempted
        return f"another process had the core for {lost:.0%} of the time ({times} interruptions)"
    if block.stolen_share > STOLEN_SHARE:
        return f"the hypervisor took the core away for {block.stolen_share:.0%} of the time"
    return None


def _slow(block: Block, fastest_ns: float) -> str | None:
    slower = block.median_sentinel_ns / fastest_ns - 1
    if slower > DRIFT:
        return f"slow core: the sentinel took {1 + slower:.2f} times as long as in the fastest block"
    upper = float(np.percentile(block.sentinel_ns, 75)) / fastest_ns - 1
    if upper > UNSTEADY:
        return f"unsteady core: a quarter of the sentinels took {1 + upper:.2f} times as long as in the fastest block"
    return None


def _clock_changed(before_khz: int, after_khz: int) -> str | None:
    if abs(after_khz - before_khz) <= CLOCK_CHANGE * max(before_khz, after_khz):
        return None
    return f"the clock went from {before_khz / 1000:.0f} to {after_khz / 1000:.0f} MHz"


class Judgement:
    """Of blocks that stand in one table.

    Args:
        blocks: all of them.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._sentinel_ns = {block.number: block.median_sentinel_ns for block in blocks}
        self.fastest_sentinel_ns = min(self._sentinel_ns.values(), default=math.inf)
        told = ((block.number, fault(block, self.fastest_sentinel_ns)) for block in blocks)
        self.set_aside = {number: reason for number, reason in told if reason}
        counted = [ns for number, ns in self._sentinel_ns.items() if number not in self.set_aside]
        self.usual_sentinel_ns = float(np.median(counted or [*self._sentinel_ns.values()])) if blocks else math.inf

    def counts(self, measurement: Measurement) -> bool:
        """True when it is a latency, from a block that was not set aside."""
        return not measurement.error and measurement.block not in self.set_aside

    def row(self, measurements: Sequence[Measurement]) -> Row | None:
        """What a table says of one step; None when every measurement of it failed."""
        found = [entry for entry in measurements if not entry.error]
        if not found:
            return None
        if found[0].source == EMULATED or found[0].source.startswith(ESTIMATE):
            quality = Quality.EMULATED if found[0].source == EMULATED else Quality.ESTIMATE
            return Row((found[0],), quality, len(found), (1.0,))
        good = [entry for entry in found if self.counts(entry)]
        steady = [entry for entry in good if entry.relative_interval <= NOISY_RELATIVE_CI]
        agreeing = self._agreeing(steady or good or found)
        if steady and len(agreeing) > 1:
            return self._row(agreeing, Quality.OK, len(found))
        quality = Quality.DISTURBED if not good else Quality.NOISY if len(good) > 1 else Quality.UNCONFIRMED
        return self._row(agreeing[:1], quality, len(found))

    def _row(self, entries: tuple[Measurement, ...], quality: Quality, attempts: int) -> Row:
        clocks = (self._sentinel(entry) / self.usual_sentinel_ns for entry in entries)
        return Row(entries, quality, attempts, tuple(clocks))

    def _agreeing(self, entries: Sequence[Measurement]) -> tuple[Measurement, ...]:
        """The fastest one and all that agree with it, compared at one clock: what disturbs makes slower.

        A fastest one that stands alone was luck if MANY others, and most of all, agree: then they.
        """
        ordered = sorted(entries, key=self._loops)
        sets = [
            tuple(entry for entry in ordered[index:] if self._loops(entry) <= (1 + AGREE) * self._loops(first))
            for index, first in enumerate(ordered)
        ]
        largest = max(sets, key=len)
        lucky = len(sets[0]) == 1 and len(largest) >= MANY and 2 * len(largest) > len(ordered)
        return largest if lucky else sets[0]

    def _loops(self, entry: Measurement) -> float:
        """The latency in durations of the sentinel loop."""
        return entry.latency_ns / self._sentinel(entry)

    def _sentinel(self, entry: Measurement) -> float:
        assert entry.block is not None
        return self._sentinel_ns[entry.block]
