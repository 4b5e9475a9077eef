"""Every runtime that an exported file can be opened in: how to see that it is there, and open its file.

Imports are local, so that a runtime that is not installed hurts nobody who does not ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bnn_deploy import litert_library_path, native_folder, onnx_library_path
from bnn_deploy.errors import RuntimeUnavailable, UnknownName
from bnn_deploy.runtimes.base import Runtime


@dataclass(frozen=True, slots=True)
class RuntimeEntry:
    """How to open the file of a runtime.

    format: of its files, one of export.files.FORMATS. probe: raises RuntimeUnavailable when the runtime is not
    installed. library: of ours, that it loads; called with the name of a machine, None for this one. binary: it knows
    binary layers, so that it can run an exported network.
    """

    format: str
    probe: Callable[[], None]
    open: Callable[[Path], Runtime]
    library: Callable[[str | None], Path] | None = None
    binary: bool = True


def open_runtime(name: str, path: Path) -> Runtime:
    """Open an exported file: "engine" a .bnn; "onnxruntime" and "onnxruntime+bnn" (with our library) an .onnx; "lce",
    "litert+bnn" (with our delegate) and "litert" (which knows no binary layers) a .tflite.

    Raises:
        UnknownName: no such runtime.
        RuntimeUnavailable: it is not installed.
        FileFormatError: not such a file.
    """
    return runtime_entry(name).open(path)


def missing_runtimes(names: Iterable[str] | None = None) -> dict[str, str]:
    """Those of the named runtimes, or of all, that cannot be used here, each with what to do about it."""
    missing = {}
    for name in RUNTIMES if names is None else names:
        try:
            runtime_entry(name).probe()
        except RuntimeUnavailable as exc:
            missing[name] = str(exc)
    return missing


def runtime_entry(name: str) -> RuntimeEntry:
    """The entry of a runtime.

    Raises:
        UnknownName: no such runtime.
    """
    if name not in RUNTIMES:
        raise UnknownName("runtime", name, RUNTIMES)
    return RUNTIMES[name]


def _probe_engine() -> None:
    native_folder()


def _open_engine(path: Path) -> Runtime:
    from bnn_deploy.runtimes.engine import EngineRuntime

    return EngineRuntime(path)


def _probe_onnxruntime() -> None:
    from bnn_deploy.runtimes.sessions import import_onnxruntime

    import_onnxruntime()


def _open_onnxruntime(path: Path) -> Runtime:
    from bnn_deploy.runtimes.onnxruntime import OnnxRuntime

    return OnnxRuntime(path)


def _probe_onnxruntime_bnn() -> None:
    _probe_onnxruntime()
    onnx_library_path()


def _open_onnxruntime_bnn(path: Path) -> Runtime:
    from bnn_deploy.runtimes.onnxruntime import OnnxRuntime

    return OnnxRuntime(path, onnx_library_path())


def _probe_lce() -> None:
    try:
        from bnn_deploy.runtimes.lce import lce_python
    except ImportError as exc:
        raise RuntimeUnavailable(
            f"runtime lce needs {exc.name} to read files; pip install 'bnn-deploy[train]'"
        ) from exc
    lce_python()


def _open_lce(path: Path) -> Runtime:
    from bnn_deploy.runtimes.lce import LceRuntime

    return LceRuntime(path)


def _probe_litert() -> None:
    from bnn_deploy.runtimes.sessions import import_litert

    import_litert()


def _open_litert(path: Path) -> Runtime:
    from bnn_deploy.runtimes.litert import LiteRt

    return LiteRt(path)


def _probe_litert_bnn() -> None:
    _probe_litert()
    litert_library_path()


def _open_litert_bnn(path: Path) -> Runtime:
    from bnn_deploy.runtimes.litert import LiteRt

    return LiteRt(path, litert_library_path())


RUNTIMES: Mapping[str, RuntimeEntry] = {
    "engine": RuntimeEntry("bnn", _probe_engine, _open_engine),
    "onnxruntime": RuntimeEntry("onnx", _probe_onnxruntime, _open_onnxruntime),
    "onnxruntime+bnn": RuntimeEntry("onnx", _probe_onnxruntime_bnn, _open_onnxruntime_bnn, onnx_library_path),
    "lce": RuntimeEntry("tflite", _probe_lce, _open_lce),
    "litert": RuntimeEntry("tflite", _probe_litert, _open_litert, binary=False),
    "litert+bnn": RuntimeEntry("tflite", _probe_litert_bnn, _open_litert_bnn, litert_library_path),
}
BINARY_RUNTIMES = tuple(name for name, entry in RUNTIMES.items() if entry.binary)
