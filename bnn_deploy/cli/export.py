"""`bnn-deploy export`"""

from __future__ import annotations

from pathlib import Path

import click

from bnn_deploy.cli.console import say
from bnn_deploy.cli.options import json_option
from bnn_deploy.export.files import FORMATS, export_files
from bnn_deploy.export.fold import fold
from bnn_deploy.report.tables import print_json, print_table
from bnn_deploy.training.network_folder import NetworkFolder


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--format", "formats", multiple=True, type=click.Choice(FORMATS), help="Repeatable  [default: all].")
@click.option("--out", type=click.Path(path_type=Path), help="Where to  [default: FOLDER/export].")
@json_option
def command(folder: Path, formats: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Write the trained network in FOLDER as .bnn (the engine), .onnx (ONNX Runtime) and .tflite (LCE's dialect).

    \b
    Examples:
      bnn-deploy export runs/mine/winner
      bnn-deploy export runs/mine/winner --format tflite --out board/
    """
    graph = fold(NetworkFolder.open(folder).load())
    files = export_files(graph, out or folder / "export", formats or FORMATS)
    if as_json:
        print_json([{"format": f.format, "path": str(f.path), "bytes": f.bytes, "remark": f.remark} for f in files])
        return
    rows = [[str(file.path), f"{file.bytes / 1024:.1f} KiB", file.remark] for file in files]
    print_table("Exported", ["file", "size", "remark"], rows)
    say(f"next: bnn-deploy verify {folder}")
