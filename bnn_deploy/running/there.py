"""A device: .bnn files by the board binary, .onnx and .tflite files in the device's own Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property

from bnn_deploy.errors import UnknownName
from bnn_deploy.profiling.description import device_descriptions
from bnn_deploy.profiling.device import Device, open_device, open_transport
from bnn_deploy.running.board import BoardModel
from bnn_deploy.running.choice import Choice
from bnn_deploy.running.device_python import DevicePython, StockModel, bench_stock
from bnn_deploy.running.place import Bench, Model, Tell
from bnn_deploy.runtimes.sessions import SESSIONS


class There:
    """See place.Place. The device is reached when something is asked of it.

    Args:
        name: of the device.
        python: see DevicePython.

    Raises:
        UnknownName: no such device.
    """

    def __init__(self, name: str, python: str | None = None) -> None:
        known = device_descriptions()
        if name not in known:
            raise UnknownName("device", name, known)
        self._entry, self._program = known[name], python
        self._stack = ExitStack()

    def missing(self, runtime: str) -> str | None:
        """See place.Place."""
        if runtime == "engine":
            return None
        if runtime not in SESSIONS:
            return f"runtime {runtime} runs on this computer only, not on {self._entry.name}; take litert+bnn there"
        return self._python.missing(runtime)

    def open(self, choice: Choice) -> Model:
        """See place.Place."""
        if choice.runtime == "engine":
            return BoardModel(self._device, choice)
        return StockModel(self._python, choice)

    def bench(self, choices: Sequence[Choice], threads: int, seconds: float, tell: Tell) -> list[Bench]:
        """See place.Place. Runtimes of one file take turns, files come one after another."""
        found: dict[Choice, Bench] = {}
        for file in dict.fromkeys(choice.file for choice in choices):
            group = [choice for choice in choices if choice.file == file]
            if group[0].runtime == "engine":
                tell(0, seconds, "engine")
                model = BoardModel(self._device, group[0])
                benches = [model.bench(threads, seconds, lambda text: tell(0, seconds, text))]
                tell(seconds, seconds, "engine")
            else:
                benches = bench_stock(self._python, group, threads, seconds, tell)
            found |= zip(group, benches, strict=True)
        return [found[choice] for choice in choices]

    def facts(self) -> Mapping[str, object]:
        """See place.Place."""
        if "_device" in self.__dict__:
            return self._device.facts
        return self._python.facts

    def close(self) -> None:
        """See place.Place."""
        self._stack.close()

    @cached_property
    def _device(self) -> Device:
        return self._stack.enter_context(open_device(self._entry.name))

    @cached_property
    def _python(self) -> DevicePython:
        transport = open_transport(self._entry)
        self._stack.callback(transport.close)
        return DevicePython(self._entry.name, transport, self._program, self._entry.core)
