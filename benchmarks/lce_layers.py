"""Times single-operator models in LCE's interpreter; a script for LCE's own environment (numpy < 2, no TensorFlow).

    stdin   a JSON line: {"seconds": S, "models": [{"path", "shape", "indirect"}, ...]}
    stdout  a JSON line per model: {"samples_ns": [...]} or {"error": TEXT}

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

WARM_UP = 3


def measure(interpreter, words, seconds):
    for _ in range(WARM_UP):
        interpreter.predict([words])
    samples = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter_ns()
        interpreter.predict([words])
        samples.append(time.perf_counter_ns() - start)
    return samples


def main():
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = json.loads(sys.stdin.readline())
    interpreter_class = load_interpreter()
    rng = np.random.default_rng(0)
    for model in job["models"]:
        words = rng.integers(-(2**31), 2**31, model["shape"], dtype=np.int64).astype(np.int32)
        try:
            interpreter = interpreter_class(Path(model["path"]).read_bytes(), 1, False, model["indirect"], False)
            answer = {"samples_ns": measure(interpreter, words, job["seconds"])}
        except RuntimeError as exc:
            answer = {"error": str(exc).strip()}
        print(json.dumps(answer), file=results, flush=True)


if __name__ == "__main__":
    main()
