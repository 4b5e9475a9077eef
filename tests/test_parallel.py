"""Several boards at once; and on one board one profiler at a time."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bnn_deploy.cli import main
from bnn_deploy.errors import BnnDeployError, DeviceError
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling import guard, parallel
from bnn_deploy.profiling.device import Device
from bnn_deploy.profiling.parallel import Job, profile_all
from bnn_deploy.profiling.protocol import Limits, ProfileSettings
from bnn_deploy.space import load_space
from bnn_deploy.steps import Step
from tests.boards import FakeTransport, Record, device_with, guard_of_ones_own, steady

STEPS = load_space("mobilenet-32").steps()
QUICK = ProfileSettings(samples=3, min_sample_ns=50_000, warmup_ns=100_000, cold_samples=1)


def jobs(folder: Path, names: Sequence[str]) -> list[Job]:
    return [
        Job(name, folder / f"{name}.jsonl", QUICK, Limits(), 0, False, lambda done, total, text: None) for name in names
    ]


def test_a_second_board_adds_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both boards measure at the same moments: each waits for the other in every block, which one alone would not."""
    together = threading.Barrier(2, timeout=20)

    def board(name: str) -> Device:
        def answer(step: Step) -> Record:
            if step == transport.measured[-1] and len(transport.measured) % 8 == 1:
                together.wait()
            return steady(step)

        transport = FakeTransport(answer)
        return device_with(transport, name)

    monkeypatch.setattr(parallel, "open_device", board)
    found = profile_all(jobs(tmp_path, ["a", "b"]), STEPS)
    for name, table in zip(("a", "b"), found, strict=True):
        assert isinstance(table, LatencyTable)
        assert (table.device, set(table.rows)) == (name, set(STEPS))


def test_one_that_fails_does_not_disturb_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def board(name: str) -> Device:
        if name == "gone":
            raise DeviceError("gone: no route to host")
        return device_with(FakeTransport(), name)

    monkeypatch.setattr(parallel, "open_device", board)
    gone, here = profile_all(jobs(tmp_path, ["gone", "here"]), STEPS)
    assert isinstance(gone, BnnDeployError)
    assert isinstance(here, LatencyTable)
    assert set(here.rows) == set(STEPS)


def test_an_interruption_ends_all_and_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transports: list[FakeTransport] = []

    def slow(step: Step) -> Record:
        time.sleep(0.01)
        return steady(step)

    def board(name: str) -> Device:
        transports.append(FakeTransport(slow))
        return device_with(transports[-1], name)

    def interrupted(thread: threading.Thread, timeout: float | None = None) -> None:
        monkeypatch.setattr(threading.Thread, "join", join)
        raise KeyboardInterrupt

    join = threading.Thread.join
    monkeypatch.setattr(parallel, "open_device", board)
    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        profile_all(jobs(tmp_path, ["a", "b"]), STEPS)
    assert all(transport.runs <= 2 for transport in transports)
    assert not any(held.open for transport in transports for held in transport.held)


def test_two_profilers_on_one_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    devices = tmp_path / "devices.toml"
    devices.write_text('schema = 1\n[one]\ntransport = "local"\n[two]\ntransport = "local"\n')
    monkeypatch.setenv("BNN_DEPLOY_DEVICES", str(devices))
    monkeypatch.setattr(guard, "TAKE_OVER_S", 0.1)
    guard_of_ones_own(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["profile", "--device", "one", "--device", "two", "--samples", "10", "--patience", "0", "--json"])
    assert stopped.value.code == 1
    assert "is measuring on this board; wait for its end" in capsys.readouterr().err
    rows = [len(LatencyTable.open(path).rows) for path in sorted(Path("runs/tables").glob("*.jsonl"))]
    assert sorted(rows) == [0, len(STEPS)]


def test_out_names_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["profile", "--device", "a", "--device", "b", "--out", "t.jsonl"])
    assert stopped.value.code == 2
    assert "--out names one table" in capsys.readouterr().err
