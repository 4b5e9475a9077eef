"""Do the exported files compute what the trained network computes? The same images through every runtime.

Two questions are kept apart, because only one of them has an exact answer:

* **Sums.** Given the input signs that a runtime itself saw, each of its binary layers must have summed exactly what a
  float convolution of those signs sums. No tolerance: `sums_wrong` must be 0.
* **Signs.** Float arithmetic between the layers may round differently, so a value near a threshold may fall on its
  other side, and everything behind it follows. `sign_flips` counts the input signs that differ from torch's, layer by
  layer.

Example:
    >>> for parity in check_parity(graph, images):      # doctest: +SKIP
    ...     print(parity)
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from bnn_deploy.deploy_graph import DeployGraph, DeployStep
from bnn_deploy.runtimes.base import Floats, Runtime, Tap
from bnn_deploy.runtimes.registry import RUNTIMES, export_for, open_runtime, runtime_entry
from bnn_deploy.steps import StepKind

_VALUES_AT_ONCE = 1 << 23  # sums of all layers that are held at a time, per runtime


@dataclass(frozen=True, slots=True)
class Parity:
    """One runtime against torch.

    Args:
        runtime: its name.
        images: how many were run; every layer of every one was compared.
        top1_agreement: share of images whose highest logit is torch's, 0..1.
        max_abs_diff: largest difference of a logit from torch's.
        sums_compared, sums_wrong: integer sums of binary layers, see above; sums_unreadable: those that the runtime's
            output does not allow to be told (a scale of 0, or one too small beside the bias).
        signs_compared: input signs of all binary layers; sign_flips: how many differ from torch's, for each layer.
        file: the exported file that was checked, None for one that was made for the check.
        seconds: wall time of the runtime alone, taps included. Not a benchmark.
    """

    runtime: str
    images: int
    top1_agreement: float
    max_abs_diff: float
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
        """Every sum was right."""
        return self.sums_wrong == 0

    def to_json(self) -> dict[str, object]:
        """All fields and totals, JSON-ready."""
        file = None if self.file is None else str(self.file)
        return {**asdict(self), "file": file, "sign_flips_total": self.sign_flips_total}

    def __str__(self) -> str:
        return (
            f"{self.runtime}: {self.images} images, top-1 agrees on {100 * self.top1_agreement:.2f} %, largest logit "
            f"difference {self.max_abs_diff:.2g}, {self.sums_wrong} of {self.sums_compared} sums wrong, "
            f"{self.sign_flips_total} of {self.signs_compared} signs flipped"
        )


def check_parity(
    source: DeployGraph | Path,
    images: Floats,
    runtimes: Sequence[str] | None = None,
) -> list[Parity]:
    """Run a network's exported files, each in its runtime, and compare them with torch on the same images.

    Args:
        source: a folded graph: its files are made for the check and compared with the graph computed in torch. Or the
            folder of a trained network: its exported files (`export/model.*`; one that is missing is made for the
            check) are compared with the trained module. A file of other weights shows as wrong sums.
        images: float32 [N, H, W, C], N >= 1.
        runtimes: names of RUNTIMES; None: all of them.

    Returns:
        One Parity for each runtime, also when it fails: look at `exact`, `sign_flips` and `top1_agreement`.

    Raises:
        UnknownName: a runtime that is not in RUNTIMES.
        RuntimeUnavailable: a runtime that is not installed here; see registry.missing_runtimes.
        ExportError, FileFormatError: the network cannot be exported or opened.
        ValueError: images of another shape or type.
    """
    names = list(RUNTIMES) if runtimes is None else list(runtimes)
    for name in names:
        runtime_entry(name).probe()
    graph, torch_runtime = _source(source)
    with TemporaryDirectory(prefix="bnn-parity-") as folder:
        tallies = []
        for name in names:
            file = None if isinstance(source, DeployGraph) else _exported(source, name)
            runtime = open_runtime(name, file or export_for(name, graph, Path(folder)))
            tallies.append(_Tally(runtime, graph, file))
        for batch in _batches(graph, images):
            expected = torch_runtime.trace(batch)
            sums = [
                _reference_sums(tap, deploy) for tap, deploy in zip(expected.taps, _binary_steps(graph), strict=True)
            ]
            for tally in tallies:
                tally.add(batch, expected.logits, expected.taps, sums)
    return [tally.parity(len(images)) for tally in tallies]


class _Tally:
    """Adds up the comparison of one runtime with torch over batches."""

    def __init__(self, runtime: Runtime, graph: DeployGraph, file: Path | None) -> None:
        self._runtime = runtime
        self._file = file
        self._steps = _binary_steps(graph)
        self._agreeing = 0
        self._max_abs_diff = 0.0
        self._compared = self._wrong = self._unreadable = self._signs = 0
        self._flips = np.zeros(len(self._steps), np.int64)
        self._seconds = 0.0

    def add(self, images: Floats, logits: Floats, taps: Sequence[Tap], sums: Sequence[npt.NDArray[np.int32]]) -> None:
        """One batch: torch's logits and taps, and the exact sums of torch's signs."""
        start = time.perf_counter()
        trace = self._runtime.trace(images)
        self._seconds += time.perf_counter() - start
        self._agreeing += int((trace.logits.argmax(axis=1) == logits.argmax(axis=1)).sum())
        self._max_abs_diff = max(self._max_abs_diff, float(np.abs(trace.logits - logits).max()))
        for layer, (tap, other, expected) in enumerate(zip(trace.taps, taps, sums, strict=True)):
            flipped = tap.negative != other.negative
            self._signs += flipped.size
            self._flips[layer] += np.count_nonzero(flipped)
            self._compare_sums(tap, _sums_of(tap, self._steps[layer], flipped, expected))

    def _compare_sums(self, tap: Tap, expected: npt.NDArray[np.int32]) -> None:
        wrong = (tap.sums != expected)[..., tap.readable]
        self._compared += wrong.size
        self._wrong += int(np.count_nonzero(wrong))
        self._unreadable += expected.size - wrong.size

    def parity(self, images: int) -> Parity:
        """The result."""
        return Parity(
            runtime=self._runtime.name,
            images=images,
            top1_agreement=self._agreeing / images,
            max_abs_diff=self._max_abs_diff,
            sums_compared=self._compared,
            sums_wrong=self._wrong,
            sums_unreadable=self._unreadable,
            signs_compared=self._signs,
            sign_flips=tuple(self._flips.tolist()),
            file=self._file,
            seconds=self._seconds,
        )


def _sums_of(
    tap: Tap, deploy: DeployStep, flipped: npt.NDArray[np.bool_], expected: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """The exact sums of a runtime's signs; images whose signs are torch's have torch's sums, computed already."""
    images = np.flatnonzero(flipped.any(axis=(1, 2, 3)))
    if not images.size:
        return expected
    own = expected.copy()
    own[images] = _reference_sums(Tap(tap.negative[images], tap.sums[images], tap.readable), deploy)
    return own


