"""This computer: every runtime is called from this Python, LCE's from its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

from bnn_deploy.errors import FileFormatError
from bnn_deploy.latency.measurement import Timings
from bnn_deploy.profiling.device import Device
from bnn_deploy.running.board import BoardModel, this_computer
from bnn_deploy.running.choice import Choice
from bnn_deploy.running.place import Bench, Model, Tell
from bnn_deploy.runtimes.registry import missing_runtimes, open_runtime, runtime_entry
from bnn_deploy.runtimes.sessions import SESSIONS, random_image
from bnn_deploy.runtimes.step_times import StepTimes, profiled
from bnn_deploy.runtimes.timing import Sampler, interleaved, sampler


class Here:
    """See place.Place."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def missing(self, runtime: str) -> str | None:
        """See place.Place."""
        return missing_runtimes([runtime]).get(runtime)

    def open(self, choice: Choice) -> Model:
        """See place.Place."""
        return open_runtime(choice.runtime, choice.file)

    def bench(self, choices: Sequence[Choice], threads: int, seconds: float, tell: Tell) -> list[Bench]:
        """See place.Place. Samples of all are taken in turns."""
        names = ", ".join(choice.runtime for choice in choices)
        with ExitStack() as stack:
            samplers = {choice.runtime: stack.enter_context(_sampler(choice, threads)) for choice in choices}
            timed = interleaved(samplers, seconds, tell=lambda done, total: tell(done, total, names))
        found = []
        for choice in choices:
            samples = timed[choice.runtime]
            timings = Timings(samples.iterations, tuple(samples.samples_ns))
            found.append(Bench(choice, timings, samples.warmup_ns, self._steps(choice, threads)))
        return found

    def facts(self) -> Mapping[str, object]:
        """See place.Place."""
        return self._device.facts

    def close(self) -> None:
        """See place.Place."""
        self._stack.close()

    @cached_property
    def _device(self) -> Device:
        return self._stack.enter_context(this_computer())

    def _steps(self, choice: Choice, threads: int) -> StepTimes | None:
        if choice.runtime == "engine":
            return BoardModel(self._device, choice).profiled(threads)
        if choice.runtime not in SESSIONS:
            return None
        return profiled(choice.runtime, choice.file, _library(choice.runtime), threads)


@contextmanager
def _sampler(choice: Choice, threads: int) -> Iterator[Sampler]:
    """Times runs of one image."""
    if choice.runtime == "engine":
        from bnn_deploy.engine.network import Network

        try:
            network = Network.open(choice.file, threads=threads)
        except OSError as exc:
            raise FileFormatError(f"{choice.file}: cannot be read: {exc.strerror}") from exc
        image = random_image(network.image_shape)
        yield sampler(lambda: network.run(image))
    elif choice.runtime == "lce":
        from bnn_deploy.runtimes.lce import LceRuntime

        with LceRuntime(choice.file).sampler(threads) as sample:
            yield sample
    else:
        session = SESSIONS[choice.runtime](choice.file, _library(choice.runtime), threads)
        yield sampler(session.placed(random_image(session.shape)))


def _library(runtime: str) -> Path | None:
    library = runtime_entry(runtime).library
    return None if library is None else library(None)
