"""How good a model is on a split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnn_deploy.training.batches import plain_batches
from bnn_deploy.training.data import Split


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Quality on a split.

    Args:
        accuracy: share of right answers, 0 to 1.
        loss: mean cross-entropy in nats; it tells models of equal accuracy apart.
    """

    accuracy: float
    loss: float


def evaluate(model: nn.Module, split: Split, batch_size: int = 256) -> Evaluation:
    """Runs the model over a whole split, in eval mode; the mode it came in is restored."""
    return evaluate_batches(model, plain_batches(split, batch_size))


def evaluate_batches(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
    """`evaluate` for batches at hand: images [n, 3, height, width] and labels [n]; at least one."""
    training = model.training
    device = next(model.parameters()).device
    model.eval()
    right, loss, count = 0, 0.0, 0
    try:
        with torch.inference_mode():
            for images, labels in batches:
                logits, target = model(images.to(device)), labels.to(device)
                right += int((logits.argmax(dim=1) == target).sum())
                loss += float(F.cross_entropy(logits, target, reduction="sum"))
                count += len(labels)
    finally:
        model.train(training)
    return Evaluation(accuracy=right / count, loss=loss / count)
