"""Do the exported files compute what the trained network computes? The same images through every runtime.

Two questions are kept apart, because only one of them has an exact answer:

* **Sums.** Given the input signs that a runtime itself saw, each of its binary layers must have summed exactly what a
  float convolution of those signs with the folded weights sums. No tolerance: `sums_wrong` must be 0. This holds for
  torch as well, so that folding is checked and not only what comes after it.
* **Signs.** Float arithmetic between the layers may round differently, so a value near a threshold may fall on its
  other side, and everything behind it follows. `sign_flips` counts the input signs that differ from torch's, layer by
  layer.

Example:
    >>> for parity in check_parity(model, Path("runs/mine/winner/export"), data.test):      # doctest: +SKIP
    ...     print(parity)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bnn_deploy.deploy_graph import DeployGraph, DeployStep
from bnn_deploy.errors import FileFormatError
from bnn_deploy.export.files import model_path
from bnn_deploy.export.fold import fold
from bnn_deploy.layers import BinaryMobileNet
from bnn_deploy.runtimes.base import Floats, Runtime, Tap, Trace
from bnn_deploy.runtimes.registry import open_runtime, runtime_entry
from bnn_deploy.runtimes.torch import GraphRuntime, TorchRuntime, reference_sums
from bnn_deploy.runtimes.verified import verified_runtimes
from bnn_deploy.steps import StepKind

MIN_AGREEMENT = 0.995  # share of images whose top-1 must be torch's

_VALUES_AT_ONCE = 1 << 23  # sums of all layers that are held at a time, per runtime
_IMAGES_AT_ONCE = 128  # or fewer, so that progress can be seen

Progress = Callable[[int, int], None]


class ImageSource(Protocol):
    """Images that are made on demand; a data set's split is one."""

    def __len__(self) -> int: ...

    def images(self, indices: npt.NDArray[np.int64]) -> Floats:
        """Images number `indices`, float32 [n, H, W, C]."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A runtime with its name in the result and the file that it opened, None for torch."""

    name: str
    file: Path | None
    runtime: Runtime


@dataclass(frozen=True, slots=True)
class Parity:
    """One runtime against torch (or whatever compare's reference is); for the reference, its own sums against the
    folded weights.

    Args:
        runtime: its name.
        images: how many were run; every layer of every one was compared.
        top1_agreement: share of images whose highest logit is torch's, 0..1.
        max_abs_diff: largest difference of a logit from torch's; max_rel_diff: that over torch's largest logit.
        sums_compared, sums_wrong: integer sums of binary layers, see above; sums_unreadable: those that the runtime's
            output does not allow to be told (a scale of 0, or one too small beside the bias).
        signs_compared: input signs of all binary layers; sign_flips: how many differ from torch's, for each layer.
        file: the exported file that was checked, None for torch.
        seconds: wall time of the runtime alone, taps included. Not a benchmark.
    """

    runtime: str
    images: int
    top1_agreement: float
    max_abs_diff: float
    max_rel_diff: float
    sums_compared: int
    sums_wrong: int
    sums_unreadable: int
    signs_compared: int
    sign_flips: tuple[int, ...]
    file: Path | None
    seconds: float

    @property
    def sign_flips_total(self) -> int:
        """Sign flips of all layers."""
        return sum(self.sign_flips)

    @property
    def exact(self) -> bool:
        """There were sums to compare, and every one was right."""
        return self.sums_compared > 0 and self.sums_wrong == 0

    @property
    def passed(self) -> bool:
        """Exact, and top-1 agrees on MIN_AGREEMENT of the images."""
        return self.exact and self.top1_agreement >= MIN_AGREEMENT

    def to_json(self) -> dict[str, object]:
        """All fields, totals and the verdict, JSON-ready."""
        file = None if self.file is None else str(self.file)
        return {**asdict(self), "file": file, "sign_flips_total": self.sign_flips_total, "passed": self.passed}

    def __str__(self) -> str:
        return (
            f"{self.runtime}: {self.images} images, top-1 agrees on {100 * self.top1_agreement:.2f} %, largest logit "
            f"difference {self.max_abs_diff:.2g} ({self.max_rel_diff:.2g} of the largest logit), "
            f"{self.sums_wrong} of {self.sums_compared} sums wrong, {self.sign_flips_total} of {self.signs_compared} "
            "signs flipped"
        )


