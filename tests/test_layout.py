"""The rooms of the package: what they import, how large they are, what their names mean."""

import ast
import importlib
import pkgutil
import subprocess
import sys
import types

import pytest

import fairrecon_jax
from experiments.structure import PACKAGE, arrows, floors

PACKAGES = [
    info.name
    for info in pkgutil.walk_packages(fairrecon_jax.__path__, "fairrecon_jax.")
    if info.ispkg
]
READERS = ("tensorflow_datasets", "nibabel", "tifffile", "tensorflow")


def test_no_circle_and_at_most_nine_floors():
    graph = arrows()
    levels, circles = floors(graph)
    assert circles == set()
    assert max(levels.values()) <= 9
    assert sum(map(len, graph.values())) <= 90


@pytest.mark.parametrize(
    "room", ["metrics", "inference", "physics", "diagnosers", "mitigation", "tandem"]
)
def test_formulas_and_networks_load_no_reader_of_files(room):
    program = f"import sys, fairrecon_jax.{room}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert f"fairrecon_jax.{room}" in run.stdout.split()
    assert not set(READERS) & set(run.stdout.split())


@pytest.mark.parametrize("name", PACKAGES)
def test_no_public_name_hides_a_module(name):
    """`import a.b` and `from a import b` must mean the same thing."""
    package = importlib.import_module(name)
    modules = {info.name for info in pkgutil.iter_modules(package.__path__)}
    for public in getattr(package, "__all__", []):
        if public in modules:
            assert isinstance(getattr(package, public), types.ModuleType), f"{name}.{public}"


def test_nothing_private_of_jax_is_imported():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not [n for n in names if n.startswith(("jax._src", "jaxlib"))], path


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    text = ast.get_docstring(function, clean=False)
    lines = (function.end_lineno or 0) - function.lineno + 1
    return lines - len(text.splitlines()) if text else lines


def test_files_and_functions_fit_on_a_few_screens():
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert source.count("\n") <= 400, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert code_lines(node) <= 60, f"{path}: {node.name}"
