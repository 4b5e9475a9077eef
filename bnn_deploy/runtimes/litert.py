"""A .tflite file in stock LiteRT (the package ai-edge-litert), one thread; with our delegate it runs binary layers."""

from __future__ import annotations

import os
from pathlib import Path

from bnn_deploy.runtimes.base import Floats, Trace, check_images
from bnn_deploy.runtimes.sessions import LiteRtSession


class LiteRt:
    """A .tflite file, opened.

    Args:
        path: a file of export_tflite, which needs the delegate; or any other model of one float32 image.
        library: of the delegate (bnn_deploy.litert_library_path); None: only files without operators of LCE can be run.

    Raises:
        FileFormatError: no file, no .tflite model, or operators that nobody here knows.
        RuntimeUnavailable: ai-edge-litert is not installed, or the library cannot be loaded.
    """

    def __init__(self, path: str | os.PathLike[str], library: str | os.PathLike[str] | None = None) -> None:
        self.name = "litert" if library is None else "litert+bnn"
        self._path, self._library = Path(path), None if library is None else Path(library)
        self._session = LiteRtSession(self._path, self._library)
        self.image_shape = self._session.shape

    def run(self, images: Floats) -> Floats:
        """See Runtime.run."""
        check_images(images, self.image_shape)
        return self._session.run(images)

    def trace(self, images: Floats) -> Trace:
        """See Runtime.trace. Inner tensors are those of a copy of the file with them as outputs, logits those of the
        file as it is, in which the delegate runs the network as one operator.
        """
        from bnn_deploy.runtimes.tflite_file import TfliteFile
        from bnn_deploy.runtimes.tflite_taps import TfliteTaps

        logits, taps = self.run(images), TfliteTaps(TfliteFile(self._path))
        session = LiteRtSession(taps.model(), self._library, name=str(self._path))
        return Trace(logits, taps.read(session.outputs(images)))
