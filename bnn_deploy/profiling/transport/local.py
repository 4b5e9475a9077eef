"""This computer as a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bnn_deploy.profiling.transport.shell import ShellTransport


class LocalTransport(ShellTransport):
    """Files stay where they are, programs are subprocesses. See ShellTransport."""

    def __init__(self, name: str = "host", folder: str | None = None) -> None:
        super().__init__(name, folder)

    def push(self, path: Path) -> str:
        """The path itself."""
        return str(path.resolve())

    def _command(self, argv: Sequence[str]) -> list[str]:
        return list(argv)