def _reference_sums(tap: Tap, deploy: DeployStep) -> npt.NDArray[np.int32]:
    from bnn_deploy.runtimes.torch import reference_sums

    return reference_sums(tap, deploy)


def _binary_steps(graph: DeployGraph) -> list[DeployStep]:
    return [deploy for deploy in graph.steps if deploy.step.kind is StepKind.BCONV2D]


def _batches(graph: DeployGraph, images: Floats) -> list[Floats]:
    """Slices of the images small enough that the taps of all layers fit in memory."""
    steps = [deploy.step for deploy in _binary_steps(graph)]
    values = sum(step.out_height * step.out_width * step.out_channels for step in steps)
    size = max(1, _VALUES_AT_ONCE // values)
    return [images[start : start + size] for start in range(0, len(images), size)]


def _exported(folder: Path, name: str) -> Path | None:
    """The file of a runtime in the folder of a trained network, None when it was not exported."""
    path = folder / "export" / f"model.{runtime_entry(name).suffix}"
    return path if path.exists() else None


def _source(source: DeployGraph | Path) -> tuple[DeployGraph, Runtime]:
    """The graph to export, and torch's side of the comparison."""
    from bnn_deploy.runtimes.torch import GraphRuntime, TorchRuntime

    if isinstance(source, DeployGraph):
        return source, GraphRuntime(source)
    from bnn_deploy.export.fold import fold
    from bnn_deploy.training.network_folder import NetworkFolder

    folder = NetworkFolder.open(source)
    module = folder.load()
    return fold(module), TorchRuntime(module, folder.architecture)
