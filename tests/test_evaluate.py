"""Judging models and subnets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bnn_deploy.architecture import Architecture, Block, Stem
from bnn_deploy.errors import ArchitectureError
from bnn_deploy.layers import recalibrate
from bnn_deploy.layers.supernet import Supernet
from bnn_deploy.search.evaluate import Evaluation, SubnetEvaluator
from bnn_deploy.training import Data, Recipe, evaluate, load_data, new_supernet, train_supernet
from bnn_deploy.training.batches import load_batch

TINY = Architecture(8, 8, 3, Stem(8, stride=1), (Block(8, 16, stride=2), Block(16, 16)), classes=10)
CHOICES = ((1, 2, 8), (1, 4, 16))
ALL = [(first, second) for first in CHOICES[0] for second in CHOICES[1]]


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data("digits", 8, 8)


@pytest.fixture(scope="module")
def supernet(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Supernet:
    recipe = Recipe(epochs=3, learning_rate=1e-2, distillation=0.5)
    supernet = new_supernet(TINY, CHOICES, recipe, 0)
    train_supernet(supernet, data, recipe, tmp_path_factory.mktemp("supernet"), seed=0)
    return supernet


class Constant(nn.Module):
    """Says class 3 with probability 1/2 and the nine others with 1/18 each."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([math.log(0.5 if number == 3 else 1 / 18) for number in range(10)]))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits.expand(len(images), 10)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_accuracy_and_loss(data: Data, batch_size: int) -> None:
    share = float(np.mean(data.test.labels == 3))
    model = Constant()
    quality = evaluate(model, data.test, batch_size)
    assert quality.accuracy == share
    assert quality.loss == pytest.approx(-share * math.log(0.5) - (1 - share) * math.log(1 / 18), rel=1e-5)
    assert model.training


def test_result_depends_on_the_groups_alone(supernet: Supernet, data: Data) -> None:
    first = SubnetEvaluator(supernet, data)
    forward = {groups: first(groups) for groups in ALL}
    assert {groups: first(groups) for groups in reversed(ALL)} == forward
    second = SubnetEvaluator(supernet, data)
    assert second(ALL[4]) == forward[ALL[4]]
    assert len(set(forward.values())) == len(ALL)
    assert all(isinstance(quality, Evaluation) for quality in forward.values())
    assert min(quality.accuracy for quality in forward.values()) > 0.2  # a guess is right in 0.1


def test_equals_the_plain_subnet(supernet: Supernet, data: Data) -> None:
    """The subnet cut out of the supernet, recalibrated on the same images, gets the same marks."""
    judged = SubnetEvaluator(supernet, data, calibration_images=len(data.train), batch_size=len(data.train))((2, 16))
    plain = supernet.subnet((2, 16))
    images, _ = load_batch(data.train, np.arange(len(data.train)), None)
    recalibrate(plain, [images])
    quality = evaluate(plain, data.val)
    assert quality.accuracy == pytest.approx(judged.accuracy, abs=0.006)  # 2 of 355: sums in another order
    assert quality.loss == pytest.approx(judged.loss, rel=1e-2)


def test_parameters_stay_as_they_are(supernet: Supernet, data: Data) -> None:
    before = {name: parameter.detach().clone() for name, parameter in supernet.named_parameters()}
    SubnetEvaluator(supernet, data)((8, 4))
    assert all(torch.equal(before[name], parameter) for name, parameter in supernet.named_parameters())
    assert supernet.groups == (8, 4)


def test_val_split_too_large_for_memory(supernet: Supernet, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = SubnetEvaluator(supernet, data)((1, 4))
    monkeypatch.setattr("bnn_deploy.search.evaluate._IN_MEMORY_BYTES", 0)
    assert SubnetEvaluator(supernet, data)((1, 4)) == kept


def test_unknown_groups(supernet: Supernet, data: Data) -> None:
    with pytest.raises(ArchitectureError, match="block 1"):
        SubnetEvaluator(supernet, data)((1, 2))


@pytest.mark.parametrize("options", [{"calibration_images": 0}, {"batch_size": 0}])
def test_bad_sizes(supernet: Supernet, data: Data, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        SubnetEvaluator(supernet, data, **options)


def test_more_calibration_images_than_there_are(supernet: Supernet, data: Data) -> None:
    every = SubnetEvaluator(supernet, data, calibration_images=len(data.train), batch_size=500)
    more = SubnetEvaluator(supernet, data, calibration_images=10**6, batch_size=500)
    assert more((1, 1)) == every((1, 1)) != SubnetEvaluator(supernet, data, calibration_images=8)((1, 1))
