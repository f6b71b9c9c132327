"""What libraries say on threads of their own when the disk is full is left to the one line."""

from __future__ import annotations

import dataclasses

import orbax.checkpoint
import pytest
from absl import logging

from fairrecon_jax.cli import main as cli
from fairrecon_jax.cli.commands import COMMANDS
from fairrecon_jax.runtime.progress import quiet


@pytest.mark.parametrize(("verbosity", "shown"), [(logging.ERROR, False), (logging.INFO, True)])
def test_tracebacks_of_the_checkpoints_threads_are_shown_where_asked_for(verbosity, shown):
    logger, before = logging.get_absl_logger(), logging.get_verbosity()
    try:
        quiet(verbosity)
        theirs, ours = (
            logger.makeRecord("absl", 40, path, 1, "no room", (), None)
            for path in (orbax.checkpoint.__file__, cli.__file__)
        )
        assert [bool(logger.filter(record)) for record in (theirs, ours)] == [shown, True]
    finally:
        quiet(before)


class Dropped:
    """Raises where it is deleted: nobody can catch that."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __del__(self) -> None:
        raise RuntimeError(self.words)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_only_writers_that_come_late_are_not_shown(capsys, monkeypatch):
    def command(values):
        for words in ("Event loop is closed", "something else"):
            Dropped(words)

    doctor = dataclasses.replace(COMMANDS["doctor"], run=command)
    monkeypatch.setitem(COMMANDS, "doctor", doctor)
    assert cli.main(["doctor"]) == 0
    err = capsys.readouterr().err
    assert "RuntimeError: something else" in err
    assert "closed" not in err
