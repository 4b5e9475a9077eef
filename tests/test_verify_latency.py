"""`verify --latency`: measuring many networks against a scripted board, the command, and this computer for real."""

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bnn_deploy.architecture import Architecture
from bnn_deploy.cli import cli
from bnn_deploy.engine.bnn_file import read_bnn
from bnn_deploy.errors import BnnDeployError, DeviceError, DeviceLost, TableMismatch
from bnn_deploy.latency.correction import Correction, correction_path
from bnn_deploy.latency.networks import NetworkJournal, networks_path
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.profiling.device import Device, open_device
from bnn_deploy.profiling.network_latency import EXTRA_VISITS, VISITS, measure_networks
from bnn_deploy.profiling.profile import profile
from bnn_deploy.profiling.protocol import ProfileSettings
from bnn_deploy.settings import write_json
from bnn_deploy.space import load_space
from bnn_deploy.steps import Step, plan
from tests.boards import FakeTransport, device_with
from tests.tables import formula_ns

SPACE = load_space("mobilenet-32")
NETS = [SPACE.decode(genome) for genome in SPACE.sample(np.random.default_rng(0), 12)]
QUICK = ProfileSettings(samples=5, min_sample_ns=50_000, warmup_ns=100_000)
Answer = Callable[[int, float], dict[str, object]]


class ScriptedBoard(FakeTransport):
    """A board on which a network takes 2 % and 5 us longer than its steps together."""

    def __init__(self, net: Answer) -> None:
        super().__init__(answer=self._layer)
        self.net, self.visits = net, 0
        self.models: set[str] = set()
        self.reconnects = 0

    @staticmethod
    def _layer(step: Step) -> dict[str, object]:
        samples = [formula_ns(step)] * 3
        return {"kernel": "k", "iterations": 1, "samples_ns": samples, "cold_samples_ns": []}

    def run(self, argv: Sequence[str], timeout_s: float) -> Iterator[str]:
        if argv[1] != "net":
            yield from super().run(argv, timeout_s)
            return
        assert [held.open for held in self.held].count(True) == 1
        self.visits += 1
        model = argv[argv.index("--model") + 1]
        self.models.add(model)
        yield json.dumps(self.net(self.visits, 1.02 * sum(map(formula_ns, read_bnn(model).steps)) + 5000))

    def reconnect(self) -> None:
        self.reconnects += 1


def steady(_: int, latency_ns: float) -> dict[str, object]:
    return {"iterations": 1, "samples_ns": [round(latency_ns)] * 5, "sentinel_ns": [500] * 5}


def board(answer: Answer = steady) -> tuple[Device, ScriptedBoard]:
    scripted = ScriptedBoard(answer)
    return device_with(scripted), scripted


@pytest.fixture(name="table")
def make_table(tmp_path: Path) -> LatencyTable:
    return profile(SPACE.steps(), board()[0], tmp_path / "t.jsonl", settings=QUICK)


def truth(net: Architecture) -> float:
    return 1.02 * sum(map(formula_ns, plan(net))) + 5000


def test_every_network_as_often_as_wanted(table: LatencyTable) -> None:
    device, scripted = board()
    found = measure_networks(NETS, device, table, visits=3)
    assert [one.architecture for one in found] == NETS
    assert scripted.visits == 3 * len(NETS)
    assert all(one.latency_ns == round(truth(one.architecture)) and len(one.good) == 3 for one in found)
    assert len(scripted.models) == 1  # one file, again and again
    assert not any(Path(model).exists() for model in scripted.models)
    measure_networks(NETS, device, table, visits=3)
    assert scripted.visits == 3 * len(NETS)


@pytest.mark.parametrize("moment", [1, 2, 13, 35])
def test_a_cable_pulled_costs_one_visit(table: LatencyTable, moment: int) -> None:
    def pulled(run: int, latency_ns: float) -> dict[str, object]:
        if run == moment:
            raise DeviceError("cable pulled")
        return steady(run, latency_ns)

    device, _ = board(pulled)
    with pytest.raises(DeviceError, match="cable pulled"):
        measure_networks(NETS, device, table)
    device, scripted = board()
    found = measure_networks(NETS, device, table)
    assert scripted.visits == VISITS * len(NETS) - (moment - 1)
    assert all(len(one.visits) == VISITS for one in found)


