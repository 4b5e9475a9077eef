"""The parts of a training: recipes, schedule, losses, batches."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bnn_deploy.errors import FileFormatError, UnknownName
from bnn_deploy.layers import Binarization, Ste, SteKind
from bnn_deploy.training import (
    RECIPES,
    Data,
    Recipe,
    load_data,
    named_recipe,
)
from bnn_deploy.training.batches import batch_count, plain_batches, train_batches
from bnn_deploy.training.losses import mixed_loss, soft_loss
from bnn_deploy.training.recipe import Decay
from bnn_deploy.training.schedule import learning_rate

SHORT = Recipe(epochs=3, batch_size=256, real_weights=0.34, restart=True, weight_decay=1e-5)


@pytest.fixture(name="data", scope="module")
def load() -> Data:
    return load_data("digits", 8, 8)


def test_recipe_json_round_trip() -> None:
    odd = Recipe(
        epochs=7,
        decay=Decay.LINEAR,
        activation_ste=Ste(SteKind.CLIPPED_IDENTITY, 1.25),
        binarization=Binarization.NONE,
        distillation=0.5,
        temperature=2.0,
    )
    for recipe in (*RECIPES.values(), odd):
        assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    "change",
    [{"schema": 2}, {"epoch": 3}, {"decay": "steps"}, {"activation_ste": 1}, {"epochs": 0}, {"batch_size": "a"}],
)
def test_malformed_recipe(change: dict[str, object]) -> None:
    with pytest.raises(FileFormatError, match="recipe: "):
        Recipe.from_json({**SHORT.to_json(), **change})


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("warmup", 1.5), ("learning_rate", 0.0), ("weight_decay", -1.0), ("distillation", math.nan)],
)
def test_recipe_ranges(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        replace(SHORT, **{name: value})  # type: ignore[arg-type]


def test_unknown_recipe() -> None:
    assert named_recipe("quick") is RECIPES["quick"]
    with pytest.raises(UnknownName, match="unknown recipe 'quik'; did you mean quick"):
        named_recipe("quik")


def test_learning_rate() -> None:
    recipe = Recipe(epochs=10, learning_rate=2.0, warmup=0.1)
    rates = [learning_rate(recipe, epoch, batch, 10) for epoch in range(10) for batch in range(10)]
    assert np.argmax(rates) in (9, 10)
    np.testing.assert_allclose(rates[:10], np.arange(0.1, 2.0, 0.2))
    np.testing.assert_allclose(rates[10:], 1 + np.cos(np.pi * (np.arange(90) + 0.5) / 90))
    line = [learning_rate(replace(recipe, decay=Decay.LINEAR, warmup=0.0), epoch, 0, 1) for epoch in range(10)]
    np.testing.assert_allclose(line, 2 * (1 - (np.arange(10) + 0.5) / 10))
    twice = replace(recipe, real_weights=0.4, restart=True)
    rates = [learning_rate(twice, epoch, batch, 10) for epoch in range(10) for batch in range(10)]
    assert max(rates[:40]) > 1.9
    assert max(rates[40:]) > 1.9
    assert rates[39] < 0.01
    assert rates[99] < 0.01


def test_soft_loss_is_the_divergence() -> None:
    rng = np.random.default_rng(0)
    logits, teacher = rng.normal(size=(2, 5, 4))
    p = np.exp(teacher / 3) / np.exp(teacher / 3).sum(axis=1, keepdims=True)
    q = np.exp(logits / 3) / np.exp(logits / 3).sum(axis=1, keepdims=True)
    expected = 9 * (p * np.log(p / q)).sum(axis=1).mean()
    assert float(soft_loss(torch.tensor(logits), torch.tensor(teacher), 3.0)) == pytest.approx(expected)
    labels = torch.tensor([0, 1, 2, 3, 0])
    recipe = Recipe(epochs=1, distillation=0.25, temperature=3.0, label_smoothing=0.1)
    hard = float(F.cross_entropy(torch.tensor(logits), labels, label_smoothing=0.1))
    mixed = float(mixed_loss(torch.tensor(logits), labels, torch.tensor(teacher), recipe))
    assert mixed == pytest.approx(0.75 * hard + 0.25 * expected)
    assert float(mixed_loss(torch.tensor(logits), labels, None, recipe)) == pytest.approx(hard)


def test_batches_cover_an_epoch_and_resume(data: Data) -> None:
    def epoch(number: int, first: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return list(train_batches(data.train, 100, seed=1, epoch=number, first=first))

    whole = epoch(0)
    assert len(whole) == batch_count(data.train, 100) == 11
    assert sum(len(labels) for _, labels in whole) == len(data.train)
    assert {len(labels) for _, labels in whole} == {96, 97}
    assert sorted(torch.cat([labels for _, labels in whole]).tolist()) == sorted(data.train.labels.tolist())
    for first in (4, 10, 11):
        rest = epoch(0, first)
        assert len(rest) == 11 - first
        assert all(
            torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(rest, whole[first:], strict=True)
        )
    assert not torch.equal(whole[0][1], epoch(1)[0][1])
    images = whole[0][0]
    assert images.shape[1:] == (3, 8, 8)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_plain_batches_keep_the_order(data: Data) -> None:
    labels = torch.cat([labels for _, labels in plain_batches(data.val, 100)])
    assert labels.tolist() == data.val.labels.tolist()
