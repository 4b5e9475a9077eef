"""The winners on other test images than those that were in sight while the recipe `quick` was tuned.

    python benchmarks/resplit.py [--out benchmarks/results/resplit.json]

The recipe's few settings were compared with the accuracy on digits' test split printed beside that on the validation
split, so a choice may favour those 377 images. Here, for each winner in `results/seeds.json`, 377 other images are held
out, drawn from the train and validation splits; the winner's architecture is trained from scratch on the rest. (The
search that found the architecture did see those images, so this answers for the recipe, not for the search.)
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from bnn_deploy.settings import write_json
from bnn_deploy.space import load_space
from bnn_deploy.training.accuracy import evaluate
from bnn_deploy.training.data import Data, load_data
from bnn_deploy.training.data.split import RenderedSplit, digest_of
from bnn_deploy.training.recipe import named_recipe
from bnn_deploy.training.single import new_model, train

RESULTS = Path(__file__).parent / "results"


def resplit(data: Data, seed: int) -> Data:
    """The same images, with a test split that shares none with data.test; what was the test split is trained on."""
    parts = [part for part in (data.train, data.val, data.test) if isinstance(part, RenderedSplit)]
    train_part, val_part, test_part = parts
    shuffled = np.random.default_rng(seed).permutation(np.concatenate([train_part.ids, val_part.ids]))
    labels = {int(i): int(label) for part in parts for i, label in zip(part.ids, part.labels, strict=True)}
    test_ids, val_ids, rest = np.split(shuffled, [len(data.test), len(data.test) + len(data.val)])

    def split(ids: np.ndarray, like: RenderedSplit) -> RenderedSplit:
        return replace(like, ids=ids, labels=np.array([labels[int(i)] for i in ids]))

    train_ids = np.concatenate([rest, test_part.ids])
    assert not set(test_ids) & (set(train_ids) | set(val_ids) | set(test_part.ids))
    return replace(
        data,
        train=split(train_ids, train_part),
        val=split(val_ids, val_part),
        test=split(test_ids, test_part),
        digest=digest_of(data.digest, "resplit", seed),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "resplit.json")
    arguments = parser.parse_args()
    space, recipe = load_space("mobilenet-32"), named_recipe("quick")
    data = load_data("digits", space.base.height, space.base.width)
    rows = []
    for run in json.loads((RESULTS / "seeds.json").read_text())["runs"]:
        seed, groups = run["seed"], tuple(run["winner"]["groups"])
        other = resplit(data, seed)
        model = new_model(space.base.with_groups(groups), recipe, seed)
        with tempfile.TemporaryDirectory(prefix="bnn-resplit-") as folder:
            train(model, other, recipe, Path(folder), seed=seed)
        accuracy = evaluate(model, other.test).accuracy
        rows.append({"seed": seed, "groups": list(groups), "test_images": len(other.test), "test_accuracy": accuracy})
        print(f"seed {seed}: {100 * accuracy:.2f} % of {len(other.test)} other images", file=sys.stderr)
    write_json(arguments.out, {"recipe": "quick", "runs": rows})


if __name__ == "__main__":
    main()
