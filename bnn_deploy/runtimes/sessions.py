"""A model opened in stock ONNX Runtime or LiteRT: numpy, the runtime and bnn_deploy.errors are all that this needs.

    OnnxSession      "onnxruntime", and with our library "onnxruntime+bnn"
    LiteRtSession    "litert", and with our delegate "litert+bnn"

Example:
    >>> session = OnnxSession(Path("model.onnx"))                   # doctest: +SKIP
    >>> session.run(images)                                         # doctest: +SKIP
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from bnn_deploy.errors import FileFormatError, RuntimeUnavailable

Floats = npt.NDArray[np.float32]
Call = Callable[[], object]

_KERNEL_TIME = "_kernel_time"  # ends the name of a node in ONNX Runtime's profile


@dataclass(frozen=True, slots=True)
class Profile:
    """What a runtime's profiler tells.

    Args:
        threads: whose times are added up.
        steps: {"name", "total_ns"} and what else the runtime tells.
    """

    threads: int
    steps: Sequence[Mapping[str, object]]


class Session(ABC):
    """An opened model; its images are float32 [N, H, W, C], whatever the layout inside.

    Args:
        model: the file, or its bytes.
        library: of ours, for the runtime; None for none.
        threads: of one run.
        profile: where the runtime keeps its profile; None for no profile.
        name: what messages call the model; None: its path.

    Raises:
        RuntimeUnavailable: the runtime is not installed, or cannot use the library.
        FileFormatError: it refuses the model.
    """

    def __init__(
        self,
        model: Path | bytes,
        library: Path | None = None,
        threads: int = 1,
        profile: Path | None = None,
        *,
        name: str | None = None,
    ) -> None:
        self._name = name or ("model" if isinstance(model, bytes) else str(model))
        self._open(model, library, threads, profile)

    @abstractmethod
    def _open(self, model: Path | bytes, library: Path | None, threads: int, profile: Path | None) -> None:
        """Makes the runtime's session."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of an image."""

    @abstractmethod
    def run(self, images: Floats) -> Floats:
        """The first output, [N, ...].

        Raises:
            FileFormatError: the runtime cannot run the model.
        """

    @abstractmethod
    def placed(self, image: Floats) -> Call:
        """What to time: a run of an image [1, H, W, C] that stands in place."""

    @abstractmethod
    def end_profile(self) -> Profile:
        """Its profile; ends the session."""


class OnnxSession(Session):
    """See Session."""

    def _open(self, model: Path | bytes, library: Path | None, threads: int, profile: Path | None) -> None:
        runtime = import_onnxruntime()
        self._errors = _onnxruntime_errors()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if profile is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(profile)
        if library is not None:
            try:
                options.register_custom_ops_library(str(library))
            except self._errors as exc:
                raise RuntimeUnavailable(f"{library}: ONNX Runtime cannot use this library: {exc}") from exc
        try:
            source = model if isinstance(model, bytes) else str(model)
            self._session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except self._errors as exc:
            raise FileFormatError(f"{self._name}: ONNX Runtime refuses it: {exc}") from exc
        self.record: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map

    @property
    def shape(self) -> tuple[int, int, int]:
        """See Session.

        Raises:
            FileFormatError: the model's input has another form.
        """
        inputs = self._session.get_inputs()
        sizes = inputs[0].shape[1:] if len(inputs) == 1 and inputs[0].type == "tensor(float)" else []
        if len(sizes) != 3 or not all(isinstance(size, int) for size in sizes):
            raise FileFormatError(f"{self._name}: expected one input, float32 [N, C, H, W] of a fixed size")
        channels, height, width = sizes
        return height, width, channels

    def run(self, images: Floats) -> Floats:
        """See Session."""
        return self.outputs(images)[0]

    def outputs(self, images: Floats, names: Sequence[str] | None = None) -> list[Floats]:
        """The named outputs, or all of them."""
        try:
            outputs: list[Floats] = self._session.run(names, self._inputs(images))
        except self._errors as exc:
            raise FileFormatError(f"{self._name}: ONNX Runtime cannot run it: {exc}") from exc
        return outputs

    def placed(self, image: Floats) -> Call:
        """See Session."""
        session, inputs = self._session, self._inputs(image)
        return lambda: session.run(None, inputs)

    def end_profile(self) -> Profile:
        """See Session. A step is a node, its "kernel" the operator; each duration is that of the thread which waits for
        the others, cut to whole microseconds."""
        events = json.loads(Path(self._session.end_profiling()).read_text())
        steps: dict[str, dict[str, Any]] = {}
        for event in events:
            if event["cat"] == "Node" and event["name"].endswith(_KERNEL_TIME):
                name = event["name"].removesuffix(_KERNEL_TIME)
                step = steps.setdefault(name, {"name": name, "kernel": event["args"]["op_name"], "total_ns": 0})
                step["total_ns"] += 1000 * event["dur"]
        return Profile(1, list(steps.values()))

    def _inputs(self, images: Floats) -> dict[str, Floats]:
        return {self._session.get_inputs()[0].name: np.ascontiguousarray(images.transpose(0, 3, 1, 2))}


