"""README and docs: their length, their links, and that what they show is there and runs.

The site itself is built by `make docs`, which fails at every warning.
"""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from absl import flags

import fairrecon_jax
from fairrecon_jax.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [ROOT / "README.md", *PAGES]
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
DOCUMENTED = re.compile(r"^::: (\S+)", re.MULTILINE)
COMMAND = re.compile(
    r"\bfairrecon ([a-z][a-z-]*)((?:\s+(?:\\\n\s*)?--?[\w.-]+(?:=(?:\"[^\"]*\"|\S+))?)*)"
)
GLOBAL_FLAGS = {"config", "workdir", "verbose", "help"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    """A text without its code blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def blocks(path: Path, language: str) -> list[tuple[str, str]]:
    """(rest of the opening line, code) of the blocks in a language."""
    found = FENCE.findall(path.read_text(encoding="utf-8"))
    return [(rest, code) for kind, rest, code in found if kind == language]


def slug(heading: str) -> str:
    """The anchor of a heading, as both GitHub and the site make it."""
    words = re.sub(r"[^\w\s-]", "", re.sub(r"[`*]", "", heading)).strip().lower()
    return re.sub(r"[-\s]+", "-", words)


def nav(entries: Any = None) -> list[str]:
    """All pages of the site's navigation."""
    if entries is None:
        entries = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    if isinstance(entries, str):
        return [entries]
    parts = entries.values() if isinstance(entries, dict) else entries
    return [page for part in parts for page in nav(part)]


def rooms() -> list[str]:
    """Public packages and modules at the top of the package."""
    found = pkgutil.iter_modules(fairrecon_jax.__path__)
    return [module.name for module in found if not module.name.startswith("_")]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_links_lead_somewhere(path):
    broken = []
    for target in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file) if file else path
        if not place.exists():
            broken.append(target)
        elif anchor and anchor not in map(slug, HEADING.findall(prose(place))):
            broken.append(target)
    assert not broken


def test_every_page_and_notebook_is_in_the_navigation():
    there = {path.relative_to(DOCS).as_posix() for path in PAGES}
    notebooks = {f"tutorials/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert notebooks
    assert sorted(nav()) == sorted(there | notebooks)


def test_every_promise_names_a_test_that_is_there():
    text = (DOCS / "guarantees.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 20
    rows = re.findall(r"^\| (?!Promise|---)(.*) \|$", text, re.MULTILINE)
    assert [row for row in rows if not re.search(r"\| `tests/[\w/]+\.py(::\w+)?`$", row)] == []
    for path, name in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert not name or f"def {name}(" in source, f"{path}::{name}"


def test_every_room_has_one_page_of_reference():
    shown = [name for path in PAGES for name in DOCUMENTED.findall(path.read_text("utf-8"))]
    assert sorted(shown) == sorted(f"fairrecon_jax.{room}" for room in rooms())


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_commands_and_flags_exist(path):
    for command, words in COMMAND.findall(path.read_text(encoding="utf-8")):
        assert command in COMMANDS
        values = flags.FlagValues()
        COMMANDS[command].extra(values)
        known = GLOBAL_FLAGS | set(values)
        used = re.findall(r"--?([\w-]+)", re.sub(r"=(\"[^\"]*\"|\S+)", "", words))
        unknown = set(used) - known
        assert not unknown, f"fairrecon {command} has no flag {', '.join(unknown)}"


SNIPPETS = [path for path in PAGES if blocks(path, "python")]


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, str]:
    """What the code of every page says as it fails, "" where it runs.

    A page is the process of a user, forked from one that has imported everything.
    """
    folder = tmp_path_factory.mktemp("pages")
    for path in SNIPPETS:
        write(path, folder / name_of(path))
    settings = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    command = [sys.executable, str(ROOT / "tests" / "support" / "pages.py")]
    pages = [str(folder / name_of(path)) for path in SNIPPETS]
    subprocess.run([*command, *pages], env={**os.environ, **settings}, check=True)
    return {
        name_of(path): (folder / name_of(path) / "failed.txt").read_text("utf-8")
        for path in SNIPPETS
    }


def write(path: Path, folder: Path) -> None:
    """All blocks of a page in order; one with the title of a file is written there too."""
    folder.mkdir(parents=True)
    script = []
    for rest, code in blocks(path, "python"):
        title = re.search(r'title="([^"]+)"', rest)
        script.append(code)
        if title and not title[1].startswith("fairrecon_jax/"):
            file = folder / title[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            (file.parent / "__init__.py").touch()
            file.write_text(code, encoding="utf-8")
    (folder / "page.py").write_text("\n".join(script), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("path", SNIPPETS, ids=name_of)
def test_the_code_of_a_page_runs(path, told):
    assert not told[name_of(path)]
