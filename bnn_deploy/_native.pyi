"""Typing of the extension native/doors/python.cc. Arrays are C-contiguous and of exactly the dtype named.

Errors: ValueError for a bad shape or a malformed file, KeyError for an unknown kernel, RuntimeError for a kernel that
this CPU or a shape cannot use, MemoryError.
"""

from typing import TypedDict

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float32]
_Words = npt.NDArray[np.uint64]
_Sums = npt.NDArray[np.int32]

class KernelRow(TypedDict):
    name: str
    method: str
    isa: str
    supported: bool

class StepTrace(TypedDict):
    kind: str
    kernel: str
    sums: _Sums | None
    values: _Floats | None
    bits: _Words | None

def build_info() -> dict[str, str]: ...
def isas() -> list[str]: ...
def kernels() -> list[KernelRow]: ...
def pack_bits(x: _Floats) -> _Words: ...
def unpack_bits(words: _Words, channels: int) -> _Floats: ...
def bconv2d(input: _Words, weights: _Words, channels: int, stride: int, groups: int, kernel: str | None) -> _Sums: ...
def check_bnn(data: bytes) -> tuple[int, bool]: ...

class Network:
    def __init__(self, data: bytes, kernel: str | None, threads: int) -> None: ...
    @property
    def image_shape(self) -> tuple[int, int, int]: ...
    @property
    def arena_bytes(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def kernels(self) -> list[str]: ...
    def run(self, images: _Floats) -> _Floats: ...
    def trace(self, image: _Floats) -> list[StepTrace]: ...
