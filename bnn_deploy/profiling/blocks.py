"""One block: some steps measured together by one run of the board binary, between two looks at the board."""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bnn_deploy.engine.bnn_file import plan_to_bytes
from bnn_deploy.errors import DeviceError, FileFormatError
from bnn_deploy.latency.block import Block, BoardState
from bnn_deploy.latency.fields import Fields
from bnn_deploy.latency.measurement import Measurement
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.device import Device
from bnn_deploy.profiling.guard import Lock
from bnn_deploy.profiling.protocol import ProfileSettings
from bnn_deploy.steps import Step

Record = dict[str, object]

_STATE_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A block and one measurement, or failure, of each of its steps."""

    block: Block
    rows: tuple[Measurement, ...]


def measure_block(
    device: Device, table: LatencyTable, settings: ProfileSettings, steps: Sequence[Step], seed: int, lock: Lock
) -> Measured:
    """Measure some steps; the block gets the next number of the table.

    Raises:
        DeviceError: the board failed as a whole, or its answer is not one block with one row for each step.
    """
    start = time.monotonic()
    number = table.next_block
    with tempfile.TemporaryDirectory(prefix="bnn-plan-") as folder:
        plan = Path(folder) / "plan.bnn"
        plan.write_bytes(plan_to_bytes(steps))
        arguments = ["layers", "--plan", device.push(plan), *settings.arguments(table), "--seed", str(seed)]
        arguments += ["--cold-samples", str(settings.cold_samples)]
        records = list(device.board(arguments, settings.timeout_s))
    conditions: Record = {"block": number, "utc": utc_now(), "seconds": round(time.monotonic() - start, 3)}
    conditions |= {"freq_locked": lock.freq_locked, "governor": lock.governor}
    rows: dict[int, Measurement] = {}
    try:
        for record in records:
            if "block" in record:
                told = record["block"]
                conditions |= told if isinstance(told, dict) else {"block": told}
                continue
            index = Fields("row", {"index": record.pop("index", None)}).integer("index")
            if index in rows or index >= len(steps):
                raise FileFormatError(f"row {index} came twice, or is no step of {len(steps)}")
            rows[index] = _row(steps[index], record, number, table.source)
        if len(rows) != len(steps):
            raise FileFormatError(f"expected one result for each of {len(steps)} steps, got {len(rows)}")
        return Measured(Block.from_json(conditions), tuple(rows[index] for index in range(len(steps))))
    except (FileFormatError, TypeError) as exc:
        raise DeviceError(f"{device.name}: a wrong answer from the board: {exc}") from exc


def read_state(device: Device, core: int) -> BoardState:
    """What the board is like now.

    Raises:
        DeviceError: it does not answer, or not so.
    """
    for record in device.board(["state", "--core", str(core)], _STATE_TIMEOUT_S):
        try:
            return BoardState.from_json(record)
        except FileFormatError as exc:
            raise DeviceError(f"{device.name}: a wrong answer from the board: {exc}") from exc
    raise DeviceError(f"{device.name}: the board told no state")


def failed_row(step: Step, error: str, source: str, block: int | None) -> Measurement:
    """What stands in a table for a step that could not be measured: no number, and why."""
    return Measurement(1, (), step, "", utc_now(), block=block, source=source, error=error)


def utc_now() -> str:
    """ISO 8601, seconds."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _row(step: Step, record: Record, block: int, source: str) -> Measurement:
    if "error" in record:
        return failed_row(step, str(record["error"]), source, block)
    taken = {name: record.get(name) for name in ("kernel", "iterations", "samples_ns")}
    taken["cold_samples_ns"] = record.get("cold_samples_ns", [])
    told = {"key": step.key, "step": step.to_json(), "block": block, "source": source, "error": None, "utc": utc_now()}
    return Measurement.from_json({**told, **taken})
