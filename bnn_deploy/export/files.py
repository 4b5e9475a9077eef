"""All exported files of one network, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bnn_deploy.deploy_graph import DeployGraph
from bnn_deploy.engine.bnn_file import write_bnn
from bnn_deploy.errors import UnknownName
from bnn_deploy.export.onnx import export_onnx
from bnn_deploy.export.small_groups import SmallGroups
from bnn_deploy.export.tflite import export_tflite

FORMATS = ("bnn", "onnx", "tflite")


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """format: one of FORMATS; remark: what the format costs, or "" when nothing."""

    format: str
    path: Path
    bytes: int
    remark: str


def model_path(folder: Path, file_format: str) -> Path:
    """Where a network's file of a format is."""
    return folder / f"model.{file_format}"


def export_files(
    graph: DeployGraph,
    folder: Path,
    formats: Sequence[str] = FORMATS,
    small_groups: SmallGroups = SmallGroups.PAD,
) -> list[ExportedFile]:
    """Write `graph` in the given formats; each file appears whole or not at all. small_groups: of the .tflite file.

    Raises:
        UnknownName: not one of FORMATS.
        ExportError: a format cannot express the network.
        BnnDeployError: the disk refuses.
    """
    files = []
    for file_format in formats:
        path, remark = model_path(folder, file_format), ""
        match file_format:
            case "bnn":
                write_bnn(path, graph)
            case "onnx":
                export_onnx(graph, path)
            case "tflite":
                remark = str(export_tflite(graph, path, small_groups))
            case _:
                raise UnknownName("format", file_format, FORMATS)
        files.append(ExportedFile(file_format, path, path.stat().st_size, remark))
    return files
