"""A model in Larq Compute Engine's interpreter and in stock LiteRT with our delegate, in one process; for .venv-lce.

    argv    the delegate's library, a .tflite model of LCE's converter, what to do
    check IMAGES    a JSON line: layers compared, each given the same input; top-1 over random images; what passed
    time ROUNDS     a JSON line: samples of each way, in turns

Layer by layer: LCE's own tensors are what each cut-out part of the model gets. `sums`: every LceBconv2d alone, with
multiplier 1 and no bias, must give the same integers. `steps`: LceQuantize, LceBconv2d and the ADD behind it, which the
delegate runs as one step of a chain, within RELATIVE of the magnitudes that are added up.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tflite
from ai_edge_litert.interpreter import Interpreter, load_delegate
from flatbuffers import flexbuffers

from benchmarks.lce_top1 import compare_answers
from bnn_deploy.export.tflite_writer import NO_TENSOR, TfliteWriter
from bnn_deploy.runtimes.lce_worker import load_interpreter
from bnn_deploy.runtimes.tflite_file import Operator, TfliteFile

RELATIVE = 1e-5
SAMPLE_S = 0.25  # of each way, in each round
ADD, SOFTMAX = tflite.BuiltinOperator.ADD, tflite.BuiltinOperator.SOFTMAX

Array = npt.NDArray[np.generic]
LCE = load_interpreter()


def lce(model: bytes, *, indirect: bool = True, xnnpack: bool = False) -> Callable[[Sequence[Array]], list[Array]]:
    """One call of LCE's interpreter."""
    interpreter = LCE(model, 1, False, indirect, xnnpack)
    return lambda inputs: [np.asarray(output) for output in interpreter.predict(list(inputs))]


class Ours:
    """Stock LiteRT with the delegate, one thread."""

    def __init__(self, model: bytes, library: str) -> None:
        delegate = load_delegate(library, {"threads": "1"})
        self._interpreter = Interpreter(model_content=model, experimental_delegates=[delegate], num_threads=1)
        self._interpreter.allocate_tensors()
        self._inputs = [entry["index"] for entry in self._interpreter.get_input_details()]
        self._outputs = [entry["index"] for entry in self._interpreter.get_output_details()]

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        for index, value in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(index, value)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


class Model:
    """The model's operators, and every tensor that they compute for one image."""

    def __init__(self, path: Path, image: Array) -> None:
        self.file = TfliteFile(path)
        computed = [operator.outputs[0] for operator in self.file.operators if len(operator.outputs) == 1]
        values = lce(self.file.with_outputs(computed))([image])
        self.values = {self.file.inputs[0]: image, **dict(zip(computed, values, strict=True))}
        self.makers = {tensor: i for i, operator in enumerate(self.file.operators) for tensor in operator.outputs}

    def readers(self, tensor: int) -> list[int]:
        return [i for i, operator in enumerate(self.file.operators) if tensor in operator.inputs]

    def binary(self) -> list[int]:
        return [i for i, operator in enumerate(self.file.operators) if operator.custom == "LceBconv2d"]

    def step(self, convolution: int) -> list[int] | None:
        """The operators of the step around a convolution with float output; None where there are none."""
        operator = self.file.operators[convolution]
        maker = self.makers.get(operator.inputs[0], -1)
        if maker < 0 or self.file.operators[maker].custom != "LceQuantize" or operator.inputs[2] < 0:
            return None
        readers = self.readers(operator.outputs[0])
        after = self.file.operators[readers[0]] if len(readers) == 1 else None
        adds = after is not None and after.code == ADD and all(tensor in self.values for tensor in after.inputs)
        return [maker, convolution, *(readers if adds else [])]


def plain_model(model: Model, operator: Operator) -> bytes:
    """One LceBconv2d that gives its sums: K - 2 * acc as floats."""
    options = {**flexbuffers.Loads(operator.options), "fused_activation_function": 0}
    filters = model.file.constant(operator.inputs[1])
    channels = len(filters)
    writer = TfliteWriter()
    x = writer.tensor("x", model.file.shape(operator.inputs[0]), "int32")
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    inputs = [
        x,
        writer.constant("filter", filters),
        writer.constant("one", ones),
        writer.constant("zero", zeros),
        NO_TENSOR,
    ]
    shape = (*model.file.shape(operator.outputs[0])[:-1], channels)
    return writer.finish([x], [writer.custom("LceBconv2d", inputs, "y", shape, options)], {})


