"""A latency table: rows measured on one device with one build of the kernels, as an append-only JSON-lines file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bnn_deploy.errors import FileFormatError, LatencyTableMiss, TableMismatch
from bnn_deploy.journal import read_journal
from bnn_deploy.latency.measurement import MEASURED, Measurement
from bnn_deploy.steps import Step

KIND = "bnn-deploy latency table"
SCHEMA = 1  # 1: first version

# What must agree for two measurements to stand in one table.
IDENTITY = ("device", "cpu", "binary_sha256", "isa", "settings", "source")


@dataclass(frozen=True, slots=True)
class LatencyTable:
    """Rows by step.

    Args:
        path: where it was read from; named in every error.
        header: device, facts, build and settings of the measurement.
        rows: step -> measurement.
    """

    path: Path
    header: Mapping[str, object]
    rows: Mapping[Step, Measurement] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> LatencyTable:
        """Read a table.

        Raises:
            FileFormatError: missing, truncated before its header, altered, or of another schema.
        """
        header, records = read_journal(path, KIND, SCHEMA)
        rows: dict[Step, Measurement] = {}
        for number, record in enumerate(records, start=2):
            try:
                row = Measurement.from_json(record)
            except FileFormatError as exc:
                raise FileFormatError(f"{path}: line {number}: {exc}") from exc
            if row.step in rows:
                raise FileFormatError(f"{path}: line {number}: {row.step.key} stands there twice")
            rows[row.step] = row
        return cls(path, header, rows)

    @property
    def device(self) -> str:
        """Name of the device it was measured on."""
        return str(self.header.get("device"))

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
        """ "measured", or "estimate:..."."""
        return str(self.header.get("source", MEASURED))

    @property
    def sentinel_ns(self) -> float:
        """The fastest sentinel among the rows, that is the clock at its best; infinite for an empty table."""
        return min((row.median_sentinel_ns for row in self.rows.values()), default=math.inf)

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
        return LatencyTableMiss(
            f"{self.path}: no measurement of {steps[0].key!r}{more}; measure it with "
            f"`bnn-deploy profile --device {self.device} --space SPACE --out {self.path}`"
        )


def check_identity(path: Path, found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    """Raises TableMismatch, naming the first difference, unless both headers tell of one device, build and settings."""
    for name in IDENTITY:
        if found.get(name) != wanted.get(name):
            raise TableMismatch(
                f"{path}: made with {name} {found.get(name)!r}, this run has {wanted.get(name)!r}; "
                "rows of both cannot stand in one table: give another --out, or remove the file"
            )
