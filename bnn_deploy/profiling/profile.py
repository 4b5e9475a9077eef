"""Measure every step of a space on a device: the rows of its latency table.

The protocol: the board binary pins itself to one core, checks each output before it is timed, warms up by time,
batches calls until a sample is long enough, and takes the samples of a batch of steps in rounds of freshly shuffled
order, a sentinel loop in every round. This side chooses the batches in random order, so that a slow minute cannot hit
neighbouring rows; keeps raw samples; measures a row again while its median is unsteady or the sentinel says that the
clock moved; and appends each finished row, fsynced, so that an interruption costs one batch.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from bnn_deploy.engine.bnn_file import plan_to_bytes
from bnn_deploy.errors import DeviceError, FileFormatError, UnknownName
from bnn_deploy.journal import Journal
from bnn_deploy.latency.measurement import MEASURED, NOISY_RELATIVE_CI, Measurement
from bnn_deploy.latency.table import KIND, SCHEMA, LatencyTable, check_identity
from bnn_deploy.profiling.device import Device
from bnn_deploy.steps import Step

DRIFT = 0.05  # a batch whose sentinel is this much slower than the run's fastest one is measured again
ATTEMPTS = 6
BATCH = 8

_STARTUP_S = 60.0

_Entry = tuple[Step, int]  # a step and how often it was tried

Progress = Callable[[int, int, Measurement], None]


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """What makes two measurements comparable; part of a table's identity.

    Args:
        samples: per row.
        min_sample_ns: calls are batched until one sample lasts this long.
        warmup_ns: at least this long before the first sample.
        isa: forced instruction set, or "best".
    """

    samples: int = 30
    min_sample_ns: int = 2_000_000
    warmup_ns: int = 20_000_000
    isa: str = "best"

    def arguments(self, table: LatencyTable) -> list[str]:
        """For the board binary: the table's instruction set and core, whatever the environment says."""
        words = ["--samples", str(self.samples), "--min-sample-ns", str(self.min_sample_ns)]
        words += ["--warmup-ns", str(self.warmup_ns)]
        return [*words, "--isa", table.isa, "--core", str(table.core)]

    @classmethod
    def of(cls, table: LatencyTable) -> ProfileSettings:
        """The settings that a table was made with.

        Raises:
            FileFormatError: its header holds none.
        """
        settings = table.header.get("settings")
        try:
            return cls(**settings)  # type: ignore[arg-type]
        except TypeError as exc:
            raise FileFormatError(f"{table.path}: expected the settings of a profile in its header: {exc}") from exc

    @property
    def timeout_s(self) -> float:
        """Long enough for any batch, short enough to notice a dead board."""
        return _STARTUP_S + 100 * BATCH * (self.warmup_ns + self.samples * self.min_sample_ns) / 1e9


def profile(
    steps: Sequence[Step],
    device: Device,
    path: Path,
    *,
    settings: ProfileSettings,
    seed: int = 0,
    progress: Progress | None = None,
) -> LatencyTable:
    """Measure the steps that the table at `path` lacks, and return the whole table.

    Args:
        steps: rows wanted; those that the table holds already are not measured again.
        device: reached and open.
        path: of the table; created when missing, continued when there.
        settings: of the measurement.
        seed: of the order.
        progress: called with (rows done, rows wanted, newest row).

    Raises:
        TableMismatch: the table was made on another device, with another build or other settings.
        DeviceError: the board failed, or a kernel's output there is wrong.
        FileFormatError: the table is damaged.
    """
    header = table_header(device, settings)
    with Journal(path, KIND, SCHEMA, header) as journal:
        check_identity(path, journal.header, header)
        known = LatencyTable.open(path)
        missing = [step for step in dict.fromkeys(steps) if step not in known.rows]
        done = len(set(steps)) - len(missing)
        session = _Session(device, known, settings, np.random.default_rng(seed))
        for row in session.measure(missing):
            journal.append(row.to_json())
            done += 1
            if progress:
                progress(done, len(set(steps)), row)
    return LatencyTable.open(path)


def table_header(device: Device, settings: ProfileSettings) -> dict[str, object]:
    """Device, build and settings: what a table's rows have in common.

    Raises:
        UnknownName: settings.isa is none that the device has.
    """
    known = device.facts.get("isa")
    if settings.isa != "best" and isinstance(known, list) and settings.isa not in known:
        raise UnknownName(f"instruction set of {device.name}", settings.isa, ["best", *known])
    isa = device.facts.get("best_isa") if settings.isa == "best" else settings.isa
    return {
        "device": device.name,
        "cpu": device.facts.get("cpu"),
        "isa": isa,
        "binary_sha256": device.binary_sha256,
        "settings": asdict(settings),
        "source": MEASURED,
        "core": device.choose_core(),
        "facts": dict(device.facts),
        "utc": _now(),
    }


class _Session:
    """One run of measurements; remembers the fastest sentinel seen."""

    def __init__(
        self, device: Device, table: LatencyTable, settings: ProfileSettings, rng: np.random.Generator
    ) -> None:
        self._device, self._settings, self._rng = device, settings, rng
        self._arguments = settings.arguments(table)
        self._fastest_sentinel_ns = table.sentinel_ns

    def measure(self, steps: list[Step]) -> Iterator[Measurement]:
        """Yields one finished Measurement per step."""
        waiting = [(steps[index], 1) for index in self._rng.permutation(len(steps))]
        best: dict[Step, Measurement] = {}
        while waiting:
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            for (step, attempt), row, drifted in self._measure_batch(batch):
                held = best.get(step)
                if held is None or (not drifted and row.relative_interval < held.relative_interval):
                    best[step] = row
                if not drifted and row.relative_interval <= NOISY_RELATIVE_CI:
                    yield row
                elif attempt < ATTEMPTS:
                    waiting.append((step, attempt + 1))
                else:
                    yield replace(best[step], quality="noisy")

    def _measure_batch(self, batch: list[_Entry]) -> Iterator[tuple[_Entry, Measurement, bool]]:
        with tempfile.TemporaryDirectory(prefix="bnn-plan-") as folder:
            plan = Path(folder) / "plan.bnn"
            plan.write_bytes(plan_to_bytes([step for step, _ in batch]))
            arguments = ["layers", "--plan", self._device.push(plan), *self._arguments]
            arguments += ["--seed", str(int(self._rng.integers(2**31)))]
            records = list(self._device.board(arguments, self._settings.timeout_s))
        if sorted(int(str(record.get("index"))) for record in records) != list(range(len(batch))):
            raise DeviceError(f"{self._device.name}: expected one result for each of {len(batch)} steps, got {records}")
        for record in records:
            entry = batch[int(str(record["index"]))]
            row = self._row(entry[0], record)
            self._fastest_sentinel_ns = min(self._fastest_sentinel_ns, row.median_sentinel_ns)
            yield entry, row, row.median_sentinel_ns > (1 + DRIFT) * self._fastest_sentinel_ns

    def _row(self, step: Step, record: dict[str, object]) -> Measurement:
        if "error" in record:
            raise DeviceError(f"{self._device.name}: {step.key}: {record['error']}")
        return Measurement.from_json(
            {
                "step": {**step.to_json()},
                "kernel": record.get("kernel"),
                "iterations": record.get("iterations"),
                "samples_ns": record.get("samples_ns"),
                "sentinel_ns": record.get("sentinel_ns"),
                "quality": "ok",
                "utc": _now(),
            }
        )


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
