"""A search space: named genes and their choices. Presets are TOML files in bnn_deploy/spaces.

The seed's space (Phan et al., CVPR 2020): one gene per block, the group count of its k x k convolution. A genome is a
tuple of choice indices, one per gene.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bnn_deploy.architecture import Architecture, Block, Doubling, Stem
from bnn_deploy.errors import ArchitectureError, SpaceError, UnknownName
from bnn_deploy.steps import Step, plan

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = 1  # 1: first version
PRESETS = Path(__file__).parent / "spaces"

Genome = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Gene:
    """The group count of one block's k x k convolution; name "block3.groups"."""

    name: str
    choices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """Architectures that differ from `base` in the group counts of their blocks.

    Args:
        name: of the preset or the file.
        base: any member; its groups are the first choice of every gene.
        genes: one per block.
    """

    name: str
    base: Architecture
    genes: tuple[Gene, ...]

    @property
    def size(self) -> int:
        """Number of architectures."""
        return math.prod(len(gene.choices) for gene in self.genes)

    def decode(self, genome: Sequence[int]) -> Architecture:
        """Genome -> architecture.

        Raises:
            SpaceError: a genome of another length, or an index outside of its gene's choices.
        """
        return self.base.with_groups(self.groups(genome))

    def groups(self, genome: Sequence[int]) -> tuple[int, ...]:
        """Genome -> group count of each block."""
        if len(genome) != len(self.genes):
            raise SpaceError(f"space {self.name}: a genome has {len(self.genes)} genes, got {len(genome)}")
        for gene, index in zip(self.genes, genome, strict=True):
            if not 0 <= index < len(gene.choices):
                raise SpaceError(f"{gene.name}: expected an index in 0..{len(gene.choices) - 1}, got {index}")
        return tuple(gene.choices[index] for gene, index in zip(self.genes, genome, strict=True))

    def encode(self, architecture: Architecture) -> Genome:
        """Architecture -> genome; the inverse of decode.

        Raises:
            SpaceError: the architecture is not in this space; the message says why.
        """
        if len(architecture.blocks) != len(self.genes) or architecture.with_groups(self.base.groups) != self.base:
            raise SpaceError(f"space {self.name}: the architecture differs in more than its groups")
        genome = []
        for gene, groups in zip(self.genes, architecture.groups, strict=True):
            if groups not in gene.choices:
                raise SpaceError(f"{gene.name}: {groups} is not among the choices {list(gene.choices)}")
            genome.append(gene.choices.index(groups))
        return tuple(genome)

    def with_genes(self, architecture: Architecture, values: Mapping[str, int]) -> Architecture:
        """The same architecture with other values of the named genes.

        Raises:
            UnknownName: no such gene; the message lists them.
            SpaceError: a value that is not among the gene's choices.
        """
        groups = list(architecture.groups)
        names = [gene.name for gene in self.genes]
        for name, value in values.items():
            if name not in names:
                raise UnknownName("gene", name, names)
            position = names.index(name)
            if value not in self.genes[position].choices:
                choices = list(self.genes[position].choices)
                raise SpaceError(f"{name}: {value} is not among the choices {choices}")
            groups[position] = value
        return architecture.with_groups(tuple(groups))

    def sample(self, rng: np.random.Generator, count: int = 1) -> npt.NDArray[np.int64]:
        """Uniform random genomes, int64 [count, genes]."""
        return np.stack([rng.integers(len(gene.choices), size=count) for gene in self.genes], axis=1)

    def nearest_uniform(self, groups: int) -> Architecture:
        """The member with `groups` everywhere, capped per block by the largest choice below, else the smallest."""
        return self.base.with_groups(
            tuple(max((c for c in gene.choices if c <= groups), default=min(gene.choices)) for gene in self.genes)
        )

    def steps(self) -> tuple[Step, ...]:
        """Every step that any member can need, once each, in order of first use: the rows of a latency table.

        A step depends on one gene alone (plan() reads a block's own groups), so trying each choice of each gene against
        the base reaches them all; a test checks it on random members.
        """
        return tuple(dict.fromkeys(step for net in self._one_gene_changes() for step in plan(net)))

    def _one_gene_changes(self) -> Iterator[Architecture]:
        first = (0,) * len(self.genes)
        for position, gene in enumerate(self.genes):
            for index in range(len(gene.choices)):
                yield self.decode((*first[:position], index, *first[position + 1 :]))

    def with_classes(self, classes: int) -> Space:
        """The same space for another number of classes."""
        return replace(self, base=replace(self.base, classes=classes))


def default_groups(channels: int) -> tuple[int, ...]:
    """1, 2, 4, ... and depthwise, as far as they divide the channels."""
    powers = [2**k for k in range(channels.bit_length()) if channels % 2**k == 0]
    return tuple(dict.fromkeys([*powers, channels]))


def preset_names() -> list[str]:
    """Names of the spaces in the package."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_space(name_or_path: str) -> Space:
    """A preset by its name, or a TOML file by its path.

    Raises:
        UnknownName: no such preset (the message lists them) and no such file.
        SpaceError: malformed TOML, another schema, missing fields, groups that do not divide.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = PRESETS / f"{name_or_path}.toml"
    if not path.is_file():
        raise UnknownName("search space", name_or_path, preset_names())
    try:
        data = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SpaceError(f"{path}: not valid TOML: {exc}") from exc
    return parse_space(path.stem, data)


def parse_space(name: str, data: Mapping[str, object]) -> Space:
    """A space from the content of its TOML file; see load_space for what is raised."""
    if data.get("schema") != SCHEMA:
        raise SpaceError(f"space {name}: expected schema = {SCHEMA}, got {data.get('schema')!r}")
    try:
        return _parse(name, dict(data))
    except ArchitectureError as exc:
        raise SpaceError(f"space {name}: {exc}") from exc
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise SpaceError(f"space {name}: malformed: {type(exc).__name__}: {exc}") from exc


def _parse(name: str, data: dict[str, Any]) -> Space:
    height, width, image_channels = data["input"]
    stem = Stem(**data["stem"])
    blocks, genes, channels = [], [], stem.channels
    for index, row in enumerate(data["blocks"]):
        choices = tuple(row.get("groups", default_groups(channels)))
        _check_choices(f"block{index}.groups", choices, channels)
        blocks.append(Block(channels, row["channels"], row.get("stride", 1), row.get("kernel", 3), choices[0]))
        genes.append(Gene(f"block{index}.groups", choices))
        channels = blocks[-1].channels_out
    doubling = Doubling(data.get("doubling", Doubling.DUPLICATE.value))
    base = Architecture(height, width, image_channels, stem, tuple(blocks), data["classes"], doubling)
    return Space(name, base, tuple(genes))


def _check_choices(gene: str, choices: tuple[object, ...], channels: int) -> None:
    if not choices or len(set(choices)) != len(choices):
        raise SpaceError(f"{gene}: expected a list of different group counts, got {list(choices)}")
    for groups in choices:
        if not isinstance(groups, int) or groups < 1 or channels % groups:
            raise SpaceError(f"{gene}: {groups!r} does not divide {channels} channels")
