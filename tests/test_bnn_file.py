"""The `.bnn` format: what is written comes back, and no truncated or altered file gets through or does harm."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from bnn_deploy.architecture import Block, Doubling
from bnn_deploy.deploy_graph import DeployGraph
from bnn_deploy.engine.bnn_file import RECORD, check_bytes, plan_to_bytes, read_bnn, steps_to_bytes, to_bytes, write_bnn
from bnn_deploy.engine.network import Network
from bnn_deploy.errors import BnnDeployError, FileFormatError
from bnn_deploy.steps import plan
from tests.graphs import network, random_graph

HEADER = 64


@pytest.fixture(scope="module")
def graph() -> DeployGraph:
    blocks = Block(24, 24, groups=4), Block(24, 48, stride=2, groups=24, kernel=5), Block(48, 48)
    return random_graph(network(*blocks, size=(9, 7)), np.random.default_rng(1))


@pytest.fixture(scope="module")
def data(graph: DeployGraph) -> bytes:
    return to_bytes(graph)


def reseal(data: bytes | bytearray) -> bytes:
    """The bytes with a good size and checksum, so that the checks behind those are reached."""
    changed = bytearray(data)
    struct.pack_into("<Q", changed, 8, len(changed))
    struct.pack_into("<I", changed, 24, zlib.crc32(changed[HEADER:]))
    return bytes(changed)


def with_i32(data: bytes, record: int, field: int, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into("<i", changed, HEADER + RECORD.size * record + 4 * field, value)
    return reseal(changed)


def with_offset(data: bytes, record: int, slot: int, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into("<Q", changed, HEADER + RECORD.size * record + 64 + 8 * slot, value)
    return reseal(changed)


@pytest.mark.parametrize("doubling", list(Doubling))
def test_what_is_written_comes_back(doubling: Doubling, tmp_path: Path) -> None:
    architecture = network(Block(24, 48, groups=3, stride=2), Block(48, 96), size=(9, 7), doubling=doubling)
    graph = random_graph(architecture, np.random.default_rng(2))
    write_bnn(tmp_path / "net.bnn", graph)
    contents = read_bnn(tmp_path / "net.bnn")
    assert contents.steps == plan(architecture)
    assert contents.constants is not None
    for deploy, constants in zip(graph.steps, contents.constants, strict=True):
        assert set(constants) == set(deploy.constants)
        for name, array in deploy.constants.items():
            assert constants[name].dtype == array.dtype
            np.testing.assert_array_equal(constants[name], array)


def test_a_plan_has_no_constants(graph: DeployGraph, tmp_path: Path) -> None:
    steps = plan(graph.architecture)[::-1]  # not a chain: each record stands alone
    path = tmp_path / "plan.bnn"
    path.write_bytes(plan_to_bytes(steps))
    contents = read_bnn(path)
    assert contents.steps == steps
    assert contents.constants is None
    with pytest.raises(FileFormatError, match="plan without constants cannot be run"):
        Network.open(path)


def test_writing_is_all_or_nothing(graph: DeployGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.bnn"
    path.write_bytes(b"before")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(BnnDeployError, match="No space"):
        write_bnn(path, graph)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_truncated_at_every_boundary(graph: DeployGraph, data: bytes) -> None:
    records = HEADER + RECORD.size * len(graph.steps)
    sizes = {0, 4, 8, 16, 63, HEADER, records - 1, records, len(data) - 1}
    sizes |= set(range(HEADER, records, 64)) | set(range(records, len(data), 64))
    for size in sorted(sizes):
        with pytest.raises(FileFormatError, match=r"^net: "):
            check_bytes(data[:size], "net")
        if HEADER <= size < len(data) - 64:  # the last 64 bytes are partly padding
            with pytest.raises(FileFormatError, match=r"^net: "):
                check_bytes(reseal(data[:size]), "net")
    with pytest.raises(FileFormatError, match="truncated or altered: the header says"):
        check_bytes(data[:-1], "net")
    with pytest.raises(FileFormatError, match="the header says"):
        check_bytes(data + bytes(64), "net")


def test_every_flipped_bit_is_seen(data: bytes) -> None:
    rng = np.random.default_rng(3)
    for bit in {*range(8 * HEADER), *rng.integers(8 * HEADER, 8 * len(data), 3000)}:
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FileFormatError):
            check_bytes(bytes(changed), "net")


@pytest.mark.parametrize(
    ("record", "field", "value", "message"),
    [
        (0, 0, 5, "unknown kind 5"),
        (0, 0, 1, "shortcut|scale must be present|first step"),
        (1, 1, 0, "in_height must be 1..65536, got 0"),
        (1, 2, -7, "in_width must be"),
        (1, 3, 2**31 - 1, "in_channels must be"),
        (1, 7, 4, "kernel must be odd, got 4"),
        (1, 8, 3, "stride must be 1..2, got 3"),
        (1, 9, 5, "groups must divide 24 input and 24 output channels, got 5"),
        (1, 10, 9, "unknown shortcut 9"),
        (1, 10, 2, "shortcut 2 does not fit"),
        (1, 11, 64, "unknown flags 0x40"),
        (1, 11, 1, "writes neither floats nor bits"),
        (0, 12, 0, "needs a border of 1, but step 0 writes 0"),
        (0, 12, 128, "border must be"),
        (1, 13, 4, "unknown activation 4"),
        (0, 13, 1, "activation and padding are a bconv2d's"),
        (1, 15, 1, "fields 14 and 15 must be zero"),
        (1, 4, 8, "SAME padding gives an output of 9x7, got 8x7"),
        (0, 11, 4, "step 1 reads floats that step 0 does not write"),
    ],
)
def test_wrong_fields(data: bytes, record: int, field: int, value: int, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        check_bytes(with_i32(data, record, field, value), "net")


@pytest.mark.parametrize(
    ("slot", "value", "message"),
    [
        (0, 0, "weights must be present"),
        (0, 65, "weights at offset 65: not 64-byte aligned"),
        (2, 64, "not 64-byte aligned after the records"),
        (2, 2**64 - 64, "ends past the file"),
        (2, 2**63, "ends past the file"),
        (7, 4096, "constant 7 must be absent"),
    ],
)
def test_wrong_offsets(data: bytes, slot: int, value: int, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        check_bytes(with_offset(data, 1, slot, value), "net")


def test_bits_past_the_last_channel(graph: DeployGraph, data: bytes) -> None:
    offset = struct.unpack_from("<Q", data, HEADER + RECORD.size + 64)[0]
    changed = bytearray(data)
    changed[offset + 7] = 0x80  # channel 63 of a group of 6
    with pytest.raises(FileFormatError, match="step 1: weights have bits past channel 5"):
        check_bytes(reseal(changed), "net")


def test_a_chain_must_fit(graph: DeployGraph) -> None:
    other = random_graph(network(Block(24, 24)), np.random.default_rng(4))
    with pytest.raises(FileFormatError, match="step 1 reads 9x7x24, but step 0 writes 12x12x24"):
        check_bytes(steps_to_bytes([other.steps[0], *graph.steps[1:]]), "net")


def test_resealed_mutations_never_crash(data: bytes) -> None:
    """Altered records and constants with a good checksum: refused with a text, or a network that runs."""
    rng = np.random.default_rng(5)
    records = HEADER + RECORD.size * data[16]
    ran, refusals = 0, set()
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(HEADER, records if rng.random() < 0.9 else len(data)))
            changed[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]))
        try:
            network = Network(reseal(changed))
        except FileFormatError as exc:
            refusals.add(str(exc).split(":")[-1])
            continue
        assert network.run(np.zeros(network.image_shape, np.float32)) is not None
        ran += 1
    assert ran > 0  # e.g. a flipped weight
    assert len(refusals) > 20
