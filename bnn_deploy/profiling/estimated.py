"""A latency table of a board that is not there: every row computed and marked so (bnn_deploy.latency.estimate)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bnn_deploy import __version__
from bnn_deploy.errors import DeviceError, UnknownName
from bnn_deploy.journal import Journal
from bnn_deploy.latency.estimate import L2_BYTES_PER_CYCLE, PEAK_SHARE, SOURCE, Core, CycleModels
from bnn_deploy.latency.loops import walk
from bnn_deploy.latency.measurement import Measurement
from bnn_deploy.latency.table import KIND, SCHEMA, LatencyTable, check_identity
from bnn_deploy.profiling.blocks import utc_now
from bnn_deploy.profiling.description import DeviceDescription, device_descriptions
from bnn_deploy.steps import Step

_ITERATIONS = 1000  # so that whole nanoseconds of a sample are fractions of a call


def estimate_table(steps: Sequence[Step], device: str, path: Path) -> LatencyTable:
    """Compute the rows that the table at `path` lacks, and return the whole table.

    Args:
        steps: rows wanted.
        device: name of a device whose hardware is described.
        path: of the table; created when missing, continued when there.

    Raises:
        UnknownName: no such device.
        DeviceError: too little is known of its hardware, or there are no cycle models of its CPU.
        EstimateMiss: no cycle model for a shape.
        TableMismatch: the table holds measurements, or estimates of other models.
        FileFormatError: the table is damaged.
    """
    models = CycleModels.open()
    known = device_descriptions()
    if device not in known:
        raise UnknownName("device", device, known)
    core = core_of(known[device], models)
    header = _header(known[device], core, models)
    rows = {step: core.latency_ns(step) for step in dict.fromkeys(steps)}  # all of them, before a file is begun
    with Journal(path, KIND, SCHEMA, header) as journal:
        check_identity(path, journal.header, header)
        there = LatencyTable.open(path).rows
        for step, latency_ns in rows.items():
            if step not in there:
                journal.append(_row(step, latency_ns, core).to_json())
    return LatencyTable.open(path)


def core_of(device: DeviceDescription, models: CycleModels) -> Core:
    """What a device's steps are estimated with.

    Raises:
        DeviceError: too little is known of its hardware, or there are no cycle models of its CPU.
    """
    hardware = device.hardware
    if hardware is None or hardware.cpu is None:
        raise DeviceError(
            f"{device.name}: its CPU is not described; an estimate is for a board whose CPU is known, and there are "
            f"cycle models of {', '.join(sorted(models.cores))} (`bnn-deploy devices` lists boards)"
        )
    if hardware.cpu not in models.cores:
        raise DeviceError(
            f"{device.name}: there is no cycle model of {hardware.cpu}, only of {', '.join(sorted(models.cores))}"
        )
    stream, peak = hardware.memory_stream_bytes_per_s, hardware.memory_peak_bytes_per_s
    memory = float(stream) if stream else PEAK_SHARE * float(peak or 0)
    if not memory or not hardware.max_khz:
        raise DeviceError(
            f"{device.name}: its clock or its memory's bandwidth is not described; give max_khz and "
            f"memory_stream_bytes_per_s or memory_peak_bytes_per_s in [{device.name}.hardware] of your devices file"
        )
    isa, of_core = models.cores[hardware.cpu]
    return Core(hardware.cpu, isa, 1e3 * hardware.max_khz, memory, of_core)


def _header(device: DeviceDescription, core: Core, models: CycleModels) -> dict[str, object]:
    return {
        "device": device.name,
        "cpu": core.name,
        "isa": core.isa,
        "binary_sha256": models.made_by["binary_sha256"],
        "settings": {
            "clock_hz": core.clock_hz,
            "memory_bytes_per_s": core.memory_bytes_per_s,
            "l2_bytes_per_cycle": L2_BYTES_PER_CYCLE,
        },
        "source": SOURCE,
        "core": None,
        "facts": {"soc": device.hardware.soc if device.hardware else None, "cycle_models": dict(models.made_by)},
        "version": __version__,
        "utc": utc_now(),
    }


def _row(step: Step, latency_ns: float, core: Core) -> Measurement:
    walked = walk(step, core.isa)
    assert walked is not None  # it has a latency
    samples = (max(1, round(_ITERATIONS * latency_ns)),)
    return Measurement(_ITERATIONS, samples, step, walked.kernel, utc_now(), source=SOURCE)
