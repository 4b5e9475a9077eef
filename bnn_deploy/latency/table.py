"""A latency table: what was measured on one device with one build of the kernels, as an append-only JSON-lines file.

After the header stand blocks (the conditions) and rows (each one step in one block), in the order in which they were
measured; a step may stand there several times. `LatencyTable.rows` is what they say together, see judgement.py. The
members of each line are in table.schema.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bnn_deploy.errors import FileFormatError, LatencyTableMiss, TableMismatch
from bnn_deploy.journal import read_journal
from bnn_deploy.latency.block import Block
from bnn_deploy.latency.fields import Fields
from bnn_deploy.latency.judgement import Judgement, Row
from bnn_deploy.latency.measurement import ESTIMATE, Measurement, check_source
from bnn_deploy.steps import Step

KIND = "bnn-deploy latency table"
SCHEMA = 2  # 1: one row per step, no blocks. 2: blocks; a row for each block in which a step was measured

# What must agree for two measurements to stand in one table.
IDENTITY = ("device", "cpu", "binary_sha256", "isa", "settings", "source")


@dataclass(frozen=True, slots=True)
class LatencyTable:
    """What was measured, and what it says of each step.

    Args:
        path: where it was read from; named in every error.
        header: device, facts, build and settings of the measurement.
        blocks: conditions, in the order in which they were measured.
        measurements: step -> all that was measured of it, failures included.
    """

    path: Path
    header: Mapping[str, object]
    blocks: Sequence[Block] = ()
    measurements: Mapping[Step, Sequence[Measurement]] = field(default_factory=dict)
    judgement: Judgement = field(init=False, compare=False)
    rows: Mapping[Step, Row] = field(init=False)  # step -> its row; without those that failed every time

    def __post_init__(self) -> None:
        judgement = Judgement(self.blocks)
        rows = ((step, judgement.row(found)) for step, found in self.measurements.items())
        object.__setattr__(self, "judgement", judgement)
        object.__setattr__(self, "rows", {step: found for step, found in rows if found})

    @classmethod
    def open(cls, path: Path) -> LatencyTable:
        """Read a table.

        Raises:
            FileFormatError: missing, truncated before its header, altered, or of another schema.
        """
        header, records = read_journal(path, KIND, SCHEMA)
        try:
            _check_header(header)
        except FileFormatError as exc:
            raise FileFormatError(f"{path}: line 1: {exc}") from exc
        table = cls(path, header)
        blocks: dict[int, Block] = {}
        measurements: dict[Step, list[Measurement]] = {}
        for number, record in enumerate(records, start=2):
            try:
                _read(record, table.source, blocks, measurements)
            except FileFormatError as exc:
                raise FileFormatError(f"{path}: line {number}: {exc}") from exc
        return table.extended(blocks.values(), (entry for found in measurements.values() for entry in found))

    def extended(self, blocks: Iterable[Block], measurements: Iterable[Measurement]) -> LatencyTable:
        """This table and more measurements; the file stays as it is."""
        together = {step: list(found) for step, found in self.measurements.items()}
        for entry in measurements:
            together.setdefault(entry.step, []).append(entry)
        return LatencyTable(self.path, self.header, (*self.blocks, *blocks), together)

    @property
    def device(self) -> str:
        """Name of the device it was measured on."""
        return str(self.header["device"])

    @property
    def isa(self) -> str:
        """The instruction set of its kernels."""
        return str(self.header["isa"])

    @property
    def core(self) -> int:
        """The core that its rows were measured on."""
        return int(str(self.header["core"]))

    @property
    def source(self) -> str:
        """ "measured", "emulated" or "estimate:..."."""
        return str(self.header["source"])

    @property
    def sentinel_ns(self) -> float:
        """The fastest sentinel among the blocks, that is the clock at its best; infinite without blocks."""
        return self.judgement.fastest_sentinel_ns

    @property
    def usual_sentinel_ns(self) -> float:
        """The sentinel of the blocks that count, in the median: the clock that the table's latencies are told at."""
        return self.judgement.usual_sentinel_ns

    @property
    def set_aside(self) -> Mapping[int, str]:
        """Number of a block that does not count -> why."""
        return self.judgement.set_aside

    @property
    def failed(self) -> Mapping[Step, str]:
        """Steps that failed whenever they were measured, and how at last."""
        return {step: str(found[-1].error) for step, found in self.measurements.items() if step not in self.rows}

    @property
    def next_block(self) -> int:
        """A number that no block has."""
        return max((block.number for block in self.blocks), default=-1) + 1

    def counting(self, step: Step) -> list[Measurement]:
        """The step's measurements in blocks that count; failures do not."""
        return [entry for entry in self.measurements.get(step, ()) if self.judgement.counts(entry)]

    def latency_ns(self, step: Step) -> float:
        """Median latency of a step, nanoseconds.

        Raises:
            LatencyTableMiss: the step was not measured.
        """
        try:
            return self.rows[step].latency_ns
        except KeyError:
            raise self._miss([step]) from None

    def require(self, steps: Iterable[Step]) -> None:
        """Raises LatencyTableMiss unless every one of `steps` has a row."""
        missing = [step for step in steps if step not in self.rows]
        if missing:
            raise self._miss(missing)

    def _miss(self, steps: list[Step]) -> LatencyTableMiss:
        more = f" (and {len(steps) - 1} more)" if len(steps) > 1 else ""
        why = self.failed.get(steps[0])
        estimate = self.source.startswith(ESTIMATE)
        noun, verb, flag = ("estimate", "compute", " --estimate") if estimate else ("measurement", "measure", "")
        return LatencyTableMiss(
            f"{self.path}: no {noun} of {steps[0].key!r}{more}{f', which failed there: {why}' if why else ''}; "
            f"{verb} it with `bnn-deploy profile{flag} --device {self.device} --space SPACE --out {self.path}`"
        )