def check_parity(
    model: BinaryMobileNet | DeployGraph,
    folder: Path,
    images: Floats | ImageSource,
    runtimes: Sequence[str] | None = None,
    progress: Progress | None = None,
    *,
    count: int | None = None,
) -> list[Parity]:
    """Run a network's exported files, each in its runtime, and compare them with torch on the same images.

    Args:
        model: the trained network; or a folded graph, which is then computed step by step in torch.
        folder: of its exported files, `model.*` (export.files.model_path). A file of other weights shows as wrong sums.
        images: an array, float32 [N, H, W, C], or a source from which a few at a time are taken.
        runtimes: names of RUNTIMES; None: verified.verified_runtimes.
        progress: called with (images done, images) after every batch.
        count: only the first images; None: all of them.

    Returns:
        One Parity for torch, then one for each runtime, also when it fails: look at `passed`.

    Raises:
        UnknownName: a runtime that is not in RUNTIMES.
        RuntimeUnavailable: a runtime that is not installed here; see registry.missing_runtimes.
        FileFormatError: a file is missing, damaged, or of another architecture.
        ExportError: the network cannot be folded.
        ValueError: no images, or images of another shape or type.
    """
    names = verified_runtimes(folder) if runtimes is None else list(runtimes)
    files = [_exported(folder, name) for name in names]
    graph = model if isinstance(model, DeployGraph) else fold(model)
    torch = GraphRuntime(model) if isinstance(model, DeployGraph) else TorchRuntime(model, model.architecture)
    opened = [Opened(name, file, open_runtime(name, file)) for name, file in zip(names, files, strict=True)]
    return compare(graph, Opened(torch.name, None, torch), opened, images, progress, count=count)


def compare(
    graph: DeployGraph,
    reference: Opened,
    others: Sequence[Opened],
    images: Floats | ImageSource,
    progress: Progress | None = None,
    *,
    count: int | None = None,
) -> list[Parity]:
    """Any runtimes with a reference on the same images: check_parity without its rules of what is what.

    Returns:
        One Parity for the reference, its sums against the folded weights; then one for each of the others.

    Raises:
        FileFormatError: a file is damaged, or of another architecture than the reference.
        ValueError: no images, or images of another shape or type.
    """
    steps = _binary_steps(graph)
    own = _Tally(reference, steps)
    tallies = [_Tally(other, steps) for other in others]
    source = _Array(images) if isinstance(images, np.ndarray) else images
    total = len(source) if count is None else min(count, len(source))
    if total < 1:
        raise ValueError("images: expected at least one, got none")
    for batch in _batches(steps, source, total):
        expected, seconds = _timed(reference.runtime, batch)
        sums = [reference_sums(tap, deploy) for tap, deploy in zip(expected.taps, steps, strict=True)]
        own.add(expected, seconds, expected, sums)
        for tally in tallies:
            tally.add(*_traced(tally.opened, batch, expected), expected, sums)
        if progress is not None:
            progress(own.images, total)
    return [tally.parity() for tally in (own, *tallies)]


