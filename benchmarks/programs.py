"""Programs that the studies of machine code ask, llvm-mca and its kin, and how such a study ends.

Standard library alone: `scripts/mca` runs without the package's environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


class ProgramError(Exception):
    """What keeps a prediction from being made, in one line."""


def run(arguments: Sequence[str], text: str | None = None) -> str:
    """What a program prints, given `text`; empty arguments are left out.

    Raises:
        ProgramError: it failed.
    """
    done = subprocess.run([word for word in arguments if word], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProgramError(f"{Path(arguments[0]).name}: {(done.stderr or done.stdout).strip()[:400]}")
    return done.stdout


def tool(variable: str, *names: str) -> str:
    """The program that the environment names, or the first of the names that there is.

    Raises:
        ProgramError: there is none.
    """
    found = os.environ.get(variable) or next((name for name in names if shutil.which(name)), None)
    if found is None:
        raise ProgramError(f"none of {', '.join(names)} found (Debian: binutils-aarch64-linux-gnu, llvm-19)")
    return found


def run_study(main: Callable[[], int]) -> None:
    """Ends this program with what `main` returns; 2, with a message, when a prediction cannot be made."""
    try:
        sys.exit(main())
    except ProgramError as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        sys.exit(2)
