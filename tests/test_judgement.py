"""What counts of what was measured: blocks that are set aside, rows that are confirmed."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bnn_deploy.latency.block import Block
from bnn_deploy.latency.judgement import Judgement, Quality, fault
from bnn_deploy.latency.measurement import Measurement
from bnn_deploy.space import load_space
from tests.tables import BLOCK, STATE, block, formula_ns, formula_row

STEP = load_space("mobilenet-32").steps()[1]
SENTINEL_NS = BLOCK.median_sentinel_ns


def states(before: dict[str, int], after: dict[str, int]) -> Block:
    return replace(BLOCK, before=replace(STATE, **before), after=replace(STATE, **after))


@pytest.mark.parametrize(
    ("judged", "reason"),
    [
        (BLOCK, None),
        (replace(BLOCK, sentinel_ns=(1090,) * 5), "slow core: the sentinel took 1.09 times as long"),
        (replace(BLOCK, sentinel_ns=(1070,) * 5), None),
        (replace(BLOCK, sentinel_ns=(1000,) * 6 + (1400,) * 4), "a quarter of the sentinels took 1.40 times"),
        (replace(BLOCK, sentinel_ns=(1000,) * 9 + (9000,)), None),
        (replace(BLOCK, cpu_ns=250_000_000, preempted=70), r"another process had the core for 50% of the time \(70"),
        (states({}, {"steal_ticks": 9}), "the hypervisor took the core away for 10%"),
        (states({"steal_ticks": 500}, {"steal_ticks": 501}), None),
        (states({"throttled": 0}, {"throttled": 0x50000}), "throttled for a moment: .* 0x0 to 0x50000"),
        (states({"throttled": 0x50000}, {"throttled": 0x50000}), None),
        (states({"throttled": 0x50005}, {"throttled": 0x50000}), "throttled: get_throttled was 0x50005 before"),
        (states({"throttled": 0x4}, {"throttled": 0x4}), "throttled: get_throttled was 0x4 before and 0x4 after"),
        (states({"clock_khz": 1_800_000}, {"clock_khz": 1_500_000}), "the clock went from 1800 to 1500 MHz"),
        (states({"clock_khz": 1_800_000}, {"clock_khz": 1_790_000}), None),
    ],
)
def test_faults_of_a_block(judged: Block, reason: str | None) -> None:
    found = fault(judged, SENTINEL_NS)
    assert (found is None) == (reason is None)
    if reason:
        assert found is not None
        assert re.search(reason, found)


def test_a_faster_block_sets_aside_the_slow_ones_before_it() -> None:
    slow = [block(number, sentinel_ns=(1400,) * 5) for number in range(3)]
    assert Judgement(slow).set_aside == {}
    assert set(Judgement([*slow, block(3)]).set_aside) == {0, 1, 2}


def unsteady(block: int) -> Measurement:
    return replace(formula_row(STEP, block), samples_ns=tuple(range(8000, 16000, 400)))


@pytest.mark.parametrize(
    ("found", "bad", "quality", "counted"),
    [
        ([formula_row(STEP, 0)], (), Quality.UNCONFIRMED, [0]),
        ([formula_row(STEP, 0), formula_row(STEP, 1, 1.04)], (), Quality.OK, [0, 1]),
        ([formula_row(STEP, 0, 1.04), formula_row(STEP, 1)], (), Quality.OK, [1, 0]),
        ([formula_row(STEP, 0), formula_row(STEP, 1, 1.06)], (), Quality.NOISY, [0]),
        ([formula_row(STEP, 0, 1.3), formula_row(STEP, 1, 1.3), formula_row(STEP, 2)], (), Quality.NOISY, [2]),
        ([formula_row(STEP, n, f) for n, f in enumerate((1.3, 1.3, 1, 1.01, 1.02))], (), Quality.OK, [2, 3, 4]),
        ([formula_row(STEP, n, f) for n, f in enumerate((0.9, 1.03, 1, 1.2, 1.01))], (), Quality.OK, [2, 4, 1]),
        ([formula_row(STEP, n, f) for n, f in enumerate((0.9, 1.03, 1, 1.2, 1.3))], (), Quality.NOISY, [0]),
        ([formula_row(STEP, n, f) for n, f in enumerate((1, 1.3, 1.31, 1.32, 1.01))], (), Quality.OK, [0, 4]),
        ([formula_row(STEP, 0, 1.4), formula_row(STEP, 1, 1.4)], (0, 1), Quality.DISTURBED, [0]),
        ([formula_row(STEP, 0, 0.5), formula_row(STEP, 1)], (0,), Quality.UNCONFIRMED, [1]),
        ([formula_row(STEP, 0), formula_row(STEP, 1), formula_row(STEP, 2)], (0,), Quality.OK, [1, 2]),
        ([unsteady(0), formula_row(STEP, 1)], (), Quality.NOISY, [1]),
        ([replace(formula_row(STEP), source="emulated")], (), Quality.EMULATED, [0]),
        ([replace(formula_row(STEP), source="estimate:pencil", block=None)], (), Quality.ESTIMATE, [None]),
    ],
)
def test_a_row_is_the_fastest_and_what_agrees_with_it(
    found: Sequence[Measurement], bad: Sequence[int], quality: Quality, counted: list[int | None]
) -> None:
    blocks = [block(number, cpu_ns=0 if number in bad else BLOCK.cpu_ns) for number in range(5)]
    judged = Judgement(blocks).row(found)
    assert judged is not None
    assert judged.quality is quality
    assert judged.attempts == len(found)
    assert [entry.block for entry in judged.counted] == counted
    assert len(judged.calls_ns) == 5 * len(counted)


def test_measurements_are_compared_at_one_clock() -> None:
    blocks = [block(0), block(1, sentinel_ns=(1060,) * 5)]
    judged = Judgement(blocks).row([formula_row(STEP, 0), formula_row(STEP, 1, 1.07)])
    assert judged is not None
    assert judged.quality is Quality.OK
    assert judged.apart == pytest.approx(1.07 / 1.06 - 1, rel=1e-2)
    assert judged.latency_ns == pytest.approx(1.035 * formula_ns(STEP), rel=2e-3)


def test_failures_make_no_row() -> None:
    failed = replace(formula_row(STEP), samples_ns=(), cold_samples_ns=(), error="wrong")
    judgement = Judgement([block(number) for number in range(3)])
    assert judgement.row([failed]) is None
    judged = judgement.row([failed, formula_row(STEP, 1), formula_row(STEP, 2)])
    assert judged is not None
    assert (judged.quality, judged.attempts) == (Quality.OK, 2)
