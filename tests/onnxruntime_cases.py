"""Writes the cases of onnxruntime_worker.py and wheel_worker.py: `python -m tests.onnxruntime_cases FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from bnn_deploy.engine.bnn_file import write_bnn
from bnn_deploy.engine.network import Network
from bnn_deploy.export.onnx import export_onnx
from bnn_deploy.runtimes.base import Floats
from tests.graphs import NETWORKS, named_graph, random_images


def write_case(name: str, folder: Path) -> None:
    """NAME.onnx and .bnn, their images and answers."""
    graph = named_graph(name)
    export_onnx(graph, folder / f"{name}.onnx")
    write_bnn(folder / f"{name}.bnn", graph)
    write_answers(folder / f"{name}.bnn", random_images(graph.architecture, 3, np.random.default_rng(5)))


def write_answers(network: Path, images: Floats) -> Floats:
    """Beside a .bnn its images, as [N, C, H, W], and the engine's logits [N, classes], which are returned."""
    logits = Network.open(network).run(images).reshape(len(images), -1)
    np.save(network.with_suffix(".images.npy"), np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    np.save(network.with_suffix(".expected.npy"), logits)
    return logits


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for each in NETWORKS:
        write_case(each, target)
