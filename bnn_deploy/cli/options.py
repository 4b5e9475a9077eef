"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bnn_deploy.architecture import Architecture, Doubling
from bnn_deploy.errors import ArchitectureError, FileFormatError, SpaceError
from bnn_deploy.references import reference
from bnn_deploy.settings import read_object
from bnn_deploy.space import Space

if TYPE_CHECKING:
    from bnn_deploy.training.recipe import Recipe

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random."
)
epochs_option = click.option("--epochs", type=click.IntRange(min=1), help="Instead of the recipe's own number.")
groups_option = click.option("--groups", help="Group count of each block, with commas, instead of its own.")
genes_option = click.option("--gene", "genes", multiple=True, help="One gene, as block2.groups=8; repeatable.")
space_option = click.option(
    "--space", "space_name", default="mobilenet-32", show_default=True, help="A preset, or a TOML file."
)


def default_table(device: str) -> Path:
    """Where `profile` writes and `search` reads a device's table unless told otherwise."""
    return Path("runs") / "tables" / f"{device}.jsonl"


def architecture_from(
    name_or_file: str | None,
    space: Space,
    groups: str | None,
    genes: Sequence[str] = (),
    doubling: str | None = None,
) -> Architecture:
    """The architecture that --architecture, --space, --groups, --gene and --doubling describe.

    Raises:
        UnknownName, ArchitectureError, SpaceError, FileFormatError: as the parts say.
    """
    net = _read(Path(name_or_file)) if name_or_file and name_or_file.endswith(".json") else None
    if net is None:
        net = reference(name_or_file, space) if name_or_file else space.base
    if groups:
        net = net.with_groups(parse_groups(groups))
    if genes:
        net = space.with_genes(net, dict(_parse_gene(text) for text in genes))
    return replace(net, doubling=Doubling(doubling)) if doubling else net


def chosen_recipe(name: str, epochs: int | None) -> Recipe:
    """A named recipe, with another number of epochs if given."""
    from bnn_deploy.training.recipe import named_recipe

    recipe = named_recipe(name)
    return recipe if epochs is None else replace(recipe, epochs=epochs)


def parse_groups(text: str) -> tuple[int, ...]:
    """ "1,8,16" -> (1, 8, 16)."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as exc:
        raise ArchitectureError(f"--groups: expected numbers with commas, as 1,8,16, got {text!r}") from exc


def _parse_gene(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    if not value.isdecimal():
        raise SpaceError(f"--gene: expected NAME=NUMBER, as block2.groups=8, got {text!r}")
    return name, int(value)


def _read(path: Path) -> Architecture:
    data = read_object(path)
    architecture = data.get("architecture", data)
    if not isinstance(architecture, dict):
        raise FileFormatError(f"{path}: expected an architecture, found {type(architecture).__name__}")
    return Architecture.from_json(architecture)
