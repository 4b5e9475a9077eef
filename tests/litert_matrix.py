"""Single operators in stock LiteRT with our delegate against Larq Compute Engine's reference kernel, on random options.

    .venv-lce/bin/python -m tests.litert_matrix LIBRARY [--models 3000] [--seed 0] [--threads 1]

Runs in LCE's environment, where both interpreters stand beside each other. Every model is one operator with all options
drawn: outputs, padding, strides, dilation, groups, activations, windows, batches, any number of channels. Bits and int8
must be equal, floats within 1e-5 of |multiplier| K + |bias|. What LCE's kernel refuses, the delegate must refuse. Zero
padding of an odd number of channels is for LCE's fast kernels alone, with plain float outputs and windows that fit the
image; where they do not, those kernels are wrong. Bits with zero padding crash LCE's kernel: there the bits are worked
out from what it computes as floats. Our own operator, which LCE does not know: litert_own_matrix.py.
Prints a JSON line: models of each operator, how many both refuse, how many are wrong. Exit code 1 when one is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter, load_delegate

from bnn_deploy.export.tflite_writer import NO_TENSOR, Quantization, TfliteWriter
from bnn_deploy.runtimes.lce_worker import load_interpreter

WORD = 32
SAME, VALID = 0, 1
FLOAT_TOLERANCE = 1e-5  # of the magnitudes that are added: LCE folds K into the bias, and rounds there
CHANNELS = (1, 2, 3, 8, 16, 31, 32, 33, 40, 64, 65, 96, 128, 160, 256)

Array = npt.NDArray[np.generic]


@dataclass
class Case:
    """A model, its input, and how far a result may be from LCE's: a number for each element of the last axis."""

    operator: str
    model: bytes
    input: Array
    tolerance: Array | float = 0.0
    options: dict[str, object] = field(default_factory=dict)
    reference: bool = True  # LCE's reference kernel
    asked: bytes | None = None  # the model for LCE, if it is another; `answer` makes of its output what is expected
    answer: Callable[[Array], Array] = lambda output: output


