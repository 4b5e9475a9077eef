"""What a table's own figures say against it: `tables check`.

A problem means that a number in the table is not what the step takes on that device; a note tells the circumstances.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bnn_deploy.latency.block import Block
from bnn_deploy.latency.judgement import Quality
from bnn_deploy.latency.measurement import EMULATED, ESTIMATE, MEASURED
from bnn_deploy.latency.table import LatencyTable

_PROBLEMS = {
    Quality.DISTURBED: "measured only in blocks that were set aside",
    Quality.NOISY: "noisy: no two of their measurements are steady and agree",
    Quality.UNCONFIRMED: "measured only once: the run was interrupted, or its blocks were set aside",
}
_FULL_CLOCK = 0.9  # of the core's highest; below, it is worth telling


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Args:
        problems: reasons not to trust the table; none: it may be trusted.
        notes: circumstances.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True without problems."""
        return not self.problems


def check(table: LatencyTable) -> Report:
    """Judge a table by what stands in it."""
    return Report(tuple(_problems(table)), tuple(_notes(table)))


def _problems(table: LatencyTable) -> Iterator[str]:
    if not table.measurements:
        yield "no step was measured"
    if table.source == EMULATED:
        yield "measured on an emulator: its times say nothing of a real board"
        return
    counts = Counter(row.quality for row in table.rows.values())
    for quality, text in _PROBLEMS.items():
        if counts[quality]:
            examples = [step.key for step, row in table.rows.items() if row.quality is quality]
            yield f"{counts[quality]} of {len(table.rows)} rows are {text}, as {examples[0]}"
    for step, error in table.failed.items():
        yield f"no latency of {step.key}: {error}"
    clean = len(table.blocks) - len(table.set_aside)
    if table.blocks and clean < len(table.blocks) / 4:
        yield f"{len(table.set_aside)} of {len(table.blocks)} blocks were set aside: what is called steady may be luck"


def _notes(table: LatencyTable) -> Iterator[str]:
    if table.source.startswith(ESTIMATE):
        yield f"computed, not measured ({table.source}): good for ranking, not as a latency"
    if table.source != MEASURED:
        return
    yield from _set_aside(table)
    good = [block for block in table.blocks if block.number not in table.set_aside]
    if not good:
        return
    yield f"the measurements of a row differ, at one clock, by {_confirmation(table)}"
    yield _clock(table, good)
    temperatures = [state.temperature_c for block in good for state in (block.before, block.after)]
    known = [celsius for celsius in temperatures if celsius is not None]
    if known:
        yield f"temperature {min(known):.0f} to {max(known):.0f} C"
    facts = table.header.get("facts")
    if isinstance(facts, dict) and facts.get("hypervisor"):
        yield "a virtual machine: neighbours that share its cores and caches cannot be seen, only felt"


def _set_aside(table: LatencyTable) -> Iterator[str]:
    """Runs of neighbouring blocks that do not count, as one note each."""
    run: list[Block] = []
    for block in table.blocks:
        if block.number in table.set_aside:
            run.append(block)
        elif run:
            yield _told(table, run)
            run = []
    if run:
        yield _told(table, run)


def _told(table: LatencyTable, run: Sequence[Block]) -> str:
    first, last = run[0], run[-1]
    name = f"block {first.number}" if first is last else f"blocks {first.number} to {last.number}"
    reason = table.set_aside[first.number]
    others = f" (the first of {len(run)} reasons)" if len({table.set_aside[b.number] for b in run}) > 1 else ""
    return f"{name} set aside, {first.utc} for {sum(block.seconds for block in run):.0f} s: {reason}{others}"


def _confirmation(table: LatencyTable) -> str:
    """How far the measurements of each confirmed row are apart."""
    apart = [row.apart for row in table.rows.values() if row.quality is Quality.OK]
    if not apart:
        return "an unknown amount: none is confirmed"
    return f"{np.median(apart):.1%} in the median, {max(apart):.1%} at most"


def _clock(table: LatencyTable, good: Sequence[Block]) -> str:
    clocks = [state.clock_khz / 1e6 for block in good for state in (block.before, block.after)]
    spread = max(block.median_sentinel_ns for block in good) / table.sentinel_ns - 1
    locked = "locked" if all(block.freq_locked for block in good) else "not locked"
    text = f"clock {locked}, {min(clocks):.2f} to {max(clocks):.2f} GHz, sentinel within {spread:.1%}"
    highest = _highest_ghz(table)
    return text + (f"; the core's highest is {highest:.2f} GHz" if np.median(clocks) < _FULL_CLOCK * highest else "")


def _highest_ghz(table: LatencyTable) -> float:
    """Of the core that was measured on; 0 where the board does not tell."""
    facts = table.header.get("facts")
    cores = facts.get("core_facts") if isinstance(facts, dict) else None
    for core in cores if isinstance(cores, list) else []:
        if isinstance(core, dict) and core.get("core") == table.core and isinstance(core.get("max_khz"), int):
            return float(core["max_khz"]) / 1e6
    return 0.0
