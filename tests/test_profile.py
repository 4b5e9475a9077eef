"""Profiling: the protocol against a scripted board, and the real board binary on this computer."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bnn_deploy.errors import DeviceError, DeviceLost, TableMismatch, UnknownName
from bnn_deploy.latency.check import check
from bnn_deploy.latency.judgement import Quality
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling import patience
from bnn_deploy.profiling.device import open_device
from bnn_deploy.profiling.patience import Stopped
from bnn_deploy.profiling.profile import profile
from bnn_deploy.profiling.protocol import ATTEMPTS, BATCH, CONFIRMATIONS, Limits, ProfileSettings
from bnn_deploy.space import load_space
from bnn_deploy.steps import Step
from tests.boards import FACTS, STATE, FakeHeld, FakeTransport, Record, device_with, guard_of_ones_own, steady

STEPS = load_space("mobilenet-32").steps()
QUICK = ProfileSettings(samples=3, min_sample_ns=50_000, warmup_ns=100_000, cold_samples=1)
HURRIED = Limits(patience_s=0.1)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COOLING_POLL_S", "RECONNECT_POLL_S", "FIRST_PAUSE_S"):
        monkeypatch.setattr(patience, name, 0.001)


def profiled(
    transport: FakeTransport, path: Path, steps: Sequence[Step] = STEPS, limits: Limits | None = None, seed: int = 0
) -> LatencyTable:
    return profile(steps, device_with(transport), path, settings=QUICK, limits=limits, seed=seed)


def test_every_step_in_enough_blocks_and_no_more_on_resume(tmp_path: Path) -> None:
    path, board = tmp_path / "t.jsonl", FakeTransport()
    half = profiled(board, path, STEPS[:20])
    kept = path.read_bytes()
    whole = profiled(board, path, seed=1)
    assert set(half.rows) == set(STEPS[:20])
    assert set(whole.rows) == set(STEPS)
    assert {row.quality for row in whole.rows.values()} == {Quality.OK}
    assert path.read_bytes().startswith(kept)
    assert Counter(board.measured) == dict.fromkeys(STEPS, CONFIRMATIONS)
    profiled(board, path)
    assert len(board.measured) == CONFIRMATIONS * len(STEPS)
    assert (whole.core, board.cores) == (3, {"3"})
    assert not any(held.open for held in board.held)
    assert list(board.hold_argv[1:]) == ["hold", "--core", "3", "--governor", "performance"]


def test_the_measurements_of_a_step_are_far_apart(tmp_path: Path) -> None:
    board = FakeTransport()
    profiled(board, tmp_path / "t.jsonl")
    first = board.measured[: len(STEPS)]
    assert set(first) == set(STEPS)
    assert first != board.measured[len(STEPS) :]


def test_a_cable_pulled_in_a_block_costs_that_block(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    calls = 0

    def pulled(step: Step) -> Record:
        nonlocal calls
        calls += 1
        if calls == 3 * BATCH:
            raise KeyboardInterrupt
        return steady(step)

    with pytest.raises(KeyboardInterrupt):
        profiled(FakeTransport(pulled), path)
    assert len(LatencyTable.open(path).rows) == 2 * BATCH
    board = FakeTransport()
    assert set(profiled(board, path).rows) == set(STEPS)
    assert len(board.measured) == CONFIRMATIONS * len(STEPS) - 2 * BATCH


def test_a_board_that_comes_back_goes_on(tmp_path: Path) -> None:
    calls = 0

    def lost(step: Step) -> Record:
        nonlocal calls
        calls += 1
        if calls in (BATCH, 5 * BATCH):
            raise DeviceLost("connection closed")
        return steady(step)

    board = FakeTransport(lost)
    table = profiled(board, tmp_path / "t.jsonl")
    assert {row.attempts for row in table.rows.values()} == {CONFIRMATIONS}
    assert [held.open for held in board.held] == [False] * 3


def test_a_board_that_stays_away_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(step: Step) -> Record:
        raise DeviceLost("connection closed")

    board = FakeTransport(lost)
    device = device_with(board)

    def refuse() -> None:
        raise DeviceLost("no route to host")

    monkeypatch.setattr(device, "reconnect", refuse)
    with pytest.raises(DeviceLost, match="no route to host; the same command continues"):
        profile(STEPS, device, tmp_path / "t.jsonl", settings=QUICK, limits=Limits(reconnect_s=0.05))


def test_a_connection_that_never_lasts_is_an_error(tmp_path: Path) -> None:
    def lost(step: Step) -> Record:
        raise DeviceLost("connection closed")

    board = FakeTransport(lost)
    with pytest.raises(DeviceLost, match="connection closed"):
        profiled(board, tmp_path / "t.jsonl")
    assert board.runs == 6


def test_an_unsteady_row_is_measured_again_and_marked(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def unsteady(step: Step) -> Record:
        noise = [int(sample) for sample in rng.integers(1000, 5000, 20)]
        return {**steady(step), "samples_ns": noise} if step == STEPS[1] else steady(step)

    board = FakeTransport(unsteady)
    table = profiled(board, tmp_path / "t.jsonl", STEPS[:4])
    assert table.rows[STEPS[1]].quality is Quality.NOISY
    assert board.measured.count(STEPS[1]) == ATTEMPTS
    assert all(table.rows[step].quality is Quality.OK for step in (STEPS[0], STEPS[2], STEPS[3]))
    (problem,) = check(table).problems
    assert problem.startswith("1 of 4 rows are noisy")
    profiled(board, tmp_path / "t.jsonl", STEPS[:4], seed=1)
    assert board.measured.count(STEPS[1]) == 2 * ATTEMPTS


def test_a_row_that_two_blocks_confirm_is_left_at_that_in_the_end(tmp_path: Path) -> None:
    def wandering(step: Step) -> Record:
        ns = 1000 + 200 * (board.measured.count(step) % 4 if step == STEPS[1] else 0)
        return {**steady(step), "samples_ns": [ns] * 3}

    board = FakeTransport(wandering)
    for seed in range(2):
        row = profiled(board, tmp_path / "t.jsonl", STEPS[:4], seed=seed).rows[STEPS[1]]
        assert (row.quality, len(row.counted)) == (Quality.OK, 2)
        assert board.measured.count(STEPS[1]) == ATTEMPTS


def slower_in(runs: range, factor: int) -> FakeTransport:
    board = FakeTransport()
    board.answer = lambda step: {**steady(step), "samples_ns": [1000 * (factor if board.runs in runs else 1)] * 3}
    board.block = lambda run: {"sentinel_ns": [500 * (factor if run in runs else 1)] * 3}
    return board


@pytest.mark.parametrize("runs", [range(1, 4), range(3, 6), range(12, 14)])
def test_a_slow_phase_is_noticed_by_the_sentinel(tmp_path: Path, runs: range) -> None:
    table = profiled(slower_in(runs, 3), tmp_path / "t.jsonl")
    assert {row.latency_ns for row in table.rows.values()} == {100.0}
    assert {row.quality for row in table.rows.values()} == {Quality.OK}
    assert set(table.set_aside) == {run - 1 for run in runs}
    assert check(table).passed
    assert "slow core: the sentinel took 3.00 times" in check(table).notes[0]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"cpu_ns": 5 * 10**8, "preempted": 90}, "another process had the core for 50%"),
        ({"after": {**STATE, "throttled": 4}}, "throttled: get_throttled was 0x0 before and 0x4 after"),
        ({"after": {**STATE, "steal_ticks": 20}}, "the hypervisor took the core away for 20%"),
        ({"after": {**STATE, "clock_khz": 1_500_000}}, "the clock went from 2000 to 1500 MHz"),
    ],
)
def test_what_disturbs_all_the_time_is_told(tmp_path: Path, told: Record, reason: str) -> None:
    board = FakeTransport(block=lambda run: told)
    table = profiled(board, tmp_path / "t.jsonl", limits=HURRIED)
    assert {row.quality for row in table.rows.values()} == {Quality.DISTURBED}
    assert Counter(board.measured).most_common(1)[0][1] <= CONFIRMATIONS + 2
    report = check(table)
    assert not report.passed
    assert f"{len(STEPS)} of {len(STEPS)} rows are measured only in blocks that were set aside" in report.problems[0]
    assert reason in report.notes[0]
    assert check(profiled(FakeTransport(), tmp_path / "t.jsonl")).passed


def test_a_hot_board_is_waited_for(tmp_path: Path) -> None:
    temperatures = iter([81_000, 80_000, 69_000])
    board = FakeTransport(state=lambda: {"temperature_mc": next(temperatures, 60_000)})
    said: list[str] = []
    profile(
        STEPS[:2],
        device_with(board),
        tmp_path / "t.jsonl",
        settings=QUICK,
        limits=Limits(max_temperature_c=70),
        progress=lambda done, total, text: said.append(text),
    )
    assert said[1:3] == ["waiting: 81.0 C, the limit is 70.0 C", "waiting: 80.0 C, the limit is 70.0 C"]
    pi = FakeTransport(state=lambda: {"temperature_mc": 76_000}, facts={**FACTS, "throttle_source": "get_throttled"})
    with pytest.raises(DeviceError, match=r"still 76.0 C after .* the limit is 75.0 C"):
        profiled(pi, tmp_path / "pi.jsonl", limits=Limits(cooling_s=0.02))
    hot = FakeTransport(state=lambda: {"temperature_mc": 81_000})
    with pytest.raises(DeviceError, match=r"still 81.0 C after .* cool the board"):
        profiled(hot, tmp_path / "u.jsonl", limits=Limits(max_temperature_c=70, cooling_s=0.02))
    assert hot.runs == 0


def test_a_wrong_kernel_costs_its_row_alone(tmp_path: Path) -> None:
    def wrong(step: Step) -> Record:
        return {"error": "output differs from the scalar kernel"} if step == STEPS[2] else steady(step)

    board = FakeTransport(wrong)
    table = profiled(board, tmp_path / "t.jsonl", STEPS[:6])
    assert table.failed == {STEPS[2]: "output differs from the scalar kernel"}
    assert set(table.rows) == set(STEPS[:6]) - {STEPS[2]}
    assert board.measured.count(STEPS[2]) == 1
    assert check(table).problems == (f"no latency of {STEPS[2].key}: output differs from the scalar kernel",)
    assert check(profiled(FakeTransport(), tmp_path / "t.jsonl", STEPS[:6])).passed


def test_a_step_that_kills_the_board_binary_costs_its_row_alone(tmp_path: Path) -> None:
    def deadly(step: Step) -> Record:
        if step == STEPS[2]:
            raise DeviceError("bnn-board layers: exit code -4")
        return steady(step)

    board = FakeTransport(deadly)
    table = profiled(board, tmp_path / "t.jsonl", STEPS[:6])
    assert table.failed == {STEPS[2]: "bnn-board layers: exit code -4"}
    assert {row.quality for row in table.rows.values()} == {Quality.OK}
    assert set(table.rows) == set(STEPS[:6]) - {STEPS[2]}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"kernel": "k", "iterations": 1, "samples_ns": [], "cold_samples_ns": []}, "samples_ns: expected a list"),
        ({"kernel": "k", "iterations": 1, "samples_ns": [0], "cold_samples_ns": []}, "expected a whole number >= 1"),
        ({"index": 99, "error": "x"}, "row 99 came twice, or is no step"),
        ({"block": 5}, "expected one result for each|is malformed|state|block"),
    ],
)
def test_a_wrong_board_is_an_error_and_never_a_row(tmp_path: Path, answer: Record, message: str) -> None:
    with pytest.raises(DeviceError, match=f"a wrong answer from the board: .*({message})"):
        profiled(FakeTransport(lambda step: answer), tmp_path / "t.jsonl")
    assert LatencyTable.open(tmp_path / "t.jsonl").rows == {}


def test_another_device_or_setting_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    profiled(FakeTransport(), path, STEPS[:2])
    with pytest.raises(TableMismatch, match="made with device 'scripted', this run has 'other'"):
        profile(STEPS[:2], device_with(FakeTransport(), "other"), path, settings=QUICK)
    with pytest.raises(TableMismatch, match="made with settings"):
        profile(STEPS[:2], device_with(FakeTransport()), path, settings=ProfileSettings())
    with pytest.raises(UnknownName, match="unknown instruction set of scripted 'avx9'"):
        profile(STEPS[:2], device_with(FakeTransport()), path, settings=ProfileSettings(isa="avx9"))


def test_an_emulated_board_is_refused_or_marked(tmp_path: Path) -> None:
    board = FakeTransport(facts={**FACTS, "emulated": True})
    with pytest.raises(DeviceError, match=r"an emulated board.*--allow-emulated"):
        profiled(board, tmp_path / "t.jsonl")
    table = profile(STEPS, device_with(board), tmp_path / "t.jsonl", settings=QUICK, allow_emulated=True)
    assert table.source == "emulated"
    assert {(row.source, row.quality, row.attempts) for row in table.rows.values()} == {
        ("emulated", Quality.EMULATED, 1)
    }
    assert check(table).problems == ("measured on an emulator: its times say nothing of a real board",)


def test_somebody_else_measures_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken(FakeTransport):
        def hold(self, argv: Sequence[str]) -> FakeHeld:
            raise DeviceError("bnn-board hold: exit code 1: process 77 measures on this board")

    monkeypatch.setattr("bnn_deploy.profiling.guard.TAKE_OVER_S", 0.01)
    with pytest.raises(DeviceError, match="process 77 measures on this board"):
        profiled(Taken(), tmp_path / "t.jsonl")


def test_told_to_stop(tmp_path: Path) -> None:
    stop = threading.Event()

    def progress(done: int, total: int, text: str) -> None:
        if done >= BATCH:
            stop.set()

    board = FakeTransport()
    with pytest.raises(Stopped):
        profile(STEPS, device_with(board), tmp_path / "t.jsonl", settings=QUICK, progress=progress, stop=stop)
    assert len(LatencyTable.open(tmp_path / "t.jsonl").rows) == BATCH
    assert not any(held.open for held in board.held)


def test_the_environment_does_not_choose_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_KERNEL", "scalar")
    guard_of_ones_own(tmp_path, monkeypatch)
    device = open_device("host")
    table = profile(STEPS[2:4], device, tmp_path / "t.jsonl", settings=QUICK, limits=HURRIED)
    assert all(table.isa in row.kernel for row in table.rows.values())


def test_this_computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard_of_ones_own(tmp_path, monkeypatch)
    device = open_device("host")
    table = profile(STEPS, device, tmp_path / "t.jsonl", settings=QUICK, limits=HURRIED)
    assert set(table.rows) == set(STEPS)
    assert all(row.latency_ns > 0 and row.kernel and row.cold_latency_ns for row in table.rows.values())
    assert table.header["isa"] == device.facts["best_isa"]
    assert table.header["binary_sha256"] == device.binary_sha256
    assert all(block.before.core == table.core for block in table.blocks)


def test_a_killed_profile_goes_on(tmp_path: Path) -> None:
    """kill -9 in the middle of a block; what was on the disk stays, what was confirmed is not measured again."""
    path = tmp_path / "t.jsonl"
    words = ["profile", "--out", str(path), "--samples", "5", "--cold-samples", "0", "--patience", "0.1"]
    command = [sys.executable, "-c", "from bnn_deploy.cli import main; main()", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < 12):
        time.sleep(0.01)
    process.kill()
    process.wait()
    kept = path.read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]
    before = LatencyTable.open(path)
    assert subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode in (0, 1)
    assert path.read_bytes().startswith(kept)
    after = LatencyTable.open(path)
    assert set(after.rows) == set(STEPS)
    for step, row in before.rows.items():
        if row.quality is Quality.OK:
            assert after.measurements[step] == before.measurements[step]
