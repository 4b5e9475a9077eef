"""What a parity check covers unless told otherwise: every runtime of an exported network but those left out here."""

from __future__ import annotations

from pathlib import Path

from bnn_deploy.export.files import model_path
from bnn_deploy.runtimes.registry import BINARY_RUNTIMES, RUNTIMES, missing_runtimes


def verified_runtimes(folder: Path | None = None) -> list[str]:
    """All that can run an exported network but left_out_runtimes.

    Args:
        folder: of the exported files; None: before there are any.

    Raises:
        FileFormatError: a damaged .tflite file.
    """
    left_out = left_out_runtimes(folder)
    return [name for name in BINARY_RUNTIMES if name not in left_out]


def left_out_runtimes(folder: Path | None = None) -> dict[str, str]:
    """Runtimes that are left out, each with why: "litert+bnn", which needs a package of its own, where it is not
    installed; "lce" where the .tflite file has our own operator.

    Raises:
        FileFormatError: see verified_runtimes.
    """
    left_out = missing_runtimes(["litert+bnn"])
    path = None if folder is None else model_path(folder, RUNTIMES["lce"].format)
    if path is not None and path.exists():
        from bnn_deploy.runtimes.lce import refusal
        from bnn_deploy.runtimes.tflite_file import TfliteFile

        reason = refusal(TfliteFile(path))
        if reason is not None:
            left_out["lce"] = reason
    return left_out