def test_a_board_that_goes_away_is_waited_for(table: LatencyTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnn_deploy.profiling.patience.RECONNECT_POLL_S", 0.01)
    gone = {4, 5, 30}

    def rebooting(run: int, latency_ns: float) -> dict[str, object]:
        if run in gone:
            raise DeviceLost("rebooting")
        return steady(run, latency_ns)

    device, scripted = board(rebooting)
    found = measure_networks(NETS, device, table)
    assert scripted.reconnects == len(gone)
    assert scripted.visits == VISITS * len(NETS) + len(gone)
    assert all(len(one.good) == VISITS for one in found)


def test_a_slow_minute_and_an_unsteady_one_are_measured_again(table: LatencyTable) -> None:
    def disturbed(run: int, latency_ns: float) -> dict[str, object]:
        answer = steady(run, latency_ns)
        if 5 <= run <= 8:
            answer |= {"samples_ns": [round(1.4 * latency_ns)] * 5, "sentinel_ns": [700] * 5}
        if run == 11:
            answer |= {"samples_ns": [round(latency_ns * factor) for factor in (1, 1, 1.3, 1.6, 2)]}
        return answer

    device, scripted = board(disturbed)
    found = measure_networks(NETS, device, table)
    assert scripted.visits == VISITS * len(NETS) + 5
    assert all(one.latency_ns == round(truth(one.architecture)) for one in found)
    with NetworkJournal(table) as journal:  # what was set aside is there as well
        assert sum(len(one.visits) for one in journal.networks.values()) == scripted.visits


def test_patience_ends(table: LatencyTable) -> None:
    device, scripted = board(lambda run, ns: {**steady(run, ns), "sentinel_ns": [540] * 5})
    found = measure_networks(NETS[:3], device, table)
    assert scripted.visits == 3 * (VISITS + EXTRA_VISITS)
    assert not any(one.good for one in found)


@pytest.mark.parametrize("answer", [{}, {"iterations": 1, "samples_ns": [], "sentinel_ns": [1]}])
def test_a_wrong_answer_is_an_error(table: LatencyTable, answer: dict[str, object]) -> None:
    with pytest.raises(DeviceError, match="a wrong answer from the board"):
        measure_networks(NETS[:2], board(lambda run, ns: answer)[0], table)


def test_a_journal_belongs_to_its_table(table: LatencyTable, tmp_path: Path) -> None:
    measure_networks(NETS[:2], board()[0], table)
    table.path.unlink()
    other = profile(SPACE.steps(), board()[0], table.path, settings=ProfileSettings(samples=9))
    with pytest.raises(TableMismatch, match="measured beside a table with settings"):
        measure_networks(NETS[:2], board()[0], other)


class TestCommand:
    """The command line, with the scripted board as its device."""

    @pytest.fixture(name="verify")
    def make_verify(self, table: LatencyTable, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
        monkeypatch.setattr("bnn_deploy.cli.verify_latency.open_device", lambda name: board()[0])

        def verify(*arguments: str) -> Result:
            return CliRunner().invoke(cli, ["verify", "--latency", "--table", str(table.path), *arguments])

        return verify

    def test_fits_then_tests(self, verify: Callable[..., Result], table: LatencyTable) -> None:
        first = verify("--space", "mobilenet-32", "--networks", "20", "--json")
        assert first.exit_code == 0, first.output
        result = json.loads(first.stdout)
        assert result["agreement"]["sum of the table's rows"]["bias"]["value"] < -0.02
        assert result["agreement"]["corrected, each network left out"]["mape"]["value"] < 0.002
        assert len(result["networks"]) == 20
        assert "`search` will use it" in first.stderr
        stored = Correction.open(correction_path(table.path))
        assert stored.coefficients.row_factor == pytest.approx(1.02, abs=0.01)
        second = verify("--space", "mobilenet-32", "--networks", "20", "--seed", "1")
        assert "corrected by a stored fit" in second.stdout
        assert "tested on 20 networks, 0 of which it was fitted to" in second.stderr
        assert Correction.open(correction_path(table.path)) == stored
        third = verify("--space", "mobilenet-32", "--networks", "20", "--seed", "1", "--refit")
        assert "`search` will use it" in third.stderr
        assert set(Correction.open(correction_path(table.path)).networks).isdisjoint(stored.networks)

    def test_the_networks_of_a_search(self, verify: Callable[..., Result], tmp_path: Path) -> None:
        run = tmp_path / "run"
        front = [{"architecture": net.to_json()} for net in NETS[:3]]
        write_json(
            run / "search.json", {"front": front, "winner": front[1], "random": {"architecture": NETS[5].to_json()}}
        )
        write_json(run / "settings.json", {"space": {"name": "mobilenet-32"}})
        result = verify(str(run), "--json")
        assert result.exit_code == 0, result.output
        data = json.loads(result.stdout)
        assert {row["digest"] for row in data["networks"]} == {net.digest for net in [*NETS[:3], NETS[5]]}
        assert data["correction"] is None
        assert "too few" in result.stderr
        write_json(run / "search.json", {"winner": front[1]})
        assert "holds no Pareto front" in str(verify(str(run)).exception)

    def test_a_seed_draws_the_same_networks(self, verify: Callable[..., Result], table: LatencyTable) -> None:
        digests = [
            [
                row["digest"]
                for row in json.loads(verify("--space", "mobilenet-32", "--networks", "5", *more).stdout)["networks"]
            ]
            for more in (["--json"], ["--json"], ["--json", "--seed", "7"])
        ]
        assert digests[0] == digests[1]
        assert set(digests[0]).isdisjoint(digests[2])

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["--space", "mobilenet-224"], 1, "no measurement of"),
            ([], 2, "either --space or the FOLDER of a search"),
            (["--space", "mobilenet-32", "--images", "3"], 2, "either --space or the FOLDER"),
            (["no-such-run"], 1, "expected a finished search"),
        ],
    )
    def test_bad_input(self, verify: Callable[..., Result], arguments: list[str], code: int, message: str) -> None:
        result = verify(*arguments)
        if code == 1:
            assert isinstance(result.exception, BnnDeployError)
            assert message in str(result.exception)
        else:
            assert (result.exit_code, message in result.output) == (2, True)


def test_this_computer(tmp_path: Path) -> None:
    """Real samples; what they say about the table is a question for a quiet machine."""
    device = open_device("host")
    table = profile(SPACE.steps(), device, tmp_path / "t.jsonl", settings=QUICK)
    found = measure_networks(NETS[:2], device, table, visits=1)
    assert networks_path(table.path).exists()
    for one in found:
        alone = sum(table.latency_ns(step) for step in plan(one.architecture))
        assert alone / 10 < statistics.median(visit.latency_ns for visit in one.visits) < 10 * alone
