"""Writes the cases of litert_worker.py: `python -m tests.litert_cases FOLDER`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from bnn_deploy.deploy_graph import DeployGraph
from bnn_deploy.engine.bnn_file import write_bnn
from bnn_deploy.engine.network import Network
from bnn_deploy.export.small_groups import SmallGroups, padded_weights, report
from bnn_deploy.export.tflite import to_flatbuffer
from tests.graphs import NETWORKS, named_graph, random_images, with_constant
from tests.litert_operators import Array, operators


def write_case(folder: Path, name: str, model: bytes, inputs: Array, expected: Array) -> None:
    """NAME.tflite, its inputs [runs, ...] and the outputs that it must give [runs, ...]."""
    (folder / f"{name}.tflite").write_bytes(model)
    np.save(folder / f"{name}.inputs.npy", inputs)
    np.save(folder / f"{name}.expected.npy", expected)


def logits(graph: DeployGraph, images: Array) -> Array:
    """The engine's answers [N, 1, classes]."""
    with tempfile.TemporaryDirectory() as scratch:
        write_bnn(Path(scratch) / "model.bnn", graph)
        return Network.open(Path(scratch) / "model.bnn").run(images).reshape(len(images), 1, -1)


def as_padded(graph: DeployGraph) -> DeployGraph:
    """With the biases that a padded file holds: what padding adds was taken off, and rounded once more."""
    for layer in report(graph).layers:
        deploy = graph.steps[layer.index]
        _, surplus = padded_weights(deploy)
        added = deploy.constants["scale"] * np.float32(surplus)
        graph = with_constant(graph, layer.index, "bias", deploy.constants["bias"] - added + added)
    return graph


def write_network(folder: Path, name: str) -> None:
    """A network with its small groups padded and, if it has some, with them native."""
    graph = named_graph(name)
    images = random_images(graph.architecture, 3, np.random.default_rng(5))
    inputs = images[:, np.newaxis]
    padded = to_flatbuffer(graph, SmallGroups.PAD)
    write_case(folder, f"{name}-pad", padded, inputs, logits(as_padded(graph), images))
    if report(graph).layers:
        native = to_flatbuffer(graph, SmallGroups.NATIVE)
        write_case(folder, f"{name}-native", native, inputs, logits(graph, images))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for each in NETWORKS:
        write_network(target, each)
    for operator in operators():
        write_case(target, operator.name, operator.model, operator.input[np.newaxis], operator.expected[np.newaxis])
