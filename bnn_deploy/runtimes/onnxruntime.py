"""An .onnx file of ours in stock ONNX Runtime, one thread; with our library registered the same file runs faster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from bnn_deploy.errors import FileFormatError, RuntimeUnavailable
from bnn_deploy.export.common import architecture_of
from bnn_deploy.export.onnx import INPUT, OUTPUT, inlined
from bnn_deploy.export.onnx_function import OPERATOR
from bnn_deploy.runtimes.base import Floats, Tap, Trace, check_images, image_shape, integers, reading

Array = npt.NDArray[np.generic]


class OnnxRuntime:
    """An .onnx file, opened.

    Args:
        path: a file of export_onnx.
        library: a library of custom operators to register; None runs the standard operators of the file.

    Raises:
        FileFormatError: no file, no ONNX model, or not one of ours.
        RuntimeUnavailable: onnxruntime is not installed, or the library cannot be loaded.
    """

    def __init__(self, path: str | os.PathLike[str], library: str | os.PathLike[str] | None = None) -> None:
        self._ort = import_onnxruntime()
        self._errors = _error_types()
        self._path = Path(path)
        self._library = library
        self.name = "onnxruntime" if library is None else "onnxruntime+bnn"
        self._model = _load(self._path)
        record = {entry.key: entry.value for entry in self._model.metadata_props}
        self._shape = image_shape(architecture_of(record, self._path))
        self._session = self._open(self._model)

    def run(self, images: Floats) -> Floats:
        """See Runtime.run."""
        return self._predict(self._session, images, [OUTPUT])[0]

    def tensors(self, images: Floats, names: Sequence[str]) -> list[Floats]:
        """The named inner tensors, [N, C, H, W]; they become further outputs of a copy of the model."""
        with reading(self._path):
            model = inlined(self._model)
        model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name != OUTPUT)
        return self._predict(self._open(model), images, list(names))

    def trace(self, images: Floats) -> Trace:
        """See Runtime.trace. The input signs are those of BinaryConv2d's two inputs, compared as it does. Inner
        tensors are those of the inlined body, logits those of the file as it is: with the library, sums are
        BinaryConv2d's and logits Network's, which has no inner tensors to show.
        """
        constants = {initializer.name: initializer for initializer in self._model.graph.initializer}
        with reading(self._path):
            nodes = [node for node in inlined(self._model).graph.node if node.op_type == OPERATOR]
            names = [name for node in nodes for name in (node.input[0], node.output[0])]
            thresholds = [numpy_helper.to_array(constants[node.input[1]]).astype(np.float32) for node in nodes]
        inner = self.tensors(images, names)
        with reading(self._path):
            layers = zip(thresholds, inner[::2], inner[1::2], strict=True)
            return Trace(self.run(images), tuple(_tap(threshold, values, dots) for threshold, values, dots in layers))

    def _open(self, model: onnx.ModelProto) -> object:
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if self._library is not None:
            try:
                options.register_custom_ops_library(os.fspath(self._library))
            except self._errors as exc:
                raise RuntimeUnavailable(f"{self._library}: ONNX Runtime cannot use this library: {exc}") from exc
        try:
            return self._ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except self._errors as exc:
            raise FileFormatError(f"{self._path}: ONNX Runtime refuses it: {exc}") from exc

    def _predict(self, session: object, images: Floats, names: list[str]) -> list[Floats]:
        check_images(images, self._shape)
        channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        try:
            outputs: list[Floats] = session.run(names, {INPUT: channels_first})  # type: ignore[attr-defined]
        except self._errors as exc:
            raise FileFormatError(f"{self._path}: ONNX Runtime cannot run it: {exc}") from exc
        return outputs


def _tap(threshold: Floats, values: Floats, dots: Floats) -> Tap:
    """values [N, C, H, W] and threshold [C] -> input signs; dots [N, O, OH, OW] -> sums."""
    sums = integers(dots.transpose(0, 2, 3, 1), tolerance=0)
    return Tap(values.transpose(0, 2, 3, 1) < threshold, sums, np.ones(sums.shape[-1], np.bool_))


def _load(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load_model_from_string(path.read_bytes())
    except OSError as exc:
        raise FileFormatError(f"{path}: cannot be read: {exc.strerror}") from exc
    except DecodeError as exc:
        raise FileFormatError(f"{path}: not an ONNX model: {exc}") from exc


def _error_types() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: exceptions of its own, which share no base but Exception, and two of Python's."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (*own, RuntimeError, ValueError)


def import_onnxruntime() -> ModuleType:
    """The onnxruntime package.

    Raises:
        RuntimeUnavailable: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as exc:
        raise RuntimeUnavailable('ONNX Runtime is not installed; pip install "bnn-deploy[train]"') from exc
    module: ModuleType = onnxruntime
    return module
