"""Which build of the board binary runs on a kind of machine.

This computer's is installed with the package. For another machine a wheel may carry one (`make wheels`); else it is
built from the checkout, once for each state of the sources and of the compiler, and kept in the cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bnn_deploy import _native
from bnn_deploy.errors import DeviceError
from bnn_deploy.journal import write_atomically

INSTALLED = Path(_native.__file__).parent / "bin" / "bnn-board"  # beside the extension module: of this computer
MACHINES = ("x86_64", "aarch64")

_CHECKOUT = Path(__file__).resolve().parents[2]
_BUILT_FROM = ("CMakeLists.txt", "cmake", "native")
_BUILD_TIMEOUT_S = 1800.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CrossCompiler:
    """How to build for another machine.

    Args:
        name: for messages.
        version: what it calls itself; another version makes another binary.
        toolchain: file of the checkout's cmake/.
        environment: variables that the toolchain file reads.
    """

    name: str
    version: str
    toolchain: str
    environment: Mapping[str, str] = field(default_factory=dict)


def board_binary(machine: str) -> Path:
    """The binary for a machine, as `uname -m` calls it. Building it takes about a minute, the first time.

    Raises:
        DeviceError: there is none, and none can be built here; the message says what to install.
    """
    if machine not in MACHINES:
        raise DeviceError(f"no board binary for {machine!r}: the kernels are for {' and '.join(MACHINES)}")
    if machine == platform.machine():
        if not INSTALLED.is_file():
            raise DeviceError(f"{INSTALLED}: the board binary is missing; install the package again (`pip install .`)")
        return INSTALLED
    carried = INSTALLED.with_name(f"bnn-board-{machine}")
    return carried if carried.is_file() else _cross_built(machine, _CHECKOUT)


def _cross_built(machine: str, checkout: Path) -> Path:
    if not all((checkout / name).exists() for name in _BUILT_FROM):
        raise DeviceError(
            f"this installation of bnn-deploy has no board binary for {machine}, and no sources to build it from; "
            f"install a wheel that carries it (`make wheels` in a checkout makes one), or work in a checkout"
        )
    compiler = find_compiler(machine)
    cached = _cache() / f"bnn-board-{machine}-{_key(checkout, compiler)}"
    with _alone(cached):
        if not cached.is_file():
            _LOG.warning("building bnn-board for %s with %s, once: about a minute", machine, compiler.name)
            write_atomically(cached, _build(checkout, compiler))
        cached.chmod(0o755)
    return cached


def find_compiler(machine: str) -> CrossCompiler:
    """The system's cross compiler, else the one of the package ziglang, which needs no administrator.

    Raises:
        DeviceError: neither is installed.
    """
    gcc = f"{machine}-linux-gnu-g++"
    if found := shutil.which(gcc):
        return CrossCompiler(gcc, _version([found, "--version"]), f"{machine}-linux-gnu.cmake")
    ziglang = importlib.util.find_spec("ziglang")
    # Its runtime for x86-64 cannot tell what the processor has.
    if machine == "aarch64" and ziglang is not None and ziglang.origin is not None:
        zig = Path(ziglang.origin).parent / "zig"
        return CrossCompiler(
            "ziglang", _version([str(zig), "version"]), "aarch64-linux-musl.cmake", {"BNN_ZIG": str(zig)}
        )
    packages = f"`apt-get install g++-{machine.replace('_', '-')}-linux-gnu`"
    if machine == "aarch64":
        packages += " or `pip install ziglang`"
    raise DeviceError(f"no compiler for {machine} here to build the board binary with; install one: {packages}")


def _version(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeviceError(f"{command[0]}: does not run: {done.stderr.strip()}")
    return done.stdout.partition("\n")[0]


def _key(checkout: Path, compiler: CrossCompiler) -> str:
    """Changes with the compiler and the sources, and with the revision that the binary tells."""
    revision = _run([_tool("cmake"), "-D", f"FOLDER={checkout}", "-P", str(checkout / "cmake" / "sources.cmake")])
    digest = hashlib.sha256(f"{compiler.name}\n{compiler.version}\n{revision}".encode())
    for name in _BUILT_FROM:
        folder = checkout / name
        for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
            if path.is_file():
                digest.update(f"\n{path.relative_to(checkout)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _build(checkout: Path, compiler: CrossCompiler) -> bytes:
    cmake, ninja = _tool("cmake"), _find("ninja")
    with tempfile.TemporaryDirectory(prefix="bnn-board-") as folder:
        configure = [cmake, "-S", str(checkout), "-B", folder, "-D", "BNN_TESTS=OFF", "-D", "CMAKE_BUILD_TYPE=Release"]
        configure += ["-D", f"CMAKE_TOOLCHAIN_FILE={checkout / 'cmake' / compiler.toolchain}"]
        configure += ["-G", "Ninja", "-D", f"CMAKE_MAKE_PROGRAM={ninja}"] if ninja else ["-G", "Unix Makefiles"]
        _run(configure, compiler.environment)
        _run([cmake, "--build", folder, "--target", "bnn-board", "--parallel"], compiler.environment)
        return (Path(folder) / "bnn-board").read_bytes()


def _find(tool: str) -> str | None:
    """In this Python's environment, or on the PATH."""
    beside = Path(sys.executable).parent / tool
    return str(beside) if beside.is_file() else shutil.which(tool)


def _tool(tool: str) -> str:
    found = _find(tool)
    if found is None:
        raise DeviceError(f"{tool} is needed to build the board binary; install it: `pip install cmake ninja`")
    return found


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_BUILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise DeviceError(f"building the board binary took more than {_BUILD_TIMEOUT_S:.0f} s; stopped") from exc
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-20:])
        raise DeviceError(f"the board binary cannot be built: `{' '.join(command)}` said:\n{tail}")
    return done.stdout


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bnn-deploy"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process and thread at a time; several boards of a kind may be opened at once."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise DeviceError(
            f"{lock.parent}: cannot keep a built board binary there ({exc.strerror}); set XDG_CACHE_HOME to a folder "
            "that can be written"
        ) from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
