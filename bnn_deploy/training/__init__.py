"""Data, recipes and the training loop. Needs the `train` extra."""

from bnn_deploy.training.accuracy import Evaluation, evaluate
from bnn_deploy.training.data import Data, Split, load_data
from bnn_deploy.training.loop import TrainResult
from bnn_deploy.training.recipe import RECIPES, Recipe, named_recipe
from bnn_deploy.training.run import EpochMetrics
from bnn_deploy.training.single import new_model, train
from bnn_deploy.training.supernet import new_supernet, train_supernet

__all__ = [
    "RECIPES",
    "Data",
    "EpochMetrics",
    "Evaluation",
    "Recipe",
    "Split",
    "TrainResult",
    "evaluate",
    "load_data",
    "named_recipe",
    "new_model",
    "new_supernet",
    "train",
    "train_supernet",
]
