"""The learning rate as a function of the place in the training, without state."""

from __future__ import annotations

import math

from bnn_deploy.training.recipe import Decay, Recipe


def learning_rate(recipe: Recipe, epoch: int, batch: int, batches: int) -> float:
    """Adam's learning rate in a step.

    It rises linearly over the first `recipe.warmup` of the steps, then falls to 0 as half a cosine (Loshchilov and
    Hutter, SGDR, ICLR 2017, eq. 5) or a line. With `recipe.restart` this is done once with real and once with binary
    weights.

    Args:
        epoch: 0, 1, ...
        batch: 0, 1, ... within the epoch.
        batches: per epoch.
    """
    first, end = 0, recipe.epochs
    if recipe.restart and 0 < recipe.real_epochs < recipe.epochs:
        first, end = (0, recipe.real_epochs) if epoch < recipe.real_epochs else (recipe.real_epochs, recipe.epochs)
    steps = (end - first) * batches
    step = (epoch - first) * batches + batch + 0.5
    warm = recipe.warmup * steps
    if step < warm:
        return recipe.learning_rate * step / warm
    past = (step - warm) / (steps - warm)
    factor = (1 + math.cos(math.pi * past)) / 2 if recipe.decay is Decay.COSINE else 1 - past
    return recipe.learning_rate * factor
