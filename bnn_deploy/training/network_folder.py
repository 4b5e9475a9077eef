"""A trained network on disk: what it is (network.json), its training, its weights, its exported files.

network.json            architecture, data, recipe, seed, teacher (its folder, relative to this one)
metrics.jsonl, ...      the training (bnn_deploy.training.run)
weights.safetensors     the result
export/model.*          written by `bnn-deploy export`
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnn_deploy.architecture import Architecture
from bnn_deploy.errors import FileFormatError
from bnn_deploy.layers import BinaryMobileNet, set_binarization
from bnn_deploy.settings import pin_settings, read_json
from bnn_deploy.training.accuracy import evaluate
from bnn_deploy.training.checkpoint import load_weights
from bnn_deploy.training.data import Data, load_data
from bnn_deploy.training.loop import Progress, TrainResult
from bnn_deploy.training.recipe import Recipe
from bnn_deploy.training.single import check_fit, new_model, train

DESCRIPTION = "network.json"


@dataclass(frozen=True, slots=True)
class NetworkFolder:
    """One network and how it is trained.

    Args:
        path: of the folder.
        data: spec of the data set, as load_data takes it.
        teacher: folder of the network whose answers are learned, or None.
    """

    path: Path
    architecture: Architecture
    data: str
    recipe: Recipe
    seed: int
    teacher: Path | None = None

    @classmethod
    def open(cls, path: Path) -> NetworkFolder:
        """A folder that `train` made before.

        Raises:
            FileFormatError: not such a folder, or damaged.
        """
        description = path / DESCRIPTION
        if not description.exists():
            raise FileFormatError(
                f"{path}: expected a trained network ({DESCRIPTION}); make one with `bnn-deploy train`"
            )
        fields: dict[str, Any] = read_json(description)
        try:
            return cls(
                path,
                Architecture.from_json(fields["architecture"]),
                fields["data"],
                Recipe.from_json(fields["recipe"]),
                fields["seed"],
                (path.resolve() / fields["teacher"]).resolve() if fields["teacher"] else None,
            )
        except (KeyError, TypeError) as exc:
            raise FileFormatError(f"{description}: malformed: {exc}") from exc

    def load_data(self) -> Data:
        """The data set, at this network's image size."""
        return load_data(self.data, self.architecture.height, self.architecture.width)

    def train(self, data: Data, progress: Progress | None = None) -> TrainResult:
        """Train, or continue; a finished training returns at once.

        Raises:
            BnnDeployError: the folder belongs to other settings; as `bnn_deploy.training.train` otherwise.
            DataError: the network or its teacher does not fit the data; nothing is written.
            FileFormatError: the folder, or the teacher's, is damaged or unfinished.
        """
        check_fit(self.architecture, data)
        teacher = self._load_teacher(data)
        model = new_model(self.architecture, self.recipe, self.seed)
        pin_settings(self.path / DESCRIPTION, self._to_json())
        return train(model, data, self.recipe, self.path, seed=self.seed, teacher=teacher, progress=progress)

    def load(self) -> BinaryMobileNet:
        """The trained network, in eval mode.

        Raises:
            FileFormatError: the training has not ended, or the weights are damaged.
        """
        weights = self.path / "weights.safetensors"
        if not weights.exists():
            raise FileFormatError(f"{self.path}: the training has not ended; repeat its `bnn-deploy train`")
        model = new_model(self.architecture, self.recipe, self.seed)
        load_weights(weights, model)
        set_binarization(model, self.recipe.binarization)
        return model.eval()

    def test_accuracy(self, data: Data) -> float:
        """Top-1 on the untouched test split."""
        return evaluate(self.load(), data.test).accuracy

    def _load_teacher(self, data: Data) -> BinaryMobileNet | None:
        if self.teacher is None:
            return None
        folder = NetworkFolder.open(self.teacher)
        check_fit(folder.architecture, data, f"teacher in {self.teacher}")
        return folder.load()

    def _to_json(self) -> dict[str, object]:
        teacher = None if self.teacher is None else os.path.relpath(self.teacher.resolve(), self.path.resolve())
        return {
            "architecture": self.architecture.to_json(),
            "data": self.data,
            "recipe": self.recipe.to_json(),
            "seed": self.seed,
            "teacher": teacher,
        }