class _Tally:
    """Adds up the comparison of one runtime with the reference over batches."""

    def __init__(self, opened: Opened, steps: Sequence[DeployStep]) -> None:
        self.images = 0
        self.opened = opened
        self._steps = steps
        self._agreeing = 0
        self._max_abs_diff = self._largest_logit = 0.0
        self._compared = self._wrong = self._unreadable = self._signs = 0
        self._flips = np.zeros(len(steps), np.int64)
        self._seconds = 0.0

    def add(self, trace: Trace, seconds: float, expected: Trace, sums: Sequence[npt.NDArray[np.int32]]) -> None:
        """One batch: the runtime's trace, the reference's, and the exact sums of the reference's signs."""
        self.images += len(trace.logits)
        self._seconds += seconds
        self._agreeing += int((trace.logits.argmax(axis=1) == expected.logits.argmax(axis=1)).sum())
        difference = np.abs(trace.logits - expected.logits).max()
        self._max_abs_diff = float(np.maximum(self._max_abs_diff, difference))  # a NaN stays
        self._largest_logit = max(self._largest_logit, float(np.abs(expected.logits).max()))
        for layer, (tap, other) in enumerate(zip(trace.taps, expected.taps, strict=True)):
            flipped = tap.negative != other.negative
            self._signs += flipped.size
            self._flips[layer] += np.count_nonzero(flipped)
            self._compare_sums(tap, _sums_of(tap, self._steps[layer], flipped, sums[layer]))

    def _compare_sums(self, tap: Tap, expected: npt.NDArray[np.int32]) -> None:
        wrong = (tap.sums != expected)[..., tap.readable]
        self._compared += wrong.size
        self._wrong += int(np.count_nonzero(wrong))
        self._unreadable += expected.size - wrong.size

    def parity(self) -> Parity:
        """The result."""
        return Parity(
            runtime=self.opened.name,
            images=self.images,
            top1_agreement=self._agreeing / self.images,
            max_abs_diff=self._max_abs_diff,
            max_rel_diff=self._max_abs_diff / (self._largest_logit or 1.0),
            sums_compared=self._compared,
            sums_wrong=self._wrong,
            sums_unreadable=self._unreadable,
            signs_compared=self._signs,
            sign_flips=tuple(self._flips.tolist()),
            file=self.opened.file,
            seconds=self._seconds,
        )


def _sums_of(
    tap: Tap, deploy: DeployStep, flipped: npt.NDArray[np.bool_], expected: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """The exact sums of a runtime's signs; images whose signs are the reference's have its sums, computed already."""
    images = np.flatnonzero(flipped.any(axis=(1, 2, 3)))
    if not images.size:
        return expected
    own = expected.copy()
    own[images] = reference_sums(Tap(tap.negative[images], tap.sums[images], tap.readable), deploy)
    return own


def _timed(runtime: Runtime, images: Floats) -> tuple[Trace, float]:
    start = time.perf_counter()
    trace = runtime.trace(images)
    return trace, time.perf_counter() - start


def _traced(opened: Opened, images: Floats, expected: Trace) -> tuple[Trace, float]:
    """A trace of the shapes of the reference's, and the seconds it took.

    Raises:
        FileFormatError: the file is of another architecture.
    """
    try:
        trace, seconds = _timed(opened.runtime, images)
    except ValueError as exc:  # the reference has taken these images
        raise FileFormatError(f"{opened.file}: of another architecture than the network: {exc}") from exc
    if _shapes(trace) != _shapes(expected):
        raise FileFormatError(f"{opened.file}: of another architecture than the network: its layers have other shapes")
    return trace, seconds


def _shapes(trace: Trace) -> list[tuple[int, ...]]:
    return [
        trace.logits.shape,
        *(array.shape for tap in trace.taps for array in (tap.negative, tap.sums, tap.readable)),
    ]


def _binary_steps(graph: DeployGraph) -> list[DeployStep]:
    return [deploy for deploy in graph.steps if deploy.step.kind is StepKind.BCONV2D]


@dataclass(frozen=True, slots=True)
class _Array:
    """An array as an ImageSource."""

    array: Floats

    def __len__(self) -> int:
        return len(self.array)

    def images(self, indices: npt.NDArray[np.int64]) -> Floats:
        return self.array[indices]


def _batches(steps: Sequence[DeployStep], source: ImageSource, total: int) -> Iterator[Floats]:
    """The first images, few enough at a time that the taps of all layers fit in memory."""
    values = sum(deploy.step.out_height * deploy.step.out_width * deploy.step.out_channels for deploy in steps)
    size = min(_IMAGES_AT_ONCE, max(1, _VALUES_AT_ONCE // max(1, values)))
    for start in range(0, total, size):
        yield source.images(np.arange(start, min(start + size, total)))


def _exported(folder: Path, name: str) -> Path:
    """The file of a runtime that is installed.

    Raises:
        UnknownName, RuntimeUnavailable, FileFormatError: see check_parity.
    """
    entry = runtime_entry(name)
    entry.probe()
    path = model_path(folder, entry.format)
    if not path.exists():
        raise FileFormatError(f"{path}: missing; write it with `bnn-deploy export`")
    return path
