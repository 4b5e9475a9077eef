"""From a latency budget on a real board to a trained 1-bit MobileNet that runs there."""

from __future__ import annotations

from pathlib import Path

from bnn_deploy.errors import RuntimeUnavailable

__version__ = "0.1.0"


def onnx_library_path() -> Path:
    """The library with which stock ONNX Runtime, from 1.17 on, runs an exported .onnx at the engine's speed.

    Raises:
        RuntimeUnavailable: it is not installed.

    Example:
        >>> options = onnxruntime.SessionOptions()                                      # doctest: +SKIP
        >>> options.register_custom_ops_library(str(bnn_deploy.onnx_library_path()))    # doctest: +SKIP
        >>> session = onnxruntime.InferenceSession("model.onnx", options)               # doctest: +SKIP
    """
    return _library("libbnn_onnxruntime.so")


def litert_library_path() -> Path:
    """The delegate with which stock LiteRT runs an exported .tflite, or LCE's own, at the engine's speed.

    Raises:
        RuntimeUnavailable: it is not installed.

    Example:
        >>> delegate = load_delegate(str(bnn_deploy.litert_library_path()))             # doctest: +SKIP
        >>> interpreter = Interpreter("model.tflite", experimental_delegates=[delegate])    # doctest: +SKIP
    """
    return _library("libbnn_litert.so")


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


def _library(name: str) -> Path:
    path = native_folder() / "lib" / name
    if not path.is_file():
        raise RuntimeUnavailable(f"{path}: missing; install the package again (`pip install .`)")
    return path
