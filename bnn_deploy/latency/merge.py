"""Several tables of one device, build, core and settings in one: `tables merge`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bnn_deploy.errors import BnnDeployError, TableMismatch
from bnn_deploy.journal import encode_line, write_atomically
from bnn_deploy.latency.block import Block
from bnn_deploy.latency.measurement import Measurement
from bnn_deploy.latency.table import IDENTITY, LatencyTable

_MERGED_IDENTITY = (*IDENTITY, "core")


def merge(tables: Sequence[LatencyTable], out: Path) -> LatencyTable:
    """Write all blocks and rows into a new table, in the order in which they were measured.

    What stands in several of them (one is a copy of another's beginning) is written once. The rows are judged together:
    a table that was made at a lower clock is set aside as a whole.

    Raises:
        TableMismatch: they differ in what must agree; the message names it.
        BnnDeployError: `out` exists already.
    """
    tables = sorted(tables, key=_begin)
    first = tables[0]
    if out.exists():
        raise BnnDeployError(f"{out}: exists already; give another --out, or remove it")
    for table in tables[1:]:
        for name in _MERGED_IDENTITY:
            if table.header.get(name) != first.header.get(name):
                raise TableMismatch(
                    f"{table.path}: made with {name} {table.header.get(name)!r}, {first.path} with "
                    f"{first.header.get(name)!r}; their rows cannot stand in one table"
                )
    numbers: dict[Block, int] = {}
    rows: dict[Measurement, None] = {}  # in order, each once
    for table in tables:
        renumbered: dict[int | None, int | None] = {None: None}
        for block in table.blocks:
            renumbered[block.number] = numbers.setdefault(replace(block, number=0), len(numbers))
        for found in (entry for entries in table.measurements.values() for entry in entries):
            rows[replace(found, block=renumbered[found.block])] = None
    records = [dict(first.header)]
    for block, number in numbers.items():
        records.append(replace(block, number=number).to_json())
        records += [row.to_json() for row in rows if row.block == number]
    records += [row.to_json() for row in rows if row.block is None]
    write_atomically(out, b"".join(map(encode_line, records)))
    return LatencyTable.open(out)


def _begin(table: LatencyTable) -> str:
    return str(table.header.get("utc"))
