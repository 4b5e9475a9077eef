"""`bnn-deploy export`"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bnn_deploy.cli.console import say, stage
from bnn_deploy.cli.options import json_option
from bnn_deploy.deploy_graph import DeployGraph
from bnn_deploy.export.files import FORMATS, ExportedFile, export_files, model_path
from bnn_deploy.export.fold import fold
from bnn_deploy.export.small_groups import SmallGroups
from bnn_deploy.report.summary import print_parity
from bnn_deploy.report.tables import print_json, print_table
from bnn_deploy.runtimes.lce_converter import compare_files, convert, converter_python
from bnn_deploy.runtimes.parity import Parity
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
@click.option("--converter", type=click.Choice(["lce"]), help="Also write model.lce.tflite, and compare the two.")
@json_option
def command(
    folder: Path, formats: tuple[str, ...], out: Path | None, small_groups: str, converter: str | None, as_json: bool
) -> None:
    """Write the trained network in FOLDER as .bnn (the engine), .onnx (ONNX Runtime) and .tflite (LCE's dialect).

    LCE's operator takes 32, 64, 96, ... channels per group. Other groups are padded to that (--small-groups pad): such
    a file runs wherever LCE's files run, and does more work. Or they stay as they are, in an operator of our own
    (--small-groups native): such a file needs our delegate, and LCE's interpreter refuses it.

    --converter lce: builds the network in TensorFlow, too, lets LCE's own converter write model.lce.tflite, and runs
    both files in LCE's interpreter on the same random images. Exit code 1 when an integer sum of a binary layer is
    wrong in either, or the two differ in top-1 on more than 0.5 % of the images. Needs `scripts/lce-env --tensorflow`.

    \b
    Examples:
      bnn-deploy export runs/mine/winner
      bnn-deploy export runs/mine/winner --format tflite --out board/
      bnn-deploy export runs/mine/winner --small-groups native
      bnn-deploy export runs/mine/winner --converter lce
    """
    formats = formats or FORMATS
    if converter and ("tflite" not in formats or small_groups != SmallGroups.PAD.value):
        raise click.UsageError(
            "--converter lce compares two files in LCE's interpreter: it needs --format tflite and --small-groups pad"
        )
    if small_groups != SmallGroups.PAD.value and "tflite" not in formats:
        raise click.UsageError(f"--small-groups {small_groups} is about the .tflite file: it needs --format tflite")
    graph, target = fold(NetworkFolder.open(folder).load()), out or folder / "export"
    if converter:
        converter_python()  # before anything is written
    files = export_files(graph, target, formats, SmallGroups(small_groups))
    parity = _convert(graph, target, files) if converter else ()
    if as_json:
        entries: list[dict[str, object]] = [
            {"format": f.format, "path": str(f.path), "bytes": f.bytes, "remark": f.remark} for f in files
        ]
        if parity:
            entries[-1]["comparison"] = [row.to_json() for row in parity]
        print_json(entries)
    else:
        rows = [[str(file.path), f"{file.bytes / 1024:.1f} KiB", file.remark] for file in files]
        print_table("Exported", ["file", "size", "remark"], rows)
        if parity:
            print_parity("LCE's converter, compared with model.tflite", [row.to_json() for row in parity])
    if not all(row.passed for row in parity):
        say(f"failed: {', '.join(row.runtime for row in parity if not row.passed)}")
        sys.exit(1)
    say(f"next: bnn-deploy verify {folder}")


def _convert(graph: DeployGraph, folder: Path, files: list[ExportedFile]) -> tuple[Parity, Parity]:
    """The converter's file, added to `files`; model.tflite by itself and the converter's compared with it."""
    written, converted = (model_path(folder, suffix) for suffix in ("tflite", "lce.tflite"))
    with stage("LCE's converter") as bar:
        convert(graph, converted, bar.update)
    with stage("compare") as bar:
        parity = compare_files(graph, written, converted, lambda done, total: bar.update(done, total, "images"))
    remark = f"by LCE's converter; largest relative difference of logits {parity[1].max_rel_diff:.1e}"
    files.append(ExportedFile("tflite", converted, converted.stat().st_size, remark))
    return parity
