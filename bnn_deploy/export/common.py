"""What every exporter needs: the check of the constants' values and the record of where a file comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bnn_deploy import __version__
from bnn_deploy.architecture import Architecture
from bnn_deploy.deploy_graph import DeployGraph
from bnn_deploy.errors import ArchitectureError, ExportError, FileFormatError
from bnn_deploy.steps import StepKind


def check_values(graph: DeployGraph) -> None:
    """Refuse what no file can hold faithfully; shapes and types were checked when the graph was made.

    Raises:
        ExportError: a binary weight that is neither -1 nor +1, a NaN or an infinity, or an integer-only epilogue (the
            planner gives none). The message names the step.
    """
    for index, deploy in enumerate(graph.steps):
        where = f"step {index} ({deploy.step.key})"
        if deploy.step.integer_threshold:
            raise ExportError(f"{where}: a step of bits only has no form in .onnx and .tflite; give it a float output")
        for name, values in deploy.constants.items():
            if deploy.step.kind is StepKind.BCONV2D and name == "weights":
                if not np.all((values == 1) | (values == -1)):
                    raise ExportError(f"{where}: binary weights must be -1 or +1, got {np.unique(values)[:5].tolist()}")
            elif not np.isfinite(values).all():
                raise ExportError(f"{where}: {name} holds a NaN or an infinity")


def provenance(architecture: Architecture) -> dict[str, str]:
    """Where a file comes from; text values, so that every format can carry them. See architecture_of."""
    return {
        "bnn_deploy.architecture": json.dumps(architecture.to_json(), sort_keys=True),
        "bnn_deploy.digest": architecture.digest,
        "bnn_deploy.version": __version__,
    }


def architecture_of(record: Mapping[str, str], path: Path) -> Architecture:
    """Inverse of provenance. path: of the file that holds the record, for messages.

    Raises:
        FileFormatError: a record that is malformed, or not of this package.
    """
    text = record.get("bnn_deploy.architecture")
    if text is None:
        raise FileFormatError(f"{path}: not written by bnn-deploy: it has no record of its architecture")
    try:
        return Architecture.from_json(json.loads(text))
    except (ArchitectureError, ValueError, RecursionError) as exc:
        raise FileFormatError(f"{path}: its record of the architecture is malformed: {exc}") from exc
