"""Times models in LCE's interpreter; a script for LCE's own environment (numpy < 2, no TensorFlow).

    stdin   JSON lines: {"path", "shape", "indirect", "seconds"}; a model is loaded when it is first named
    stdout  a JSON line for each: {"samples_ns": [...]} or {"error": TEXT}

Each sample is one `predict`. LCE's own messages about models that it refuses go to stderr.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bnn_deploy" / "runtimes"))
from lce_worker import load_interpreter

WARM_UP = 2


def measure(interpreter, words, seconds):
    for _ in range(WARM_UP):
        interpreter.predict([words])
    samples = []
    end = time.perf_counter() + seconds
    while not samples or time.perf_counter() < end:
        start = time.perf_counter_ns()
        interpreter.predict([words])
        samples.append(time.perf_counter_ns() - start)
    return samples


def main():
    results = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # "Created TensorFlow Lite ..." and the like
    os.dup2(2, 1)
    interpreter_class = load_interpreter()
    loaded = {}
    rng = np.random.default_rng(0)
    for line in sys.stdin:
        job = json.loads(line)
        key = job["path"], job["indirect"]
        try:
            if key not in loaded:
                words = rng.integers(-(2**31), 2**31, job["shape"], dtype=np.int64).astype(np.int32)
                model = Path(job["path"]).read_bytes()
                loaded[key] = interpreter_class(model, 1, False, job["indirect"], False), words
            answer = {"samples_ns": measure(*loaded[key], job["seconds"])}
        except RuntimeError as exc:
            answer = {"error": str(exc).strip()}
        print(json.dumps(answer), file=results, flush=True)


if __name__ == "__main__":
    main()