class LiteRtSession(Session):
    """See Session. Images run one after another."""

    def _open(self, model: Path | bytes, library: Path | None, threads: int, profile: Path | None) -> None:
        runtime = import_litert()
        self._profile = profile
        delegates = []
        if library is not None:
            options = {"threads": str(threads)} | ({"profile": str(profile)} if profile else {})
            try:
                delegates.append(runtime.load_delegate(str(library), options))
            except (AttributeError, OSError, ValueError) as exc:
                reason = str(exc).removeprefix(f"Failed to load delegate from {library}\n")
                raise RuntimeUnavailable(f"{library}: LiteRT cannot use this library: {reason}") from exc
        try:
            source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
            self._interpreter = runtime.Interpreter(
                **source, num_threads=threads, experimental_delegates=delegates or None
            )
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as exc:
            raise FileFormatError(f"{self._name}: LiteRT refuses it: {_explained(str(exc), library)}") from exc

    @property
    def shape(self) -> tuple[int, int, int]:
        """See Session.

        Raises:
            FileFormatError: the model's input has another form.
        """
        inputs = self._interpreter.get_input_details()
        sizes = inputs[0]["shape"].tolist() if len(inputs) == 1 and inputs[0]["dtype"] == np.float32 else []
        if len(sizes) != 4 or sizes[0] != 1:
            raise FileFormatError(f"{self._name}: expected one input, float32 [1, H, W, C]")
        height, width, channels = sizes[1:]
        return height, width, channels

    def run(self, images: Floats) -> Floats:
        """See Session."""
        logits: Floats = self.outputs(images)[0]
        return logits

    def outputs(self, images: Floats) -> list[npt.NDArray[Any]]:
        """All outputs."""
        tensors = [output["index"] for output in self._interpreter.get_output_details()]
        runs = []
        try:
            for image in images:
                self.placed(image[np.newaxis])()
                runs.append([self._interpreter.get_tensor(tensor) for tensor in tensors])
        except (RuntimeError, ValueError) as exc:
            raise FileFormatError(f"{self._name}: LiteRT cannot run it: {exc}") from exc
        return [np.concatenate(rows) for rows in zip(*runs, strict=True)]

    def placed(self, image: Floats) -> Call:
        """See Session."""
        self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], image)
        call: Call = self._interpreter.invoke
        return call

    def end_profile(self) -> Profile:
        """See Session. The delegate writes it when the interpreter is closed."""
        assert self._profile is not None
        self._interpreter = None
        profile = json.loads(self._profile.read_text())
        return Profile(profile["threads"], profile["steps"])


SESSIONS: Mapping[str, type[Session]] = {
    "onnxruntime": OnnxSession,
    "onnxruntime+bnn": OnnxSession,
    "litert": LiteRtSession,
    "litert+bnn": LiteRtSession,
}


def random_image(shape: tuple[int, int, int]) -> Floats:
    """What to time on: float32 [1, H, W, C] in [-1, 1], always the same for a shape."""
    return np.random.default_rng(0).uniform(-1, 1, (1, *shape)).astype(np.float32)


def import_onnxruntime() -> ModuleType:
    """The onnxruntime package.

    Raises:
        RuntimeUnavailable: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as exc:
        raise RuntimeUnavailable(f"ONNX Runtime is not installed ({exc}); pip install onnxruntime") from exc
    module: ModuleType = onnxruntime
    return module


def import_litert() -> ModuleType:
    """The interpreter's module of the package ai-edge-litert.

    Raises:
        RuntimeUnavailable: it is not installed.
    """
    try:
        from ai_edge_litert import interpreter
    except ImportError as exc:
        raise RuntimeUnavailable(f"LiteRT is not installed ({exc}); pip install ai-edge-litert") from exc
    module: ModuleType = interpreter
    return module


def _onnxruntime_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: exceptions of its own, which share no base but Exception, and two of Python's."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (*own, RuntimeError, ValueError)


def _explained(complaint: str, library: Path | None) -> str:
    if library is not None or "custom op" not in complaint:
        return complaint
    reason = complaint.splitlines()[0].rstrip(".")
    return f"{reason}; LiteRT alone knows no binary layers: take runtime litert+bnn or lce, or the network's .bnn file"
