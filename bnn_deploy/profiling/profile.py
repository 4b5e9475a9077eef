"""Measure every step of a space on a device: the rows of its latency table.

The protocol. For a whole session `bnn-board hold` keeps other profilers off the board and its clock still, where that
is permitted. Steps are measured in blocks: the board binary pins itself to one core, looks at the board (clock,
temperature, throttling), checks each output before it is timed, warms up by time, batches calls until a sample is long
enough, takes the samples of all steps of the block in rounds of freshly shuffled order, a sentinel loop in every round,
then single calls from cold caches, and looks at the board again. Each block is on the disk, fsynced, before the next
begins. What counts, and what must be measured again, is decided by latency/judgement.py from what is on the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bnn_deploy import __version__
from bnn_deploy.errors import DeviceError, UnknownName
from bnn_deploy.journal import Journal
from bnn_deploy.latency.measurement import EMULATED, MEASURED
from bnn_deploy.latency.table import KIND, SCHEMA, LatencyTable, check_identity
from bnn_deploy.profiling.blocks import utc_now
from bnn_deploy.profiling.device import Device
from bnn_deploy.profiling.protocol import Limits, ProfileSettings
from bnn_deploy.profiling.session import Progress, Session
from bnn_deploy.steps import Step


def profile(
    steps: Sequence[Step],
    device: Device,
    path: Path,
    *,
    settings: ProfileSettings,
    limits: Limits | None = None,
    seed: int = 0,
    allow_emulated: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> LatencyTable:
    """Measure the steps that the table at `path` lacks, and return the whole table.

    A step that failed has no row in it; one that stayed unsteady has a row that says so.

    Args:
        steps: rows wanted; those that are confirmed are not measured again.
        device: reached and open.
        path: of the table; created when missing, continued when there.
        settings: of the measurement.
        limits: how long to wait for what.
        seed: of the order.
        allow_emulated: measure an emulated board, too, whose times say nothing; the table is marked.
        progress: told of every block and every wait.
        stop: set by another thread to end after the block that is being measured.

    Raises:
        TableMismatch: the table was made on another device, with another build or other settings.
        DeviceError: the board failed as a whole, or is emulated.
        FileFormatError: the table is damaged.
        Stopped: `stop` was set.
    """
    header = table_header(device, settings, allow_emulated)
    with Journal(path, KIND, SCHEMA, header) as journal:
        check_identity(path, journal.header, header)
        session = Session(
            device,
            journal,
            LatencyTable.open(path),
            settings,
            limits or Limits(),
            np.random.default_rng(seed),
            progress or (lambda done, total, text: None),
            stop or threading.Event(),
        )
        session.measure(steps)
    return session.table


def table_header(device: Device, settings: ProfileSettings, allow_emulated: bool = False) -> dict[str, object]:
    """Device, build and settings: what a table's rows have in common.

    Raises:
        UnknownName: settings.isa is none that the device has.
        DeviceError: the board is emulated.
    """
    known, emulated = device.facts.get("isa"), device.emulated
    if settings.isa != "best" and isinstance(known, list) and settings.isa not in known:
        raise UnknownName(f"instruction set of {device.name}", settings.isa, ["best", *known])
    if emulated and not allow_emulated:
        raise DeviceError(
            f"{device.name}: an emulated board, whose times say nothing of a real one; a table of a board that you "
            "lack: `bnn-deploy profile --estimate`; a table of this one, marked as emulated: --allow-emulated"
        )
    isa = device.facts.get("best_isa") if settings.isa == "best" else settings.isa
    return {
        "device": device.name,
        "cpu": device.facts.get("cpu"),
        "isa": isa,
        "binary_sha256": device.binary_sha256,
        "settings": settings.to_json(),
        "source": EMULATED if emulated else MEASURED,
        "core": device.choose_core(),
        "facts": dict(device.facts),
        "version": __version__,
        "utc": utc_now(),
    }
