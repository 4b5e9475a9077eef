"""Runs and times models in stock ONNX Runtime and LiteRT on a device, in its own Python, which needs numpy and the
runtime alone: the modules of SOURCES go there in a zip file (`archive`).

    python3 stock_worker.zip REQUEST.json

The request: {"do", "model", "runtimes": {NAME: LIBRARY or null}, "threads", "core": where to stay, -1 anywhere} and for

    describe    nothing more; answers {"shape": [H, W, C]}
    run         "images", "output": .npy files, float32 [N, H, W, C] and [N, classes]; of the first runtime
    bench       "seconds" for each runtime; answers {"done", "total"}, progress in seconds, and at last {"bench": {NAME:
                {"iterations", "warmup_ns", "samples_ns", "steps": StepTimes or null}}}

JSON lines on stdout, {"error": TEXT, "kind": CLASS} where bnn_deploy.errors has the class.
"""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bnn_deploy.errors import BnnDeployError
from bnn_deploy.runtimes.sessions import SESSIONS, Session, random_image
from bnn_deploy.runtimes.step_times import profiled
from bnn_deploy.runtimes.timing import interleaved, sampler

SOURCES = (
    "__init__.py",
    "errors.py",
    *(f"runtimes/{name}.py" for name in ("__init__", "sessions", "step_times", "stock_worker", "timing")),
)
_MAIN = "from bnn_deploy.runtimes.stock_worker import main\n\nmain()\n"

Say = Callable[..., None]


def archive() -> bytes:
    """This program as one file for any Python from 3.10 on; the same bytes each time."""
    root, file = Path(__file__).parents[1], io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr(zipfile.ZipInfo("__main__.py"), _MAIN)
        for name in SOURCES:
            packed.writestr(zipfile.ZipInfo(f"{root.name}/{name}"), (root / name).read_bytes())
    return file.getvalue()


def main() -> None:
    """The command line: one request."""
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not stand among the lines

    def say(**values: object) -> None:
        print(json.dumps(values), file=stdout, flush=True)

    try:
        answer(json.loads(Path(sys.argv[1]).read_text()), say)
    except BnnDeployError as exc:
        say(error=str(exc), kind=type(exc).__name__)


def answer(request: Mapping[str, Any], say: Say) -> None:
    """Does what is asked; `say` takes the members of a line.

    Raises:
        RuntimeUnavailable, FileFormatError: see Session.
    """
    if request["core"] >= 0:
        os.sched_setaffinity(0, {request["core"]})
    model, threads = Path(request["model"]), request["threads"]
    libraries = {name: None if path is None else Path(path) for name, path in request["runtimes"].items()}
    sessions = {name: SESSIONS[name](model, library, threads) for name, library in libraries.items()}
    first: Session = next(iter(sessions.values()))
    match request["do"]:
        case "describe":
            say(shape=first.shape)
        case "run":
            np.save(request["output"], first.run(np.load(request["images"])))
        case "bench":
            image = random_image(first.shape)
            calls = {name: sampler(session.placed(image)) for name, session in sessions.items()}
            timed = interleaved(calls, request["seconds"], tell=lambda done, total: say(done=done, total=total))
            found: dict[str, dict[str, object]] = {name: asdict(samples) for name, samples in timed.items()}
            for name, library in libraries.items():
                steps = profiled(name, model, library, threads)
                found[name]["steps"] = None if steps is None else steps.to_json()
            say(bench=found)


if __name__ == "__main__":
    main()
