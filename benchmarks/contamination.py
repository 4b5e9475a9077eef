"""Contaminated profiles: are they recognised, and are clean ones left in peace?

    python -m benchmarks.contamination [--trials 20] [--ways WAY...] [--seed 0] [--out FILE]

Each trial profiles 8 of 24 steps of the 224 space on this computer (about ten seconds), in one of five ways, in turn:

    clean        nothing else
    busy-part    a busy loop on the pinned core for 2 to 5 seconds
    busy-all     a busy loop on the pinned core from before the beginning to after the end
    slow-part    for 2 to 5 seconds all durations that the board tells (samples, sentinel, wall, processor time) are
                 longer by a factor of 1.15 to 1.6, and the clock that it measures is lower: as at a lowered clock
    memory-part  for 2 to 5 seconds another core copies memory as fast as it can, which the sentinel does not feel

A contaminated trial is recognised when `tables check` refuses the table, or when a block that lay in the contaminated
time was set aside, with every block of which at least half lay there (profile then measured its steps again), and every
row that the table calls ok is right: at most 15 % slower than the slowest clean trial says of that step. Of
memory-part, which may leave the rows as they are, only the latter is asked for. A clean trial is flagged when `tables
check` refuses it. How many blocks were set aside in clean trials is told, too: on a shared machine most of them are
real disturbances.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common import met, progress, write_results
from bnn_deploy.latency.block import Block
from bnn_deploy.latency.check import check
from bnn_deploy.latency.judgement import Quality
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.description import device_descriptions
from bnn_deploy.profiling.device import BOARD_BINARY, Device
from bnn_deploy.profiling.profile import profile
from bnn_deploy.profiling.protocol import Limits, ProfileSettings
from bnn_deploy.profiling.transport.local import LocalTransport
from bnn_deploy.space import load_space
from bnn_deploy.steps import Step

WAYS = ("clean", "busy-part", "busy-all", "slow-part", "memory-part")
POOL, STEPS = 24, 8
PATIENCE_S = 60.0
BUSY_ALL_PATIENCE_S = 5.0  # it is in vain
RIGHT = 0.15
COVERED = 0.5
WANTED, ALLOWED = 0.95, 0.05

_DURATIONS = {"samples_ns", "cold_samples_ns", "sentinel_ns", "wall_ns", "wall_sampled_ns", "cpu_ns", "warmup_ns"}


class SlowClock(LocalTransport):
    """This computer; while `factor` is above 1 its board tells what it would at a clock lower by that factor."""

    factor = 1.0

    def run(self, argv: Sequence[str], timeout_s: float) -> Iterator[str]:
        """See Transport.run."""
        for line in super().run(argv, timeout_s):
            yield json.dumps(_slower(json.loads(line), self.factor)) + "\n" if line.startswith("{") else line


def _slower(data: object, factor: float, name: str = "") -> object:
    if isinstance(data, dict):
        return {key: _slower(value, factor, key) for key, value in data.items()}
    if isinstance(data, list):
        return [_slower(value, factor, name) for value in data]
    if isinstance(data, int) and name in _DURATIONS:
        return round(data * factor)
    return round(data / factor) if isinstance(data, int) and name == "clock_khz" else data


@dataclass
class Injection:
    """What happened, and when: seconds since the beginning of the trial; UTC nanoseconds once it has happened."""

    way: str
    start_s: float
    seconds: float
    factor: float
    begin_ns: int = 0
    end_ns: int = 0

    def covers(self, block: Block) -> float:
        """The part of a block that lay in it."""
        begin, end = block.before.utc_ns, block.after.utc_ns
        return max(0, min(end, self.end_ns) - max(begin, self.begin_ns)) / (end - begin)


class Contaminator(threading.Thread):
    """Does an injection beside a profile."""

    def __init__(self, injection: Injection, core: int, transport: SlowClock) -> None:
        super().__init__()
        self._injection, self._core, self._transport = injection, core, transport
        self._over = threading.Event()
        self.begun = threading.Event()

    def run(self) -> None:
        """At its time."""
        what = self._injection
        if what.way == "clean" or self._over.wait(what.start_s):
            self.begun.set()
            return
        busy = None
        if what.way == "slow-part":
            self._transport.factor = what.factor
        else:
            busy = subprocess.Popen([sys.executable, "-c", self._program()], stdout=subprocess.PIPE)
            assert busy.stdout is not None
            busy.stdout.readline()
        what.begin_ns = time.time_ns()
        self.begun.set()
        self._over.wait(what.seconds)
        what.end_ns = time.time_ns()
        self._transport.factor = 1.0
        if busy is not None:
            busy.kill()
            busy.communicate()

    def _program(self) -> str:
        """What the other process does, once it has printed a line."""
        if self._injection.way == "memory-part":
            core = min(os.sched_getaffinity(0) - {self._core})
            prepare, act = "import numpy; a, b = numpy.zeros((2, 1 << 24))", "a[:] = b"
        else:
            core, prepare, act = self._core, "", "pass"
        begin = f"import os; os.sched_setaffinity(0, {{{core}}})\n{prepare}\nprint(1, flush=True)\n"
        return f"{begin}while os.getppid() == {os.getpid()}: {act}"  # it ends with this program, however that ends

    def end(self) -> None:
        """The profile is over."""
        self._over.set()
        self.join()


def trial(way: str, path: Path, steps: Sequence[Step], core: int, rng: np.random.Generator) -> Injection:
    """Profile `steps` into `path` while that happens."""
    part = (float(rng.uniform(1, 4)), float(rng.uniform(2, 5)))
    start_s, seconds = (0.0, 1e6) if way == "busy-all" else part
    injection = Injection(way, start_s, seconds, float(rng.uniform(1.15, 1.6)))
    transport = SlowClock("host")
    description = replace(device_descriptions()["host"], core=core)
    contaminator = Contaminator(injection, core, transport)
    with Device(description, transport, BOARD_BINARY) as device:
        contaminator.start()
        try:
            if way == "busy-all":
                contaminator.begun.wait()
            settings = ProfileSettings()
            limits = Limits(patience_s=BUSY_ALL_PATIENCE_S if way == "busy-all" else PATIENCE_S)
            profile(steps, device, path, settings=settings, limits=limits, seed=int(rng.integers(2**31)))
        finally:
            contaminator.end()
    return injection


def judge(injection: Injection, table: LatencyTable, reference: dict[Step, float]) -> dict[str, object]:
    """What came of one trial."""
    report = check(table)
    touched = [block.number for block in table.blocks if injection.covers(block) > 0]
    covered = [block.number for block in table.blocks if injection.covers(block) >= COVERED]
    noticed = any(number in table.set_aside for number in touched)
    unseen = [number for number in covered if number not in table.set_aside]
    apart = {
        step.key: row.latency_ns / reference[step] - 1
        for step, row in table.rows.items()
        if row.quality is Quality.OK and step in reference
    }
    memory = injection.way == "memory-part"
    wrong = {key: round(value, 3) for key, value in apart.items() if not value <= RIGHT}
    return {
        "way": injection.way,
        "factor": round(injection.factor, 3) if injection.way == "slow-part" else None,
        "seconds": round((injection.end_ns - injection.begin_ns) / 1e9, 2),
        "passed": report.passed,
        "recognised": not report.passed or (not wrong and (memory or (noticed and not unseen))),
        "sentinel_ns": table.sentinel_ns,
        "blocks": len(table.blocks),
        "set_aside": len(table.set_aside),
        "touched": len(touched),
        "covered": len(covered),
        "covered_unseen": len(unseen),
        "wrong_rows_called_ok": wrong,
        "slowest_row": round(max(apart.values(), default=0.0), 4),
        "problems": list(report.problems),
        "reasons": sorted({reason.split(":")[0] for reason in table.set_aside.values()}),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20, help="of each way")
    parser.add_argument("--ways", nargs="+", choices=WAYS[1:], default=WAYS[1:], help="beside clean trials")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "contamination.json")
    arguments = parser.parse_args()
    ways = (WAYS[0], *arguments.ways)
    rng = np.random.default_rng(arguments.seed)
    space = load_space("mobilenet-224").steps()
    with Device(device_descriptions()["host"], LocalTransport("host"), BOARD_BINARY) as device:
        core, cpu = device.choose_core(), device.facts["cpu"]
    pool = rng.choice(len(space), POOL, replace=False)
    done: list[tuple[Injection, LatencyTable]] = []
    with tempfile.TemporaryDirectory(prefix="bnn-contamination-") as folder:
        for number in range(len(ways) * arguments.trials):
            way = ways[number % len(ways)]
            steps = [space[index] for index in rng.choice(pool, STEPS, replace=False)]
            path = Path(folder) / f"{number}.jsonl"
            begin = time.monotonic()
            done.append((trial(way, path, steps, core, rng), LatencyTable.open(path)))
            told = f"{len(done[-1][1].set_aside)} of {len(done[-1][1].blocks)} blocks set aside"
            progress(f"{number + 1}: {way}, {time.monotonic() - begin:.0f} s, {told}")
    reference = clean_latencies(done)
    trials = [judge(injection, table, reference) for injection, table in done]
    clean = [entry for entry in trials if entry["way"] == "clean"]
    flagged = sum(not entry["passed"] for entry in clean)
    summary: dict[str, object] = {"clean_trials": len(clean), "clean_flagged": flagged}
    good = [flagged <= ALLOWED * len(clean)]
    print(f"clean: {flagged} of {len(clean)} flagged: {met(flagged / len(clean), ALLOWED, at_most=True)}")
    for way in ways[1:]:
        of_way = [entry for entry in trials if entry["way"] == way]
        seen = sum(bool(entry["recognised"]) for entry in of_way)
        good.append(seen >= WANTED * len(of_way))
        summary[way] = {"trials": len(of_way), "recognised": seen}
        print(f"{way}: {seen} of {len(of_way)} recognised: {met(seen / len(of_way), WANTED)}")
    settings = {
        "seed": arguments.seed,
        "cpu": cpu,
        "core": core,
        "pool": POOL,
        "steps": STEPS,
        "patience_s": PATIENCE_S,
    }
    write_results(arguments.out, {**settings, "summary": summary, "trials": trials})
    return 0 if all(good) else 1


def clean_latencies(done: Sequence[tuple[Injection, LatencyTable]]) -> dict[Step, float]:
    """Step -> the slowest that the clean trials say of it."""
    found: dict[Step, float] = {}
    for injection, table in done:
        if injection.way == "clean":
            for step, row in table.rows.items():
                if row.quality is Quality.OK:
                    found[step] = max(row.latency_ns, found.get(step, 0.0))
    return found


if __name__ == "__main__":
    sys.exit(main())
