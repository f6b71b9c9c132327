"""A file is written whole or not at all."""

from __future__ import annotations

import os

import pytest

from fairrecon_jax.runtime.atomic import unfinished, write_atomic


def test_text_and_bytes_are_written_and_nothing_is_left_aside(tmp_path):
    path = write_atomic(tmp_path / "deep" / "a.txt", "größer")
    assert path.read_text(encoding="utf-8") == "größer"
    write_atomic(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = write_atomic(tmp_path / "a.txt", "old")

    def refuse(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_files_can_be_read_by_others(tmp_path):
    assert write_atomic(tmp_path / "a", "x").stat().st_mode & 0o777 == 0o644


def test_what_a_killed_process_leaves_is_known_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda source, target: None)
    write_atomic(tmp_path / "a.csv", "x")
    assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.glob(unfinished("*.csv"))) == list(tmp_path.iterdir())
    assert not list(tmp_path.glob(unfinished("*.png")))
