"""`bnn-deploy export`"""

from __future__ import annotations

from pathlib import Path

import click

from bnn_deploy.cli.console import say
from bnn_deploy.cli.options import json_option
from bnn_deploy.export.files import FORMATS, export_files
from bnn_deploy.export.fold import fold
from bnn_deploy.export.small_groups import SmallGroups
from bnn_deploy.report.tables import print_json, print_table
from bnn_deploy.training.network_folder import NetworkFolder


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--format", "formats", multiple=True, type=click.Choice(FORMATS), help="Repeatable  [default: all].")
@click.option("--out", type=click.Path(path_type=Path), help="Where to  [default: FOLDER/export].")
@click.option(
    "--small-groups",
    type=click.Choice([choice.value for choice in SmallGroups]),
    default=SmallGroups.PAD.value,
    show_default=True,
    help="How the .tflite holds groups whose channels are no multiple of 32.",
)
@json_option
def command(folder: Path, formats: tuple[str, ...], out: Path | None, small_groups: str, as_json: bool) -> None:
    """Write the trained network in FOLDER as .bnn (the engine), .onnx (ONNX Runtime) and .tflite (LCE's dialect).

    LCE's operator takes 32, 64, 96, ... channels per group. Other groups are padded to that (--small-groups pad): such
    a file runs wherever LCE's files run, and does more work. Or they stay as they are, in an operator of our own
    (--small-groups native): such a file needs our delegate, and LCE's interpreter refuses it.

    \b
    Examples:
      bnn-deploy export runs/mine/winner
      bnn-deploy export runs/mine/winner --format tflite --out board/
      bnn-deploy export runs/mine/winner --small-groups native
    """
    graph = fold(NetworkFolder.open(folder).load())
    files = export_files(graph, out or folder / "export", formats or FORMATS, SmallGroups(small_groups))
    if as_json:
        print_json([{"format": f.format, "path": str(f.path), "bytes": f.bytes, "remark": f.remark} for f in files])
        return
    rows = [[str(file.path), f"{file.bytes / 1024:.1f} KiB", file.remark] for file in files]
    print_table("Exported", ["file", "size", "remark"], rows)
    say(f"next: bnn-deploy verify {folder}")
