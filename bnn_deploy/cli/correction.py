"""Which correction of a table's sums a command uses."""

from __future__ import annotations

from pathlib import Path

from bnn_deploy.architecture import Architecture
from bnn_deploy.cli.console import say
from bnn_deploy.errors import TableMismatch
from bnn_deploy.latency.correction import Correction, correction_path
from bnn_deploy.latency.table import LatencyTable


def usable_correction(given: Path | None, table: LatencyTable, architecture: Architecture) -> Correction | None:
    """The one that was asked for, or the table's own if it holds for this skeleton; says on stderr which.

    Raises:
        TableMismatch: the one that was asked for does not hold.
    """
    path = given or correction_path(table.path)
    if given is None and not path.exists():
        return None
    found = Correction.open(path)
    if not (why := found.applies_to(architecture, table)):
        say(f"latencies are corrected by {path}: {found.error_before:.1%} error without, {found.error:.1%} with it")
        return found
    if given:
        raise TableMismatch(f"{path}: {why}")
    say(f"{path} is not used: {why}")
    return None
