"""What a board was like while it measured: the conditions of a table's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from bnn_deploy.latency.fields import Fields

TICK_NS = 10_000_000  # of /proc/stat, USER_HZ = 100 on every Linux


@dataclass(frozen=True, slots=True)
class BoardState:
    """`bnn-board state`: one moment of a board.

    Args:
        utc_ns: when, since 1970.
        core: that measures.
        cur_khz: its clock as the kernel requested it; None where there is no frequency scaling.
        clock_khz: its clock as it is, by a chain of dependent one-cycle additions.
        temperature_mc: of the hottest zone, thousandths of a degree Celsius; None without a sensor.
        throttled: the Raspberry Pi's get_throttled bits; None elsewhere.
        load1: processes that wanted to run, average of a minute.
        free_bytes: memory that a process could get.
        steal_ticks: hundredths of a second that a hypervisor took the core away, since boot.

    load1, free_bytes and steal_ticks are None where the system hides them (Android).
    """

    utc_ns: int
    core: int
    cur_khz: int | None
    clock_khz: int
    temperature_mc: int | None
    throttled: int | None
    load1: float | None
    free_bytes: int | None
    steal_ticks: int | None

    @property
    def temperature_c(self) -> float | None:
        """Degrees Celsius."""
        return None if self.temperature_mc is None else self.temperature_mc / 1000

    @classmethod
    def from_json(cls, data: object) -> BoardState:
        """From a line of the board or a member of a block.

        Raises:
            FileFormatError: malformed; the message names the member.
        """
        fields = Fields("state", data)
        state = cls(
            utc_ns=fields.integer("utc_ns"),
            core=fields.integer("core"),
            cur_khz=fields.optional_integer("cur_khz"),
            clock_khz=fields.integer("clock_khz"),
            temperature_mc=fields.optional_integer("temperature_mc"),
            throttled=fields.optional_integer("throttled"),
            load1=fields.optional_number("load1"),
            free_bytes=fields.optional_integer("free_bytes"),
            steal_ticks=fields.optional_integer("steal_ticks"),
        )
        fields.end()
        return state


@dataclass(frozen=True, slots=True)
class Block:
    """Steps that were measured together, their samples interleaved, by one process on one core.

    Args:
        number: of the block in its table; rows name it.
        utc: when it ended, ISO 8601.
        seconds: that it took as a whole, set-up and transfers included.
        before, after: the board's state.
        wall_ns: from state to state.
        wall_sampled_ns: from the first sample to the last.
        cpu_ns: processor time of the measuring thread in wall_sampled_ns.
        preempted: involuntary context switches in wall_sampled_ns.
        sentinel_ns: the sentinel loop's durations, one in every round of samples.
        freq_locked: whether the clock was held at one frequency.
        governor: of the frequency; None where there is none.
    """

    number: int
    utc: str
    seconds: float
    before: BoardState
    after: BoardState
    wall_ns: int
    wall_sampled_ns: int
    cpu_ns: int
    preempted: int
    sentinel_ns: tuple[int, ...]
    freq_locked: bool
    governor: str | None

    @property
    def median_sentinel_ns(self) -> float:
        """The clock that most of its samples had; two blocks are comparable when theirs agree."""
        return float(np.median(self.sentinel_ns))

    @property
    def cpu_share(self) -> float:
        """The part of the sampled time in which the measuring thread ran: 1 on a core of its own."""
        return self.cpu_ns / self.wall_sampled_ns

    @property
    def stolen_share(self) -> float:
        """The part of the block in which a hypervisor ran something else on the core."""
        ticks = (self.after.steal_ticks or 0) - (self.before.steal_ticks or 0)
        return ticks * TICK_NS / self.wall_ns

    def to_json(self) -> dict[str, object]:
        """A line of a table."""
        data = asdict(self)
        return {"type": "block", "block": data.pop("number"), **data}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Block:
        """Inverse of to_json.

        Raises:
            FileFormatError: malformed; the message names the member.
        """
        fields = Fields("block", {name: value for name, value in data.items() if name != "type"})
        block = cls(
            number=fields.integer("block"),
            utc=fields.text("utc"),
            seconds=fields.number("seconds"),
            before=BoardState.from_json(fields.take("before")),
            after=BoardState.from_json(fields.take("after")),
            wall_ns=fields.integer("wall_ns", low=1),
            wall_sampled_ns=fields.integer("wall_sampled_ns", low=1),
            cpu_ns=fields.integer("cpu_ns"),
            preempted=fields.integer("preempted"),
            sentinel_ns=fields.integers("sentinel_ns", low=1, count=1),
            freq_locked=fields.boolean("freq_locked"),
            governor=fields.optional_text("governor"),
        )
        fields.end()
        return block
