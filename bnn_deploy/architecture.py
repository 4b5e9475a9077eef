"""One network, described: frozen, hashable, JSON in and out. Knows nothing of torch, files or devices.

The shape is the binary MobileNetV1 of Phan et al. (CVPR 2020) with the block of ReActNet (Liu et al., ECCV 2020):
a real-valued stem, blocks of a binary k x k **group** convolution and a binary 1x1, a real-valued classifier.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from bnn_deploy.errors import ArchitectureError

SCHEMA = 1  # 1: first version

REAL_GROUPS = 4  # groups of the real 1x1 at channel doubling in Doubling.REAL_GROUPED (ReActNet-B)


class Doubling(str, enum.Enum):
    """How a block whose channels grow makes its 1x1.

    DUPLICATE: binary 1x1, shortcut = copies of the channels, concatenated (ReActNet-A; no real-valued work).
    REAL: real-valued 1x1 without shortcut (the seed's presumed regime, ReActNet-C).
    REAL_GROUPED: the same with 4 groups (ReActNet-B).
    """

    DUPLICATE = "duplicate"
    REAL = "real"
    REAL_GROUPED = "real-grouped"


@dataclass(frozen=True, slots=True)
class Stem:
    """Real-valued k x k convolution + batch norm: image -> [H/stride, W/stride, channels]."""

    channels: int
    kernel: int = 3
    stride: int = 2


@dataclass(frozen=True, slots=True)
class Block:
    """Binary k x k group convolution channels_in -> channels_in carrying the stride, then a 1x1 to channels_out."""

    channels_in: int
    channels_out: int
    stride: int = 1
    kernel: int = 3
    groups: int = 1

    @property
    def doubles(self) -> bool:
        """True when the channels grow, so that Doubling decides about the 1x1."""
        return self.channels_out != self.channels_in


@dataclass(frozen=True, slots=True)
class Architecture:
    """A whole network.

    Args:
        height, width, image_channels: shape of the input image.
        stem: the real-valued first layer.
        blocks: at least one; channels chain from the stem on.
        classes: outputs of the real-valued classifier.
        doubling: see Doubling.

    Raises:
        ArchitectureError: sizes that are not integers or below 1, channels that do not chain or do not multiply, groups
            that do not divide, even kernels, strides other than 1 and 2. The message names the block.
    """

    height: int
    width: int
    image_channels: int
    stem: Stem
    blocks: tuple[Block, ...]
    classes: int
    doubling: Doubling = Doubling.DUPLICATE

    def __post_init__(self) -> None:
        for name in ("height", "width", "image_channels", "classes"):
            _check_integer(name, getattr(self, name))
            if getattr(self, name) < 1:
                raise ArchitectureError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.blocks:
            raise ArchitectureError("expected at least one block, got none")
        _check_integers("stem", self.stem)
        _check_window("stem", self.stem.kernel, self.stem.stride)
        channels = self.stem.channels
        for index, block in enumerate(self.blocks):
            self._check_block(index, block, channels)
            channels = block.channels_out

    def _check_block(self, index: int, block: Block, channels: int) -> None:
        where = f"block {index}"
        _check_integers(where, block)
        _check_window(where, block.kernel, block.stride)
        if block.channels_in != channels or channels < 1:
            raise ArchitectureError(f"{where}: expected {channels} input channels, got {block.channels_in}")
        if block.channels_out < 1 or block.channels_out % block.channels_in:
            raise ArchitectureError(
                f"{where}: output channels must be a multiple of the {block.channels_in} input channels "
                f"(the shortcut repeats them), got {block.channels_out}"
            )
        if block.groups < 1 or block.channels_in % block.groups:
            raise ArchitectureError(f"{where}: groups must divide {block.channels_in} channels, got {block.groups}")
        if self.doubling is Doubling.REAL_GROUPED and block.doubles and block.channels_in % REAL_GROUPS:
            raise ArchitectureError(
                f"{where}: doubling {self.doubling.value!r} needs channels that are a multiple of {REAL_GROUPS}, "
                f"got {block.channels_in}"
            )

    @property
    def groups(self) -> tuple[int, ...]:
        """Group count of each block's k x k convolution."""
        return tuple(block.groups for block in self.blocks)

    def with_groups(self, groups: tuple[int, ...]) -> Architecture:
        """The same network with other group counts, one for each block."""
        if len(groups) != len(self.blocks):
            raise ArchitectureError(f"expected {len(self.blocks)} group counts, got {len(groups)}")
        pairs = zip(self.blocks, groups, strict=True)
        return replace(self, blocks=tuple(replace(block, groups=g) for block, g in pairs))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits: equal networks have equal digests anywhere."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, object]:
        """A JSON-ready dictionary; from_json is its inverse."""
        return {"schema": SCHEMA, **asdict(self), "blocks": [asdict(block) for block in self.blocks]}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Architecture:
        """Inverse of to_json.

        Raises:
            ArchitectureError: another schema, missing or unknown fields, or a network that cannot exist.
        """
        if not isinstance(data, Mapping):
            raise ArchitectureError(f"architecture: expected a JSON object, got {data!r}")
        members = dict(data)
        schema = members.pop("schema", None)
        if schema != SCHEMA:
            raise ArchitectureError(f"architecture: expected schema {SCHEMA}, got {schema!r}")
        try:
            stem = Stem(**members.pop("stem"))  # type: ignore[arg-type]
            blocks = tuple(Block(**block) for block in members.pop("blocks"))  # type: ignore[attr-defined]
            doubling = Doubling(members.pop("doubling"))
            return cls(stem=stem, blocks=blocks, doubling=doubling, **members)  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as exc:
            raise ArchitectureError(f"architecture: malformed JSON: {exc}") from exc


def _check_integers(where: str, layer: Stem | Block) -> None:
    for field in fields(layer):
        _check_integer(f"{where}: {field.name}", getattr(layer, field.name))


def _check_integer(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArchitectureError(f"{name} must be an integer, got {value!r}")


def _check_window(where: str, kernel: int, stride: int) -> None:
    if kernel < 1 or kernel % 2 == 0:
        raise ArchitectureError(f"{where}: kernel must be odd, got {kernel}")
    if stride not in (1, 2):
        raise ArchitectureError(f"{where}: stride must be 1 or 2, got {stride}")