def is_table(path: Path) -> bool:
    """Whether a file begins as a table does, of whatever schema; what follows may be damaged."""
    with path.open("rb") as file:
        return file.readline().startswith(f'{{"kind":{json.dumps(KIND)}'.encode())


def _check_header(header: Mapping[str, object]) -> None:
    """Raises FileFormatError, naming the member; further members are welcome."""
    fields = Fields("header", header)
    for name in ("device", "isa", "version", "utc"):
        fields.text(name)
    for name in ("cpu", "binary_sha256"):
        fields.optional_text(name)
    source = fields.text("source")
    check_source("header", source)
    if fields.optional_integer("core") is None and not source.startswith(ESTIMATE):
        raise FileFormatError(f"header: core: expected the core that was {source}, got None")
    for name in ("settings", "facts"):
        Fields(f"header: {name}", fields.take(name))


def _read(
    record: Mapping[str, object], source: str, blocks: dict[int, Block], measurements: dict[Step, list[Measurement]]
) -> None:
    """One line after the header of a table with that source."""
    kind = record.get("type")
    if kind == "block":
        block = Block.from_json(record)
        if block.number in blocks:
            raise FileFormatError(f"block {block.number} stands there twice")
        blocks[block.number] = block
    elif kind == "row":
        found = Measurement.from_json(record)
        if found.source != source:
            raise FileFormatError(f"{found.step.key}: a row that is {found.source} in a table that is {source}")
        others = measurements.setdefault(found.step, [])
        if not found.error and any(other.block == found.block and not other.error for other in others):
            raise FileFormatError(f"{found.step.key} of block {found.block} stands there twice")
        if found.block is not None and found.block not in blocks:
            raise FileFormatError(f"{found.step.key}: block {found.block} does not stand before it")
        others.append(found)
    else:
        raise FileFormatError(f"expected a row or a block, found {kind!r}")


def check_identity(path: Path, found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    """Raises TableMismatch, naming the first difference, unless both headers tell of one device, build and settings."""
    for name in IDENTITY:
        if found.get(name) != wanted.get(name):
            raise TableMismatch(
                f"{path}: made with {name} {found.get(name)!r}, this run has {wanted.get(name)!r}; "
                "rows of both cannot stand in one table: give another --out, or remove the file"
            )
