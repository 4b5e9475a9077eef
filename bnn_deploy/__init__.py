"""From a latency budget on a real board to a trained 1-bit MobileNet that runs there."""

from __future__ import annotations

import platform
from pathlib import Path

from bnn_deploy.errors import RuntimeUnavailable

__version__ = "0.1.0"


def onnx_library_path(machine: str | None = None) -> Path:
    """The library with which stock ONNX Runtime, from 1.17 on, runs an exported .onnx at the engine's speed.

    Args:
        machine: that runs it, as `uname -m` calls it; None: this one.

    Raises:
        RuntimeUnavailable: it is not installed.

    Example:
        >>> options = onnxruntime.SessionOptions()                                      # doctest: +SKIP
        >>> options.register_custom_ops_library(str(bnn_deploy.onnx_library_path()))    # doctest: +SKIP
        >>> session = onnxruntime.InferenceSession("model.onnx", options)               # doctest: +SKIP
    """
    return _library("libbnn_onnxruntime.so", machine)


def litert_library_path(machine: str | None = None) -> Path:
    """The delegate with which stock LiteRT (ai-edge-litert) runs an exported .tflite at the engine's speed.

    Args:
        machine: that runs it, as `uname -m` calls it; None: this one.

    Raises:
        RuntimeUnavailable: it is not installed.

    Example:
        >>> from ai_edge_litert import interpreter                                      # doctest: +SKIP
        >>> delegate = interpreter.load_delegate(str(bnn_deploy.litert_library_path()), {"threads": "2"})
        ...                                                                             # doctest: +SKIP
        >>> model = interpreter.Interpreter("model.tflite", experimental_delegates=[delegate])  # doctest: +SKIP
    """
    return _library("libbnn_litert.so", machine)


def native_folder() -> Path:
    """Where the compiled parts of this package are installed.

    Raises:
        RuntimeUnavailable: nowhere.
    """
    try:
        from bnn_deploy import _native
    except ImportError as exc:
        raise RuntimeUnavailable(f"this package's extension module is not built ({exc}); pip install .") from exc
    return Path(_native.__file__).parent


def _library(name: str, machine: str | None) -> Path:
    folder = native_folder() / "lib"
    if machine is None or machine == platform.machine():
        path = folder / name
        advice = "this library is not built; install the package again (`pip install .`)"
    else:
        path = folder / machine / name
        advice = (
            f"this installation has no such library for {machine}; copy there what `pip install .` builds on one, or "
            "install a wheel that carries it (`make wheels`)"
        )
    if not path.is_file():
        raise RuntimeUnavailable(f"{path}: missing: {advice}")
    return path
