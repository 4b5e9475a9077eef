"""`bnn-deploy verify --latency`: a table's predictions against networks measured whole."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click
import numpy as np

from bnn_deploy.architecture import Architecture
from bnn_deploy.cli.console import say, stage
from bnn_deploy.errors import DeviceError, FileFormatError, SpaceError, TableMismatch
from bnn_deploy.latency.correction import Coefficients, Correction, correction_path
from bnn_deploy.latency.measurement import MEASURED
from bnn_deploy.latency.networks import networks_path
from bnn_deploy.latency.predict import predict_ns
from bnn_deploy.latency.statistics import Agreement, Estimate
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.latency.verification import CORRECTED, FLOPS, OPS, SUM, Verification, verify_table
from bnn_deploy.profiling.device import check_same_device, open_device
from bnn_deploy.profiling.network_latency import measure_networks
from bnn_deploy.report.tables import print_json, print_table, us
from bnn_deploy.settings import read_json
from bnn_deploy.space import load_space

_DRAWS = 100  # per network wanted, until a small space is taken to be exhausted


def verify_latency(
    path: Path,
    run: Path | None,
    space_name: str | None,
    device_name: str | None,
    *,
    networks: int,
    visits: int,
    seed: int,
    refit: bool,
    as_json: bool,
) -> None:
    """See the command's help."""
    table = LatencyTable.open(path)
    if table.source != MEASURED:
        raise TableMismatch(f"{path}: no measurements but {table.source}; only a measured table can be verified")
    name, nets = _front(run) if run else _random(str(space_name), networks, seed)
    for net in nets:
        predict_ns(net, table)  # a missing row is told before anything is measured
    device = open_device(device_name or table.device)
    try:
        check_same_device(table, device)
        with stage(f"verify {table.device}") as bar:
            measured = measure_networks(nets, device, table, visits=visits, seed=seed, progress=bar.update)
    finally:
        device.close()
    stored = correction_path(path)
    known = Correction.open(stored) if stored.exists() else None
    try:
        found = verify_table(measured, table, name, known)
    except ValueError as exc:
        raise DeviceError(
            f"{device.name}: {exc}: the core ran at another speed than when {path} was measured, or was not alone; "
            "run the command again when it is quiet, or measure a new table"
        ) from exc
    kept = _keep(found, stored, known, refit)
    if as_json:
        print_json({"table": str(path), "device": table.device, "space": name, "seed": seed, **found.to_json()})
    else:
        _print(found, path)
    say(kept)


def _random(space_name: str, count: int, seed: int) -> tuple[str, list[Architecture]]:
    """`count` distinct uniform random networks of a space."""
    space, rng = load_space(space_name), np.random.default_rng(seed)
    nets: dict[Architecture, None] = {}
    for _ in range(_DRAWS * count):
        nets[space.decode(space.sample(rng)[0])] = None
        if len(nets) == count:
            return space.name, list(nets)
    raise SpaceError(f"space {space.name}: expected {count} different networks in it, found {len(nets)}")


def _front(run: Path) -> tuple[str, list[Architecture]]:
    """The Pareto networks of a search."""
    path = run / "search.json"
    if not path.exists():
        raise FileFormatError(f"{run}: expected a finished search (search.json)")
    result: dict[str, Any] = read_json(path)
    settings: dict[str, Any] = read_json(run / "settings.json")
    try:
        rows = [*result["front"], result["winner"], result["random"]]
        nets = [Architecture.from_json(row["architecture"]) for row in rows]
        return str(settings["space"]["name"]), list(dict.fromkeys(nets))
    except (KeyError, TypeError) as exc:
        raise FileFormatError(f"{path}: holds no Pareto front ({exc!r}); run the search again") from exc


def _keep(found: Verification, path: Path, known: Correction | None, refit: bool) -> str:
    """Store the new correction if it is wanted and helps; says what was done."""
    if known and not refit:
        if found.tested is None:
            return f"{path} does not hold for these networks; --refit replaces it"
        return f"{path} tested on {len(found.networks)} networks, {found.seen} of which it was fitted to"
    if found.fitted is None:
        return f"{len(found.networks)} networks are too few, or too different, to fit a correction"
    if found.fitted.helps:
        found.fitted.save(path)
        return f"correction in {path}; `search` will use it"
    path.unlink(missing_ok=True)
    return "no correction kept: on networks that it has not seen it is no better than the plain sum"


def _print(found: Verification, path: Path) -> None:
    body = [[name, *_agreement(one)] for name, one in found.agreements.items()]
    columns = ["predicted by", "MAPE", "bias", "Kendall tau", "worst"]
    print_table(f"{path}: {len(found.networks)} networks, 95 % intervals in brackets", columns, body)
    measured = found.measured_ns
    spread = float(np.median([network.spread for network in found.networks]))
    click.echo(
        f"measured {us(float(measured.min()))} to {us(float(measured.max()))}; visits to a network differ by "
        f"{spread:.1%} (median); raw samples in {networks_path(path)}"
    )
    best = CORRECTED if found.tested else SUM
    error = max(found.agreements[best].mape.value, 1e-9)
    flops, ops = (found.agreements[name].mape.value / error for name in (FLOPS, OPS))
    click.echo(f'against "{best}" the fit on FLOPs has {flops:.1f} times the error, the fit on OPs {ops:.1f} times')
    if found.fitted:
        click.echo(f"correction: {_formula(found.fitted.coefficients)}")
    if found.left_out:
        click.echo(f"{found.left_out} networks left out: another clock than the table's, or unsteady")


def _agreement(found: Agreement) -> list[str]:
    tau = found.tau
    order = "-" if math.isnan(tau.value) else f"{tau.value:.3f} [{tau.low:.3f}, {tau.high:.3f}]"
    return [_percent(found.mape), _percent(found.bias, "+"), order, f"{100 * found.worst:.1f} %"]


def _percent(found: Estimate, sign: str = "") -> str:
    value, low, high = (format(100 * part, f"{sign}.2f") for part in (found.value, found.low, found.high))
    return f"{value} % [{low}, {high}]"


def _formula(found: Coefficients) -> str:
    parts = [f"{found.row_factor:.4f} * rows", f"{found.intercept_ns / 1e3:+.2f} us"]
    parts += [f"{found.step_ns:+.1f} ns per step"] if found.step_ns else []
    parts += [f"{found.kib_ns:+.2f} ns per KiB of constants"] if found.kib_ns else []
    return " ".join(parts)
