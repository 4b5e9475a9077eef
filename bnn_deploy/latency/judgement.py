"""Which blocks count, and what a table's row is: pure functions of what was measured.

A table keeps everything that was measured; what to believe of it is decided here, in the same way while profiling, when
a table is opened and by `tables check`. A block is set aside when something else than its steps shaped its times. A row
is confirmed by two blocks, measured at different times, that agree: neither a slow quarter of an hour, which looks
steady to each row, nor a neighbour who wants the memory, which the sentinel does not feel, slows both alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum

import numpy as np

from bnn_deploy.latency.block import Block, BoardState
from bnn_deploy.latency.measurement import EMULATED, ESTIMATE, NOISY_RELATIVE_CI, Measurement

DRIFT = 0.05  # a block whose sentinel is this much slower than the table's fastest one is set aside
UNSTEADY = 0.15  # ... or a quarter of whose sentinels are this much slower
CPU_SHARE = 0.97  # ... or whose thread had less of the core's time than this
STOLEN_SHARE = 0.03  # ... or whose core a hypervisor took away for longer than this
CLOCK_CHANGE = 0.05  # ... or whose clock before and after differ by more than this
AGREE = 0.05  # two measurements of a step that differ by less than this confirm each other

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
class Row(Measurement):
    """The measurement of a step that its table stands for.

    Args:
        quality: how far to trust it.
        attempts: how often the step was measured.
    """

    quality: Quality = Quality.OK
    attempts: int = 1


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


def fastest_sentinel_ns(blocks: Iterable[Block]) -> float:
    """The clock at its best; infinite without blocks."""
    return min((block.median_sentinel_ns for block in blocks), default=math.inf)


def faults(blocks: Sequence[Block]) -> dict[int, str]:
    """Block number -> why it is set aside, for those that are."""
    fastest_ns = fastest_sentinel_ns(blocks)
    told = ((block.number, fault(block, fastest_ns)) for block in blocks)
    return {number: reason for number, reason in told if reason}


def row(measurements: Sequence[Measurement], set_aside: Mapping[int, str]) -> Row | None:
    """What a table says of one step; None when every measurement failed.

    Args:
        measurements: of the step, in any order.
        set_aside: the blocks that do not count, see faults.
    """
    found = sorted((entry for entry in measurements if not entry.error), key=lambda entry: entry.latency_ns)
    if not found:
        return None
    best, quality = _judge(found, set_aside)
    values = {field.name: getattr(best, field.name) for field in fields(Measurement)}
    return Row(**values, quality=quality, attempts=len(found))


def _judge(found: Sequence[Measurement], set_aside: Mapping[int, str]) -> tuple[Measurement, Quality]:
    """The measurement that counts, of some that are sorted by their medians: what disturbs makes slower."""
    if found[0].source == EMULATED:
        return found[0], Quality.EMULATED
    if found[0].source.startswith(ESTIMATE):
        return found[0], Quality.ESTIMATE
    good = [entry for entry in found if entry.block not in set_aside]
    if not good:
        return found[0], Quality.DISTURBED
    steady = [entry for entry in good if entry.relative_interval <= NOISY_RELATIVE_CI]
    if len(steady) > 1 and steady[1].latency_ns <= (1 + AGREE) * steady[0].latency_ns:
        return steady[0], Quality.OK
    return (steady or good)[0], Quality.UNCONFIRMED if len(good) == 1 else Quality.NOISY
