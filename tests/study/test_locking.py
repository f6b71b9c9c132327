"""Several runs at once in one work directory: nothing is made twice or read while it is made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fairrecon_jax.study.locking import hold, maker, reading
from fairrecon_jax.study.run import run
from fairrecon_jax.study.stages import Stage
from fairrecon_jax.study.workdir import Workdir
from fairrecon_jax.types import Cell, InputError
from tests.support import tiny_study
from tests.support.study_fakes import FakeStages


class Paused(FakeStages):
    """Fake stages of which one waits, while it is made, until it may go on."""

    def __init__(self, workdir: Path, needs, at: str) -> None:
        super().__init__(workdir, needs)
        self.at, self.reached, self.go_on = at, threading.Event(), threading.Event()
        self.failing = False

    def _make(self, title: str) -> None:
        super()._make(title)
        if title == self.at:
            self.reached.set()
            assert self.go_on.wait(30)
        if self.failing:
            self.failing = False
            raise InputError(f"{title} failed")


@contextmanager
def another(work: Callable[[], object]) -> Iterator[list[BaseException]]:
    """Work in a thread, which has ended after the block; what it raised."""
    raised: list[BaseException] = []

    def body() -> None:
        try:
            work()
        except InputError as error:
            raised.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    yield raised
    thread.join(30)
    assert not thread.is_alive()


def said(capsys, word: str, wanted: int = 1) -> list[str]:
    """Waits for lines with a word."""
    out = ""
    for _ in range(600):
        out += capsys.readouterr().out
        found = [line for line in out.splitlines() if word in line]
        if len(found) >= wanted:
            return found
        threading.Event().wait(0.05)
    raise AssertionError(out)


@pytest.fixture
def paused(tmp_path: Path) -> Paused:
    return Paused(tmp_path, {"a one": (), "a two": ("a one",), "b": ("a two",)}, at="a two")


@pytest.mark.parametrize("only", ["", "a two", "b"])
def test_a_second_run_waits_and_makes_nothing_again(paused, capsys, only):
    with another(paused.run) as first:
        assert paused.reached.wait(30)
        with another(lambda: paused.run(only)) as second:
            line, *_ = said(capsys, "waiting")
            assert line.startswith("waiting for a two, made by process ")
            assert maker(paused.stage("a two"), Workdir(paused.workdir)).startswith("process ")
            paused.go_on.set()
    assert first == second == []
    # `b` is asked for by name and may be made by either first, and then once more
    assert paused.log[:3] == ["a one", "a two", "b"]
    assert len(paused.log) == 3 or only == "b"
    assert maker(paused.stage("a two"), Workdir(paused.workdir)) == ""


def test_two_whole_runs_make_each_stage_once(tmp_path):
    fakes = FakeStages(tmp_path, {f"a {number}": () for number in range(6)})
    with another(fakes.run) as first, another(fakes.run) as second, another(fakes.run) as third:
        pass
    assert first == second == third == []
    assert sorted(fakes.log) == sorted(fakes.needs)


def test_what_failed_elsewhere_is_made_by_who_waited(paused, capsys):
    with another(paused.run) as first:
        assert paused.reached.wait(30)
        with another(paused.run) as second:
            said(capsys, "waiting")
            paused.failing = True
            paused.go_on.set()
    assert list(map(str, first)) == ["a two failed"]
    assert second == []
    assert paused.log == ["a one", "a two", "a two", "b"]


def test_a_stage_is_not_made_anew_while_it_is_read(tmp_path, capsys):
    fakes = Paused(tmp_path, {"a": (), "b": ("a",)}, at="b")
    with another(fakes.run) as first:
        assert fakes.reached.wait(30)
        with another(lambda: fakes.run("a")) as second:
            assert said(capsys, "waiting") == ["waiting for a, read by another process"]
            assert fakes.log == ["a", "b"]
            fakes.go_on.set()
    assert first == second == []
    assert fakes.log == ["a", "b", "a"]


def test_a_run_with_other_choices_meanwhile_is_told(paused):
    other = FakeStages(paused.workdir, paused.needs)
    other.inputs["a one"], other.outputs["a one"] = 2, "other"
    last = Stage("b", lambda: None, needs=(paused.stage("a one"),))
    paused.run("a one")
    other.run("a one")
    with pytest.raises(InputError, match=r"^a one is not up to date any more \(what it depends on"):
        with hold(last, Workdir(paused.workdir)):
            pass


def test_training_and_import_of_the_same_weights_have_one_lock(tmp_path):
    cell, workdir = Cell("unet", 8.0), Workdir(tmp_path)
    train, imported = (Stage(verb, lambda: None, cell=cell) for verb in ("train", "import"))
    with hold(train, workdir):
        assert maker(imported, workdir).startswith("process ")
    with reading([imported], workdir):
        pass
    assert sorted(path.name for path in workdir.locks.iterdir()) == ["train__unet__8.lock"]


def test_a_refused_study_leaves_no_lock(tmp_path):
    fakes = FakeStages(tmp_path, {"a": (), "b": ("a",)})
    with pytest.raises(InputError, match="a is not up to date"):
        run(tiny_study.get_config(), tmp_path, "b", fakes.stages)
    assert not (tmp_path / "locks").exists()
