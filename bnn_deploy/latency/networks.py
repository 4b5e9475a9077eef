"""Whole networks measured on a device, beside its table: an append-only journal of raw samples.

TABLE.networks.jsonl has the table's identity in its header (device, build, settings, core) and one record for each
visit to a network: samples beside the sentinel's. A network is visited several times, with others between, so that one
bad minute does not make its latency.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bnn_deploy.architecture import Architecture
from bnn_deploy.errors import ArchitectureError, FileFormatError, TableMismatch
from bnn_deploy.journal import Journal, Record
from bnn_deploy.latency.judgement import AGREE
from bnn_deploy.latency.measurement import NOISY_RELATIVE_CI, Samples
from bnn_deploy.latency.table import IDENTITY, LatencyTable

KIND = "bnn-deploy network latencies"
SCHEMA = 1  # 1: first version
CLOCK_TOLERANCE = 0.05  # samples beside a sentinel that differs more from the table's say nothing about the table


@dataclass(frozen=True, slots=True)
class NetworkLatency(Samples):
    """One visit's samples.

    Args:
        clock: the sentinel's duration beside these samples relative to the table's usual one; above 1 the core was
            slower than when the table was measured.
    """

    clock: float

    @classmethod
    def beside(cls, samples: Samples, table: LatencyTable) -> NetworkLatency:
        """Samples taken on the table's device and core."""
        clock = samples.median_sentinel_ns / table.usual_sentinel_ns
        return cls(samples.iterations, samples.samples_ns, samples.sentinel_ns, clock)

    @property
    def at_clock_ns(self) -> float:
        """Median of one call at the table's clock, nanoseconds."""
        return self.latency_ns / self.clock

    @property
    def comparable(self) -> bool:
        """True when the core was as fast as when the table was measured, and the samples are steady."""
        return self.same_clock and self.steady

    @property
    def same_clock(self) -> bool:
        """True when the core was as fast as when the table was measured."""
        return abs(self.clock - 1) <= CLOCK_TOLERANCE

    @property
    def steady(self) -> bool:
        """True when the median is known well enough."""
        return self.relative_interval <= NOISY_RELATIVE_CI


@dataclass(slots=True)
class MeasuredNetwork:
    """A network and its visits so far."""

    architecture: Architecture
    visits: list[NetworkLatency] = field(default_factory=list)

    @property
    def good(self) -> list[NetworkLatency]:
        """The visits that the table may be judged by."""
        return [visit for visit in self.visits if visit.comparable]

    @property
    def counted(self) -> list[NetworkLatency]:
        """The fastest good visit and those that agree with it at one clock, as with a table's rows: what disturbs makes
        slower."""
        fastest = min((visit.at_clock_ns for visit in self.good), default=0.0)
        return [visit for visit in self.good if visit.at_clock_ns <= (1 + AGREE) * fastest]

    @property
    def latency_ns(self) -> float:
        """At the table's clock, nanoseconds: mean over the faster half of the visits that count.

        Raises:
            ValueError: there is none.
        """
        if not self.good:
            raise ValueError("no visit that can be compared with the table")
        found = sorted(visit.at_clock_ns for visit in self.counted)
        return statistics.fmean(found[: (len(found) + 1) // 2])

    @property
    def spread(self) -> float:
        """How far the visits that count differ, at one clock: (largest - smallest) / latency."""
        latencies = [visit.at_clock_ns for visit in self.counted]
        return (max(latencies) - min(latencies)) / self.latency_ns


class NetworkJournal:
    """The measured networks of one table.

    Args:
        table: whose networks they are; the journal is beside it.

    Raises:
        TableMismatch: the journal belongs to another table of that name.
        FileFormatError: it is damaged.
    """

    def __init__(self, table: LatencyTable) -> None:
        header = {name: table.header.get(name) for name in (*IDENTITY, "core")}
        header["table_utc"] = table.header.get("utc")
        self._table = table
        self._journal = Journal(networks_path(table.path), KIND, SCHEMA, header)
        try:
            _check(self._journal, header)
            self.networks: dict[Architecture, MeasuredNetwork] = {}
            for number, record in enumerate(self._journal.records, start=2):
                self._keep(number, record)
        except BaseException:
            self._journal.close()
            raise

    def append(self, architecture: Architecture, samples: Samples, utc: str) -> NetworkLatency:
        """Keep a visit; it is on the disk when this returns."""
        record: Record = {
            "architecture": architecture.to_json(),
            "iterations": samples.iterations,
            "samples_ns": list(samples.samples_ns),
            "sentinel_ns": list(samples.sentinel_ns),
            "utc": utc,
        }
        self._journal.append(record)
        return self._add(architecture, samples)

    def close(self) -> None:
        """Release the file."""
        self._journal.close()

    def __enter__(self) -> NetworkJournal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, architecture: Architecture, samples: Samples) -> NetworkLatency:
        visit = NetworkLatency.beside(samples, self._table)
        self.networks.setdefault(architecture, MeasuredNetwork(architecture)).visits.append(visit)
        return visit

    def _keep(self, number: int, record: Mapping[str, object]) -> None:
        try:
            architecture = Architecture.from_json(record["architecture"])  # type: ignore[arg-type]
            self._add(architecture, samples_of(record))
        except (KeyError, TypeError, ValueError, ArchitectureError) as exc:
            raise FileFormatError(f"{self._journal.path}: line {number} is malformed: {exc}") from exc


def networks_path(table: Path) -> Path:
    """Where the networks measured beside a table are."""
    return table.with_suffix(".networks.jsonl")


def samples_of(record: Mapping[str, object]) -> Samples:
    """The samples in a record of the board or of a journal.

    Raises:
        ValueError: it has none, or one of them is not positive.
    """
    samples, iterations, sentinels = (record.get(name) for name in ("samples_ns", "iterations", "sentinel_ns"))
    if not (isinstance(samples, list) and isinstance(sentinels, list) and isinstance(iterations, int)):
        raise ValueError("expected samples_ns, iterations and sentinel_ns")
    found = Samples(iterations, tuple(map(int, samples)), tuple(map(int, sentinels)))
    if iterations < 1 or not samples or not sentinels or min(*found.samples_ns, *found.sentinel_ns) <= 0:
        raise ValueError("expected positive samples")
    return found


def _check(journal: Journal, wanted: Mapping[str, object]) -> None:
    for name, value in wanted.items():
        if journal.header.get(name) != value:
            raise TableMismatch(
                f"{journal.path}: its networks were measured beside a table with {name} "
                f"{journal.header.get(name)!r}, this table has {value!r}; remove the file to measure them anew"
            )
