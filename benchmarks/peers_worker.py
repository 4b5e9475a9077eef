"""Times models in OpenVINO, ONNX Runtime and LiteRT, one thread each; for the peers' environment (scripts/peers-env).

    stdin   JSON lines: {"runtime", "seconds", "model": NAME, "arguments": {...}}
            runtime    openvino | openvino_nodes | onnxruntime | litert
            model      a function of peers_models.py, or the path of a .tflite file
    stdout  a JSON line for each: {"samples_ns": [...]} or {"error": TEXT}; "operators" of LiteRT: what ran
            openvino_nodes: {"nodes_us": {NODE TYPE: [...]}}, OpenVINO's own counters, see nodes()

A session is made when its model is first named. A sample is one inference, without copying tensors into and out of the
runtime.
"""

import io
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import peers_models

WARM_UP = 2
COUNTED = 12  # inferences under one average of OpenVINO's counters


def model_bytes(job):
    if job["model"].endswith(".tflite"):
        return Path(job["model"]).read_bytes()
    return getattr(peers_models, job["model"])(**job["arguments"])


def image(shape, dtype):
    rng = np.random.default_rng(0)
    if np.issubdtype(dtype, np.floating):
        return rng.standard_normal(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)


def open_onnxruntime(data):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (place,) = session.get_inputs()
    binding = session.io_binding()
    dtype = np.uint8 if "uint8" in place.type else np.float32
    binding.bind_cpu_input(place.name, image(place.shape, dtype))
    binding.bind_output(session.get_outputs()[0].name)
    return lambda: session.run_with_iobinding(binding), {}


def open_openvino(data, counters=False):
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERF_COUNT": counters}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(io.BytesIO(data)), "CPU", settings)
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(image(compiled.input(0).shape, np.float32)))
    return request


def open_litert(data):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)  # XNNPACK is its default delegate
    interpreter.allocate_tensors()
    (place,) = interpreter.get_input_details()
    interpreter.set_tensor(place["index"], image(place["shape"], place["dtype"]))
    operators = [entry["op_name"] for entry in interpreter._get_ops_details()]
    # The delegate stands after the operators that it took over; those that it did not take run beside it.
    return interpreter.invoke, {"operators": operators}


def nodes(data, seconds):
    """Averages of a few inferences, in whole microseconds, each inference cut to a whole one: the counters of OpenVINO.

    Each average comes from a freshly compiled model, since the counters never start anew; a node type has as many
    averages as nodes and models.
    """
    found = {}
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        request = open_openvino(data, counters=True)
        for _ in range(COUNTED):
            request.infer()
        for node in request.profiling_info:
            if node.status == node.Status.EXECUTED:
                found.setdefault(node.node_type, []).append(node.real_time.microseconds)
    return {"nodes_us": found}


def measure(run, seconds):
    for _ in range(WARM_UP):
        run()
    samples = []
    end = time.perf_counter() + seconds
    while not samples or time.perf_counter() < end:
        start = time.perf_counter_ns()
        run()
        samples.append(time.perf_counter_ns() - start)
    return samples


def answer(job, sessions):
    if job["runtime"] == "openvino_nodes":
        return nodes(model_bytes(job), job["seconds"])
    key = json.dumps([job["runtime"], job["model"], job["arguments"]])
    if key not in sessions:
        data = model_bytes(job)
        if job["runtime"] == "openvino":
            sessions[key] = open_openvino(data).infer, {}
        else:
            sessions[key] = {"onnxruntime": open_onnxruntime, "litert": open_litert}[job["runtime"]](data)
    run, facts = sessions[key]
    return {"samples_ns": measure(run, job["seconds"]), **facts}


def main():
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sessions = {}
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), sessions)
        except (RuntimeError, ValueError) as exc:  # what these runtimes raise about a model
            reply = {"error": str(exc).strip()}
        print(json.dumps(reply), file=results, flush=True)


if __name__ == "__main__":
    main()
