"""The direction of imports, as docs/architecture.md has it: read from the sources, nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "bnn_deploy"
ROOT = Path(__file__).resolve().parents[1] / PACKAGE

DURABLE = {"errors", "journal", "settings"}
VOCABULARY = {"architecture", "cost", "deploy_graph", "references", "space", "steps"}
BASIS = DURABLE | VOCABULARY

# room -> the rooms that it may import, besides itself. quickstart and cli may import every room; nobody imports them.
MAY_IMPORT = {
    **{room: VOCABULARY | {"errors"} for room in VOCABULARY},
    **{room: DURABLE for room in DURABLE},
    "kernels": BASIS | {"_native"},
    "engine": BASIS | {"_native", "kernels"},
    "latency": BASIS | {"_native", "kernels", "engine"},
    "profiling": BASIS | {"_native", "kernels", "engine", "latency"},
    "layers": BASIS,
    "training": BASIS | {"layers"},
    "search": BASIS | {"layers", "training", "latency"},
    "export": BASIS | {"engine", "layers"},
    "runtimes": BASIS | {"_native", "kernels", "engine", "export", "layers"},
    "running": BASIS | {"_native", "kernels", "engine", "latency", "profiling", "runtimes", "training"},
    "report": set[str](),
}
EVERYTHING = {*MAY_IMPORT, "_native"}
MAY_IMPORT["quickstart"] = EVERYTHING
MAY_IMPORT["cli"] = EVERYTHING | {"quickstart"}

HEAVY = {
    "PIL",
    "ai_edge_litert",
    "flatbuffers",
    "google",
    "onnx",
    "onnxruntime",
    "safetensors",
    "sklearn",
    "tensorflow",
    "tflite",
    "torch",
}
LIGHT_ROOMS = BASIS | {"kernels", "engine", "latency", "profiling", "running", "report"}
LIGHT_MODULES = {
    *(f"bnn_deploy.cli{name}" for name in ("", ".console", ".cost", ".devices", ".options", ".profile", ".show")),
    *(f"bnn_deploy.cli.{name}" for name in ("bench", "run", "verify", "verify_latency")),
    *(f"bnn_deploy.runtimes.{name}" for name in ("base", "engine", "litert", "onnxruntime", "registry", "sessions")),
    *(f"bnn_deploy.runtimes.{name}" for name in ("step_times", "stock_worker", "timing")),
    "bnn_deploy.export.common",
}


def _modules() -> dict[str, Path]:
    """bnn_deploy.steps -> its file; a package's name -> its __init__.py."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = [PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _room(module: str) -> str:
    """bnn_deploy.export.fold -> export; bnn_deploy itself has none."""
    return [*module.split("."), ""][1]


def _statements(node: ast.AST, every: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements; unless `every`, only those that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif every or not (
            isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        ):
            yield from _statements(child, every)


@cache
def imports(module: str, every: bool) -> frozenset[str]:
    """Full names of the modules that a module imports: `from bnn_deploy import steps` is bnn_deploy.steps."""
    names = set()
    for statement in _statements(ast.parse(MODULES[module].read_text()), every):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
            continue
        assert statement.level == 0, f"{module}: relative import"
        assert statement.module is not None
        members = {f"{statement.module}.{alias.name}" for alias in statement.names}
        known = {name for name in members if name in MODULES or name == f"{PACKAGE}._native"}
        names |= known | ({statement.module} if known != members else set())
    return frozenset(names)


def loaded(module: str) -> set[str]:
    """Everything that importing a module loads, as far as this package's modules decide it."""
    seen: set[str] = set()
    ahead = [module]
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in MODULES:
            ahead += imports(name, every=False)
            ahead += [name.rpartition(".")[0]] if "." in name else []
    return seen


def test_every_room_has_its_row() -> None:
    assert {_room(module) for module in MODULES} - {""} == set(MAY_IMPORT)


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_imports_go_one_way(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room, ""}
    wrong = [
        f"{module} imports {name}"
        for module in sorted(MODULES)
        if _room(module) == room
        for name in sorted(imports(module, every=True))
        if name.split(".")[0] == PACKAGE and _room(name) not in allowed
    ]
    assert not wrong


def test_no_room_is_behind_itself() -> None:
    """The table has no circle, but for the vocabulary and the durable files, whose modules read each other."""
    levels = {room: {other for other in MAY_IMPORT[room] if other not in BASIS | {room}} for room in MAY_IMPORT}
    done = BASIS | {"_native"}
    while levels:
        ready = {room for room, needs in levels.items() if needs <= done}
        assert ready, f"a circle among {sorted(levels)}"
        done |= ready
        levels = {room: needs for room, needs in levels.items() if room not in ready}


def test_only_fold_reads_layers() -> None:
    readers = {
        name for name in MODULES if _room(name) == "export" and "layers" in map(_room, imports(name, every=True))
    }
    assert readers == {"bnn_deploy.export.fold"}


@pytest.mark.parametrize(
    "module", sorted(name for name in MODULES if _room(name) in LIGHT_ROOMS or name in LIGHT_MODULES)
)
def test_the_light_half_loads_nothing_heavy(module: str) -> None:
    assert not {name.split(".")[0] for name in loaded(module)} & HEAVY


def test_light_modules_exist() -> None:
    assert set(MODULES) >= LIGHT_MODULES


def test_what_counts_as_an_import(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "sample.py"
    source.write_text(
        "import os\nfrom typing import TYPE_CHECKING\nfrom bnn_deploy import __version__, steps\n"
        "if TYPE_CHECKING:\n    import torch\ntry:\n    import PIL\nexcept ImportError:\n    pass\n"
        "class A:\n    import onnx\n    def f(self):\n        from bnn_deploy.layers import block\n"
    )
    monkeypatch.setitem(MODULES, "sample", source)
    direct = {"os", "typing", "bnn_deploy", "bnn_deploy.steps", "PIL", "onnx"}
    assert imports("sample", every=False) == direct
    assert imports("sample", every=True) == direct | {"torch", "bnn_deploy.layers.block"}
