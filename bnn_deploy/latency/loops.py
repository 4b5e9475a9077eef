"""How often the loops of the NEON kernels run for one row of a step: the shape's part of a cycle model.

Which kernel runs is what `select_bconv2d` of native/core/bconv2d would choose; how it walks is in the headers named
below. A row's cycles are taken to be linear in these counts; the coefficients come from traces
(benchmarks/cycle_models.py), which also compare the kernel's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from bnn_deploy.steps import Shortcut, Step, StepKind

DOT = "neon_dot"  # the instruction set with UDOT
AVGPOOL = "avgpool_row"  # the model of what avgpool_loops counts
_CHUNK, _TOGETHER = 14, 7  # kChunk of lanes.h, depthwise.h; kTogether of pieces.h
_MOST_BITS_16 = 32766  # kMostBits16 of simd/neon16.h


@dataclass(frozen=True, slots=True)
class Loops:
    """Counts of one row; a pool and a linear step are one row.

    Args:
        row: 1.
        block: blocks of output channels, or of channels.
        tile: tiles of pixels, over all blocks.
        output: vectors of 8 channels of output, over all pixels.
        run: runs of contiguous input, over all tiles.
        tile_step: steps along the window, over all tiles.
        pixel_step: the same, over all pixels, or vectors of pixels, of all blocks.
        rest: outputs that fill no whole group of those that share a load of the epilogue's constants.
    """

    row: float = 1.0
    block: float = 0.0
    tile: float = 0.0
    output: float = 0.0
    run: float = 0.0
    tile_step: float = 0.0
    pixel_step: float = 0.0
    rest: float = 0.0

    def __add__(self, other: Loops) -> Loops:
        sums = {field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        return Loops(**{**sums, "row": self.row})


@dataclass(frozen=True, slots=True)
class Walk:
    """The kernel of a step's row and how often its loops run. model: the name of its cycle model."""

    kernel: str
    model: str
    loops: Loops


