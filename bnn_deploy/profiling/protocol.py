"""The settings of a measurement, and how long to wait for good conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from bnn_deploy.errors import FileFormatError
from bnn_deploy.latency.table import LatencyTable

BATCH = 8  # steps of one block
CONFIRMATIONS = 4  # measurements that a row needs, in blocks that count
ATTEMPTS = 8  # blocks that count, in which one session measures a step before it leaves it as it is

_STARTUP_S = 60.0
_COLD_CALL_S = 1.0  # at most: the caches are swept before each
_RASPBERRY_PI_C = 75.0  # where it begins to lower its clock: 80


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """What makes two measurements comparable; part of a table's identity.

    Args:
        samples: of a step in a block.
        min_sample_ns: calls are batched until one sample lasts this long.
        warmup_ns: at least this long before the first sample.
        isa: forced instruction set, or "best".
        cold_samples: single calls from cold caches, of a step in a block.
        governor: of the frequency, while measuring, where the board permits it; None leaves it as it is.
        khz: to lock the clock at, where the board permits it; instead of a governor.
    """

    samples: int = 30
    min_sample_ns: int = 2_000_000
    warmup_ns: int = 20_000_000
    isa: str = "best"
    cold_samples: int = 3
    governor: str | None = "performance"
    khz: int | None = None

    def arguments(self, table: LatencyTable) -> list[str]:
        """For the board binary: the table's instruction set and core, whatever the environment says."""
        words = ["--samples", str(self.samples), "--min-sample-ns", str(self.min_sample_ns)]
        words += ["--warmup-ns", str(self.warmup_ns)]
        return [*words, "--isa", table.isa, "--core", str(table.core)]

    def hold_arguments(self, core: int) -> list[str]:
        """For the board's guard of a measuring session."""
        words = ["hold", "--core", str(core)]
        if self.khz is not None:
            return [*words, "--khz", str(self.khz)]
        return [*words, "--governor", self.governor] if self.governor else words

    @classmethod
    def of(cls, table: LatencyTable) -> ProfileSettings:
        """The settings that a table was made with.

        Raises:
            FileFormatError: its header holds none.
        """
        settings = table.header.get("settings")
        try:
            return cls(**settings)  # type: ignore[arg-type]
        except TypeError as exc:
            raise FileFormatError(f"{table.path}: expected the settings of a profile in its header: {exc}") from exc

    def to_json(self) -> dict[str, object]:
        """A member of a table's header."""
        return asdict(self)

    @property
    def timeout_s(self) -> float:
        """Long enough for any block, short enough to notice a dead board."""
        warm_s = 100 * (self.warmup_ns + self.samples * self.min_sample_ns) / 1e9
        return _STARTUP_S + BATCH * (warm_s + self.cold_samples * _COLD_CALL_S)


@dataclass(frozen=True, slots=True)
class Limits:
    """What to wait for, and how long; no part of a table's identity.

    Args:
        max_temperature_c: no block begins on a hotter board; None: 75 on a Raspberry Pi, elsewhere whatever it is.
        cooling_s: how long to wait for that, each time.
        patience_s: how long to wait, in all, for a core of one's own at its full clock.
        reconnect_s: how long to wait, each time, for a board that went away.
    """

    max_temperature_c: float | None = None
    cooling_s: float = 900.0
    patience_s: float = 180.0
    reconnect_s: float = 60.0

    def hottest_c(self, facts: Mapping[str, object]) -> float | None:
        """The limit on a board with these facts."""
        if self.max_temperature_c is None and facts.get("throttle_source"):
            return _RASPBERRY_PI_C
        return self.max_temperature_c
