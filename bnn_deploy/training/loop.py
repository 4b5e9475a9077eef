"""The training loop, shared by single networks and supernets: exact to the bit when interrupted and resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bnn_deploy.errors import BnnDeployError
from bnn_deploy.layers import set_binarization
from bnn_deploy.training.accuracy import Evaluation
from bnn_deploy.training.batches import batch_count, train_batches
from bnn_deploy.training.checkpoint import Position, restore_training_state, save_weights, training_state
from bnn_deploy.training.data import Data
from bnn_deploy.training.recipe import Recipe
from bnn_deploy.training.run import EpochMetrics, Run
from bnn_deploy.training.schedule import learning_rate

THREADS = 2  # fixed, since sums split over another number of threads round otherwise
CHECKPOINT_S = 300.0  # longest time without a checkpoint; there is one after each epoch anyway

Progress = Callable[[EpochMetrics], None]
Step = Callable[[Tensor, Tensor, int, int], float]  # images, labels, epoch, batch -> loss; leaves gradients behind


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished training.

    Args:
        weights: the safetensors file of the final weights.
        metrics: one for each epoch.
    """

    weights: Path
    metrics: tuple[EpochMetrics, ...]

    @property
    def accuracy(self) -> float:
        """On the search-validation split, at the end."""
        return self.metrics[-1].accuracy

    @property
    def seconds(self) -> float:
        """Spent, over all sittings, of a run found complete as well; without work that a kill undid."""
        return self.metrics[-1].seconds


def fit(
    run: Run,
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    *,
    seed: int,
    step: Step,
    validate: Callable[[], Evaluation],
    progress: Progress | None = None,
    checkpoint_s: float = CHECKPOINT_S,
) -> TrainResult:
    """Trains from where the run stands to its end; the model is left with the final weights, in eval mode.

    Everything random follows from (seed, epoch, batch), so there is no generator state to keep.

    Args:
        model: its weights are the starting point of a new run, and are overwritten when an old one resumes.
        step: computes the loss of one batch and its gradients.
        validate: judges the model after an epoch.
        checkpoint_s: longest time in seconds without a checkpoint.

    Raises:
        BnnDeployError: the training or validation loss is not finite; the disk refuses.
        FileFormatError: the checkpoint is damaged.
    """
    device = next(model.parameters()).device
    optimizer = _adam(model, recipe)
    position = Position()
    found = run.load()
    if found is None:
        run.save(position, training_state(model, optimizer))
    else:
        position, tensors = found
        restore_training_state(model, optimizer, tensors, run.folder)
    batches = batch_count(data.train, recipe.batch_size)
    begin = time.monotonic() - position.seconds
    saved = time.monotonic()
    for epoch in range(position.epoch, recipe.epochs):
        _enter(model, optimizer, recipe, epoch, fresh=position.batch == 0)
        loss_sum = position.loss_sum
        pairs = train_batches(
            data.train, recipe.batch_size, seed=seed, epoch=epoch, first=position.batch, augment=recipe.augment
        )
        for batch, (images, labels) in enumerate(pairs, start=position.batch):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, epoch, batch, batches)
            model.train()
            optimizer.zero_grad(set_to_none=True)
            loss = step(images.to(device), labels.to(device), epoch, batch)
            _check_finite(run, recipe, loss, f"the loss became {loss} in epoch {epoch + 1}, batch {batch + 1}")
            optimizer.step()
            loss_sum += loss
            if time.monotonic() - saved >= checkpoint_s and batch + 1 < batches:
                position = Position(epoch, batch + 1, loss_sum, time.monotonic() - begin)
                run.save(position, training_state(model, optimizer))
                saved = time.monotonic()
        quality = validate()
        _check_finite(run, recipe, quality.loss, f"the validation loss became {quality.loss} in epoch {epoch + 1}")
        seconds = time.monotonic() - begin
        done = EpochMetrics(epoch + 1, recipe.epochs, loss_sum / batches, quality.accuracy, quality.loss, seconds)
        position = Position(epoch + 1, 0, 0.0, seconds)
        run.save(position, training_state(model, optimizer), done)
        saved = time.monotonic()
        if progress is not None:
            progress(done)
    set_binarization(model, recipe.binarization)
    model.eval()
    save_weights(run.weights, model, {"kind": "weights", "seed": seed, "data": data.digest})
    return TrainResult(run.weights, tuple(run.metrics))


@contextmanager
def fixed_threads(count: int = THREADS) -> Iterator[None]:
    """Torch computes with `count` threads inside, whatever the machine; see THREADS."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _adam(model: nn.Module, recipe: Recipe) -> torch.optim.Adam:
    """Weights (2 dimensions and more) in a group that decays, all else in one that does not."""
    decaying = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    return torch.optim.Adam([{"params": decaying}, {"params": others}], lr=recipe.learning_rate, fused=True)


def _check_finite(run: Run, recipe: Recipe, loss: float, what: str) -> None:
    if not math.isfinite(loss):
        raise BnnDeployError(
            f"{run.folder}: {what}; lower the learning rate ({recipe.learning_rate}) and use another run folder"
        )


def _enter(model: nn.Module, optimizer: torch.optim.Adam, recipe: Recipe, epoch: int, *, fresh: bool) -> None:
    """Makes the model as binary, and the optimizer as decaying, as the epoch has it."""
    set_binarization(model, recipe.binarization_at(epoch))
    real = epoch < recipe.real_epochs
    optimizer.param_groups[0]["weight_decay"] = recipe.weight_decay if real else 0.0
    if recipe.restart and fresh and 0 < epoch == recipe.real_epochs:
        optimizer.state.clear()
