"""A run folder: what it was made with, its metrics and its checkpoint.

metrics.jsonl          header = the settings, then a line per epoch (bnn_deploy.journal; locked while in use)
checkpoint.json        }  where it stands (bnn_deploy.training.checkpoint)
checkpoint-*           }
weights.safetensors    the result, once complete
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from torch import Tensor

from bnn_deploy.errors import BnnDeployError, FileFormatError
from bnn_deploy.journal import Journal
from bnn_deploy.training.checkpoint import CheckpointFile, Position

SCHEMA = 1  # 1: first version


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """One line of metrics.jsonl.

    Args:
        epoch: 1, 2, ...
        epochs: of the whole training.
        loss: mean training loss of the epoch.
        accuracy, val_loss: on the search-validation split, after the epoch.
        seconds: spent so far, over all sittings.
    """

    epoch: int
    epochs: int
    loss: float
    accuracy: float
    val_loss: float
    seconds: float


class Run:
    """A run folder in use by this process alone.

    Args:
        folder: made when missing.
        settings: JSON-ready; everything that the result depends on. A folder made with others is refused.
        notes: kept in the header but not compared, such as library versions.

    Raises:
        BnnDeployError: made with other settings (the message says which), in use, or the disk refuses.
        FileFormatError: damaged.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object], notes: Mapping[str, object]) -> None:
        self.folder = folder
        self.weights = folder / "weights.safetensors"
        self._checkpoint = CheckpointFile(folder)
        header = {"settings": settings, "notes": notes}
        self._journal = Journal(folder / "metrics.jsonl", "training", SCHEMA, header)
        try:
            self._check(settings)
            self.metrics = [_metrics(record, self._journal.path) for record in self._journal.records]
            for leftover in folder.glob(".*.part"):  # of a killed write; the lock is ours, so nobody is writing
                leftover.unlink()
        except BaseException:
            self.close()
            raise

    def load(self) -> tuple[Position, dict[str, Tensor]] | None:
        """Where to go on, or None at the very beginning.

        Raises:
            FileFormatError: the checkpoint is damaged, or older than the metrics.
        """
        found = self._checkpoint.load()
        if found is None:
            if self.metrics:
                raise FileFormatError(
                    f"{self._checkpoint.path}: missing, though {len(self.metrics)} epochs were done; restore it, or "
                    f"use another run folder to start anew"
                )
            return None
        position, tensors, last = found
        if last is not None and position.epoch == len(self.metrics) + 1:
            self._append(_metrics(last, self._checkpoint.path))
        if position.epoch != len(self.metrics):
            raise FileFormatError(
                f"{self._checkpoint.path}: stands at epoch {position.epoch}, but {self._journal.path.name} has "
                f"{len(self.metrics)}; they do not belong together: restore both, or use another run folder"
            )
        return position, tensors

    def save(self, position: Position, tensors: Mapping[str, Tensor], done: EpochMetrics | None = None) -> None:
        """Replaces the checkpoint; `done` is the epoch that ended at `position`, if one did.

        Raises:
            BnnDeployError: the disk refuses; the checkpoint before is still whole.
        """
        self._checkpoint.save(position, tensors, None if done is None else asdict(done))
        if done is not None:
            self._append(done)

    def close(self) -> None:
        """Lets other processes have the folder."""
        self._journal.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _append(self, metrics: EpochMetrics) -> None:
        self._journal.append(asdict(metrics))
        self.metrics.append(metrics)

    def _check(self, settings: Mapping[str, object]) -> None:
        before = self._journal.header.get("settings")
        differences = "; ".join(_differences("", before, settings))
        if differences:
            raise BnnDeployError(
                f"{self.folder}: this run was made with other settings: {differences}. Use another run folder, or "
                f"repeat the settings to resume"
            )


def _metrics(record: Mapping[str, object], path: Path) -> EpochMetrics:
    try:
        return EpochMetrics(**record)  # type: ignore[arg-type]
    except TypeError as exc:
        raise FileFormatError(f"{path}: not a line of training metrics: {exc}") from exc


def _differences(name: str, before: object, now: object) -> list[str]:
    """ "NAME was X, is Y" for each leaf that differs."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = dict.fromkeys([*before, *now])
        return [text for key in keys for text in _differences(f"{name}.{key}", before.get(key), now.get(key))]
    if before == now:
        return []
    return [f"{name.lstrip('.')} was {_short(before)}, is {_short(now)}"]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
