"""The board binary tells what a board is and how it is, and leaves its clock as it was; on a sysfs of plain files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import bnn_deploy
from bnn_deploy import _native
from bnn_deploy.profiling.device import BOARD_BINARY

CORE = "devices/system/cpu/cpu0"
FIRMWARE = "bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled"
TREE = {
    f"{CORE}/cpufreq/scaling_governor": "ondemand",
    f"{CORE}/cpufreq/scaling_min_freq": "600000",
    f"{CORE}/cpufreq/scaling_max_freq": "1500000",
    f"{CORE}/cpufreq/scaling_cur_freq": "700000",
    f"{CORE}/cpufreq/cpuinfo_min_freq": "600000",
    f"{CORE}/cpufreq/cpuinfo_max_freq": "1800000",
    f"{CORE}/regs/identification/midr_el1": "0x00000000410fd083",
    f"{CORE}/cache/index0/level": "1",
    f"{CORE}/cache/index0/type": "Data",
    f"{CORE}/cache/index0/size": "32K",
    "devices/system/cpu/cpu1/online": "1",
    "devices/system/cpu/cpu2/online": "0",
    "class/thermal/thermal_zone0/type": "cpu-thermal",
    "class/thermal/thermal_zone0/temp": "51121",
    "class/thermal/thermal_zone1/type": "modem",
    "class/thermal/thermal_zone1/temp": "-4000",
    FIRMWARE: "50000",
}
CLOCK = {name: TREE[f"{CORE}/cpufreq/{name}"] for name in ("scaling_governor", "scaling_min_freq", "scaling_max_freq")}


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    return tmp_path


def run(*arguments: object) -> dict[str, object]:
    done = subprocess.run([BOARD_BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=True)
    record = json.loads(done.stdout)
    assert isinstance(record, dict)
    return record


def clock(sysfs: Path) -> dict[str, str]:
    return {name: (sysfs / CORE / "cpufreq" / name).read_text().strip() for name in CLOCK}


def clock_becomes(sysfs: Path, wanted: dict[str, str]) -> bool:
    end = time.monotonic() + 10
    while clock(sysfs) != wanted and time.monotonic() < end:
        time.sleep(0.01)
    return clock(sysfs) == wanted


class Holder:
    """A running `bnn-board hold` and its first line."""

    def __init__(self, sysfs: Path, *arguments: object) -> None:
        command = [str(BOARD_BINARY), "hold", "--core", "0", "--sysfs", str(sysfs), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.first = json.loads(self.process.stdout.readline())

    def end(self, how: str) -> int:
        if how == "end of input":
            assert self.process.stdin is not None
            self.process.stdin.close()
        else:
            self.process.send_signal(signal.Signals[how])
        code = self.process.wait(timeout=10)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        return code


def test_facts_of_this_computer() -> None:
    facts = run("facts")
    expected = {"schema", "cpu", "machine", "isa", "best_isa", "cores", "core_facts", "caches", "governor", "cur_khz"}
    expected |= {"max_khz", "temperature_zones", "throttle_source", "memory_bytes", "hypervisor", "emulated"}
    assert set(facts) == expected | {"kernel_release", "os", "page_bytes", "version", "compiler", "flags", "sources"}
    assert facts["schema"] == 2
    assert facts["version"] == bnn_deploy.__version__
    assert facts["best_isa"] == _native.build_info()["isa"]
    assert sorted(facts["isa"]) == sorted(_native.isas())  # type: ignore[call-overload]
    assert facts["memory_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert facts["emulated"] is False
    assert facts["hypervisor"] is (" hypervisor" in Path("/proc/cpuinfo").read_text())


def test_facts_of_another_board(sysfs: Path) -> None:
    facts = run("facts", "--sysfs", sysfs)
    first = {"core": 0, "midr": "0x410fd083", "max_khz": 1800000, "min_khz": 600000, "governor": "ondemand"}
    second = {"core": 1, "midr": None, "max_khz": None, "min_khz": None, "governor": None}
    assert facts["core_facts"] == [first, second]  # core 2 is off
    assert facts["caches"] == [{"level": 1, "type": "Data", "bytes": 32768}]
    assert (facts["governor"], facts["cur_khz"], facts["max_khz"]) == ("ondemand", 700000, 1800000)
    assert facts["temperature_zones"] == ["cpu-thermal", "modem"]
    assert facts["throttle_source"] == str(sysfs / FIRMWARE)


def test_state(sysfs: Path) -> None:
    before = time.time_ns()
    state = run("state", "--core", 0, "--sysfs", sysfs)
    assert before <= int(str(state["utc_ns"])) <= time.time_ns()
    known = {"core": 0, "cur_khz": 700000, "temperature_mc": 51121, "throttled": 0x50000}
    assert {name: state[name] for name in known} == known
    assert 100_000 < int(str(state["clock_khz"])) < 10_000_000
    assert isinstance(state["load1"], float | int)
    assert 0 < int(str(state["free_bytes"])) < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert int(str(state["steal_ticks"])) >= 0


def test_what_a_board_does_not_tell_is_null(tmp_path: Path) -> None:
    state = run("state", "--sysfs", tmp_path)
    assert [state[name] for name in ("cur_khz", "temperature_mc", "throttled")] == [None] * 3
    assert run("facts", "--sysfs", tmp_path)["core_facts"] == []


@pytest.mark.parametrize("how", ["end of input", "SIGTERM", "SIGINT", "SIGHUP", "SIGKILL"])
@pytest.mark.parametrize("wish", [("--governor", "performance"), ("--khz", 1000000)])
def test_the_clock_is_set_and_put_back(sysfs: Path, wish: tuple[str, object], how: str) -> None:
    holder = Holder(sysfs, *wish)
    locked = 1500000 if wish[0] == "--governor" else wish[1]
    governor = wish[1] if wish[0] == "--governor" else "ondemand"
    told = {"held": True, "pid": holder.process.pid, "core": 0, "freq_locked": True, "governor": governor}
    assert holder.first == {**told, "khz": locked, "why": None}
    limits = {} if wish[0] == "--governor" else {"scaling_min_freq": "1000000", "scaling_max_freq": "1000000"}
    assert clock(sysfs) == {**CLOCK, "scaling_governor": governor, **limits}
    code = holder.end(how)
    assert code == (-signal.SIGKILL if how == "SIGKILL" else 0)
    assert clock_becomes(sysfs, CLOCK)


def watcher_of(holder: Holder) -> int:
    (child,) = Path(f"/proc/{holder.process.pid}/task/{holder.process.pid}/children").read_text().split()
    return int(child)


def streams_of(process: int) -> set[str]:
    return {str(Path(f"/proc/{process}/fd/{stream}").readlink()) for stream in range(3)}


def test_a_watcher_that_was_killed_is_replaced_by_the_holder(sysfs: Path) -> None:
    holder = Holder(sysfs, "--governor", "performance")
    os.kill(watcher_of(holder), signal.SIGKILL)
    assert holder.end("end of input") == 0
    assert clock(sysfs) == CLOCK


def test_the_watcher_keeps_no_stream_open(sysfs: Path) -> None:
    holder = Holder(sysfs, "--governor", "performance")
    watcher = watcher_of(holder)
    end = time.monotonic() + 10
    while streams_of(watcher) != {"/dev/null"} and time.monotonic() < end:
        time.sleep(0.01)
    assert streams_of(watcher) == {"/dev/null"}
    assert os.getsid(watcher) == watcher
    holder.end("end of input")


def test_the_speed_of_the_governor_userspace_is_put_back(sysfs: Path) -> None:
    folder = sysfs / CORE / "cpufreq"
    (folder / "scaling_governor").write_text("userspace\n")
    (folder / "scaling_setspeed").write_text("750000\n")
    holder = Holder(sysfs, "--governor", "performance")
    (folder / "scaling_setspeed").write_text("<unsupported>\n")  # as the kernel does
    holder.end("end of input")
    assert (folder / "scaling_setspeed").read_text().strip() == "750000"
    assert (folder / "scaling_governor").read_text().strip() == "userspace"


def test_a_second_holder_is_told_who_the_first_is(sysfs: Path) -> None:
    first = Holder(sysfs)
    command = [BOARD_BINARY, "hold", "--core", "0", "--sysfs", sysfs]
    for _ in range(20):  # asking is for free
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"process {first.process.pid} is measuring on this board" in done.stderr
    first.end("SIGKILL")
    Holder(sysfs).end("end of input")


def test_a_clock_that_cannot_be_set_is_told_and_no_failure(tmp_path: Path, sysfs: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    holder = Holder(empty, "--governor", "performance")
    assert (holder.first["freq_locked"], holder.first["governor"], holder.first["khz"]) == (False, None, None)
    assert "no cpufreq" in holder.first["why"]
    assert holder.end("end of input") == 0

    governor = sysfs / CORE / "cpufreq/scaling_governor"
    governor.unlink()
    governor.symlink_to("/proc/sys/kernel/ostype")  # can be read, and never be written
    holder = Holder(sysfs, "--governor", "performance")
    assert holder.first["freq_locked"] is False
    assert holder.first["why"].startswith("cannot set governor performance: ")
    assert holder.end("end of input") == 0

    holder = Holder(sysfs)
    assert (holder.first["freq_locked"], holder.first["why"]) == (False, "no clock was asked for")
    holder.end("end of input")


def test_a_driver_that_leaves_the_clock_to_the_processor_locks_nothing(sysfs: Path) -> None:
    (sysfs / CORE / "cpufreq/scaling_driver").write_text("intel_pstate\n")
    holder = Holder(sysfs, "--governor", "performance")
    assert (holder.first["governor"], holder.first["freq_locked"]) == ("performance", False)
    assert "processor" in holder.first["why"]
    holder.end("end of input")
    assert clock(sysfs) == CLOCK
