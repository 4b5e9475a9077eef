"""Random small networks in stock LiteRT with our delegate against Larq Compute Engine's reference kernel.

    .venv-lce/bin/python -m tests.litert_graphs LIBRARY [--models 500] [--seed 0] [--threads 1]

Every number is a multiple of a power of two, so that no operator rounds, in no order of summation: outputs must be
equal. The networks have what the delegate makes steps of (thresholds, padded groups, shortcuts, RPReLU, pools, layers
at the end) and what it must not take for one: tensors that several read, shortcuts from elsewhere, bits that are pooled
or unpacked, operators that stay with the runtime; and some of them show inner tensors. Prints a JSON line; exit code 1
when an output is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import numpy.typing as npt
import tflite
from ai_edge_litert.interpreter import Interpreter, load_delegate

from bnn_deploy.export.tflite_writer import NO_TENSOR, BuiltinOptions, TfliteWriter
from bnn_deploy.runtimes.lce_worker import load_interpreter
from tests.litert_matrix import SAME, VALID, out_size, random_words, words

Array = npt.NDArray[np.generic]
OPERATOR, OPTIONS = tflite.BuiltinOperator, tflite.BuiltinOptions


class Maker:
    """A network in the making; tensors are the writer's numbers."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.writer = TfliteWriter()
        self.count = 0
        size, channels = (int(n) for n in rng.integers(1, 8, 2)), int(rng.choice([8, 32, 40, 64, 96]))
        self.image = self.writer.tensor("image", (1, *size, channels))
        self.floats = [self.image]
        self.read: set[int] = set()

    def name(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def chance(self, percent: int) -> bool:
        return bool(self.rng.integers(100) < percent)

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.writer.shape(tensor)

    def constant(self, values: Array) -> int:
        return self.writer.constant(self.name(), values)

    def vector(self, channels: int, unit: float, most: int, shape: tuple[int, ...] | None = None) -> int:
        """Multiples of `unit`; sometimes one for all channels."""
        count = 1 if self.chance(15) else channels
        values = (unit * self.rng.integers(-most, most + 1, count)).astype(np.float32)
        return self.constant(values.reshape(shape or (count,)) if count > 1 else values)

    def builtin(
        self, code: int, inputs: list[int], shape: tuple[int, ...], union: int = 0, **fields: tuple[int, str, int]
    ) -> int:
        self.read.update(inputs)
        slots = {slot: (kind, value) for slot, kind, value in fields.values()}
        return self.writer.builtin(code, inputs, self.name(), shape, BuiltinOptions(union, slots) if union else None)

    def offset(self, x: int) -> int:
        """ADD or SUB of a constant."""
        shape = self.shape(x)
        code, union = (OPERATOR.ADD, OPTIONS.AddOptions) if self.chance(50) else (OPERATOR.SUB, OPTIONS.SubOptions)
        return self.builtin(code, [x, self.vector(shape[-1], 0.25, 4)], shape, union)

    def quantize(self, x: int) -> int:
        self.read.add(x)
        shape = self.shape(x)
        return self.writer.custom("LceQuantize", [x], self.name(), (*shape[:-1], words(shape[-1])), None, "int32")

    def pad_groups(self, x: int, groups: int, channels: int) -> int:
        """As our exporter does it: `channels` for each group."""
        _, height, width, before = self.shape(x)
        per_group = before // groups
        shape = (1, height * width, groups, per_group)
        x = self.builtin(OPERATOR.RESHAPE, [x, self.constant(np.array(shape, np.int32))], shape)
        pads = np.array([[0, 0], [0, 0], [0, 0], [0, channels - per_group]], np.int32)
        value = np.array(1.0 if self.chance(80) else -1.0, np.float32)
        shape = (1, height * width, groups, channels)
        x = self.builtin(OPERATOR.PADV2, [x, self.constant(pads), self.constant(value)], shape)
        shape = (1, height, width, groups * channels)
        return self.builtin(OPERATOR.RESHAPE, [x, self.constant(np.array(shape, np.int32))], shape)

    def bconv2d(self, bits: int, channels: int, groups: int, outputs: int, *, packed_out: bool = False) -> int:
        self.read.add(bits)
        _, height, width, _ = self.shape(bits)
        kernel, stride = int(self.rng.choice([1, 1, 3, 3, 5])), int(self.rng.choice([1, 1, 2]))
        padding = SAME if self.chance(85) or min(height, width) < kernel else VALID
        filters = self.constant(random_words(self.rng, (outputs, kernel, kernel), channels // groups))
        options = {
            "channels_in": channels,
            "dilation_height_factor": 1,
            "dilation_width_factor": 1,
            "fused_activation_function": 0 if self.chance(70) else int(self.rng.integers(1, 4)),
            "pad_values": int(packed_out or self.chance(60)),
            "padding": padding,
            "stride_height": stride,
            "stride_width": stride,
        }
        size = [out_size(n, kernel, stride, 1, padding) for n in (height, width)]
        if packed_out:
            k_bits = kernel * kernel * channels // groups
            thresholds = self.constant(self.rng.integers(k_bits // 3, 2 * k_bits // 3 + 1, outputs).astype(np.int32))
            inputs = [bits, filters, NO_TENSOR, NO_TENSOR, thresholds]
            return self.writer.custom("LceBconv2d", inputs, self.name(), (1, *size, words(outputs)), options, "int32")
        multiplier = (self.rng.choice([-1, 1], outputs) * 0.5 ** self.rng.integers(2, 5, outputs)).astype(np.float32)
        bias = (0.25 * self.rng.integers(-8, 9, outputs)).astype(np.float32)
        inputs = [bits, filters, self.constant(multiplier), self.constant(bias), NO_TENSOR]
        return self.writer.custom("LceBconv2d", inputs, self.name(), (1, *size, outputs), options)

    def pool(self, x: int) -> int:
        _, height, width, channels = self.shape(x)
        fields = {
            "padding": (0, "int8", SAME),
            "sw": (1, "int32", 2),
            "sh": (2, "int32", 2),
            "fw": (3, "int32", 2),
            "fh": (4, "int32", 2),
        }
        shape = (1, -(-height // 2), -(-width // 2), channels)
        return self.builtin(OPERATOR.AVERAGE_POOL_2D, [x], shape, OPTIONS.Pool2DOptions, **fields)

    def copies(self, x: int, count: int) -> int:
        shape = (*self.shape(x)[:-1], count * self.shape(x)[-1])
        return self.builtin(
            OPERATOR.CONCATENATION, [x] * count, shape, OPTIONS.ConcatenationOptions, axis=(0, "int32", 3)
        )

    def shortcut(self, x: int, shape: tuple[int, ...]) -> int | None:
        """Something of that shape that may be added: of x, or of another tensor."""
        others = [tensor for tensor in self.floats if self.shape(tensor) == shape]
        if self.shape(x) == shape and not (len(others) > 1 and self.chance(20)):
            return x
        before = self.shape(x)
        if (-(-before[1] // 2), -(-before[2] // 2), before[3]) == shape[1:] and self.chance(90):
            return self.pool(x)
        if before[:3] == shape[:3] and shape[3] % before[3] == 0 and shape[3] > before[3] and self.chance(90):
            return self.copies(x, shape[3] // before[3])
        return int(self.rng.choice(others)) if others else None

    def bend(self, y: int) -> int:
        """RPReLU, or a part of it."""
        shape = self.shape(y)
        if self.chance(60):
            y = self.offset(y)
        if self.chance(20):
            y = self.builtin(OPERATOR.RELU, [y], shape)
        elif self.chance(90):
            slope = (0.5 * self.rng.integers(-1, 3, shape[-1])).astype(np.float32).reshape(1, 1, -1)
            y = self.builtin(OPERATOR.PRELU, [y, self.constant(slope)], shape)
        return self.offset(y) if self.chance(60) else y

    def block(self) -> None:
        """A step, or something like one."""
        x = self.floats[-1] if self.chance(80) else int(self.rng.choice(self.floats))
        channels = self.shape(x)[-1]
        signs = self.offset(x) if self.chance(50) else x
        groups = 1
        if self.chance(40):
            fitting = [n for n in (2, 4, 8, 16) if channels % n == 0]
            groups = int(self.rng.choice(fitting)) if fitting else 1
        if groups > 1 and channels // groups % 32:
            per_group = words(channels // groups) * 32
            signs = self.pad_groups(signs, groups, per_group)
            channels = groups * per_group
        bits = self.quantize(signs)
        outputs = self.shape(x)[-1] if self.chance(60) else groups * int(self.rng.choice([4, 8, 16, 24]))
        if outputs % groups:
            outputs = groups * 8
        for _ in range(int(self.rng.choice([0, 0, 0, 1, 2]))):  # bits from convolution to convolution
            bits = self.bconv2d(bits, channels, groups, outputs, packed_out=True)
            channels, groups = outputs, 1
        if self.chance(10):
            _, height, width, length = self.shape(bits)
            self.read.add(bits)
            options = {"padding": SAME, "stride_width": 2, "stride_height": 2, "filter_width": 2, "filter_height": 2}
            shape = (1, -(-height // 2), -(-width // 2), length)
            bits = self.writer.custom("LceBMaxPool2d", [bits], self.name(), shape, options, "int32")
        if self.chance(8):
            self.read.add(bits)
            shape = (*self.shape(bits)[:-1], channels)
            self.floats.append(self.writer.custom("LceDequantize", [bits], self.name(), shape))
            return
        y = self.bconv2d(bits, channels, groups, outputs)
        if self.chance(15):
            self.floats.append(y)
        if self.chance(75):
            added = self.shortcut(x, self.shape(y))
            if added is not None:
                inputs = [y, added] if self.chance(70) else [added, y]
                relu = {"activation": (0, "int8", tflite.ActivationFunctionType.RELU)} if self.chance(15) else {}
                y = self.builtin(OPERATOR.ADD, inputs, self.shape(y), OPTIONS.AddOptions, **relu)
        self.floats.append(self.bend(y) if self.chance(60) else y)

    def convolve(self) -> None:
        """A real-valued convolution of few bits."""
        x = self.floats[-1]
        _, height, width, channels = self.shape(x)
        outputs = int(self.rng.choice([8, 32, 40]))
        kernel = int(self.rng.choice([1, 3]))
        weights = self.constant(self.rng.integers(-1, 2, (outputs, kernel, kernel, channels)).astype(np.float32))
        fields = {"padding": (0, "int8", SAME), "sw": (1, "int32", 1), "sh": (2, "int32", 1)}
        bias = self.constant((0.25 * self.rng.integers(-4, 5, outputs)).astype(np.float32))
        y = self.builtin(
            OPERATOR.CONV_2D, [x, weights, bias], (1, height, width, outputs), OPTIONS.Conv2DOptions, **fields
        )
        self.floats.append(self.bend(y) if self.chance(40) else y)

    def end(self) -> None:
        """Mean and classifier. The mean of 2^n pixels rounds nothing."""
        x = self.floats[-1]
        _, height, width, channels = self.shape(x)
        if height * width not in (1, 2, 4, 8, 16):
            return
        axes = self.constant(np.array([1, 2], np.int32))
        y = self.builtin(OPERATOR.MEAN, [x, axes], (1, channels), OPTIONS.ReducerOptions)
        weights = self.constant(self.rng.integers(-1, 2, (10, channels)).astype(np.float32))
        bias = self.constant(self.rng.integers(-4, 5, 10).astype(np.float32))
        union = OPTIONS.FullyConnectedOptions
        self.floats.append(self.builtin(OPERATOR.FULLY_CONNECTED, [y, weights, bias], (1, 10), union))

    def finish(self) -> bytes:
        """Outputs: what nobody reads, and now and then more."""
        if self.chance(25):
            self.convolve()
        for _ in range(int(self.rng.integers(1, 5))):
            self.block()
        if self.chance(30):
            self.end()
        shown = [tensor for tensor in self.floats[1:] if tensor not in self.read or self.chance(8)]
        return self.writer.finish([self.image], shown, {})


def run_ours(delegate: object, model: bytes, image: Array) -> list[Array]:
    interpreter = Interpreter(model_content=model, experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return [interpreter.get_tensor(entry["index"]) for entry in interpreter.get_output_details()]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first model: to see one again")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    delegate = load_delegate(arguments.library, {"threads": str(arguments.threads)})
    lce = load_interpreter()
    compared = wrong = 0
    for index in range(arguments.first, arguments.first + arguments.models):
        maker = Maker(np.random.default_rng([arguments.seed, index]))
        model = maker.finish()
        image = (0.125 * maker.rng.integers(-16, 17, maker.shape(maker.image))).astype(np.float32)
        expected = [np.asarray(output) for output in lce(model, 1, True, False, False).predict([image])]
        try:
            found = run_ours(delegate, model, image)
        except RuntimeError as exc:
            print(f"model {index}: {exc}", file=sys.stderr)
            wrong += 1
            continue
        for output, (a, b) in enumerate(zip(expected, found, strict=True)):
            compared += 1
            if not np.array_equal(a, b):
                wrong += 1
                print(f"model {index}: output {output}: {int((a != b).sum())} of {a.size} differ", file=sys.stderr)
    print(json.dumps({"models": arguments.models, "outputs": compared, "wrong": wrong, "seed": arguments.seed}))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
