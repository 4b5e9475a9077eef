"""A latency table on the screen and as JSON: provenance first, then rows, then what speaks against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import click

from bnn_deploy.latency.check import Report, check
from bnn_deploy.latency.judgement import Quality, Row
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.report.tables import latency, print_json, print_table, us
from bnn_deploy.steps import Step, StepKind

_MARKS = {Quality.OK: "ok", Quality.ESTIMATE: "estimate"}  # every other quality stands out


def show_table(table: LatencyTable, as_json: bool) -> None:
    """All of it."""
    steps = sorted(table.measurements, key=_place)
    if as_json:
        rows = [row_json(table, step) for step in steps]
        print_json({"header": dict(table.header), "rows": rows, "check": report_json(check(table))})
        return
    print_provenance(table)
    print_rows(f"{len(table.rows)} rows", table, steps)
    print_report(check(table))


def print_provenance(table: LatencyTable) -> None:
    """Where, when and how."""
    rows = [[name, value] for name, value in provenance(table).items() if value]
    print_table(f"{table.path}", ["fact", "value"], rows, texts=2)


def provenance(table: LatencyTable) -> dict[str, str]:
    """Fact -> text; empty where nothing is known."""
    header, facts = table.header, table.header.get("facts")
    told = facts if isinstance(facts, Mapping) else {}
    blocks, times = table.blocks, [table.header.get("utc")]
    times += [blocks[0].utc, blocks[-1].utc] if blocks else []
    return {
        "device": _words(table.device, "a virtual machine" if told.get("hypervisor") else ""),
        "cpu": _words(header.get("cpu"), f"core {header['core']}" if header.get("core") is not None else ""),
        "source": table.source,
        "measured" if blocks else "made": " to ".join(dict.fromkeys(str(time) for time in (times[1:] or times))),
        "kernels": f"{table.isa}, board binary {str(header.get('binary_sha256'))[:12]}",
        "sources": str(told.get("sources") or ""),
        "compiler": _words(told.get("compiler"), told.get("flags")),
        "system": _words(told.get("os"), told.get("kernel_release")),
        "caches": _caches(told.get("caches")),
        "memory": f"{memory / 2**30:.1f} GiB" if isinstance(memory := told.get("memory_bytes"), int) else "",
        "blocks": f"{len(blocks)}, of which {len(table.set_aside)} set aside" if blocks else "",
        "settings": _settings(header.get("settings")),
    }


def print_rows(title: str, table: LatencyTable, steps: Iterable[Step]) -> None:
    """Rows, those that must not be trusted marked; a step without a row shows why."""
    columns = ["step", "median", "p10", "p90", "cold", "binary MAC/ns", "kernel", "measured", "quality"]
    print_table(title, columns, [_text(table, step) for step in steps])


def print_report(report: Report) -> None:
    """Problems, then notes."""
    for text in report.problems:
        click.secho(f"problem: {text}", fg="red")
    for text in report.notes:
        click.echo(f"note: {text}")


def report_json(report: Report) -> dict[str, object]:
    """Of `--json`."""
    return {"passed": report.passed, "problems": list(report.problems), "notes": list(report.notes)}


def row_json(table: LatencyTable, step: Step) -> dict[str, object]:
    """One step of `--json`; without a row its latency is null."""
    row = table.rows.get(step)
    if row is None:
        return {"key": step.key, "latency_ns": None, "error": table.failed.get(step, "not measured")}
    low, high = row.interval_ns
    return {
        "key": step.key,
        "latency_ns": row.latency_ns,
        "p10_ns": row.percentile_ns(10),
        "p90_ns": row.percentile_ns(90),
        "mad_ns": row.mad_ns,
        "interval_ns": [low, high],
        "cold_latency_ns": row.cold_latency_ns,
        "kernel": row.kernel,
        "measurements": row.attempts,
        "quality": row.quality.value,
        "source": row.source,
    }


def _place(step: Step) -> tuple[object, ...]:
    """About where a step stands in a network, then by groups."""
    image = (-step.in_height * step.in_width, step.in_channels, step.kind.value, -step.kernel, step.stride)
    return (*image, step.out_channels, step.groups, step.key)


def _text(table: LatencyTable, step: Step) -> Sequence[str]:
    row = table.rows.get(step)
    if row is None:
        return [step.key, *[""] * 7, f"[bold red]{table.failed.get(step, 'not measured')}"]
    if row.quality is Quality.ESTIMATE:  # one number, and no measurement
        return [step.key, latency(row.latency_ns, row.source), *[""] * 4, row.kernel, "", _quality(row)]
    rate = f"{step.macs / row.latency_ns:.0f}" if step.kind is StepKind.BCONV2D else ""
    cold = us(row.cold_latency_ns) if row.cold_latency_ns is not None else ""
    times = [us(row.latency_ns), us(row.percentile_ns(10)), us(row.percentile_ns(90)), cold]
    return [step.key, *times, rate, row.kernel, str(row.attempts), _quality(row)]


def _quality(row: Row) -> str:
    return _MARKS.get(row.quality) or f"[bold red]{row.quality.value}"


def _words(*words: object) -> str:
    return ", ".join(str(word) for word in words if word)


def _caches(caches: object) -> str:
    told = [cache for cache in (caches if isinstance(caches, list) else []) if isinstance(cache, Mapping)]
    return ", ".join(
        f"L{cache.get('level')} {str(cache.get('type')).lower()} {size >> 10} KiB"
        for cache in told
        if isinstance(size := cache.get("bytes"), int)
    )


def _settings(settings: object) -> str:
    told = settings if isinstance(settings, Mapping) else {}
    return ", ".join(f"{name} {value}" for name, value in told.items() if value is not None)
