"""The examples in docstrings: every public function and class has one, and all of them run."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import fairrecon_jax as fr

ROOT = Path(fr.__file__).parent
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.REPORT_ONLY_FIRST_FAILURE
GIVEN = {"np": np, "jax": jax, "jnp": jnp, "pd": pd, "fr": fr}
"""What an example need not import; the names of its own module come on top."""
ROOMS = (
    "metrics inference physics diffusion models reconstructors diagnosers mitigation training data "
    "assessment external report tandem phantoms"
).split()
WHOLE = "keys registry training.checkpoints".split()
"""Modules without a list of public names: whatever they define without an underscore."""
SINGLE = "training.loop.fit study.parse.parse study.run.run study.context.Context study.load.load"
"""Public functions and classes that are imported from their modules."""


def documented(path: Path) -> Iterator[tuple[str, int]]:
    """(text, line) of every docstring of a file, those of constants too, that holds an example."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = node.value.value
            if isinstance(text, str) and ">>>" in text:
                yield text, node.lineno - 1


def run(text: str, names: dict[str, Any], file: str, line: int) -> str:
    """What the runner of examples has to say, "" where all of them print what they promise."""
    told: list[str] = []
    example = doctest.DocTestParser().get_doctest(text, names, Path(file).stem, file, line)
    # as typed at a prompt: without the module's imports from the future
    doctest.DocTestRunner(optionflags=FLAGS).run(example, compileflags=0, out=told.append)
    return "".join(told)


def name_of(path: Path) -> str:
    """The module of a file."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = [path for path in sorted(ROOT.rglob("*.py")) if any(documented(path))]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an example writes goes into a folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_examples_of_a_module_run(path):
    names = {**GIVEN, **vars(importlib.import_module(name_of(path)))}
    told = [run(text, dict(names), str(path), line) for text, line in documented(path)]
    if any(told):
        pytest.fail("".join(told), pytrace=False)


def test_an_example_that_is_wrong_would_be_seen(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text('N = 3\n"""One.\n\n>>> 1 + 1\n3\n"""\n', encoding="utf-8")
    ((text, line),) = documented(wrong)
    assert "line 4" in run(text, {}, str(wrong), line)
    assert "Expected:\n    3\nGot:\n    2" in run(text, {}, str(wrong), line)
    assert not run(text.replace("3", "2"), {}, str(wrong), line)


def public() -> Iterator[tuple[str, Any]]:
    """Every public thing by its name."""
    for room in ("", *ROOMS):
        module = importlib.import_module(f"fairrecon_jax.{room}".rstrip("."))
        yield from (
            (f"{room}.{name}".lstrip("."), getattr(module, name)) for name in module.__all__
        )
    for place in WHOLE:
        module = importlib.import_module(f"fairrecon_jax.{place}")
        for name, thing in vars(module).items():
            if getattr(thing, "__module__", "") == module.__name__ and not name.startswith("_"):
                yield f"{place}.{name}", thing
    for name in SINGLE.split():
        place, _, attribute = name.rpartition(".")
        yield name, getattr(importlib.import_module(f"fairrecon_jax.{place}"), attribute)


def is_called(thing: Any) -> bool:
    """Whether a user calls it: a function or a class of this package, but neither a protocol nor a
    plain tuple of results.
    """
    ours = getattr(thing, "__module__", "").startswith("fairrecon_jax")
    if inspect.ismodule(thing) or not ours or not callable(thing):
        return False
    protocol = getattr(thing, "_is_protocol", False)
    return not inspect.isclass(thing) or not (issubclass(thing, tuple) or protocol)


def words_of(name: str, thing: Any) -> str:
    """The docstring; of a decorator that another function made, the text behind its assignment."""
    if "<locals>" not in thing.__qualname__:
        return thing.__doc__ or ""
    room, _, own = name.partition(".")
    for path in (ROOT / room).glob("*.py"):
        for node, behind in pairwise(ast.parse(path.read_text(encoding="utf-8")).body):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == own:
                return ast.unparse(behind)
    return ""


def without_example() -> list[str]:
    return [
        name for name, thing in public() if is_called(thing) and ">>>" not in words_of(name, thing)
    ]


def test_every_public_function_and_class_has_an_example():
    assert len([name for name, thing in public() if is_called(thing)]) > 150
    assert without_example() == []


def test_a_missing_example_would_be_seen(monkeypatch):
    monkeypatch.setattr(fr.metrics.auroc, "__doc__", "Area under the curve.")
    assert without_example() == ["metrics.auroc"]
