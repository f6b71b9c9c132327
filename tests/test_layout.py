"""The shape of the package: names that do not shadow one another, and imports that stay light."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import fairrecon_jax
from experiments.structure import arrows, floors
from tests.conftest import is_optimised

ROOT = Path(fairrecon_jax.__file__).parent
PACKAGES = [
    "fairrecon_jax",
    *sorted(
        found.name for found in pkgutil.walk_packages([str(ROOT)], "fairrecon_jax.") if found.ispkg
    ),
]
READERS = ("tensorflow_datasets", "nibabel", "tifffile")
"""Modules that only the rooms that read files may load."""


@pytest.mark.parametrize("name", PACKAGES)
def test_no_public_name_shadows_a_module(name):
    package = importlib.import_module(name)
    public = getattr(package, "__all__", [n for n in vars(package) if not n.startswith("_")])
    modules = {found.name for found in pkgutil.iter_modules(package.__path__)}
    shadowing = [
        attribute
        for attribute in sorted(modules & set(public))
        if getattr(package, attribute) is not importlib.import_module(f"{name}.{attribute}")
    ]
    assert shadowing == [], f"rename the function or the module: {shadowing} in {name}"


def test_a_shadowed_module_would_be_seen(monkeypatch):
    package = importlib.import_module("fairrecon_jax.inference")
    monkeypatch.setattr(package, "counts", len)
    monkeypatch.setattr(package, "__all__", [*package.__all__, "counts"])
    with pytest.raises(AssertionError, match="rename the function or the module: \\['counts'\\]"):
        test_no_public_name_shadows_a_module("fairrecon_jax.inference")


@pytest.mark.parametrize(
    "room", ["metrics", "inference", "physics", "diagnosers", "mitigation", "tandem"]
)
def test_numeric_rooms_load_no_reader_of_files(room):
    code = f"import sys, fairrecon_jax.{room}; print([m for m in {READERS!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of all imports of a module, also of those inside functions."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_no_source_file_imports_private_jax():
    files = [
        path
        for folder in (ROOT, ROOT.parent / "experiments", ROOT.parent / "configs")
        for path in sorted(folder.rglob("*.py"))
    ]
    assert len(files) > 100
    private = {
        str(path.relative_to(ROOT.parent)): sorted(names)
        for path in files
        if (
            names := {
                name
                for name in imported(ast.parse(path.read_text(encoding="utf-8")))
                if name == "jax._src" or name.startswith("jax._src.")
            }
        )
    }
    assert private == {}


def test_no_circle_and_at_most_nine_floors():
    graph = arrows()
    levels, circles = floors(graph)
    assert circles == set()
    assert max(levels.values()) <= 9
    assert sum(map(len, graph.values())) <= 90


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    text = ast.get_docstring(function, clean=False)
    lines = (function.end_lineno or 0) - function.lineno + 1
    return lines - len(text.splitlines()) if text else lines


def test_files_and_functions_fit_on_a_few_screens():
    for path in ROOT.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert source.count("\n") <= 400, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert code_lines(node) <= 60, f"{path}: {node.name}"


def test_programs_of_slow_tests_are_compiled_quickly():
    files = Path(__file__).parent.rglob("test_*.py")
    slow = [path for path in files if "pytest.mark.slow" in path.read_text("utf-8")]
    # `make slow` runs one half of the suite
    assert slow
    assert not [path for path in slow if is_optimised(path)]
