"""Waiting for good conditions: a cool board, a core of one's own at its full clock, a board that comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from bnn_deploy.errors import BnnDeployError, DeviceError, DeviceLost
from bnn_deploy.profiling.blocks import read_state
from bnn_deploy.profiling.device import Device
from bnn_deploy.profiling.protocol import Limits

COOLING_POLL_S = 5.0
RECONNECT_POLL_S = 2.0
FIRST_PAUSE_S = 1.0  # after a disturbed block; doubled after each further one
LONGEST_PAUSE_S = 15.0


class Stopped(BnnDeployError):
    """The session was told to stop."""


class Patience:
    """What a session waits for, and for how long.

    Args:
        limits: how long.
        tell: called with what is being waited for.
        stop: set by another thread to end every wait.
    """

    def __init__(self, limits: Limits, tell: Callable[[str], None], stop: threading.Event) -> None:
        self._limits, self._tell, self._stop = limits, tell, stop
        self._disturbed_s = 0.0
        self._disturbed_blocks = 0

    @property
    def spent(self) -> bool:
        """True when no more time may be lost to disturbances."""
        return self._disturbed_s >= self._limits.patience_s

    def disturbed(self, reason: str, seconds: float) -> None:
        """A block that took `seconds` does not count: pause before the next, each time longer."""
        self._disturbed_s += seconds
        longer_s = min(FIRST_PAUSE_S * 2.0**self._disturbed_blocks, LONGEST_PAUSE_S)
        pause_s = min(longer_s, self._limits.patience_s - self._disturbed_s)
        self._disturbed_blocks += 1
        if pause_s > 0:
            self._disturbed_s += pause_s
            self.pause(pause_s, f"{reason}; trying again in {pause_s:.0f} s")

    def undisturbed(self) -> None:
        """A block counted."""
        self._disturbed_blocks = 0

    def cool_down(self, device: Device, core: int) -> None:
        """Wait until the board is no hotter than permitted.

        Raises:
            DeviceError: it stays too hot.
        """
        limit_c, begin = self._limits.hottest_c(device.facts), time.monotonic()
        if limit_c is None:
            return
        while (now_c := read_state(device, core).temperature_c) is not None and now_c > limit_c:
            if time.monotonic() - begin > self._limits.cooling_s:
                raise DeviceError(
                    f"{device.name}: still {now_c:.1f} C after {self._limits.cooling_s / 60:.0f} minutes of waiting, "
                    f"the limit is {limit_c:.1f} C: cool the board, lock a lower clock (--khz) or give another "
                    "--max-temperature; the same command continues"
                )
            self.pause(COOLING_POLL_S, f"waiting: {now_c:.1f} C, the limit is {limit_c:.1f} C")

    def reconnect(self, device: Device, lost: DeviceLost) -> None:
        """Wait until the board answers again.

        Raises:
            DeviceLost: it stayed away.
        """
        end = time.monotonic() + self._limits.reconnect_s
        while True:
            self.pause(RECONNECT_POLL_S, f"{lost}; connecting again")
            try:
                device.reconnect()
                return
            except DeviceLost as still:
                if time.monotonic() > end:
                    raise DeviceLost(f"{still}; the same command continues where this one stopped") from still

    def pause(self, seconds: float, why: str) -> None:
        """Sleep, unless told to stop.

        Raises:
            Stopped: told so.
        """
        self._tell(why)
        self._stop.wait(seconds)
        self.check()

    def check(self) -> None:
        """Raises Stopped when told to stop."""
        if self._stop.is_set():
            raise Stopped("stopped; the same command continues")
