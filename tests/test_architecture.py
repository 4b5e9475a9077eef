"""Descriptions that are no networks."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bnn_deploy.architecture import Architecture, Block, Stem
from bnn_deploy.errors import ArchitectureError

NET = Architecture(32, 32, 3, Stem(8), (Block(8, 16, stride=2, groups=2), Block(16, 16)), classes=10)


def test_json_round_trip() -> None:
    assert Architecture.from_json(json.loads(json.dumps(NET.to_json()))) == NET


@pytest.mark.parametrize("data", ["ab", [1, 2], [["schema", 1]], None, 7])
def test_json_that_is_no_object(data: object) -> None:
    with pytest.raises(ArchitectureError, match="architecture: expected a JSON object, got "):
        Architecture.from_json(data)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [{"stem": 8}, {"stem": None}, {"stem": {"channel": 8}}, {"blocks": 3}, {"blocks": ["ab"]}, {"doubling": ["real"]}],
)
def test_malformed_json(change: dict[str, object]) -> None:
    with pytest.raises(ArchitectureError, match="malformed JSON"):
        Architecture.from_json({**NET.to_json(), **change})


@pytest.mark.parametrize("value", [32.5, 2.0, True, "2", None])
@pytest.mark.parametrize("name", ["height", "width", "image_channels", "classes"])
def test_sizes_are_integers(name: str, value: object) -> None:
    with pytest.raises(ArchitectureError, match=rf"^{name} must be an integer, got {value!r}$"):
        Architecture.from_json({**NET.to_json(), name: value})


@pytest.mark.parametrize("value", [1.0, True, "1", None])
@pytest.mark.parametrize("name", ["channels_in", "channels_out", "stride", "kernel", "groups"])
def test_block_fields_are_integers(name: str, value: object) -> None:
    blocks = (NET.blocks[0], replace(NET.blocks[1], **{name: value}))  # type: ignore[arg-type]
    with pytest.raises(ArchitectureError, match=rf"^block 1: {name} must be an integer, got {value!r}$"):
        replace(NET, blocks=blocks)


@pytest.mark.parametrize("name", ["channels", "kernel", "stride"])
def test_stem_fields_are_integers(name: str) -> None:
    with pytest.raises(ArchitectureError, match=rf"^stem: {name} must be an integer, got 1\.0$"):
        replace(NET, stem=replace(NET.stem, **{name: 1.0}))  # type: ignore[arg-type]
