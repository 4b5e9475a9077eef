"""A .tflite file of ours in Larq Compute Engine's own interpreter, which lives in an environment of its own.

LCE needs numpy < 2, so its Python is another process (lce_worker.py). A model that makes the interpreter crash takes
that process down and nothing else.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

import bnn_deploy
from bnn_deploy.architecture import Architecture
from bnn_deploy.errors import FileFormatError, RuntimeUnavailable
from bnn_deploy.export.common import architecture_of
from bnn_deploy.export.small_groups import OWN_OPERATOR, padded_channels
from bnn_deploy.runtimes import lce_worker
from bnn_deploy.runtimes.base import Floats, Tap, Trace, check_images, integers, reading
from bnn_deploy.runtimes.tflite_file import Operator, TfliteFile
from bnn_deploy.runtimes.timing import Sampler
from bnn_deploy.steps import Step, StepKind, plan

PYTHON_VARIABLE = "BNN_LCE_PYTHON"

Array = npt.NDArray[np.generic]

_EPSILON = float(np.finfo(np.float32).eps)
_TOLERANCE = 0.25  # a sum read back from floats may be this far from an integer


def lce_python(make: str = "make lce-env") -> Path:
    """The Python of LCE's environment: $BNN_LCE_PYTHON, else .venv-lce here or beside the package.

    Args:
        make: the command that makes one, for the message.

    Raises:
        RuntimeUnavailable: there is none.
    """
    named = os.environ.get(PYTHON_VARIABLE)
    checkout = Path(bnn_deploy.__file__).resolve().parents[1]
    places = [Path(named)] if named else [root / ".venv-lce" / "bin" / "python" for root in (Path.cwd(), checkout)]
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return place
    raise RuntimeUnavailable(
        f"Larq Compute Engine's environment was not found at {' or '.join(map(str, places))}; make it with "
        f"`{make}`, or name its Python in {PYTHON_VARIABLE}"
    )


class LceRuntime:
    """A .tflite file, opened.

    Args:
        path: a file of export_tflite; any other model of one image and known operators can be run, not traced.
        architecture: of the file, if it has no record of its own (a file of LCE's converter).

    Raises:
        FileFormatError: no file, no .tflite model, a damaged one, or one exported with SmallGroups.NATIVE.
        RuntimeUnavailable: LCE's environment is missing.
    """

    name = "lce"

    def __init__(self, path: str | os.PathLike[str], architecture: Architecture | None = None) -> None:
        self._python = lce_python()
        self._architecture = architecture
        self._file = TfliteFile(path)
        if any(operator.custom == OWN_OPERATOR for operator in self._file.operators):
            raise FileFormatError(
                f"{path}: exported with --small-groups native: its {OWN_OPERATOR} operators need our delegate, LCE's "
                "interpreter does not know them; for LCE, export with --small-groups pad"
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """See Runtime."""
        with reading(self._file.path):
            height, width, channels = self._file.input_shape[1:]
        return height, width, channels

    def run(self, images: Floats) -> Floats:
        """See Runtime.run."""
        outputs = self._predict(self._file.data, images)
        with reading(self._file.path):
            return outputs[0].astype(np.float32, copy=False)

    def tensors(self, images: Floats, names: Sequence[str]) -> list[Array]:
        """The named inner tensors, as [N, H, W, C]; they become outputs of a copy of the model."""
        return self._predict(self._file.with_outputs([self._file.names.index(name) for name in names]), images)

    def trace(self, images: Floats) -> Trace:
        """See Runtime.trace."""
        layers = self._layers()
        with reading(self._file.path):
            wanted = [tensor for operator, _ in layers for tensor in (operator.inputs[0], operator.outputs[0])]
            model = self._file.with_outputs([*self._file.outputs, *wanted])
        arrays = self._predict(model, images)
        with reading(self._file.path):
            logits, *inner = arrays
            taps = []
            for (operator, step), packed, affine in zip(layers, inner[::2], inner[1::2], strict=True):
                sums, readable = self._sums(operator, step, affine.astype(np.float64))
                taps.append(Tap(unpack_words(packed, step), sums, readable))
            return Trace(logits.astype(np.float32, copy=False), tuple(taps))

    @contextmanager
    def sampler(self, threads: int) -> Iterator[Sampler]:
        """Times runs of a random image, in a process that lasts as long as the context.

        Raises:
            FileFormatError, RuntimeUnavailable: as run, at the first sample.
        """
        command = [str(self._python), "-I", lce_worker.__file__, str(self._file.path), str(threads)]
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            asks, answers = process.stdin, process.stdout

            def sample(iterations: int) -> int:
                with contextlib.suppress(BrokenPipeError):  # the missing answer says so
                    asks.write(b"%d\n" % iterations)
                    asks.flush()
                line = answers.readline()
                if not line:
                    errors.seek(0)
                    self._refuse(process.wait(), errors.read())
                return int(line)

            yield sample

    def _layers(self) -> list[tuple[Operator, Step]]:
        """The LceBconv2d operators and the binary steps that they are."""
        path = self._file.path
        architecture = self._architecture or architecture_of(self._file.metadata, path)
        operators = [operator for operator in self._file.operators if operator.custom == "LceBconv2d"]
        steps = [step for step in plan(architecture) if step.kind is StepKind.BCONV2D]
        if len(operators) != len(steps):
            raise FileFormatError(f"{path}: expected {len(steps)} LceBconv2d operators, got {len(operators)}")
        return list(zip(operators, steps, strict=True))

    def _sums(
        self, operator: Operator, step: Step, affine: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """The integers behind y = multiplier * sum + bias, and the channels in which float32 lets one read them.

        LCE computes acc * (-2 * multiplier) + (K * multiplier + bias), so y carries an error of up to
        eps * (|multiplier| * K + |bias|), and the quotient is off by eps * (K + |bias / multiplier|). The padding's
        surplus (small_groups.padded_weights) is taken off.
        """
        multiplier, bias = (self._file.constant(operator.inputs[i]).astype(np.float64) for i in (2, 3))
        extra = (padded_channels(step) - step.in_channels) // step.groups * step.kernel**2
        divisor = np.where(multiplier == 0, 1.0, multiplier)
        error = _EPSILON * (step.k_bits + extra + np.abs(bias / divisor))
        readable = (multiplier != 0) & (error < _TOLERANCE)
        return integers((affine - bias) / divisor - extra % 2, _TOLERANCE), readable

    def _predict(self, model: bytes, images: Floats) -> list[Array]:
        check_images(images, self._file.input_shape[1:])
        payload = io.BytesIO()
        np.save(payload, np.frombuffer(model, np.uint8))
        np.save(payload, images)
        command = [str(self._python), "-I", lce_worker.__file__]
        done = subprocess.run(command, input=payload.getvalue(), capture_output=True, check=False)
        if done.returncode:
            self._refuse(done.returncode, done.stderr)
        stdout = io.BytesIO(done.stdout)
        arrays = []
        while stdout.tell() < len(done.stdout):
            arrays.append(np.load(stdout, allow_pickle=False))
        return arrays

    def _refuse(self, code: int, stderr: bytes) -> NoReturn:
        lines = stderr.decode(errors="replace").strip().splitlines()
        reason = "\n".join(lines[-5:]) or f"exit status {code}"
        if code == lce_worker.NOT_INSTALLED:
            raise RuntimeUnavailable(f"{self._python}: {reason}; make its environment with `make lce-env`")
        raise FileFormatError(f"{self._file.path}: LCE's interpreter refuses it: {reason}")


def unpack_words(packed: Array, step: Step) -> npt.NDArray[np.bool_]:
    """int32 words [N, H, W, words] -> bool [N, H, W, C], without the channels that padding added to each group."""
    bits = np.unpackbits(np.ascontiguousarray(packed).view(np.uint8), axis=-1, bitorder="little")
    bits = bits[..., : padded_channels(step)].reshape(*packed.shape[:-1], step.groups, -1)
    bits = bits[..., : step.in_channels // step.groups]
    return bits.reshape(*packed.shape[:-1], step.in_channels).astype(np.bool_)
