"""`bnn-deploy show`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bnn_deploy.architecture import Architecture
from bnn_deploy.cli.options import json_option
from bnn_deploy.cli.table_view import show_table
from bnn_deploy.cost import network_cost, step_cost
from bnn_deploy.errors import FileFormatError, UnknownName
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.references import reference, reference_names
from bnn_deploy.report.tables import latency, percent, print_json, print_table
from bnn_deploy.settings import read_json
from bnn_deploy.space import Space, load_space, preset_names
from bnn_deploy.steps import Step, StepKind, plan


@click.command()
@click.argument("what")
@json_option
def command(what: str, as_json: bool) -> None:
    """Describe WHAT: a latency table (.jsonl), a .bnn file, a run folder, a space or a reference architecture.

    \b
    Examples:
      bnn-deploy show mobilenet-32
      bnn-deploy show reactnet-a
      bnn-deploy show runs/tables/host.jsonl
      bnn-deploy show runs/quickstart
    """
    path = Path(what)
    if path.is_dir():
        _show_folder(path, as_json)
    elif path.suffix == ".jsonl" and path.exists():
        show_table(LatencyTable.open(path), as_json)
    elif path.suffix == ".bnn" and path.exists():
        _show_bnn(path, as_json)
    elif what in reference_names():
        _show_network(what, reference(what), as_json)
    elif what in preset_names() or path.suffix == ".toml":
        _show_space(load_space(what), as_json)
    elif path.suffix in (".jsonl", ".bnn") or "/" in what:
        raise FileFormatError(f"{what}: no such file or folder")
    else:
        raise UnknownName("file, space or reference architecture", what, [*preset_names(), *reference_names()])


def _show_bnn(path: Path, as_json: bool) -> None:
    from bnn_deploy.engine.bnn_file import read_bnn
    from bnn_deploy.engine.network import Network

    steps, network = read_bnn(path).steps, Network.open(path)
    if as_json:
        rows = [{"key": step.key, "kernel": kernel} for step, kernel in zip(steps, network.kernels, strict=True)]
        print_json({"steps": rows, "arena_bytes": network.arena_bytes, "bytes": path.stat().st_size})
        return
    body = [[*_step_row(step), kernel] for step, kernel in zip(steps, network.kernels, strict=True)]
    print_table(f"{path}", ["step", "MACs", "K", "kernel"], body)
    click.echo(f"{path.stat().st_size / 1024:.1f} KiB on disk, {network.arena_bytes / 1024:.1f} KiB of activations")


def _show_network(name: str, net: Architecture, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "architecture": net.to_json(), "cost": network_cost(net).to_json()})
        return
    body = [[*_step_row(step), f"{step_cost(step).bytes / 1024:.1f} KiB"] for step in plan(net)]
    print_table(f"{name}: the steps that the engine executes", ["step", "MACs", "K", "weights"], body)
    cost = network_cost(net)
    click.echo(f"{cost.bops / 1e9:.3f}e9 BOPs, {cost.flops / 1e8:.3f}e8 FLOPs, {cost.ops / 1e8:.3f}e8 OPs")


def _show_space(space: Space, as_json: bool) -> None:
    steps = space.steps()
    if as_json:
        genes = {gene.name: list(gene.choices) for gene in space.genes}
        print_json({"name": space.name, "genes": genes, "size": space.size, "steps": [step.key for step in steps]})
        return
    rows = []
    for gene, block in zip(space.genes, space.base.blocks, strict=True):
        shape = f"{block.channels_in} -> {block.channels_out}, {block.kernel}x{block.kernel}, stride {block.stride}"
        rows.append([gene.name, shape, ", ".join(map(str, gene.choices))])
    net = space.base
    image = f"{net.height}x{net.width}x{net.image_channels}"
    print_table(f"{space.name}: images {image}, {net.classes} classes", ["gene", "block", "choices"], rows)
    click.echo(f"{space.size:,} architectures, {len(steps)} different steps, doubling {net.doubling.value}")


def _show_folder(path: Path, as_json: bool) -> None:
    for name in ("summary.json", "search.json", "network.json"):
        if (path / name).exists():
            data = read_json(path / name)
            break
    else:
        raise FileFormatError(f"{path}: expected a run folder (with summary.json, search.json or network.json)")
    if as_json:
        print_json(data)
        return
    try:
        _print_folder(path, name, data)
    except (KeyError, TypeError) as exc:
        raise FileFormatError(f"{path / name}: malformed: {exc!r}") from exc


def _print_folder(path: Path, name: str, data: dict[str, Any]) -> None:
    if name == "summary.json":
        from bnn_deploy.report.summary import print_summary

        print_summary(data)
    elif name == "search.json":
        source = data["latency"]["source"]
        rows = [_front_row(row, source) for row in data["front"]]
        print_table(f"Pareto front in {path}", ["groups", "val accuracy", "predicted latency"], rows)
    else:
        _show_network(str(path), Architecture.from_json(data["architecture"]), False)


def _front_row(row: dict[str, Any], source: str) -> list[str]:
    net = Architecture.from_json(row["architecture"])
    return [",".join(map(str, net.groups)), percent(row["accuracy"]), latency(row["latency_ns"], source)]


def _step_row(step: Step) -> list[str]:
    return [step.key, f"{step.macs:,}", str(step.k_bits) if step.kind is StepKind.BCONV2D else ""]
