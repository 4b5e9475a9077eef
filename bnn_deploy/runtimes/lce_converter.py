"""The second way to a .tflite file: LCE's own converter, from a TensorFlow network; and the check on the first.

TensorFlow and LCE live in an environment of their own (`scripts/lce-env --tensorflow`), so another process builds and
converts the network (lce_converter_worker.py). The converter leaves a float layer, without a word, where it does not
recognise a binary one: so its binary operators are counted.

Example:
    >>> convert(graph, Path("model.lce.tflite"))                                                    # doctest: +SKIP
    >>> written, converted = compare_files(graph, Path("model.tflite"), Path("model.lce.tflite"))   # doctest: +SKIP
    >>> print(converted)                                                                            # doctest: +SKIP
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bnn_deploy.deploy_graph import DeployGraph
from bnn_deploy.errors import ExportError, RuntimeUnavailable
from bnn_deploy.export.common import check_values
from bnn_deploy.journal import write_atomically
from bnn_deploy.runtimes import lce_converter_worker as worker
from bnn_deploy.runtimes.base import image_shape
from bnn_deploy.runtimes.lce import LceRuntime, lce_python
from bnn_deploy.runtimes.parity import Opened, Parity, Progress, compare
from bnn_deploy.runtimes.tflite_file import TfliteFile
from bnn_deploy.steps import StepKind

IMAGES = 16  # random ones that both files are run on
MAKE = "scripts/lce-env --tensorflow"

_PROBE = """
import importlib.util, sys
sys.exit(None in map(importlib.util.find_spec, ("tensorflow", "larq_compute_engine")))
"""

Stages = Callable[[int, int, str], None]


def converter_python() -> Path:
    """The Python of LCE's environment, which has TensorFlow.

    Raises:
        RuntimeUnavailable: no such environment, or one without TensorFlow.
    """
    python = lce_python(MAKE)
    if subprocess.run([str(python), "-I", "-c", _PROBE], capture_output=True, check=False).returncode:
        raise RuntimeUnavailable(
            f"{python}: LCE's converter needs TensorFlow beside larq-compute-engine; install both with `{MAKE}`"
        )
    return python


def convert(graph: DeployGraph, path: Path, progress: Stages = lambda done, total, text: None) -> None:
    """Write a graph as LCE's converter does, whole or not at all; groups that LCE cannot express are padded.

    Args:
        progress: called with (stages done, stages, the one that begins).

    Raises:
        RuntimeUnavailable: see converter_python.
        ExportError: constants that no file can hold, a converter that failed, or one that left binary layers float.
    """
    check_values(graph)
    python = converter_python()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_network(graph, folder)
        said = _run([str(python), "-I", worker.__file__, str(folder)], progress)
        result = folder / "model.tflite"
        _check_binary_layers(graph, TfliteFile(result), said)
        write_atomically(path, result.read_bytes())


def compare_files(
    graph: DeployGraph, written: Path, converted: Path, progress: Progress | None = None, images: int = IMAGES
) -> tuple[Parity, Parity]:
    """Both files in LCE's interpreter on the same random images (standard normal, seed 0).

    Returns:
        The written file by itself: whether its sums are exact; then the converted one compared with it.

    Raises:
        RuntimeUnavailable, FileFormatError: see LceRuntime.
    """
    shape = image_shape(graph.architecture)
    source = np.random.default_rng(0).standard_normal((images, *shape), dtype=np.float32)
    first, second = (Opened(path.name, path, LceRuntime(path, graph.architecture)) for path in (written, converted))
    ours, theirs = compare(graph, first, [second], source, progress)
    return ours, theirs


def _write_network(graph: DeployGraph, folder: Path) -> None:
    """What the worker reads."""
    steps = [deploy.step.to_json() for deploy in graph.steps]
    network = {"image": image_shape(graph.architecture), "steps": steps}
    (folder / "network.json").write_text(json.dumps(network))
    for index, deploy in enumerate(graph.steps):
        for name, values in deploy.constants.items():
            np.save(folder / f"{index}.{name}.npy", values)


def _run(command: list[str], progress: Stages) -> str:
    """Run the worker; returns the end of what it wrote on stderr.

    Raises:
        ExportError: it failed.
    """
    total = len(worker.STAGES)
    with tempfile.TemporaryFile("w+", errors="replace") as stderr:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
            assert process.stdout is not None
            for done, line in enumerate(process.stdout):
                progress(done, total, line.strip())
        stderr.seek(0)
        lines = stderr.read().strip().splitlines()
    said = "\n".join(lines[-5:])
    if process.returncode:
        raise ExportError(f"LCE's converter failed: {said or f'exit status {process.returncode}'}")
    progress(total, total, "")
    return said


def _check_binary_layers(graph: DeployGraph, file: TfliteFile, said: str) -> None:
    expected = sum(deploy.step.kind is StepKind.BCONV2D for deploy in graph.steps)
    found = sum(operator.custom == "LceBconv2d" for operator in file.operators)
    if found != expected:
        raise ExportError(
            f"LCE's converter wrote {found} LceBconv2d operators for {expected} binary layers and left the others "
            f"float: it does not know their pattern; it said: {said}"
        )
