"""What a device looks like to somebody who wants to measure on it, and what to change for steadier numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bnn_deploy.errors import DeviceError, DeviceLost
from bnn_deploy.profiling.device import Device

_TICKS_PER_S = 100  # of /proc/PID/stat, on every Linux that these kernels run on
_LOOK_S = 1.0
_BUSY_SHARE = 0.02  # of a core: what a process must use to be named
_BUSY_LOAD = 0.5
_CLOCK_SHARE = 0.03  # a real clock that is further from the asked-for one is another
_WARM_C, _HOT_C = 70, 80  # a Raspberry Pi slows down from 80 on, and more from 85
_LITTLE_MEMORY = 100 << 20
_LITTLE_DISK_KIB = 64 << 10

_DESKTOPS = ("Xorg", "Xwayland", "gnome-shell", "kwin_wayland", "kwin_x11", "labwc", "lxsession", "wayfire", "weston")
_GOVERNORS = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"

# Bit of a Raspberry Pi's get_throttled -> what it says; the bit 16 places up: it was so at some time since the start.
_THROTTLED = {
    0: "the supply's voltage is too low: use the board's own power supply and a short, thick cable",
    1: "the clock is capped",
    2: "the clock is lowered: too hot, or too little power",
    3: "the soft temperature limit holds the clock down: give it a heatsink or a fan",
}

# Two looks at the processes with a second between, then the space here.
_LOOK = f"cat /proc/[0-9]*/stat 2>/dev/null; echo; sleep {_LOOK_S:g}; cat /proc/[0-9]*/stat 2>/dev/null; echo; df -Pk ."


@dataclass(frozen=True, slots=True)
class Busy:
    """A process that takes time: the share of one core."""

    command: str
    share: float


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found.

    Args:
        core: the one that measurements would be pinned to.
        facts, state: as `bnn-board facts` and `bnn-board state` tell them.
        hold: as `bnn-board hold` tells; None when it was refused.
        held_by: why, as a rule another profiler, in the board's words; None when it was not.
        busy: processes that take time, the busiest first.
        desktop: the desktop's process, if one runs.
        free_kib: space where a session's folder is.
    """

    core: int
    facts: Mapping[str, object]
    state: Mapping[str, object]
    hold: Mapping[str, object] | None
    held_by: str | None
    busy: Sequence[Busy]
    desktop: str | None
    free_kib: int

    @property
    def advice(self) -> list[str]:
        """What makes numbers from this device less steady or less true, and what to do about it; best none."""
        said = [*self._kind(), *self._clock(), *self._heat(), *self._others(), *self._room()]
        return list(dict.fromkeys(said))

    def to_json(self) -> dict[str, object]:
        """All of it."""
        return {**asdict(self), "facts": dict(self.facts), "state": dict(self.state), "advice": self.advice}

    def _kind(self) -> list[str]:
        if self.facts.get("emulated"):
            return ["an emulator plays its CPU: results are right, latencies mean nothing; tables from it are refused"]
        if self.facts.get("hypervisor"):
            return [
                "a virtual machine: others on the same hardware may slow it down unseen; prefer hardware of your own"
            ]
        return []

    def _clock(self) -> list[str]:
        said = [self.held_by] if self.held_by else []
        if self.hold is not None and not self.hold.get("freq_locked"):
            governor, todo = self.facts.get("governor"), "latencies may drift"
            if governor is not None:
                todo = f"governor {governor!r}: run `echo performance | sudo tee {_GOVERNORS}` there, or log in as root"
            said.append(f"the clock cannot be locked ({self.hold.get('why')}): {todo}")
        asked, real = self.state.get("cur_khz"), self.state.get("clock_khz")
        if isinstance(asked, int) and isinstance(real, int) and abs(real / asked - 1) > _CLOCK_SHARE:
            said.append(
                f"core {self.core} runs at {real / 1000:.0f} MHz where {asked / 1000:.0f} were asked for: too little "
                "power, or too hot"
            )
        bits = self.state.get("throttled")
        if isinstance(bits, int):
            said += [f"now {text}" for bit, text in _THROTTLED.items() if bits >> bit & 1]
            since = [text for bit, text in _THROTTLED.items() if bits >> (bit + 16) & 1 and not bits >> bit & 1]
            said += [f"since it started, for a time, {text}" for text in since]
        return said

    def _heat(self) -> list[str]:
        temperature = self.state.get("temperature_mc")
        degrees = temperature / 1000 if isinstance(temperature, int) else 0
        if degrees < _WARM_C:
            return []
        effect = "slows down" if degrees >= _HOT_C else "is about to slow down"
        return [f"at {degrees:.0f} °C it {effect}: give it a fan or a heatsink, and let it cool"]

    def _others(self) -> list[str]:
        said = []
        if self.desktop:
            said.append(
                f"a desktop runs ({self.desktop}): `sudo systemctl isolate multi-user.target` stops it until the "
                "next start, `set-default` in place of `isolate` for good"
            )
        names = ", ".join(f"{busy.command} ({busy.share:.0%} of a core)" for busy in self.busy[:5])
        load = self.state.get("load1")
        if self.busy:
            said.append(f"others are at work: {names}; stop them while you measure")
        elif isinstance(load, float) and load >= _BUSY_LOAD:
            said.append(f"its load was {load:.2f} in the last minute; wait until it is idle")
        return said

    def _room(self) -> list[str]:
        said = []
        memory = self.state.get("free_bytes")
        if isinstance(memory, int) and memory < _LITTLE_MEMORY:
            said.append(f"only {memory >> 20} MiB of memory are free; stop what fills it")
        if self.free_kib < _LITTLE_DISK_KIB:
            said.append(f"only {self.free_kib >> 10} MiB are free where files are put; free some, or name a `folder`")
        return said


def examine(device: Device) -> Examination:
    """Look at a device for about two seconds.

    Raises:
        DeviceError: it failed.
    """
    core = device.choose_core()
    state = next(device.board(["state", "--core", str(core)], 30.0))
    hold, held_by = None, None
    try:
        held = device.hold(["hold", "--core", str(core), "--governor", "performance"])
        held.close()
        hold = json.loads(held.first_line)
    except DeviceLost:
        raise
    except DeviceError as exc:
        held_by = str(exc)
    first, second, space = "\n".join(device.run(["sh", "-c", _LOOK])).split("\n\n")
    before, after = _times(first), _times(second)
    used = Counter({key: ticks - before[key] for key, ticks in after.items() if key in before})
    shares = [Busy(command, ticks / _TICKS_PER_S / _LOOK_S) for (_, command), ticks in used.most_common()]
    names = {command for _, command in after}
    return Examination(
        core=core,
        facts=device.facts,
        state=state,
        hold=hold,
        held_by=held_by,
        busy=[busy for busy in shares if busy.share >= _BUSY_SHARE],
        desktop=next((name for name in _DESKTOPS if name in names), None),
        free_kib=int(space.splitlines()[-1].split()[3]),
    )


def _times(stats: str) -> dict[tuple[int, str], int]:
    """/proc/PID/stat of many processes -> (PID, command) -> clock ticks that it has used."""
    found = {}
    for line in stats.splitlines():
        before, _, after = line.rpartition(")")
        pid, _, command = before.partition(" (")
        numbers = after.split()
        if len(numbers) > 13:
            found[int(pid), command] = int(numbers[11]) + int(numbers[12])
    return found