def check_sums(model: Model, library: str) -> dict[str, object]:
    compared = wrong = 0
    for index in model.binary():
        operator = model.file.operators[index]
        bits = model.values[operator.inputs[0]]
        data = plain_model(model, operator)
        expected, found = lce(data)([bits])[0], Ours(data, library)([bits])[0]
        compared += expected.size
        wrong += int((expected != found).sum())
    return {"layers": len(model.binary()), "compared": compared, "wrong": wrong, "passed": compared > 0 and not wrong}


def check_steps(model: Model, library: str) -> dict[str, object]:
    """worst: the largest difference over the magnitudes |multiplier| K + |bias| + |shortcut|."""
    worst, steps = 0.0, 0
    for convolution in model.binary():
        operators = model.step(convolution)
        if operators is None:
            continue
        operator, last = (model.file.operators[i] for i in (convolution, operators[-1]))
        made = {tensor for i in operators for tensor in model.file.operators[i].outputs}
        read = [tensor for i in operators for tensor in model.file.operators[i].inputs]
        inputs = list(dict.fromkeys(tensor for tensor in read if tensor in model.values and tensor not in made))
        part = model.file.part(operators, inputs, last.outputs)
        found = Ours(part, library)([model.values[tensor] for tensor in inputs])[0]
        expected = model.values[last.outputs[0]]
        filters, multiplier, bias = (model.file.constant(operator.inputs[i]) for i in (1, 2, 3))
        k_bits = int(np.prod(filters.shape[1:])) * 32
        magnitude = np.abs(multiplier) * k_bits + np.abs(bias) + np.abs(expected)
        apart = (np.abs(found.astype(np.float64) - expected) / magnitude).max()
        worst = float(np.maximum(worst, apart))  # a NaN stays
        steps += 1
    return {"steps": steps, "worst": worst, "passed": worst <= RELATIVE}


def check_top1(path: Path, library: str, images: int, rng: np.random.Generator) -> dict[str, object]:
    """Over random images. How far rounding alone moves LCE's answers is seen by moving every pixel to the next float32;
    what follows from that: lce_top1.py."""
    file = TfliteFile(path)
    last = file.operators[-1]
    logits = file.with_outputs([last.inputs[0] if last.code == SOFTMAX else file.outputs[0]])
    theirs, ours = lce(logits), Ours(logits, library)
    rows = []
    for _ in range(images):
        image = rng.uniform(-1, 1, file.input_shape).astype(np.float32)
        next_to = np.nextafter(image, rng.choice(np.array([-2, 2], np.float32), file.input_shape))
        rows.append([call([x])[0].ravel() for call, x in ((theirs, image), (theirs, next_to), (ours, image))])
    expected, moved, found = np.moveaxis(np.asarray(rows), 1, 0)  # [images, classes] each
    return compare_answers(expected, moved, found)


def check(path: Path, library: str, images: int) -> dict[str, object]:
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, TfliteFile(path).input_shape).astype(np.float32)
    model = Model(path, image)
    return {
        "sums": check_sums(model, library),
        "steps": check_steps(model, library),
        "top1": check_top1(path, library, images, rng),
    }


def sample(call: Callable[[], object]) -> list[int]:
    samples: list[int] = []
    end = time.perf_counter() + SAMPLE_S
    while not samples or time.perf_counter() < end:
        start = time.perf_counter_ns()
        call()
        samples.append(time.perf_counter_ns() - start)
    return samples


def times(path: Path, library: str, rounds: int) -> dict[str, object]:
    """Of each way that takes the model; LCE's default kernel takes no groups."""
    data = path.read_bytes()
    image = np.random.default_rng(0).uniform(-1, 1, TfliteFile(path).input_shape).astype(np.float32)
    calls: dict[str, Callable[[], object]] = {}
    for name, make in {
        "delegate": lambda: Ours(data, library),
        "lce indirect": lambda: lce(data),
        "lce indirect + xnnpack": lambda: lce(data, xnnpack=True),
        "lce default": lambda: lce(data, indirect=False),
    }.items():
        try:
            way = make()
        except RuntimeError:
            continue
        calls[name] = lambda way=way: way([image])
        calls[name]()
    found: dict[str, list[dict[str, object]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append({"iterations": 1, "samples_ns": sample(call)})
    return {"rounds": found}


def main() -> None:
    library, path, what, count = sys.argv[1:]
    result = (check if what == "check" else times)(Path(path), library, int(count))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
