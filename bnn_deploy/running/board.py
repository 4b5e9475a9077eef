"""A .bnn file on a device, by the board binary."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bnn_deploy.engine.bnn_file import read_bnn
from bnn_deploy.errors import DeviceError
from bnn_deploy.latency.networks import samples_of
from bnn_deploy.profiling.board_binary import INSTALLED
from bnn_deploy.profiling.description import DeviceDescription
from bnn_deploy.profiling.device import Device
from bnn_deploy.profiling.guard import Guard
from bnn_deploy.profiling.protocol import ProfileSettings
from bnn_deploy.profiling.transport.local import LocalTransport
from bnn_deploy.running.choice import Choice
from bnn_deploy.running.place import Bench
from bnn_deploy.runtimes.base import Floats
from bnn_deploy.runtimes.step_times import StepTimes

_TRIAL_SAMPLES = 3
_LEAST_SAMPLES, _MOST_SAMPLES = 5, 100_000
_TIMEOUT_S = 300.0  # beside the seconds that were asked for
_IMAGE_TIMEOUT_S = 60.0


class BoardModel:
    """A file on a device.

    Args:
        device: reached and open.
        choice: of the runtime "engine".

    Raises:
        FileFormatError: no .bnn file of a network.
        DeviceError: the device fails.
    """

    def __init__(self, device: Device, choice: Choice) -> None:
        self._device, self._choice = device, choice
        self._steps = read_bnn(choice.file).steps
        self._model = device.push(choice.file)
        first = self._steps[0]
        self.image_shape = (first.in_height, first.in_width, first.in_channels)

    def run(self, images: Floats) -> Floats:
        """See place.Model."""
        with tempfile.TemporaryDirectory(prefix="bnn-run-") as folder:
            source, result = Path(folder) / "images.f32", Path(folder) / "logits.f32"
            images.astype("<f4").tofile(source)
            arguments = ["net", "--model", self._model, "--input", self._device.push(source), "--output", result.name]
            list(self._device.board(arguments, _TIMEOUT_S + _IMAGE_TIMEOUT_S * len(images)))
            self._device.pull(result.name, result)
            return np.fromfile(result, "<f4").astype(np.float32).reshape(len(images), -1)

    def bench(self, threads: int, seconds: float, tell: Callable[[str], None]) -> Bench:
        """Latency, guarded as a profile is, on the core that the device's entry names, or the fastest; several threads
        on it and those after it, or, with too few cores after it, on the last ones."""
        core = max(0, min(self._device.choose_core(), int(str(self._device.facts["cores"])) - threads))
        arguments = ["--threads", str(threads), "--core", str(core)]
        with Guard(self._device, ProfileSettings(), core, tell):
            trial = samples_of(self._net([*arguments, "--samples", str(_TRIAL_SAMPLES)], seconds)[0])
            sample_s = sum(trial.samples_ns + trial.sentinel_ns) / len(trial.samples_ns) / 1e9
            samples = min(max(_LEAST_SAMPLES, round(seconds / sample_s)), _MOST_SAMPLES)
            first, *rest = self._net([*arguments, "--samples", str(samples), "--profile"], seconds)
        return Bench(self._choice, samples_of(first), int(str(first["warmup_ns"])), self._step_times(rest))

    def profiled(self, threads: int) -> StepTimes:
        """Where the time goes, on any core and beside whatever else runs."""
        return self._step_times(self._net(["--threads", str(threads), "--profile"], 0)[1:])

    def _net(self, arguments: Sequence[str], seconds: float) -> list[dict[str, object]]:
        records = list(self._device.board(["net", "--model", self._model, *arguments], _TIMEOUT_S + 5 * seconds))
        if not records or "samples_ns" not in records[0]:
            raise DeviceError(
                f"{self._device.name}: {self._choice.file.name}: expected samples from the board, got none"
            )
        return records

    def _step_times(self, records: Sequence[dict[str, object]]) -> StepTimes:
        """The steps of --profile with the names that a latency table has for them."""
        rows = [
            {"name": step.key, "kernel": row["kernel"], "total_ns": row["total_ns"]}
            for step, row in zip(self._steps, records[:-1], strict=True)
        ]
        return StepTimes.from_json({**records[-1], "steps": rows})


def this_computer() -> Device:
    """The board binary here, whatever the user's devices are named.

    Raises:
        DeviceError: it is missing, or does not answer.
    """
    transport = LocalTransport("host")
    try:
        return Device(DeviceDescription("host", "this computer", "local"), transport, INSTALLED)
    except BaseException:
        transport.close()
        raise
