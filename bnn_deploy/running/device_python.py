"""The Python of a device, and a model in a stock runtime there. Nothing of this package needs to be installed on it."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bnn_deploy.errors import BnnDeployError, DeviceError, DeviceLost, FileFormatError, RuntimeUnavailable
from bnn_deploy.latency.measurement import Timings
from bnn_deploy.profiling.transport.base import Transport
from bnn_deploy.profiling.transport.local import LocalTransport
from bnn_deploy.running.choice import Choice
from bnn_deploy.running.place import Bench, Tell
from bnn_deploy.runtimes import stock_worker
from bnn_deploy.runtimes.base import Floats
from bnn_deploy.runtimes.registry import RUNTIMES, runtime_entry
from bnn_deploy.runtimes.step_times import StepTimes

_OLDEST = (3, 10)
_PACKAGES = {
    "onnxruntime": "onnxruntime",
    "ai_edge_litert": "ai-edge-litert",
    "numpy": "numpy",
}  # module -> name for pip
_NEEDS = {"onnxruntime": "onnxruntime", "litert": "ai_edge_litert"}  # runtime without +bnn -> module
_KINDS: Mapping[str, type[BnnDeployError]] = {kind.__name__: kind for kind in (RuntimeUnavailable, FileFormatError)}
_TIMEOUT_S = 300.0  # beside the seconds that were asked for
_IMAGE_TIMEOUT_S = 60.0

_PROBE = """
import importlib.util, json, os, platform, sys
modules, functions = map(json.loads, sys.argv[1:])
found = [name for name in modules if importlib.util.find_spec(name)]
program, of_thread = map(os.readlink, ("/proc/self/exe", "/proc/self/task/%d/exe" % os.getpid()))
emulated = program != of_thread  # see native/doors/board/emulation.cc
libraries = {}
if importlib.util.find_spec("bnn_deploy"):
    import bnn_deploy, bnn_deploy.errors
    for name in functions:
        try:
            libraries[name] = str(getattr(bnn_deploy, name)())
        except (AttributeError, bnn_deploy.errors.RuntimeUnavailable):
            pass  # of an older release, or not built
