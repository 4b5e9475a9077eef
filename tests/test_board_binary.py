"""Which board binary a machine gets: the installed one, one that a wheel carries, or one built here and kept."""

from __future__ import annotations

import platform
import subprocess
import threading
from pathlib import Path

import pytest

from bnn_deploy.errors import DeviceError
from bnn_deploy.profiling import board_binary as module
from bnn_deploy.profiling.board_binary import INSTALLED, MACHINES, board_binary, find_compiler

OTHER = next(machine for machine in MACHINES if machine != platform.machine())

# A compiler that leaves a mark for every build of a small checkout; CMake, Ninja and the cache are the real ones.
CMAKE_LISTS = """
cmake_minimum_required(VERSION 3.18)
project(small LANGUAGES CXX)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
add_executable(bnn-board native/board.cc)
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose toolchain is this computer's compiler; an empty cache; nothing carried."""
    folder = tmp_path / "checkout"
    (folder / "cmake").mkdir(parents=True)
    (folder / "native").mkdir()
    (folder / "CMakeLists.txt").write_text(CMAKE_LISTS)
    (folder / "native" / "board.cc").write_text('#include <cstdio>\nint main() { std::puts("first"); }\n')
    (folder / "cmake" / "own.cmake").write_text("")
    sources = Path(module.__file__).parents[2] / "cmake" / "sources.cmake"
    (folder / "cmake" / "sources.cmake").write_text(sources.read_text())
    monkeypatch.setattr(module, "_CHECKOUT", folder)
    monkeypatch.setattr(module, "INSTALLED", tmp_path / "bin" / "bnn-board")
    monkeypatch.setattr(module, "find_compiler", lambda machine: module.CrossCompiler("own", "1", "own.cmake"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def output(binary: Path) -> str:
    return subprocess.run([binary], capture_output=True, text=True, check=True).stdout.strip()


def test_this_computer_has_the_installed_one() -> None:
    assert board_binary(platform.machine()) == INSTALLED
    with pytest.raises(DeviceError, match="kernels are for x86_64 and aarch64"):
        board_binary("riscv64")


def test_another_machine_is_built_for_once_per_state_of_the_sources(checkout: Path) -> None:
    first = board_binary(OTHER)
    assert output(first) == "first"
    built = first.stat().st_mtime_ns
    assert board_binary(OTHER) == first
    assert first.stat().st_mtime_ns == built
    source = checkout / "native" / "board.cc"
    source.write_text(source.read_text().replace("first", "second"))
    second = board_binary(OTHER)
    assert (output(first), output(second)) == ("first", "second")
    assert sorted(path.name for path in first.parent.iterdir() if not path.name.startswith(".")) == sorted(
        [first.name, second.name]
    )


def test_boards_opened_at_once_share_one_build(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[Path] = []
    real = module._build

    def counted(*arguments: object) -> bytes:
        builds.append(checkout)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_build", counted)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(board_binary(OTHER))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == len(builds) == 1


def test_a_wheel_may_carry_it(checkout: Path, tmp_path: Path) -> None:
    carried = tmp_path / "bin" / f"bnn-board-{OTHER}"
    carried.parent.mkdir()
    carried.write_bytes(b"")
    assert board_binary(OTHER) == carried


def test_sources_that_do_not_build_say_why_and_leave_nothing(checkout: Path) -> None:
    (checkout / "native" / "board.cc").write_text("this is no C++\n")
    with pytest.raises(DeviceError, match=r"(?s)cannot be built.*error"):
        board_binary(OTHER)
    assert [path for path in (checkout.parent / "cache" / "bnn-deploy").iterdir() if path.suffix != ".lock"] == []


def test_an_installation_without_sources_says_what_to_do(checkout: Path) -> None:
    (checkout / "CMakeLists.txt").unlink()
    with pytest.raises(DeviceError, match="install a wheel that carries it"):
        board_binary(OTHER)


def test_a_cache_that_cannot_be_written(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")  # not even by root
    with pytest.raises(DeviceError, match="XDG_CACHE_HOME"):
        board_binary(OTHER)


def test_without_a_compiler_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match="apt-get install g\\+\\+-aarch64-linux-gnu` or `pip install ziglang"):
        find_compiler("aarch64")
    with pytest.raises(DeviceError, match="apt-get install g\\+\\+-x86-64-linux-gnu`"):
        find_compiler("x86_64")
