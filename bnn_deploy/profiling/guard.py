"""The guard of a measuring session: one profiler on a board at a time, its clock held still where that is permitted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from bnn_deploy.errors import DeviceError, DeviceLost, FileFormatError
from bnn_deploy.latency.fields import Fields
from bnn_deploy.profiling.device import Device
from bnn_deploy.profiling.protocol import ProfileSettings
from bnn_deploy.profiling.transport.base import Held

TAKE_OVER_S = 5.0  # a guard whose program was killed needs a moment to notice


@dataclass(frozen=True, slots=True)
class Lock:
    """What the board permitted.

    Args:
        freq_locked: the clock is held at one frequency.
        governor: of the frequency, now; None where there is none.
        khz: that the clock is held at; None when it is not.
        why: the frequency is not locked; None when it is.
    """

    freq_locked: bool
    governor: str | None
    khz: int | None
    why: str | None


class Guard:
    """`bnn-board hold`, for as long as the block of `with` lasts. The board restores itself when this program dies.

    Args:
        device: reached and open.
        settings: name the frequency or governor.
        core: whose.
        tell: called with what is being waited for.

    Raises:
        DeviceError: another program measures on the board, or it refuses the frequency that was asked for.
    """

    def __init__(self, device: Device, settings: ProfileSettings, core: int, tell: Callable[[str], None]) -> None:
        self._device, self._arguments, self._tell = device, settings.hold_arguments(core), tell
        self._held: Held | None = None
        self.lock = Lock(False, None, None, None)

    def __enter__(self) -> Guard:
        end = time.monotonic() + TAKE_OVER_S
        while self._held is None:
            try:
                self._held = self._device.hold(self._arguments)
            except DeviceLost:
                raise
            except DeviceError as exc:
                if time.monotonic() > end:
                    raise
                self._tell(f"{exc}; waiting")
                time.sleep(0.5)
        try:
            self.lock = _lock(self._held.first_line)
        except (ValueError, FileFormatError) as exc:
            self._held.close()
            raise DeviceError(f"{self._device.name}: a wrong answer from the board's guard: {exc}") from exc
        if self.lock.why:
            self._tell(f"clock not locked: {self.lock.why}")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


def _lock(line: str) -> Lock:
    fields = Fields("hold", json.loads(line))
    return Lock(
        freq_locked=fields.boolean("freq_locked"),
        governor=fields.optional_text("governor"),
        khz=fields.optional_integer("khz"),
        why=fields.optional_text("why"),
    )