facts = {"python": sys.version_info[:2], "machine": platform.machine(), "emulated": emulated, "found": found}
print(json.dumps({**facts, "libraries": libraries}))
"""


class DevicePython:
    """What a device's Python has.

    Args:
        name: of the device, for messages.
        transport: to it.
        python: its program; None: python3, and on this computer the Python that runs this.
        core: where programs stay; -1: anywhere.

    Raises:
        RuntimeUnavailable: there is no Python, or it is too old.
        DeviceLost: the connection broke.
    """

    def __init__(self, name: str, transport: Transport, python: str | None = None, core: int = -1) -> None:
        self.name, self._transport, self._core = name, transport, core
        self._python = python or (sys.executable if isinstance(transport, LocalTransport) else "python3")
        try:
            functions = [entry.library.__name__ for entry in RUNTIMES.values() if entry.library]
            asked = [json.dumps(names) for names in (list(_PACKAGES), functions)]
            (line,) = transport.run([self._python, "-c", _PROBE, *asked], _TIMEOUT_S)
            self.facts: Mapping[str, Any] = json.loads(line)
        except DeviceLost:
            raise
        except (DeviceError, ValueError) as exc:
            raise RuntimeUnavailable(
                f"{name}: .onnx and .tflite files need Python there, and {self._python} does not work ({exc}); install "
                "it, name another with --python, or take the network's .bnn file, which needs nothing"
            ) from exc
        if tuple(self.facts["python"]) < _OLDEST:
            version, oldest = (".".join(map(str, numbers)) for numbers in (self.facts["python"], _OLDEST))
            raise RuntimeUnavailable(
                f"{name}: expected Python {oldest} or later, {self._python} is {version}; name another with --python, "
                "or take the network's .bnn file"
            )

    def missing(self, runtime: str) -> str | None:
        """See place.Place."""
        needed = ["numpy", _NEEDS[runtime.removesuffix("+bnn")]]
        if lacking := [_PACKAGES[module] for module in needed if module not in self.facts["found"]]:
            return (
                f"{self.name}: its {self._python} has no {' and no '.join(lacking)}; there, `{self._python} -m pip "
                f"install {' '.join(lacking)}`, or name another Python with --python, or take the network's .bnn file"
            )
        try:
            self._library(runtime)
        except RuntimeUnavailable as exc:
            return f"{self.name}: {exc}, here or there; or take the network's .bnn file, which needs no library"
        return None

    def ask(
        self, do: str, choices: Sequence[Choice], timeout_s: float, *, threads: int = 1, **more: object
    ) -> Iterator[dict[str, Any]]:
        """The answers of stock_worker to a request about one file.

        Raises:
            RuntimeUnavailable, FileFormatError: as there.
            DeviceError: the device failed, or the worker in another way.
        """
        request = {
            "do": do,
            "model": self._transport.push(choices[0].file),
            "runtimes": {choice.runtime: self._pushed_library(choice.runtime) for choice in choices},
            "threads": threads,
            "core": self._core if threads == 1 else -1,
            **more,
        }
        with tempfile.TemporaryDirectory(prefix="bnn-request-") as folder:
            path, worker = Path(folder) / "request.json", Path(folder) / "stock_worker.zip"
            path.write_text(json.dumps(request))
            worker.write_bytes(stock_worker.archive())
            argv = [self._python, self._transport.push(worker), self._transport.push(path)]
            for line in self._transport.run(argv, timeout_s):
                yield self._record(line)

    def push(self, path: Path) -> str:
        """See Transport.push."""
        return self._transport.push(path)

    def pull(self, remote: str, path: Path) -> None:
        """See Transport.pull."""
        self._transport.pull(remote, path)

    def _record(self, line: str) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(line)
        except ValueError as exc:
            raise DeviceError(f"{self.name}: expected a JSON line from {self._python}, got {line.strip()!r}") from exc
        if "error" in record:
            raise _KINDS.get(record["kind"], DeviceError)(f"{self.name}: {record['error']}")
        return record

    def _library(self, runtime: str) -> Path | str | None:
        """One of this installation, else the path there of that of the device's own."""
        library = runtime_entry(runtime).library
        if library is None:
            return None
        try:
            return library(str(self.facts["machine"]))
        except RuntimeUnavailable:
            if installed := self.facts["libraries"].get(library.__name__):
                return str(installed)
            raise

    def _pushed_library(self, runtime: str) -> str | None:
        library = self._library(runtime)
        return self._transport.push(library) if isinstance(library, Path) else library


class StockModel:
    """A file in a stock runtime on a device; see place.Model."""

    def __init__(self, python: DevicePython, choice: Choice) -> None:
        self._python, self._choice = python, choice

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        """See place.Model."""
        (record,) = self._python.ask("describe", [self._choice], _TIMEOUT_S)
        height, width, channels = record["shape"]
        return height, width, channels

    def run(self, images: Floats) -> Floats:
        """See place.Model."""
        with tempfile.TemporaryDirectory(prefix="bnn-run-") as folder:
            source, result = Path(folder) / "images.npy", Path(folder) / "logits.npy"
            np.save(source, images)
            timeout_s, images_there = _TIMEOUT_S + _IMAGE_TIMEOUT_S * len(images), self._python.push(source)
            list(self._python.ask("run", [self._choice], timeout_s, images=images_there, output=result.name))
            self._python.pull(result.name, result)
            logits: Floats = np.load(result, allow_pickle=False)
            return logits


def bench_stock(
    python: DevicePython, choices: Sequence[Choice], threads: int, seconds: float, tell: Tell
) -> list[Bench]:
    """Latencies of one file in several stock runtimes, whose samples are taken in turns."""
    timeout_s, result = _TIMEOUT_S + 5 * seconds * len(choices), {}
    names = ", ".join(choice.runtime for choice in choices)
    for record in python.ask("bench", choices, timeout_s, threads=threads, seconds=seconds):
        if "bench" in record:
            result = record["bench"]
        else:
            tell(record["done"], record["total"], names)
    return [_bench(choice, result[choice.runtime]) for choice in choices]


def _bench(choice: Choice, data: Mapping[str, Any]) -> Bench:
    timings = Timings(data["iterations"], tuple(data["samples_ns"]))
    steps = None if data["steps"] is None else StepTimes.from_json(data["steps"])
    return Bench(choice, timings, data["warmup_ns"], steps)
