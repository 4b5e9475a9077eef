"""The float stream between the steps of a network, stored in narrower formats: what it costs and what it changes.

    python benchmarks/stream_formats.py [--only speed|accuracy] [--out benchmarks/results/stream_formats.json]

Speed: `stream_format` (native/bench, CMake option BNN_BENCH; `make stream-formats` builds it and runs this part) times
one binary 1x1 convolution with a block's epilogue, the stream in each format, in turns, after checking its results;
the figure is the shortest sample, in cycles per 16 channels of a pixel. Three places for the activations:

  ring     rings of rows, as in the engine's segments: 1 row of shortcuts, 2 of values, 3 of bits
  tensor   two whole tensors of the layer's size that take turns as input and output
  4 MiB    the same, each of 4 MiB in float32: what an engine without rings has in its largest layers

The engine's own kernel stands beside the float32 that is made as the other formats are.

Accuracy: the winners of `seeds.json`, trained from scratch with the recipe `quick` on digits. The output of each unit
is rounded where it is stored, so shortcuts and the last pool read rounded values; bits are made before, in registers,
as a fused epilogue makes them. int8 has a step and an offset, per tensor or per channel, from the extremes over the
training images. Against float32: accuracy on the test images, equal answers, and the share of binary activations that
differ.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import HERE, Board, Json, Samples, parser, progress, write_results
from torch import Tensor

from bnn_deploy.layers import BinaryMobileNet
from bnn_deploy.layers.block import BinaryUnit
from bnn_deploy.settings import read_json
from bnn_deploy.space import load_space
from bnn_deploy.training.batches import plain_batches
from bnn_deploy.training.data import Split, load_data
from bnn_deploy.training.recipe import named_recipe
from bnn_deploy.training.single import new_model, train

Store = Callable[[int, Tensor], Tensor]  # unit, its output [N, C, H, W] -> what reading the stored output gives
BENCH = HERE.parent / "build" / "bench" / "stream_format"
CHANNELS = (0, 2, 3)  # what a per-channel extreme is taken over
LEVELS = 255


@contextmanager
def stored(model: BinaryMobileNet, store: Store, bits: Callable[[Tensor], None]) -> Iterator[None]:
    """The model with each unit's output stored; signs are taken of the output itself, and shown to `bits`."""
    exact: list[Tensor] = []

    def keep(index: int) -> Callable[..., Tensor]:
        def hook(_unit: Any, _inputs: Any, output: Tensor) -> Tensor:
            exact[:] = [output]
            return store(index, output)

        return hook

    def put_back(sign: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        bits(exact[0] < sign.alpha.view(1, -1, 1, 1))
        return (exact[0], *inputs[1:])

    handles = [unit.register_forward_hook(keep(index)) for index, unit in enumerate(model.units)]
    binary = [unit for unit in model.units if isinstance(unit, BinaryUnit)]
    handles += [unit.sign.register_forward_pre_hook(put_back) for unit in binary]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class Answers:
    """Of a model with a stored stream, on a split."""

    logits: Tensor
    bits: list[Tensor]


def answers(model: BinaryMobileNet, split: Split, store: Store) -> Answers:
    """Runs over the split; bits of every layer, batch after batch."""
    logits: list[Tensor] = []
    bits: list[Tensor] = []
    with torch.inference_mode(), stored(model.eval(), store, bits.append):
        for images, _ in plain_batches(split, 256):
            logits.append(model(images))
    return Answers(torch.cat(logits), bits)


@dataclass
class Extremes:
    """Of each unit's output, per channel: [1, C, 1, 1]."""

    low: dict[int, Tensor] = field(default_factory=dict)
    high: dict[int, Tensor] = field(default_factory=dict)

    def observe(self, unit: int, x: Tensor) -> Tensor:
        """A Store that only looks."""
        low, high = x.amin(CHANNELS, keepdim=True), x.amax(CHANNELS, keepdim=True)
        self.low[unit] = torch.minimum(self.low.get(unit, low), low)
        self.high[unit] = torch.maximum(self.high.get(unit, high), high)
        return x

    def int8(self, per_channel: bool) -> Store:
        """offset + step * q, q of 256 levels, saturating."""

        def store(unit: int, x: Tensor) -> Tensor:
            low, high = self.low[unit], self.high[unit]
            if not per_channel:
                low, high = low.min(), high.max()
            step = ((high - low) / LEVELS).clamp_min(1e-12)
            return ((x - low) / step).round_().clamp_(0, LEVELS) * step + low

        return store


def rounded_to(dtype: torch.dtype) -> Store:
    """To the nearest, ties to even."""
    return lambda _unit, x: x.to(dtype).float()


def judge(model: BinaryMobileNet, train_split: Split, test: Split) -> list[Json]:
    """One line per format."""
    extremes = Extremes()
    answers(model, train_split, extremes.observe)
    stores: dict[str, Store] = {
        "float32": lambda _unit, x: x,
        "bfloat16": rounded_to(torch.bfloat16),
        "float16": rounded_to(torch.float16),
        "int8 per channel": extremes.int8(per_channel=True),
        "int8 per tensor": extremes.int8(per_channel=False),
    }
    labels = torch.cat([labels for _, labels in plain_batches(test, 256)])
    exact = answers(model, test, stores["float32"])
    lines: list[Json] = []
    for name, store in stores.items():
        found = answers(model, test, store)
        flips = sum(int((a != b).sum()) for a, b in zip(exact.bits, found.bits, strict=True))
        top = found.logits.argmax(dim=1)
        line: Json = {
            "format": name,
            "accuracy": float((top == labels).float().mean()),
            "agreement": float((top == exact.logits.argmax(dim=1)).float().mean()),
            "flipped_bits": flips / sum(a.numel() for a in exact.bits),
        }
        lines.append(line)
    return lines


def accuracy() -> Json:
    """Three seeds."""
    space, recipe = load_space("mobilenet-32"), named_recipe("quick")
    data = load_data("digits", space.base.height, space.base.width)
    runs: list[Json] = []
    for run in json.loads((HERE / "results" / "seeds.json").read_text())["runs"]:
        seed, groups = run["seed"], tuple(run["winner"]["groups"])
        model = new_model(space.base.with_groups(groups), recipe, seed)
        with tempfile.TemporaryDirectory(prefix="bnn-formats-") as folder:
            result = train(model, data, recipe, Path(folder), seed=seed)
        progress(f"seed {seed}: trained in {result.seconds:.0f} s")
        lines = judge(model, data.train, data.test)
        runs.append({"seed": seed, "groups": list(groups), "formats": lines})
    return {"recipe": "quick", "data": "digits", "test_images": len(data.test), "runs": runs}


def show_accuracy(result: Any) -> None:
    """Means over the seeds, and the worst agreement."""
    print(f"\n{'format':<20}{'accuracy':>10}{'each seed':>24}{'agreement':>11}{'worst':>9}{'flipped bits':>14}")
    for lines in zip(*(run["formats"] for run in result["runs"]), strict=True):
        each = [100 * line["accuracy"] for line in lines]
        agreement = [100 * line["agreement"] for line in lines]
        flips = 100 * np.mean([line["flipped_bits"] for line in lines])
        seeds = " ".join(f"{value:.2f}" for value in each)
        print(
            f"{lines[0]['format']:<20}{np.mean(each):>8.2f} %{seeds:>24}{np.mean(agreement):>9.2f} %"
            f"{min(agreement):>7.2f} %{flips:>12.4f} %"
        )


def _where(record: Json) -> tuple[object, object]:
    return record["layer"], record["place"]


def speed(bench: Path, board: Board, rounds: int) -> Json:
    """One run of the bench: shortest and middle sample of each contestant."""
    command = [str(bench), "--core", str(board.core), "--samples", str(rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    clock = Samples([records.pop()])
    cycle_ns = clock.best_ns
    yardstick = {_where(record): Samples([record]).best_ns for record in records if record["format"] == "float32"}
    rows: list[Json] = []
    for record in records:
        samples = Samples([record])
        line: Json = {
            **{key: record[key] for key in ("layer", "place", "format")},
            "cycles_per_16_channels": samples.best_ns / cycle_ns,
            "cycles_median": samples.median_ns / cycle_ns,
            "percent_of_float32": 100 * samples.best_ns / yardstick[_where(record)],
        }
        rows.append(line)
    return {"device": board.to_json(), "samples": rounds, "cycle_ns": cycle_ns, "rows": rows}


def show_speed(result: Any) -> None:
    """A line per layer and place, a column per format."""
    rows = result["rows"]
    names = list(dict.fromkeys(row["format"] for row in rows))
    print(f"\n{'cycles per 16 channels, of float32':<36}" + "".join(f"{name:>20}" for name in names))
    for layer, place in dict.fromkeys(_where(row) for row in rows):
        cells = [row for row in rows if _where(row) == (layer, place)]
        text = "".join(f"{c['cycles_per_16_channels']:>12.2f}{c['percent_of_float32']:>6.0f} %" for c in cells)
        print(f"{layer:<24}{place:<12}{text}")


def main() -> None:
    options = parser(__doc__, "stream_formats.json", 200)
    options.add_argument("--only", choices=["speed", "accuracy"], help="leave the other part of the results as it is")
    options.add_argument("--bench", type=Path, default=BENCH, help="stream_format (make stream-formats builds it)")
    arguments = options.parse_args()
    found: dict[str, Any] = read_json(arguments.out) if arguments.only and arguments.out.exists() else {}
    results: dict[str, Any] = {name: found[name] for name in ("speed", "accuracy") if name in found}
    if arguments.only != "accuracy":
        if not arguments.bench.is_file():
            sys.exit(f"{arguments.bench} is missing: make stream-formats builds it")
        results["speed"] = speed(arguments.bench, Board(arguments.board, arguments.core), arguments.rounds)
        show_speed(results["speed"])
    if arguments.only != "speed":
        results["accuracy"] = accuracy()
        show_accuracy(results["accuracy"])
    write_results(arguments.out, results)


if __name__ == "__main__":
    main()