def walk(step: Step, isa: str) -> Walk | None:
    """How a step runs on an AArch64 core; None for a shape that no cycle model is made for.

    isa: "neon" or "neon_dot".
    """
    match step.kind:
        case StepKind.GLOBAL_AVGPOOL:
            return Walk("global_avgpool", "global_avgpool", _pool(step))
        case StepKind.LINEAR:
            blocks = -(-step.out_channels // 8)
            return Walk(f"linear_{isa}", "linear", Loops(block=blocks, pixel_step=blocks * -(-step.in_channels // 8)))
        case StepKind.CONV2D:
            return Walk(f"conv2d_{isa}", f"conv2d {_sink(step)}", _conv2d(step)) if _whole(step) else None
    repeats = step.shortcut is Shortcut.REPEAT and step.in_channels % 16 != 0
    if step.shortcut is Shortcut.NONE or repeats or step.out_channels % 8 != 0:
        return None
    for name, supports, count in _KERNELS:
        if name == "dot_dense" and isa != DOT:
            continue
        if supports(step):
            model = " ".join([f"bconv2d_neon_{name}", *_version(name, step), _sink(step)])
            return Walk(f"bconv2d_neon_{name}", model, count(step))
    return None


def avgpool_loops(step: Step) -> Loops:
    """Of the row that a stride-2 shortcut takes its means from (core/epilogue/shortcut.h)."""
    return Loops(block=step.out_width, output=step.out_width * step.in_channels / 8)


def _sink(step: Step) -> str:
    """Which of the epilogue's versions runs (core/epilogue/sink.h): "block" has no branches."""
    if step.rprelu and step.float_out and step.bits_out and step.shortcut is not Shortcut.NONE and step.k_bits % 2 == 0:
        return "block"
    return " ".join(["rprelu"] * step.rprelu + ["float"] * step.float_out + ["bits"] * step.bits_out)


def _version(name: str, step: Step) -> list[str]:
    """Of lanes.h: 3x3 is unrolled; groups smaller than a lane are masked."""
    if name == "lanes4":
        return ["unrolled"] if step.kernel == 3 else []
    return ["masked"] if name == "masked8" and _per_group(step) < 8 else []


def _whole(step: Step) -> bool:
    return step.groups == 1 or step.out_channels // step.groups % 16 == 0


def _conv2d(step: Step) -> Loops:
    """core/float/conv2d.h: blocks of 16 channels, tiles of 5 pixels."""
    blocks, window = -(-step.out_channels // 16), step.k_bits
    return _count(step, blocks, step.out_width, -(-step.out_width // 5), window, step.kernel)


def _pool(step: Step) -> Loops:
    """core/float/pool.h: blocks of 64 channels, the rest by 8."""
    blocks, rest, pixels = step.in_channels // 64, -(-(step.in_channels % 64) // 8), step.in_height * step.in_width
    return Loops(block=blocks, tile=rest, pixel_step=blocks * pixels, tile_step=rest * pixels)


def _count(step: Step, blocks: int, pixels: int, tiles: int, steps: float, runs: int) -> Loops:
    return Loops(
        block=blocks,
        tile=blocks * tiles,
        output=step.out_width * step.out_channels / 8,
        run=blocks * tiles * runs,
        tile_step=blocks * tiles * steps,
        pixel_step=blocks * pixels * steps,
    )


def _tree(side: int, block: int, most: int) -> Callable[[Step], Loops]:
    """arm_neon_tree.h. side: groups side by side; block: filters of each; most: pixels of a tile."""

    def count(step: Step) -> Loops:
        words = 2 if side > 1 else _words(step.in_channels // step.groups)
        pixel_words = _words(step.in_channels)
        parts, blocks = -(-step.groups // side), -(-(step.out_channels // step.groups) // block)
        vectors = (step.kernel * step.kernel * words + 1) // 2
        runs = step.kernel * (1 if words == pixel_words else step.kernel)
        single = side > 1 and pixel_words % 2 == 1  # the last part is a single word: two pixels share a vector
        width = step.out_width
        total = _count(step, (parts - single) * blocks, width, -(-width // most), vectors, runs)
        if single:
            pairs, odd = width // 2, width % 2
            shared = _count(step, blocks, pairs + odd, -(-pairs // most) + odd, vectors, runs)
            total += replace(shared, output=0)
        return total

    return count


def _lanes(taps_together: int) -> Callable[[Step], Loops]:
    """lanes.h and depthwise.h: vectors of two words, chunks of 14 vectors."""

    def count(step: Step) -> Loops:
        words = _words(step.in_channels)
        columns, pixels = -(-words // 2), 2 if words == 1 else 1
        vectors = -(-step.out_width // pixels)
        chunks = -(-vectors // _CHUNK)
        outputs = step.out_channels / 8
        steps = -(-(step.kernel * step.kernel) // taps_together)
        rest = sum((min(_CHUNK, vectors - begin)) % _TOGETHER for begin in range(0, vectors, _CHUNK))
        return Loops(
            block=columns,
            tile=chunks * pixels * outputs,
            output=step.out_width * outputs,
            pixel_step=columns * vectors * steps,
            rest=rest * pixels * outputs,
        )

    return count


def _generic(step: Step) -> Loops:
    """broadcast.h with masks: blocks of 8 filters, tiles of 4 pixels, half words of what the block's groups see."""
    inputs, outputs = step.in_channels // step.groups, step.out_channels // step.groups
    span = 1
    for first in range(0, step.out_channels, 8):
        low = first // outputs * inputs
        high = (min(first + 7, step.out_channels - 1) // outputs + 1) * inputs
        span = max(span, -(-high // 64) - low // 64)
    steps = 2 * span * step.kernel * step.kernel
    width = step.out_width
    return _count(step, -(-step.out_channels // 8), width, -(-width // 4), steps, step.kernel * step.kernel)


def _words(channels: int) -> int:
    return -(-channels // 64)


def _same(step: Step) -> bool:
    return step.groups > 1 and step.in_channels == step.out_channels


def _per_group(step: Step) -> int:
    return step.in_channels // step.groups


def _depthwise(step: Step) -> bool:
    return step.kernel == 3 and step.groups == step.in_channels == step.out_channels


def _shares_a_byte(per_group: int) -> Callable[[Step], bool]:
    def supports(step: Step) -> bool:
        fits = step.kernel * step.kernel <= 31 and step.k_bits <= 255 and step.in_channels % 8 == 0
        divides = _per_group(step) == 4 if per_group == 4 else 8 % _per_group(step) == 0
        return _same(step) and fits and divides

    return supports


def _side_by_side(side: int, block: int, most_bits: int, same: bool = False) -> Callable[[Step], bool]:
    def supports(step: Step) -> bool:
        whole = step.out_channels // step.groups % block == 0 and (step.in_channels == step.out_channels or not same)
        return step.groups > 1 and _per_group(step) * side == 128 and whole and step.k_bits <= most_bits

    return supports


def _dense(most_bits: int) -> Callable[[Step], bool]:
    def supports(step: Step) -> bool:
        whole = _per_group(step) % 64 == 0 and step.out_channels // step.groups % 8 == 0
        return step.k_bits <= most_bits and (step.groups == 1 or whole)

    return supports


# kernels.inc, in its order: name, supports, loops
_KERNELS: tuple[tuple[str, Callable[[Step], bool], Callable[[Step], Loops]], ...] = (
    ("depthwise3x3", _depthwise, _lanes(9)),
    ("lanes4", _shares_a_byte(4), _lanes(2)),
    ("lanes8", _side_by_side(16, 8, 254, same=True), _tree(16, 8, 2)),
    ("lanes16", _side_by_side(8, 16, 254, same=True), _tree(8, 16, 2)),
    ("masked8", _shares_a_byte(8), _lanes(1)),
    ("side16", _side_by_side(8, 8, _MOST_BITS_16), _tree(8, 8, 2)),
    ("side32", _side_by_side(4, 8, _MOST_BITS_16), _tree(4, 8, 4)),
    ("side64", _side_by_side(2, 8, _MOST_BITS_16), _tree(2, 8, 4)),
    ("dot_dense", _dense(2**31), _tree(1, 8, 4)),
    ("dense", _dense(_MOST_BITS_16), _tree(1, 8, 4)),
    ("generic", lambda step: step.kernel**2 * _words(step.in_channels) <= 4095 // 2, _generic),
)
