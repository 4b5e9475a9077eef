"""Every error this package raises on purpose.

BnnDeployError
├── ArchitectureError        a network that cannot exist: groups that do not divide, channels that do not chain
├── UnknownName              a preset, device, gene, kernel or dataset that is not in its list
├── SpaceError               a search-space file that is malformed, or a genome outside its space
├── FileFormatError          a file that is truncated, altered or of another schema
├── LatencyTableMiss         a step that the table has no measurement of
├── EstimateMiss             a step that no cycle model tells of
├── TableMismatch            a table of another device, kernel build or schema
├── InfeasibleBudget         a latency budget below what the table allows
├── DataError                a data set that is missing or unreadable
├── DeviceError              a board that cannot be reached, or a run on it that failed
│   └── DeviceLost           a board that is out of reach, perhaps only for a minute: reconnecting may help
├── ExportError              a network that the target format cannot express
└── RuntimeUnavailable       a runtime or an optional part of this package that is not installed

`bnn_deploy.cli` maps all of them to exit code 1 in one place; a wrong command line is exit code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ArchitectureError",
    "BnnDeployError",
    "DataError",
    "DeviceError",
    "DeviceLost",
    "EstimateMiss",
    "ExportError",
    "FileFormatError",
    "InfeasibleBudget",
    "LatencyTableMiss",
    "RuntimeUnavailable",
    "SpaceError",
    "TableMismatch",
    "UnknownName",
]


class BnnDeployError(Exception):
    """Base of all errors below; its text says what was expected, what came, and what to do."""


class ArchitectureError(BnnDeployError):
    """A network that cannot exist."""


class UnknownName(BnnDeployError):
    """A name that is not in its list; the message offers the nearest names and the whole list."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"unknown {kind} {name!r}{hint} (known: {', '.join(names) or 'none'})")


class SpaceError(BnnDeployError):
    """A malformed search space, or a genome outside of it."""


class FileFormatError(BnnDeployError):
    """A file that is truncated, altered or of another schema."""


class LatencyTableMiss(BnnDeployError):
    """No measurement of this step on this device."""


class EstimateMiss(BnnDeployError):
    """No cycle model for this step."""


class TableMismatch(BnnDeployError):
    """A table of another device, kernel build or schema."""


class InfeasibleBudget(BnnDeployError):
    """A latency budget that no architecture of the space meets."""


class DataError(BnnDeployError):
    """A data set that is missing, empty or unreadable."""


class DeviceError(BnnDeployError):
    """A device that cannot be reached, or a run on it that failed."""


class DeviceLost(DeviceError):
    """A device that is out of reach, perhaps only for a minute: a cable, a reboot."""


class ExportError(BnnDeployError):
    """A network that the target format cannot express."""


class RuntimeUnavailable(BnnDeployError):
    """A runtime, or an optional part of this package, that is not installed."""
