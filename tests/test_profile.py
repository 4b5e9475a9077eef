"""Profiling: the protocol against a scripted board, and the real board binary on this computer."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from bnn_deploy.engine.bnn_file import read_bnn
from bnn_deploy.errors import DeviceError, TableMismatch, UnknownName
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.description import DeviceDescription
from bnn_deploy.profiling.device import BOARD_BINARY, Device, open_device
from bnn_deploy.profiling.profile import ATTEMPTS, BATCH, ProfileSettings, profile
from bnn_deploy.space import load_space
from bnn_deploy.steps import Step

STEPS = load_space("mobilenet-32").steps()
QUICK = ProfileSettings(samples=3, min_sample_ns=50_000, warmup_ns=100_000)
FACTS = {"cpu": "scripted", "cores": 4, "isa": ["scalar"], "best_isa": "scalar"}
Answer = Callable[[Step], dict[str, object]]


class FakeTransport:
    """A board whose results are a function of the step."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.measured: list[Step] = []
        self.cores: set[str] = set()

    def push(self, path: Path) -> str:
        return str(path)

    def run(self, argv: Sequence[str], timeout_s: float) -> Iterator[str]:
        if argv[1] == "facts":
            yield json.dumps(FACTS)
            return
        if argv[1] == "sentinel":
            yield from (json.dumps({"core": core, "sentinel_ns": [600 - 10 * core]}) for core in range(4))
            return
        self.cores.add(argv[argv.index("--core") + 1])
        steps = read_bnn(Path(argv[argv.index("--plan") + 1])).steps
        for index, step in enumerate(steps):
            self.measured.append(step)
            yield json.dumps({"index": index, **self.answer(step)})

    def close(self) -> None:
        """Nothing to clean up."""


def steady(step: Step) -> dict[str, object]:
    return {"kernel": "k", "iterations": 10, "samples_ns": [1000, 1001, 1002], "sentinel_ns": [500, 500, 500]}


def device_with(answer: Answer, name: str = "scripted") -> tuple[Device, FakeTransport]:
    transport = FakeTransport(answer)
    return Device(DeviceDescription(name, "", "fake", -1), transport, BOARD_BINARY), transport


def test_every_step_once_and_nothing_twice_on_resume(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    device, transport = device_with(steady)
    half = profile(STEPS[:20], device, path, settings=QUICK)
    kept = path.read_bytes()
    whole = profile(STEPS, device, path, settings=QUICK, seed=1)
    assert set(half.rows) == set(STEPS[:20])
    assert set(whole.rows) == set(STEPS)
    assert path.read_bytes().startswith(kept)
    assert sorted(step.key for step in transport.measured) == sorted(step.key for step in STEPS)
    profile(STEPS, device, path, settings=QUICK)
    assert len(transport.measured) == len(STEPS)
    assert (whole.core, transport.cores) == (3, {"3"})


def test_a_cable_pulled_in_a_batch_costs_that_batch(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    calls = 0

    def pulled(step: Step) -> dict[str, object]:
        nonlocal calls
        calls += 1
        if calls == 3 * BATCH:
            raise DeviceError("cable pulled")
        return steady(step)

    with pytest.raises(DeviceError, match="cable pulled"):
        profile(STEPS, device_with(pulled)[0], path, settings=QUICK)
    assert len(LatencyTable.open(path).rows) == 2 * BATCH
    assert set(profile(STEPS, device_with(steady)[0], path, settings=QUICK).rows) == set(STEPS)


def test_an_unsteady_row_is_measured_again_and_marked(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def unsteady(step: Step) -> dict[str, object]:
        noise = [int(sample) for sample in rng.integers(1000, 5000, 20)]
        return {**steady(step), "samples_ns": noise} if step == STEPS[1] else steady(step)

    device, transport = device_with(unsteady)
    table = profile(STEPS[:4], device, tmp_path / "t.jsonl", settings=QUICK)
    assert table.rows[STEPS[1]].quality == "noisy"
    assert transport.measured.count(STEPS[1]) == ATTEMPTS
    assert all(table.rows[step].quality == "ok" for step in (STEPS[0], STEPS[2], STEPS[3]))


def test_a_slow_clock_is_noticed_by_the_sentinel(tmp_path: Path) -> None:
    calls = 0

    def throttled(step: Step) -> dict[str, object]:
        nonlocal calls
        calls += 1
        slow = 4 < calls <= 8
        factor = 3 if slow else 1
        return {**steady(step), "samples_ns": [1000 * factor] * 3, "sentinel_ns": [500 * factor] * 3}

    device, _ = device_with(throttled)
    profile(STEPS[:4], device, tmp_path / "t.jsonl", settings=QUICK)
    table = profile(STEPS[:8], device, tmp_path / "t.jsonl", settings=QUICK)
    assert {row.latency_ns for row in table.rows.values()} == {100.0}
    assert {row.quality for row in table.rows.values()} == {"ok"}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"error": "output differs from the scalar kernel"}, "output differs from the scalar kernel"),
        ({"kernel": "k", "iterations": 1, "samples_ns": [], "sentinel_ns": []}, "no latency"),
        ({"kernel": "k", "iterations": 1, "samples_ns": [0], "sentinel_ns": []}, "no latency"),
        ({"index": 99, "error": "x"}, "expected one result for each"),
    ],
)
def test_a_wrong_board_is_an_error_and_never_a_row(tmp_path: Path, answer: dict[str, object], message: str) -> None:
    from bnn_deploy.errors import BnnDeployError

    device, _ = device_with(lambda step: answer)
    with pytest.raises(BnnDeployError, match=message):
        profile(STEPS[:2], device, tmp_path / "t.jsonl", settings=QUICK)
    assert LatencyTable.open(tmp_path / "t.jsonl").rows == {}


def test_another_device_or_setting_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    profile(STEPS[:2], device_with(steady)[0], path, settings=QUICK)
    with pytest.raises(TableMismatch, match="made with device 'scripted', this run has 'other'"):
        profile(STEPS[:2], device_with(steady, "other")[0], path, settings=QUICK)
    with pytest.raises(TableMismatch, match="made with settings"):
        profile(STEPS[:2], device_with(steady)[0], path, settings=ProfileSettings())
    with pytest.raises(UnknownName, match="unknown instruction set of scripted 'avx9'"):
        profile(STEPS[:2], device_with(steady)[0], path, settings=ProfileSettings(isa="avx9"))


def test_the_environment_does_not_choose_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_KERNEL", "scalar")
    device = open_device("host")
    table = profile(STEPS[2:4], device, tmp_path / "t.jsonl", settings=QUICK)
    assert all(table.isa in row.kernel for row in table.rows.values())


def test_this_computer(tmp_path: Path) -> None:
    device = open_device("host")
    table = profile(STEPS, device, tmp_path / "t.jsonl", settings=QUICK)
    assert set(table.rows) == set(STEPS)
    assert all(row.latency_ns > 0 and row.kernel for row in table.rows.values())
    assert table.header["isa"] == device.facts["best_isa"]
    assert table.header["binary_sha256"] == device.binary_sha256
