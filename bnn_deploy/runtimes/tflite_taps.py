"""What the binary layers of a .tflite file saw and summed, read from its inner tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bnn_deploy.architecture import Architecture
from bnn_deploy.errors import FileFormatError
from bnn_deploy.export.common import architecture_of
from bnn_deploy.export.small_groups import OWN_OPERATOR, padded_channels
from bnn_deploy.runtimes.base import Tap, integers, reading
from bnn_deploy.runtimes.tflite_file import Operator, TfliteFile
from bnn_deploy.steps import Step, StepKind, plan

Array = npt.NDArray[np.generic]

_EPSILON = float(np.finfo(np.float32).eps)
_TOLERANCE = 0.25  # a sum read back from floats may be this far from an integer


class TfliteTaps:
    """The binary layers of a file, in order.

    Args:
        file: of export_tflite, or of LCE's converter.
        architecture: of the file, if it has no record of its own.

    Raises:
        FileFormatError: a file of something else, or one that was altered.
    """

    def __init__(self, file: TfliteFile, architecture: Architecture | None = None) -> None:
        self._file = file
        steps = [
            step
            for step in plan(architecture or architecture_of(file.metadata, file.path))
            if step.kind is StepKind.BCONV2D
        ]
        operators = [operator for operator in file.operators if operator.custom in ("LceBconv2d", OWN_OPERATOR)]
        if len(operators) != len(steps):
            raise FileFormatError(f"{file.path}: expected {len(steps)} binary convolutions, got {len(operators)}")
        self._layers = list(zip(operators, steps, strict=True))

    def model(self, outputs: Sequence[int] = ()) -> bytes:
        """A copy of the file with these tensors as outputs, and after them, of each layer, its packed input, int32
        [N, H, W, words], and its output, float32.
        """
        with reading(self._file.path):
            inner = [tensor for operator, _ in self._layers for tensor in (operator.inputs[0], operator.outputs[0])]
            return self._file.with_outputs([*outputs, *inner])

    def read(self, arrays: Sequence[Array]) -> tuple[Tap, ...]:
        """The values of the layers' outputs in `model` -> what each saw and summed."""
        with reading(self._file.path):
            layers = zip(self._layers, arrays[::2], arrays[1::2], strict=True)
            return tuple(self._tap(operator, step, bits, affine) for (operator, step), bits, affine in layers)

    def _tap(self, operator: Operator, step: Step, packed: Array, affine: Array) -> Tap:
        """The input signs; the integers behind y = multiplier * sum + bias; the channels in which float32 lets one read
        them.

        LCE computes acc * (-2 * multiplier) + (K * multiplier + bias), so y carries an error of up to
        eps * (|multiplier| * K + |bias|), and the quotient is off by eps * (K + |bias / multiplier|). The padding's
        surplus (small_groups.padded_weights) is taken off.
        """
        channels = step.in_channels if operator.custom == OWN_OPERATOR else padded_channels(step)
        multiplier, bias = (self._file.constant(operator.inputs[i]).astype(np.float64) for i in (2, 3))
        extra = (channels - step.in_channels) // step.groups * step.kernel**2
        divisor = np.where(multiplier == 0, 1.0, multiplier)
        error = _EPSILON * (step.k_bits + extra + np.abs(bias / divisor))
        readable = (multiplier != 0) & (error < _TOLERANCE)
        sums = integers((affine.astype(np.float64) - bias) / divisor - extra % 2, _TOLERANCE)
        return Tap(_unpacked(packed, step, channels), sums, readable)


def _unpacked(packed: Array, step: Step, channels: int) -> npt.NDArray[np.bool_]:
    """int32 words [N, H, W, words] of so many channels -> bool [N, H, W, C], without those that padding added to each
    group."""
    bits = np.unpackbits(np.ascontiguousarray(packed).view(np.uint8), axis=-1, bitorder="little")
    bits = bits[..., :channels].reshape(*packed.shape[:-1], step.groups, -1)
    bits = bits[..., : step.in_channels // step.groups]
    return bits.reshape(*packed.shape[:-1], step.in_channels).astype(np.bool_)
