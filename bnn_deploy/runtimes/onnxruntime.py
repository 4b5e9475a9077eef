"""An .onnx file of ours in stock ONNX Runtime, one thread; with our library registered the same file runs faster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bnn_deploy.errors import FileFormatError
from bnn_deploy.export.common import architecture_of
from bnn_deploy.runtimes.base import Floats, Tap, Trace, check_images, image_shape, integers, reading
from bnn_deploy.runtimes.sessions import OnnxSession

if TYPE_CHECKING:
    import onnx

OUTPUT = "logits"  # of export.onnx, which needs the package onnx, as only traces do here


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
        self._path = Path(path)
        self._library = None if library is None else Path(library)
        self.name = "onnxruntime" if library is None else "onnxruntime+bnn"
        self._data = _read(self._path)
        self._session = self._open(self._data)
        self.image_shape = image_shape(architecture_of(self._session.record, self._path))

    def run(self, images: Floats) -> Floats:
        """See Runtime.run."""
        return self._predict(self._session, images, [OUTPUT])[0]

    def tensors(self, images: Floats, names: Sequence[str]) -> list[Floats]:
        """The named inner tensors, [N, C, H, W]; they become further outputs of a copy of the model."""
        import onnx

        from bnn_deploy.export.onnx import inlined

        with reading(self._path):
            model = inlined(self._model())
        model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name != OUTPUT)
        return self._predict(self._open(model.SerializeToString()), images, list(names))

    def trace(self, images: Floats) -> Trace:
        """See Runtime.trace. The input signs are those of BinaryConv2d's two inputs, compared as it does. Inner
        tensors are those of the inlined body, logits those of the file as it is: with the library, sums are
        BinaryConv2d's and logits Network's, which has no inner tensors to show.
        """
        from onnx import numpy_helper

        from bnn_deploy.export.onnx import inlined
        from bnn_deploy.export.onnx_function import OPERATOR

        model = self._model()
        constants = {initializer.name: initializer for initializer in model.graph.initializer}
        with reading(self._path):
            nodes = [node for node in inlined(model).graph.node if node.op_type == OPERATOR]
            names = [name for node in nodes for name in (node.input[0], node.output[0])]
            thresholds = [numpy_helper.to_array(constants[node.input[1]]).astype(np.float32) for node in nodes]
        inner = self.tensors(images, names)
        with reading(self._path):
            layers = zip(thresholds, inner[::2], inner[1::2], strict=True)
            return Trace(self.run(images), tuple(_tap(threshold, values, dots) for threshold, values, dots in layers))

    def _open(self, model: bytes) -> OnnxSession:
        return OnnxSession(model, self._library, name=str(self._path))

    def _model(self) -> onnx.ModelProto:
        import onnx

        return onnx.load_model_from_string(self._data)

    def _predict(self, session: OnnxSession, images: Floats, names: list[str]) -> list[Floats]:
        check_images(images, self.image_shape)
        return session.outputs(images, names)


def _tap(threshold: Floats, values: Floats, dots: Floats) -> Tap:
    """values [N, C, H, W] and threshold [C] -> input signs; dots [N, O, OH, OW] -> sums."""
    sums = integers(dots.transpose(0, 2, 3, 1), tolerance=0)
    return Tap(values.transpose(0, 2, 3, 1) < threshold, sums, np.ones(sums.shape[-1], np.bool_))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise FileFormatError(f"{path}: cannot be read: {exc.strerror}") from exc
