"""Training one network from scratch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from bnn_deploy.architecture import Architecture
from bnn_deploy.errors import DataError
from bnn_deploy.layers import BinaryMobileNet
from bnn_deploy.training.accuracy import evaluate
from bnn_deploy.training.checkpoint import weights_digest
from bnn_deploy.training.data import Data
from bnn_deploy.training.loop import CHECKPOINT_S, THREADS, Progress, TrainResult, fit, fixed_threads
from bnn_deploy.training.losses import mixed_loss
from bnn_deploy.training.recipe import Recipe
from bnn_deploy.training.run import Run


def new_model(architecture: Architecture, recipe: Recipe, seed: int) -> BinaryMobileNet:
    """A network with the initial weights that `seed` gives; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BinaryMobileNet(architecture, recipe.activation_ste, recipe.weight_ste)


def train(
    model: BinaryMobileNet,
    data: Data,
    recipe: Recipe,
    run_dir: Path,
    *,
    seed: int,
    teacher: nn.Module | None = None,
    progress: Progress | None = None,
    checkpoint_s: float = CHECKPOINT_S,
) -> TrainResult:
    """Trains a network, or goes on with a training of the same settings in `run_dir`.

    A run that was killed at any moment ends, when repeated, with the very bits it would have ended with (same machine,
    same library versions, on the CPU). A complete run returns at once. The model is left with the final weights, in
    eval mode.

    Args:
        model: usually of `new_model`; its weights are the starting point of a new run only.
        seed: order and augmentation of the images.
        teacher: its answers are learned as `recipe.distillation` says; left in eval mode.
        progress: called after each epoch.
        checkpoint_s: longest time in seconds without a checkpoint.

    Example:
        >>> data, recipe = load_data("digits", 32, 32), named_recipe("quick")
        >>> result = train(new_model(architecture, recipe, 0), data, recipe, Path("runs/winner"), seed=0)

    Raises:
        BnnDeployError: `run_dir` belongs to other settings or to a running process; the disk refuses; the loss is not
            finite.
        DataError: the network does not fit the data; `run_dir` is left alone.
        FileFormatError: a file in `run_dir` is truncated or altered.
    """
    check_fit(model.architecture, data)
    settings = {
        "task": "network",
        "recipe": recipe.to_json(),
        "architecture": model.architecture.to_json(),
        "data": {"name": data.name, "digest": data.digest},
        "seed": seed,
        "teacher": None if teacher is None else weights_digest(teacher.state_dict()),
        "threads": THREADS,
    }
    if teacher is not None:
        teacher.eval()

    def step(images: Tensor, labels: Tensor, epoch: int, batch: int) -> float:
        answers = None
        if teacher is not None and recipe.distillation > 0:
            with torch.no_grad():
                answers = teacher(images)
        loss = mixed_loss(model(images), labels, answers, recipe)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    with fixed_threads(), Run(Path(run_dir), settings, {"torch": torch.__version__}) as run:
        return fit(
            run,
            model,
            data,
            recipe,
            seed=seed,
            step=step,
            validate=lambda: evaluate(model, data.val),
            progress=progress,
            checkpoint_s=checkpoint_s,
        )


def check_fit(architecture: Architecture, data: Data, role: str = "network") -> None:
    """Does a network take the images, and has it an output for each class of the data?

    Args:
        role: what the message calls the network.

    Raises:
        DataError: no.
    """
    expected = (architecture.height, architecture.width, architecture.image_channels, architecture.classes)
    given = (data.height, data.width, 3, data.classes)
    if expected != given:
        raise DataError(
            f"{data.name}: the {role} expects (height, width, channels, classes) {expected}, the data has {given}; "
            f"give another data set or another network"
        )
