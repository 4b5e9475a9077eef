"""`bnn-deploy run`"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from bnn_deploy.cli.console import say, stage
from bnn_deploy.cli.options import json_option, seed_option
from bnn_deploy.cli.place import chosen_place, python_option
from bnn_deploy.errors import DataError
from bnn_deploy.report.tables import percent, print_json, print_table
from bnn_deploy.running.choice import choose
from bnn_deploy.running.images import Images, load_images, random_images
from bnn_deploy.running.place import Model
from bnn_deploy.runtimes.registry import RUNTIMES

_SHOWN, _TOP = 20, 5

Floats = npt.NDArray[np.float32]


@click.command()
@click.argument("where", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--runtime", type=click.Choice(list(RUNTIMES)), help="To run it in  [default: the best installed].")
@click.option("--images", "specs", multiple=True, help="FILE.npy, FILE.npz, FILE.png (repeatable), or a data set.")
@click.option("--random", "count", type=click.IntRange(min=1), help="N random images instead.")
@click.option("--first", type=click.IntRange(min=1), help="Only the first N images.")
@click.option("--device", help="Where to run it  [default: here].")
@python_option
@seed_option
@json_option
def command(
    where: Path,
    runtime: str | None,
    specs: tuple[str, ...],
    count: int | None,
    first: int | None,
    device: str | None,
    python: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """What an exported network answers: FILE is a .bnn, an .onnx or a .tflite, or the folder of a network.

    Images are arrays, float32 [N, H, W, C] in [-1, 1] (an .npz holds `images` and perhaps `labels`); pictures, cropped
    to their centre and resized; or the test split of digits, shapes, cifar10:DIR, imagefolder:DIR. With labels the
    accuracy is told, too. --json prints all logits.

    .bnn runs in `engine`; .onnx in `onnxruntime`, with our library as `onnxruntime+bnn`; .tflite in `lce`, and in
    `litert+bnn`, which is LiteRT with our delegate (`litert` without it knows no binary layers).

    On a device a .bnn needs nothing; .onnx and .tflite need numpy and the runtime in its Python.

    \b
    Examples:
      bnn-deploy run runs/mine/winner --images digits
      bnn-deploy run model.onnx --runtime onnxruntime --images cat.png --images dog.jpg
      bnn-deploy run model.bnn --random 3 --seed 1 --json
      bnn-deploy run model.bnn --images images.npy --device pi
    """
    if bool(specs) == bool(count):
        raise click.UsageError("give images: --images FILE.npy, FILE.png or a data set as digits; or --random N")
    with closing(chosen_place(device, python)) as place:
        (choice,) = choose(where, [runtime] if runtime else [], place.missing)
        say(f"{choice.file} in {choice.runtime}{f' on {device}' if device else ''}")
        model = place.open(choice)
        shape = model.image_shape
        images = random_images(count, seed, shape) if count else load_images(specs, shape)
        images = images.first(first) if first else images
        logits = _answers(model, images)
    right = _right(images, logits)
    if as_json:
        print_json(
            {
                "file": str(choice.file),
                "runtime": choice.runtime,
                "device": device,
                "images": list(images.names),
                "class_names": list(images.class_names),
                "labels": None if images.labels is None else images.labels.tolist(),
                "accuracy": None if right is None else right / len(images),
                "top1": logits.argmax(axis=1).tolist(),
                "logits": logits.tolist(),
            }
        )
        return
    _print(images, logits)
    if right is not None:
        click.echo(f"accuracy {percent(right / len(images))} ({right} of {len(images)})")


def _answers(model: Model, images: Images) -> Floats:
    """Logits [N, classes]."""
    found, done = [], 0
    with stage("run") as bar:
        for batch in images.batches():
            found.append(model.run(batch))
            done += len(batch)
            bar.update(done, len(images), "images")
    logits = np.concatenate(found)
    if logits.ndim != 2:
        raise DataError(f"expected logits [N, classes] of the network, got {list(logits.shape)}")
    return logits


def _right(images: Images, logits: Floats) -> int | None:
    """Right answers; None without labels."""
    return None if images.labels is None else int((logits.argmax(axis=1) == images.labels).sum())


def _print(images: Images, logits: Floats) -> None:
    labelled = images.labels is not None
    columns = ["image", *(["label"] if labelled else []), "top-1", f"top-{_TOP} with their scores"]
    rows = []
    for index in range(min(len(images), _SHOWN)):
        best = np.argsort(-logits[index], kind="stable")[:_TOP].tolist()
        label = [] if images.labels is None else [_name(images, int(images.labels[index]))]
        scores = ", ".join(f"{_name(images, place)}: {logits[index, place]:.2f}" for place in best)
        rows.append([images.names[index], *label, _name(images, best[0]), scores])
    print_table("Answers", columns, rows, texts=len(columns))
    if len(images) > _SHOWN:
        click.echo(f"and {len(images) - _SHOWN} more; --json prints all")


def _name(images: Images, label: int) -> str:
    return images.class_names[label] if label < len(images.class_names) else str(label)
