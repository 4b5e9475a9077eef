"""A whole search in a folder, small: interrupted anywhere it ends with the same bytes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bnn_deploy.errors import BnnDeployError, DataError, FileFormatError
from bnn_deploy.latency.predict import GenomeLatency
from bnn_deploy.latency.table import LatencyTable
from bnn_deploy.search.evolution import EvolutionSettings
from bnn_deploy.search.run import RESULT, Search, error_of, read_winner
from bnn_deploy.settings import write_json
from bnn_deploy.space import Space, parse_space
from bnn_deploy.training.data import Data, load_data
from bnn_deploy.training.recipe import Recipe
from tests.tables import formula_table

SPACE: Space = parse_space(
    "small",
    {
        "schema": 1,
        "input": [16, 16, 3],
        "classes": 10,
        "stem": {"channels": 8},
        "blocks": [{"channels": 16, "groups": [1, 2, 4, 8]}, {"channels": 16, "stride": 2, "groups": [1, 2, 4, 8, 16]}],
    },
)
SETTINGS = EvolutionSettings(population=4, generations=2)
RECIPE = Recipe(epochs=1)
FILES = (RESULT, "generations.jsonl", "evaluations.jsonl", "supernet/weights.safetensors")


class Stop(Exception):
    pass


@pytest.fixture(name="data", scope="module")
def load() -> Data:
    return load_data("digits", 16, 16)


@pytest.fixture(name="table", scope="module")
def make_table(tmp_path_factory: pytest.TempPathFactory) -> LatencyTable:
    return formula_table(tmp_path_factory.mktemp("table") / "t.jsonl", SPACE)


@pytest.fixture(name="start")
def starter(data: Data, table: LatencyTable) -> Callable[..., Search]:
    def start(folder: Path, seed: int = 0, settings: EvolutionSettings = SETTINGS) -> Search:
        return Search(folder, SPACE, data, table, recipe=RECIPE, settings=settings, seed=seed)

    return start


def contents(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in FILES]


def test_interrupted_anywhere_it_ends_the_same(tmp_path: Path, start: Callable[..., Search]) -> None:
    whole = start(tmp_path / "whole")
    whole.train_supernet()
    result = whole.run()
    assert result.evaluations == 4 * 3
    assert read_winner(tmp_path / "whole").architecture == result.winner.architecture
    folder = tmp_path / "cut"
    for moment in (1, 3, 6, 9, 13):

        def evaluated(known: int, _: int, moment: int = moment) -> None:
            if known == moment:
                raise Stop

        cut = start(folder)
        cut.train_supernet()
        with pytest.raises(Stop):
            cut.run(evaluated=evaluated)

    last = start(folder)
    last.train_supernet()
    assert last.run() == result
    assert contents(folder) == contents(tmp_path / "whole")


def test_other_settings_are_refused(tmp_path: Path, start: Callable[..., Search]) -> None:
    start(tmp_path / "run")
    with pytest.raises(BnnDeployError, match="holds a run with seed = 0, this one has 1; give another --out"):
        start(tmp_path / "run", seed=1)
    with pytest.raises(BnnDeployError, match="holds a run with evolution"):
        start(tmp_path / "run", settings=EvolutionSettings(population=5))


@pytest.mark.parametrize(
    "name", ["settings.json", "generations.jsonl", "evaluations.jsonl", "supernet/checkpoint.json"]
)
def test_damage_is_one_clear_error(tmp_path: Path, start: Callable[..., Search], name: str) -> None:
    def run() -> None:
        search = start(tmp_path / "run")
        search.train_supernet()
        search.run()

    run()
    path = tmp_path / "run" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BnnDeployError, match=r"damaged|not valid JSON|holds a run with"):
        run()


def test_a_damaged_result(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="expected a finished search"):
        read_winner(tmp_path)
    write_json(tmp_path / RESULT, {"winner": 3})
    with pytest.raises(FileFormatError, match="holds no winner"):
        read_winner(tmp_path)
    (tmp_path / RESULT).write_text('{"schema": 1, "win')
    with pytest.raises(FileFormatError, match="not valid JSON"):
        read_winner(tmp_path)


def test_removed_evaluations_are_computed_again(tmp_path: Path, start: Callable[..., Search]) -> None:
    search = start(tmp_path / "run")
    search.train_supernet()
    result = search.run()
    (tmp_path / "run" / "evaluations.jsonl").unlink()
    assert search.run() == result


def test_a_budget_that_only_the_fastest_meets(
    tmp_path: Path, start: Callable[..., Search], table: LatencyTable
) -> None:
    latency = GenomeLatency(SPACE, table)
    settings = EvolutionSettings(population=4, generations=1, budget_ns=latency.one(latency.fastest))
    search = start(tmp_path / "run", settings=settings)
    search.train_supernet()
    result = search.run()
    assert (result.evaluations, result.random_evaluations) == (1, 1)
    assert result.winner == result.random


def test_the_winner_wants_the_data_it_was_found_on(tmp_path: Path, start: Callable[..., Search], data: Data) -> None:
    search = start(tmp_path / "run")
    search.train_supernet()
    search.run()
    winner = read_winner(tmp_path / "run")
    winner.check_data(data)
    with pytest.raises(DataError, match=r"the search was made on digits .*, this is shapes"):
        winner.check_data(load_data("shapes", 16, 16))


def test_the_loss_only_breaks_ties() -> None:
    images = 355
    assert error_of(0.5, 1e9, images) < error_of(0.5 - 1 / images, 0.0, images)
    assert error_of(0.5, 0.1, images) < error_of(0.5, 0.2, images)
