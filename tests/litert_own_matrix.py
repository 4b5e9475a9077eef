"""Our own operator BnnBconv2d in stock LiteRT with our delegate against a float convolution, on random options.

    .venv/bin/python -m tests.litert_own_matrix LIBRARY [--models 3000] [--seed 0] [--threads 1] [--kernel avx2]

Every option is drawn: groups, channels of a group, window, stride, dilation, padding, its value, activation, output,
batch. Constants are multiples of powers of 2, so that every order of the arithmetic gives the same numbers: all outputs
must be equal. Zero padding of an odd number of channels, but for plain floats, must be refused.
Prints a JSON line: models of each output, how many are refused, how many are wrong. Exit code 1 when one is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import load_delegate

from bnn_deploy.export.small_groups import OWN_OPERATOR
from bnn_deploy.export.tflite_writer import Quantization
from bnn_deploy.kernels import reference
from bnn_deploy.steps import Activation
from tests.litert_matrix import SAME, Case, bconv2d_model, is_wrong, packed, random_sizes, run_litert

PER_GROUP = (1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 31, 32, 33, 47, 65)
ACTIVATIONS = (Activation.NONE, Activation.RELU, Activation.RELU_N1_TO_1, Activation.RELU6)  # as TensorFlow counts them
OUTPUTS = ("float32", "int8", "bits")

Array = npt.NDArray[np.generic]


def random_case(rng: np.random.Generator, output: str) -> tuple[Case, Array | None]:
    """One BnnBconv2d and what it answers; None: it is refused."""
    groups, per_group = int(rng.choice([1, 2, 3, 4, 5, 8])), int(rng.choice(PER_GROUP))
    outputs, channels = groups * int(rng.choice([1, 2, 3, 8, 9])), groups * per_group
    sizes = random_sizes(rng, channels)
    options = {**sizes.options, "groups": groups}
    signs = rng.choice([-1, 1], (*sizes.image, channels))
    weights = rng.choice([-1, 1], (outputs, *sizes.window, per_group))
    k_bits = weights[0].size
    multiplier = (rng.choice([-1, 1], outputs) * 2.0 ** rng.integers(-4, 1, outputs)).astype(np.float32)
    bias = (rng.integers(-64, 65, outputs) / 16).astype(np.float32)
    thresholds = (k_bits // 2 + rng.integers(-k_bits // 4 - 2, k_bits // 4 + 3, outputs)).astype(np.int32)
    quantization = Quantization(2.0 ** int(rng.integers(-4, 0)), int(rng.integers(-40, 40)))
    constants = {"filter": packed(weights < 0)}
    constants |= {"thresholds": thresholds} if output == "bits" else {"multiplier": multiplier, "bias": bias}
    bits, shape = packed(signs < 0), (len(signs), *sizes.size, outputs)
    model = bconv2d_model(bits.shape, constants, shape, output, options, quantization, OWN_OPERATOR)
    told = {"output": output, "image": signs.shape, "weights": weights.shape, **options}
    case = Case(OWN_OPERATOR, model, bits, options=told)
    activation = ACTIVATIONS[options["fused_activation_function"]]
    plain = output == "float32" and activation is Activation.NONE
    if options["padding"] == SAME and not options["pad_values"] and weights.shape[-1] % 2 and not plain:
        return case, None

    dot = np.stack([convolution(image, weights, options, sizes.size) for image in signs])
    if output == "bits":
        return case, packed((k_bits - dot) / 2 > thresholds)
    y = multiplier * np.clip(dot, *reference.ACTIVATION_BOUNDS[activation]) + bias
    if output == "float32":
        return case, y.astype(np.float32)
    quantized = y / quantization.scale + quantization.zero_point
    away_from_0 = np.trunc(quantized + np.copysign(0.5, quantized))
    return case, np.clip(away_from_0, -128, 127).astype(np.int8)


def convolution(image: Array, weights: Array, options: dict[str, int], size: list[int]) -> npt.NDArray[np.float64]:
    """Dot products [height, width, outputs] of one image [H, W, C], by the reference's dense, square windows: an
    oblong, dilated one has zeros in it and around it; strides skip results."""
    window, pixels = weights.shape[1:3], image.shape[:2]
    strides = options["stride_height"], options["stride_width"]
    dilations = options["dilation_height_factor"], options["dilation_width_factor"]
    spans = [(taps - 1) * dilation + 1 for taps, dilation in zip(window, dilations, strict=True)]
    if options["padding"] == SAME:
        axes = zip(size, strides, spans, pixels, strict=True)
        surplus = [max((n - 1) * stride + span - inside, 0) for n, stride, span, inside in axes]
        pads = [(total // 2, total - total // 2) for total in surplus]
        image = np.pad(image, (*pads, (0, 0)), constant_values=options["pad_values"])
    side = max(spans) | 1
    square = np.zeros((len(weights), side, side, weights.shape[3]))
    rows, columns = (
        slice((side - span) // 2, (side + span) // 2, dilation) for span, dilation in zip(spans, dilations, strict=True)
    )
    square[:, rows, columns] = weights
    dense = reference.conv2d(image, square, groups=options["groups"])
    middles = [span // 2 + stride * np.arange(n) for span, stride, n in zip(spans, strides, size, strict=True)]
    return dense[np.ix_(*middles)]


def check(library: str, models: int, seed: int, options: dict[str, str]) -> dict[str, object]:
    """What the command line prints; options: of the delegate."""
    rng = np.random.default_rng(seed)
    delegate = load_delegate(library, options)
    counts: Counter[str] = Counter()
    refused = wrong = 0
    for index in range(models):
        output = OUTPUTS[index % len(OUTPUTS)]
        case, expected = random_case(rng, output)
        found = run_litert(delegate, case)
        counts[output] += 1
        refused += expected is None
        if is_wrong(expected, found, 0.0):
            wrong += 1
            answers = ["refused" if answer is None else "computed" for answer in (expected, found)]
            print(f"wrong: {case.options}: to be {answers[0]}, {answers[1]}", file=sys.stderr)
    return {"models": dict(counts), "refused": refused, "wrong": wrong, "seed": seed}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("--models", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", default="1")
    parser.add_argument("--kernel", help="of the delegate  [default: the best]")
    arguments = parser.parse_args()
    options = {"threads": arguments.threads, **({"kernel": arguments.kernel} if arguments.kernel else {})}
    result = check(arguments.library, arguments.models, arguments.seed, options)
    print(json.dumps(result))
    return int(bool(result["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
