"""Training all group counts at once: the sandwich rule with in-place distillation (Yu et al., BigNAS, ECCV 2020).

Per batch: the largest subnet (the smallest group counts) learns from the labels; a few random ones and, last, the
smallest learn from the largest one's answers. The gradients add up to one step of the optimizer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bnn_deploy.architecture import Architecture
from bnn_deploy.layers.supernet import Supernet
from bnn_deploy.training.accuracy import Evaluation, evaluate
from bnn_deploy.training.data import Data
from bnn_deploy.training.loop import CHECKPOINT_S, THREADS, Progress, TrainResult, fit, fixed_threads
from bnn_deploy.training.losses import hard_loss, mixed_loss
from bnn_deploy.training.recipe import Recipe
from bnn_deploy.training.run import Run
from bnn_deploy.training.single import check_fit

_SUBNETS = 3  # keeps the generator of the group tuples apart from others of the same seed

Groups = tuple[int, ...]


def new_supernet(architecture: Architecture, choices: tuple[Groups, ...], recipe: Recipe, seed: int) -> Supernet:
    """A supernet with the initial weights that `seed` gives; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Supernet(architecture, choices, recipe.activation_ste, recipe.weight_ste)


def train_supernet(
    supernet: Supernet,
    data: Data,
    recipe: Recipe,
    run_dir: Path,
    *,
    seed: int,
    progress: Progress | None = None,
    checkpoint_s: float = CHECKPOINT_S,
) -> TrainResult:
    """Trains a supernet; killing, resuming, arguments and errors as in `train`.

    The accuracy in the metrics is the largest subnet's. The supernet is left with the largest subnet active.

    Args:
        recipe: `random_subnets` says how many tuples are drawn per batch, `distillation` and `temperature` how much
            of the largest subnet's answers the others learn.
    """
    check_fit(supernet.net.architecture, data)
    largest = tuple(min(choices) for choices in supernet.choices)
    smallest = tuple(max(choices) for choices in supernet.choices)
    settings = {
        "task": "supernet",
        "recipe": recipe.to_json(),
        "architecture": supernet.net.architecture.with_groups(largest).to_json(),
        "choices": [list(choices) for choices in supernet.choices],
        "data": {"name": data.name, "digest": data.digest},
        "seed": seed,
        "threads": THREADS,
    }

    def step(images: Tensor, labels: Tensor, epoch: int, batch: int) -> float:
        supernet.set_groups(largest)
        answers = supernet(images)
        loss = hard_loss(answers, labels, recipe)
        loss.backward()  # type: ignore[no-untyped-call]
        total = float(loss.detach())
        drawn = random_groups(supernet.choices, recipe.random_subnets, seed=seed, epoch=epoch, batch=batch)
        for groups in [*drawn, smallest]:
            supernet.set_groups(groups)
            loss = mixed_loss(supernet(images), labels, answers.detach(), recipe)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total / (len(drawn) + 2)

    def validate() -> Evaluation:
        supernet.set_groups(largest)
        return evaluate(supernet, data.val)

    with fixed_threads(), Run(Path(run_dir), settings, {"torch": torch.__version__}) as run:
        result = fit(
            run,
            supernet,
            data,
            recipe,
            seed=seed,
            step=step,
            validate=validate,
            progress=progress,
            checkpoint_s=checkpoint_s,
        )
    supernet.set_groups(largest)
    return result


def random_groups(choices: tuple[Groups, ...], count: int, *, seed: int, epoch: int, batch: int) -> list[Groups]:
    """`count` group tuples, each block's uniform among its choices; equal for equal (seed, epoch, batch)."""
    rng = np.random.default_rng([_SUBNETS, seed, epoch, batch])
    return [tuple(int(rng.choice(allowed)) for allowed in choices) for _ in range(count)]
