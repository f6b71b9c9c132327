"""Compiled programs are kept where all studies of a user find them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from fairrecon_jax.runtime.compilation import keep_compiled_programs

SETTINGS = ("cache_dir", "cache_max_size")


@pytest.fixture
def unset(monkeypatch, tmp_path):
    """As if nobody had told JAX a folder."""
    names = [f"jax_compilation_{name}" for name in SETTINGS]
    names.append("jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    for name in ("FAIRRECON_COMPILED", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_folder_that_jax_was_told_stays(tmp_path, unset):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    assert keep_compiled_programs() == tmp_path / "mine"
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")


@pytest.mark.usefixtures("unset")
def test_studies_of_a_user_share_one_folder(tmp_path, monkeypatch):
    folder = keep_compiled_programs()
    assert folder == tmp_path / ".cache" / "fairrecon_jax" / "compiled"
    assert jax.config.jax_compilation_cache_dir == str(folder)
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert keep_compiled_programs() == tmp_path / "caches" / "fairrecon_jax" / "compiled"
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("FAIRRECON_COMPILED", str(tmp_path / "here"))
    assert keep_compiled_programs() == tmp_path / "here"


@pytest.mark.usefixtures("unset")
def test_a_home_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder = keep_compiled_programs()
    assert folder.is_dir()
    assert tmp_path not in folder.parents


PROGRAM = """
import jax, jax.numpy as jnp, pathlib
from fairrecon_jax.runtime.compilation import keep_compiled_programs
folder = keep_compiled_programs()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
print(jax.jit(lambda x: jnp.sin(x) @ x)(jnp.eye(3)).sum(), len(list(folder.glob("*-cache"))))
"""


def test_a_second_process_finds_what_the_first_compiled(tmp_path):
    told = []
    for _ in range(2):
        child = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={"FAIRRECON_COMPILED": str(tmp_path), "JAX_PLATFORMS": "cpu", "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        told.append(child.stdout.split())
    assert told[0] == told[1]
    assert int(told[0][1]) > 0
    assert float(told[0][0]) == pytest.approx(float((jnp.sin(jnp.eye(3)) @ jnp.eye(3)).sum()))
