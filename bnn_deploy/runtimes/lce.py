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
from bnn_deploy.export.small_groups import OWN_OPERATOR
from bnn_deploy.runtimes import lce_worker
from bnn_deploy.runtimes.base import Floats, Trace, check_images, reading
from bnn_deploy.runtimes.tflite_file import TfliteFile
from bnn_deploy.runtimes.tflite_taps import TfliteTaps
from bnn_deploy.runtimes.timing import Sampler

PYTHON_VARIABLE = "BNN_LCE_PYTHON"

Array = npt.NDArray[np.generic]


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


def refusal(file: TfliteFile) -> str | None:
    """Why LCE's interpreter cannot run a file of ours; None where it can."""
    if all(operator.custom != OWN_OPERATOR for operator in file.operators):
        return None
    return (
        f"{file.path}: exported with --small-groups native: its {OWN_OPERATOR} operators need our delegate, LCE's "
        "interpreter does not know them; for LCE, export with --small-groups pad"
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
        reason = refusal(self._file)
        if reason is not None:
            raise FileFormatError(reason)

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
        taps = TfliteTaps(self._file, self._architecture)
        arrays = self._predict(taps.model(self._file.outputs), images)
        with reading(self._file.path):
            logits, *inner = arrays
            return Trace(logits.astype(np.float32, copy=False), taps.read(inner))

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
