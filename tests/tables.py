"""Latency tables for tests: files of the real format whose numbers are a formula."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bnn_deploy.journal import Journal
from bnn_deploy.latency.block import Block, BoardState
from bnn_deploy.latency.measurement import Measurement
from bnn_deploy.latency.table import KIND, SCHEMA, LatencyTable
from bnn_deploy.space import Space
from bnn_deploy.steps import Step

UTC = "2026-01-01T00:00:00+00:00"
HEADER: dict[str, object] = {
    "device": "formula",
    "cpu": "pencil",
    "isa": "scalar",
    "binary_sha256": "0",
    "settings": {"samples": 5},
    "source": "measured",
    "core": 0,
    "facts": {},
    "version": "0",
    "utc": UTC,
}
STATE = BoardState(
    utc_ns=1_767_225_600_000_000_000,
    core=0,
    cur_khz=None,
    clock_khz=2_000_000,
    temperature_mc=50_000,
    throttled=0,
    load1=1.0,
    free_bytes=2**30,
    steal_ticks=0,
)
BLOCK = Block(
    number=0,
    utc=UTC,
    seconds=1.0,
    before=STATE,
    after=STATE,
    wall_ns=900_000_000,
    wall_sampled_ns=500_000_000,
    cpu_ns=499_000_000,
    preempted=0,
    sentinel_ns=(1000,) * 5,
    freq_locked=False,
    governor=None,
)


def block(number: int, **changed: Any) -> Block:
    """A block that differs from BLOCK by when it was measured, and as told."""
    return replace(BLOCK, **{"number": number, "utc": f"2026-01-01T00:00:{number:02}+00:00", **changed})


def formula_ns(step: Step) -> int:
    return 500 + step.macs // 300 + step.out_height * step.out_width * step.out_channels // 8


def formula_row(step: Step, block: int = 0, slower: float = 1) -> Measurement:
    samples = tuple(round(slower * (10 * formula_ns(step) + delta)) for delta in (-3, -1, 0, 1, 3))
    return Measurement(10, samples, step, "formula", UTC, cold_samples_ns=(2 * samples[0],), block=block)


def write_table(
    path: Path, blocks: Sequence[Block], rows: Sequence[Measurement], header: dict[str, object] | None = None
) -> LatencyTable:
    with Journal(path, KIND, SCHEMA, {**HEADER, **(header or {})}) as journal:
        for record in [block.to_json() for block in blocks] + [row.to_json() for row in rows]:
            journal.append(record)
    return LatencyTable.open(path)


def formula_table(path: Path, space: Space, device: str = "formula") -> LatencyTable:
    """Each step measured alike in two blocks."""
    blocks = [block(0), block(1)]
    rows = [formula_row(step, number) for number in (0, 1) for step in space.steps()]
    return write_table(path, blocks, rows, {"device": device})
