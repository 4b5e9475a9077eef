"""Where a build is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


PROGRAMS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # as builds find them


def cross(compiler: str, version: str) -> object:
    """What not every computer has; CI has both."""
    missing = shutil.which(compiler) is None
    return pytest.param(compiler, version, marks=pytest.mark.skipif(missing, reason=f"needs {compiler}"))


def program(name: str) -> str:
    found = shutil.which(name, path=PROGRAMS)
    assert found is not None, f"{name} is needed to build this package"
    return found


def test_another_machine(tmp_path: Path) -> None:
    command = [program("cmake"), "-S", ROOT, "-B", tmp_path, "-DCMAKE_SYSTEM_NAME=Linux"]
    done = subprocess.run(
        [*command, "-DCMAKE_SYSTEM_PROCESSOR=riscv64"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    message = " ".join(done.stderr.split())
    assert "bnn-deploy runs on 64-bit Linux on x86-64 and AArch64, not on Linux riscv64" in message


@pytest.mark.parametrize(
    ("compiler", "version"),
    [("c++", "2."), cross("x86_64-linux-gnu-g++", "2.2.5"), cross("aarch64-linux-gnu-g++", "2.17")],
)
def test_the_first_glibc_of_a_machine(compiler: str, version: str) -> None:
    """As the compiler sees the machine; without 64-bit pointers there is none."""
    command = [program(compiler), "-E", str(ROOT / "native" / "doors" / "old_glibc.cc")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f'@" "GLIBC_{version}' in done.stdout
    done = subprocess.run([*command, "-U__LP64__"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "64-bit x86-64 and AArch64 only" in done.stderr
