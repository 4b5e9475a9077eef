"""`bnn-deploy verify FOLDER`: exported files against torch."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bnn_deploy.cli.console import say, stage
from bnn_deploy.cli.correction import usable_correction
from bnn_deploy.errors import FileFormatError
from bnn_deploy.export.files import model_path
from bnn_deploy.latency.networks import NetworkLatency
from bnn_deploy.latency.predict import predict_ns
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.device import check_same_device, open_device
from bnn_deploy.profiling.network_latency import measure_network
from bnn_deploy.report.summary import print_parity
from bnn_deploy.report.tables import print_json, us
from bnn_deploy.runtimes.parity import check_parity
from bnn_deploy.runtimes.verified import left_out_runtimes
from bnn_deploy.training.network_folder import NetworkFolder


def verify_files(
    folder: Path, runtimes: tuple[str, ...], images: int | None, table: Path | None, device: str, as_json: bool
) -> None:
    """See the command's help."""
    network = NetworkFolder.open(folder)
    test, exported = network.load_data().test, network.path / "export"
    if not runtimes:
        for name, why in left_out_runtimes(exported).items():
            say(f"{name} is left out: {why}")
    with stage("verify") as bar:
        parity = check_parity(
            network.load(),
            exported,
            test,
            runtimes or None,
            lambda done, total: bar.update(done, total, "images"),
            count=images,
        )
    latency = _latency(network, table, device) if table else None
    failed = [row for row in parity if not row.passed]
    if as_json:
        print_json(
            {
                "parity": [row.to_json() for row in parity],
                "latency": _latency_json(*latency) if latency else None,
                "passed": not failed,
            }
        )
    else:
        print_parity(f"{folder}: exported files against torch", [row.to_json() for row in parity])
        if latency:
            _print_latency(*latency)
    if failed:
        say(f"failed: {', '.join(row.runtime for row in failed)}")
        sys.exit(1)


def _latency_json(predicted_ns: float, measured: NetworkLatency) -> dict[str, object]:
    return {"predicted_ns": predicted_ns, "measured_ns": measured.at_clock_ns, "clock": measured.clock}


def _print_latency(predicted_ns: float, measured: NetworkLatency) -> None:
    error = f"{predicted_ns / measured.at_clock_ns - 1:+.1%}"
    click.echo(f"latency: predicted {us(predicted_ns)}, measured {us(measured.at_clock_ns)} ({error})")
    if not measured.same_clock:
        say(
            f"the core runs at another speed than when the table was measured (the sentinel took {measured.clock:.2f} "
            "times as long): measure a new table before you compare"
        )


def _latency(network: NetworkFolder, path: Path, device_name: str) -> tuple[float, NetworkLatency]:
    """The table's prediction, nanoseconds, and the measurement."""
    model = model_path(network.path / "export", "bnn")
    if not model.exists():
        raise FileFormatError(f"{model}: missing; run `bnn-deploy export {network.path}`")
    table = LatencyTable.open(path)
    correction = usable_correction(None, table, network.architecture)
    predicted_ns = predict_ns(network.architecture, table, correction.coefficients if correction else None)
    device = open_device(device_name)
    try:
        check_same_device(table, device)
        return predicted_ns, measure_network(model, device, table)
    finally:
        device.close()
