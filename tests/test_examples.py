"""The examples in docstrings: every public function and class has one, and all of them run."""

from __future__ import annotations

import ast
import doctest
import importlib
from collections.abc import Iterator
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


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_examples_of_a_module_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name_of(path))
    told = [
        run(text, {**GIVEN, **vars(module)}, str(path), line) for text, line in documented(path)
    ]
    if any(told):
        pytest.fail("".join(told), pytrace=False)


def test_an_example_that_is_wrong_would_be_seen(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text('N = 3\n"""One.\n\n>>> 1 + 1\n3\n"""\n', encoding="utf-8")
    ((text, line),) = documented(wrong)
    assert "line 4" in run(text, {}, str(wrong), line)
    assert "Expected:\n    3\nGot:\n    2" in run(text, {}, str(wrong), line)
    assert not run(text.replace("3", "2"), {}, str(wrong), line)
