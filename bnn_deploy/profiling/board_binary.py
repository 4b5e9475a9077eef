"""Which build of the board binary runs on a kind of machine."""

from __future__ import annotations

import platform
from pathlib import Path

from bnn_deploy import _native
from bnn_deploy.errors import DeviceError

INSTALLED = Path(_native.__file__).parent / "bin" / "bnn-board"  # beside the extension module: of this computer
_CHECKOUT = Path(__file__).resolve().parents[2]


def board_binary(machine: str) -> Path:
    """The binary for a machine, as `uname -m` calls it.

    Raises:
        DeviceError: there is none.
    """
    cross = _CHECKOUT / "build" / machine / "bnn-board"
    binary = INSTALLED if machine == platform.machine() else cross
    if not binary.is_file():
        raise DeviceError(
            f"{binary}: there is no board binary for {machine!r}; `make install` builds the one of this computer, "
            "`make board-aarch64` in the checkout the one of 64-bit ARM (it needs Debian's g++-aarch64-linux-gnu)"
        )
    return binary
