"""Which file runs in which runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnn_deploy.errors import FileFormatError, RuntimeUnavailable
from bnn_deploy.runtimes.registry import RUNTIMES, runtime_entry

BEST_FIRST = ("engine", "onnxruntime+bnn", "onnxruntime", "litert+bnn", "lce", "litert")
FORMATS = tuple(dict.fromkeys(RUNTIMES[name].format for name in BEST_FIRST))

Missing = Callable[[str], "str | None"]  # a runtime -> why it cannot be used, None when it can


@dataclass(frozen=True, slots=True)
class Choice:
    """A file of the runtime's format."""

    runtime: str
    file: Path


def choose(where: Path, names: Sequence[str], missing: Missing) -> list[Choice]:
    """The named runtimes with their files; without names the best runtime that can be used.

    Args:
        where: an exported file, or the folder of a network or of its exported files.
        names: of RUNTIMES.
        missing: asked for no more runtimes than needed.

    Raises:
        FileFormatError: no such file, or none that the runtime reads.
        RuntimeUnavailable: a named runtime, or every one, cannot be used.
        UnknownName: no such runtime.
    """
    if names:
        found = [Choice(name, _file_of(where, name)) for name in names]
        for name in names:
            if why := missing(name):
                raise RuntimeUnavailable(why)
        return found
    possible, reasons = candidates(where), []
    for choice in possible:
        why = missing(choice.runtime)
        if why is None:
            return [choice]
        reasons.append(f"{choice.runtime}: {why}")
    raise RuntimeUnavailable("\n".join([f"{where}: no runtime for it is installed:", *reasons]))


def candidates(where: Path) -> list[Choice]:
    """Every runtime that reads a file which is there, best first; nobody asks whether it is installed.

    Raises:
        FileFormatError: there is no such file.
    """
    files = _files(where)
    return [Choice(name, files[RUNTIMES[name].format]) for name in BEST_FIRST if RUNTIMES[name].format in files]


def _files(where: Path) -> dict[str, Path]:
    """Format -> file; at least one."""
    if where.is_dir():
        places = [folder / f"model.{name}" for name in FORMATS for folder in (where / "export", where)]
        files = {path.suffix[1:]: path for path in places if path.is_file()}
        if not files:
            raise FileFormatError(
                f"{where}: expected model.{' or model.'.join(FORMATS)} in it, or in its folder export; "
                "`bnn-deploy export` writes them"
            )
        return files
    if where.suffix[1:] not in FORMATS:
        raise FileFormatError(f"{where}: expected a file .{', .'.join(FORMATS)}, or the folder of a network")
    if not where.is_file():
        raise FileFormatError(f"{where}: no such file")
    return {where.suffix[1:]: where}


def _file_of(where: Path, name: str) -> Path:
    wanted, files = runtime_entry(name).format, _files(where)
    if wanted in files:
        return files[wanted]
    if where.is_dir():
        raise FileFormatError(f"{where}: no model.{wanted} for runtime {name}; write it with `bnn-deploy export`")
    readers = " or ".join(choice.runtime for choice in candidates(where))
    raise FileFormatError(f"{where}: runtime {name} reads .{wanted} files; for this one take {readers}")
