import itertools
import json

import numpy as np
import pytest

from bnn_deploy.architecture import Architecture, Block, Doubling, Stem
from bnn_deploy.errors import ArchitectureError, SpaceError, UnknownName
from bnn_deploy.references import reference, reference_names
from bnn_deploy.space import default_groups, load_space, parse_space, preset_names
from bnn_deploy.steps import Shortcut, StepKind, plan, same_pad


@pytest.mark.parametrize("name", preset_names())
def test_encode_decode_sample(name: str) -> None:
    space = load_space(name)
    for genome in space.sample(np.random.default_rng(0), 50):
        genome = tuple(int(g) for g in genome)
        net = space.decode(genome)
        assert space.encode(net) == genome
        assert Architecture.from_json(json.loads(json.dumps(net.to_json()))) == net
    assert len({space.decode(tuple(g)).digest for g in space.sample(np.random.default_rng(1), 50)}) > 45


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("doubling", list(Doubling))
def test_enumeration_holds_every_step_of_random_members(name: str, doubling: Doubling) -> None:
    from dataclasses import replace

    space = load_space(name)
    space = replace(space, base=replace(space.base, doubling=doubling))
    rows = set(space.steps())
    for genome in space.sample(np.random.default_rng(2), 200):
        assert set(plan(space.decode(tuple(genome)))) <= rows


def test_seed_space_has_13_blocks_and_its_size() -> None:
    space = load_space("mobilenet-224")
    assert len(space.genes) == 13
    # channels 32, 64, 128 x2, 256 x2, 512 x6, 1024: choices 6, 7, 8, 8, 9, 9, 10 x6, 11
    assert space.size == 6 * 7 * 8**2 * 9**2 * 10**6 * 11


def test_steps_chain() -> None:
    for name in reference_names():
        steps = plan(reference(name))
        for before, after in itertools.pairwise(steps):
            assert (before.out_height, before.out_channels) == (after.in_height, after.in_channels)
            assert before.bits_out == (after.kind is StepKind.BCONV2D)
            assert before.float_out or after.shortcut is Shortcut.NONE
            assert before.border == (after.kernel // 2 if before.bits_out else 0)
        assert len({step.key for step in steps}) == len(set(steps))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [(8, 3, 1, (1, 1)), (8, 3, 2, (0, 1)), (7, 3, 2, (1, 1)), (8, 5, 2, (1, 2)), (8, 1, 1, (0, 0)), (1, 3, 2, (1, 1))],
)
def test_same_padding_is_tensorflows(size: int, kernel: int, stride: int, pads: tuple[int, int]) -> None:
    assert same_pad(size, kernel, stride) == pads


def test_default_groups() -> None:
    assert default_groups(48) == (1, 2, 4, 8, 16, 48)
    assert default_groups(8) == (1, 2, 4, 8)
    assert default_groups(3) == (1, 3)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"did you mean mobilenet-224.*known: mobilenet-224, mobilenet-32"):
        load_space("mobilnet-224")
    with pytest.raises(UnknownName, match="did you mean reactnet-a"):
        reference("reaktnet-a")


BLOCK = {"channels": 16}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "expected schema = 1, got 2"),
        ({"stem": {"channel": 8}}, "malformed"),
        ({"blocks": [{"channels": 12}]}, "multiple of the 8 input channels"),
        ({"blocks": [{"channels": 16, "groups": [3]}]}, r"block0.groups: 3 does not divide 8 channels"),
        ({"blocks": [{"channels": 16, "groups": []}]}, "list of different group counts"),
        ({"blocks": [{"channels": 16, "groups": [2, 2]}]}, "list of different group counts"),
        ({"blocks": [{"channels": 16, "kernel": 4}]}, "kernel must be odd"),
        ({"blocks": [{"channels": 16, "stride": 3}]}, "stride must be 1 or 2"),
        ({"blocks": []}, "at least one block"),
        ({"input": [8, 8]}, "malformed"),
        ({"doubling": "triple"}, "malformed"),
    ],
)
def test_malformed_spaces(change: dict[str, object], message: str) -> None:
    good = {"schema": 1, "input": [8, 8, 3], "classes": 2, "stem": {"channels": 8}, "blocks": [BLOCK]}
    assert parse_space("good", good).size == 4
    with pytest.raises(SpaceError, match=message):
        parse_space("bad", {**good, **change})


def test_genomes_outside_of_the_space() -> None:
    space = load_space("mobilenet-32")
    with pytest.raises(SpaceError, match="a genome has 7 genes, got 2"):
        space.decode((0, 0))
    with pytest.raises(SpaceError, match=r"block0.groups: expected an index in 0..5, got 6"):
        space.decode((6, 0, 0, 0, 0, 0, 0))
    with pytest.raises(SpaceError, match="differs in more than its groups"):
        space.encode(reference("depthwise"))


def test_architectures_that_cannot_exist() -> None:
    with pytest.raises(ArchitectureError, match="block 0: groups must divide 8 channels, got 3"):
        Architecture(8, 8, 3, Stem(8), (Block(8, 8, groups=3),), 10)
    with pytest.raises(ArchitectureError, match="block 1: expected 8 input channels, got 16"):
        Architecture(8, 8, 3, Stem(8), (Block(8, 8), Block(16, 16)), 10)
    with pytest.raises(ArchitectureError, match="multiple of 4"):
        Architecture(8, 8, 3, Stem(6), (Block(6, 12),), 10, Doubling.REAL_GROUPED)
    with pytest.raises(ArchitectureError, match="expected schema 1, got 9"):
        Architecture.from_json({"schema": 9})
    with pytest.raises(ArchitectureError, match="malformed JSON"):
        Architecture.from_json({"schema": 1, "stem": {}})