def words(channels: int) -> int:
    return -(-channels // WORD)


def random_words(rng: np.random.Generator, shape: tuple[int, ...], channels: int) -> npt.NDArray[np.int32]:
    """Packed channels [.., words(channels)], the bits past the last one 0."""
    return packed(rng.integers(0, 2, (*shape, channels)))


def packed(bits: Array) -> npt.NDArray[np.int32]:
    """Bits [.., channels] -> [.., words(channels)]."""
    padded = np.zeros((*bits.shape[:-1], words(bits.shape[-1]) * WORD), np.uint8)
    padded[..., : bits.shape[-1]] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view(np.int32)


def out_size(size: int, window: int, stride: int, dilation: int, padding: int) -> int:
    return -(-(size if padding == SAME else size - (window - 1) * dilation) // stride)


def pair(rng: np.random.Generator, *choices: int) -> list[int]:
    """Of height and width: mostly the same."""
    first = int(rng.choice(choices))
    return [first, int(rng.choice(choices)) if rng.random() < 0.4 else first]


@dataclass(frozen=True)
class Sizes:
    """Of a binary convolution and its image; pairs are [height, width]."""

    image: list[int]  # [batch, height, width]
    window: list[int]
    size: list[int]  # of the output
    options: dict[str, int]  # LCE's


def random_sizes(rng: np.random.Generator, channels: int) -> Sizes:
    """Any that have an output."""
    while True:
        image = [int(n) for n in rng.integers(1, [4, 10, 10])]
        window, strides, dilations = pair(rng, 1, 2, 3, 3, 3, 5, 7), pair(rng, 1, 2, 3), pair(rng, 1, 1, 1, 2, 3)
        padding = int(rng.integers(0, 2))
        axes = zip(image[1:], window, strides, dilations, strict=True)
        size = [out_size(*axis, padding) for axis in axes]
        if min(size) >= 1:
            break
    options = {
        "channels_in": channels,
        "dilation_height_factor": dilations[0],
        "dilation_width_factor": dilations[1],
        "fused_activation_function": int(rng.choice([0, 0, 1, 2, 3])),
        "pad_values": int(rng.integers(0, 2)),
        "padding": padding,
        "stride_height": strides[0],
        "stride_width": strides[1],
    }
    return Sizes(image, window, size, options)


def bconv2d(rng: np.random.Generator) -> Case:
    """One LceBconv2d."""
    groups = int(rng.choice([1, 1, 1, 2, 3, 4, 8]))
    channels = int(rng.choice(CHANNELS)) if groups == 1 else groups * WORD * int(rng.integers(1, 4))
    outputs = groups * int(rng.choice([1, 2, 5, 8, 16, 31, 33, 40]))
    sizes = random_sizes(rng, channels)
    (batch, height, width), window, options = sizes.image, sizes.window, sizes.options
    dilations = options["dilation_height_factor"], options["dilation_width_factor"]
    output = str(rng.choice(["float32", "int8", "bits"]))
    zero_padding = options["padding"] == SAME and not options["pad_values"]
    fast = zero_padding and channels % 2 and output == "float32" and not options["fused_activation_function"]
    if fast and (height <= (window[0] - 1) * dilations[0] or width <= (window[1] - 1) * dilations[1]):
        options["pad_values"], zero_padding, fast = 1, False, False
    k_bits = window[0] * window[1] * channels // groups
    bits = random_words(rng, (batch, height, width), channels)
    constants = {"filter": random_words(rng, (outputs, *window), channels // groups)}
    multiplier = (rng.choice([-1, 1], outputs) * rng.uniform(0.1, 2, outputs) / np.sqrt(k_bits)).astype(np.float32)
    bias = rng.normal(0, 1, outputs).astype(np.float32)
    thresholds = rng.integers(-2, k_bits + 3, outputs).astype(np.int32)
    thresholds[rng.random(outputs) < 0.05] = np.iinfo(np.int32).min
    constants |= {"thresholds": thresholds} if output == "bits" else {"multiplier": multiplier, "bias": bias}
    quantization = Quantization(float(np.float32(rng.uniform(0.005, 0.1))), int(rng.integers(-40, 40)))
    shape = (batch, *sizes.size, outputs)
    case = Case("LceBconv2d", bconv2d_model(bits.shape, constants, shape, output, options, quantization), bits)
    case.options = {"output": output, "groups": groups, "window": window, "image": sizes.image, **options}
    case.reference = not fast
    if output == "float32":
        case.tolerance = FLOAT_TOLERANCE * (np.abs(multiplier) * k_bits + np.abs(bias))
    if output == "bits" and zero_padding:
        plain = {"multiplier": np.ones(outputs, np.float32), "bias": np.zeros(outputs, np.float32)}
        options |= {"fused_activation_function": 0}  # a threshold of the sum knows none
        case.asked = bconv2d_model(
            bits.shape, {"filter": constants["filter"], **plain}, shape, "float32", options, None
        )
        case.answer = lambda dot: packed((k_bits - dot) / 2 > thresholds)
    return case


def bconv2d_model(
    input_shape: tuple[int, ...],
    constants: dict[str, Array],
    shape: tuple[int, ...],
    output: str,
    options: dict[str, int],
    quantization: Quantization | None,
    operator: str = "LceBconv2d",
) -> bytes:
    """A model of one binary convolution; shape: of its output, unpacked."""
    writer = TfliteWriter()
    x = writer.tensor("x", input_shape, "int32")
    names = ("filter", "multiplier", "bias", "thresholds")
    inputs = [writer.constant(name, constants[name]) if name in constants else NO_TENSOR for name in names]
    bits = output == "bits"
    y = writer.custom(
        operator,
        [x, *inputs],
        "y",
        (*shape[:-1], words(shape[-1]) if bits else shape[-1]),
        options,
        "int32" if bits else output,
        quantization if output == "int8" else None,
    )
    return writer.finish([x], [y], {})


def quantize(rng: np.random.Generator) -> Case:
    """One LceQuantize of any rank and type."""
    shape = (*(int(n) for n in rng.integers(1, 6, int(rng.integers(1, 4)))), int(rng.choice(CHANNELS)))
    dtype = str(rng.choice(["float32", "int8", "bool"]))
    quantization = Quantization(0.1, int(rng.integers(-60, 60))) if dtype == "int8" else None
    values = {
        "float32": rng.choice(np.array([-1.5, -1e-30, -0.0, 0.0, 1e-30, 2.0], np.float32), shape),
        "int8": rng.integers(-128, 128, shape).astype(np.int8),
        "bool": rng.integers(0, 2, shape).astype(np.bool_),
    }[dtype]
    writer = TfliteWriter()
    x = writer.tensor("x", shape, dtype, quantization)
    y = writer.custom("LceQuantize", [x], "y", (*shape[:-1], words(shape[-1])), None, "int32")
    return Case("LceQuantize", writer.finish([x], [y], {}), values, 0.0, {"dtype": dtype, "shape": list(shape)})


def dequantize(rng: np.random.Generator) -> Case:
    """One LceDequantize of any rank and type."""
    shape = tuple(int(n) for n in rng.integers(1, 6, int(rng.integers(1, 4))))
    channels = int(rng.choice(CHANNELS))
    dtype = str(rng.choice(["float32", "int8", "bool"]))
    quantization = (
        Quantization(float(rng.choice([0.011, 0.1, 1.0, 3.0])), int(rng.integers(-60, 60))) if dtype == "int8" else None
    )
    bits = random_words(rng, shape, channels)
    writer = TfliteWriter()
    x = writer.tensor("x", bits.shape, "int32")
    y = writer.custom("LceDequantize", [x], "y", (*shape, channels), None, dtype, quantization)
    return Case("LceDequantize", writer.finish([x], [y], {}), bits, 0.0, {"dtype": dtype, "shape": [*shape, channels]})


def bmaxpool2d(rng: np.random.Generator) -> Case:
    """One LceBMaxPool2d."""
    while True:
        batch, height, width = (int(n) for n in rng.integers(1, [4, 10, 10]))
        window, strides = ([int(n) for n in rng.integers(1, 5, 2)] for _ in range(2))
        padding, channels = int(rng.integers(0, 2)), int(rng.choice(CHANNELS))
        size = [out_size(n, w, s, 1, padding) for n, w, s in zip((height, width), window, strides, strict=True)]
        if min(size) >= 1:
            break
    options = {
        "padding": padding,
        "stride_width": strides[1],
        "stride_height": strides[0],
        "filter_width": window[1],
        "filter_height": window[0],
    }
    bits = random_words(rng, (batch, height, width), channels)
    writer = TfliteWriter()
    x = writer.tensor("x", bits.shape, "int32")
    y = writer.custom("LceBMaxPool2d", [x], "y", (batch, *size, words(channels)), options, "int32")
    return Case("LceBMaxPool2d", writer.finish([x], [y], {}), bits, 0.0, {"image": [batch, height, width], **options})


MAKERS = (bconv2d, bconv2d, bconv2d, quantize, dequantize, bmaxpool2d)


def run_lce(interpreter_class: object, case: Case) -> Array | None:
    """None: refused."""
    try:
        model = case.asked or case.model
        interpreter = interpreter_class(model, 1, case.reference, not case.reference, False)  # type: ignore[operator]
    except RuntimeError:
        return None
    return case.answer(np.asarray(interpreter.predict([case.input])[0]))


def run_litert(delegate: object, case: Case) -> Array | None:
    """None: refused."""
    try:
        interpreter = Interpreter(model_content=case.model, experimental_delegates=[delegate])
        interpreter.allocate_tensors()
    except RuntimeError:
        return None
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], case.input)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def is_wrong(expected: Array | None, found: Array | None, tolerance: Array | float) -> bool:
    if expected is None or found is None:
        return (expected is None) != (found is None)
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return True
    if expected.dtype == np.float32:
        return not (np.abs(expected.astype(np.float64) - found.astype(np.float64)) <= tolerance).all()
    return not np.array_equal(expected, found)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("--models", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    delegate = load_delegate(arguments.library, {"threads": str(arguments.threads)})
    lce = load_interpreter()
    models: Counter[str] = Counter()
    refused = wrong = 0
    for index in range(arguments.models):
        case = MAKERS[index % len(MAKERS)](rng)
        expected, found = run_lce(lce, case), run_litert(delegate, case)
        models[case.operator] += 1
        refused += expected is None and found is None
        if is_wrong(expected, found, case.tolerance):
            wrong += 1
            answers = ["refuses" if answer is None else "computes" for answer in (expected, found)]
            print(
                f"wrong: {case.operator} {case.options}: LCE {answers[0]}, the delegate {answers[1]}", file=sys.stderr
            )
    print(json.dumps({"models": dict(models), "refused": refused, "wrong": wrong, "seed": arguments.seed}))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
