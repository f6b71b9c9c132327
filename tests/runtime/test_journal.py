"""The log of a work directory: complete, bounded, in whole lines, and without names of patients."""

from __future__ import annotations

import os
import re
import shlex
import threading

import pytest

from fairrecon_jax.cli import main as cli
from fairrecon_jax.runtime import journal
from fairrecon_jax.runtime.progress import announced, note, say
from fairrecon_jax.study.run import run
from fairrecon_jax.types import InputError
from tests.support import tiny_study

STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .*")


def test_what_is_said_and_how_it_ends_is_kept(tmp_path, capsys):
    with journal.kept(tmp_path, {"jax": "1"}):
        say("hello")
        note("a stage took 1.0 s")
    assert capsys.readouterr().out == "hello\n"
    lines = (tmp_path / journal.NAME).read_text().splitlines()
    assert all(STAMP.fullmatch(line) for line in lines)
    words = [line.split(" ", 2)[2] for line in lines]
    assert words[0].startswith("begins: ")
    assert words[1:4] == ["jax 1", "hello", "a stage took 1.0 s"]
    assert words[4].startswith("ended after ")


def test_a_crash_leaves_its_traceback_and_no_patient(tmp_path):
    # from variables: a traceback shows the lines of the program as they stand
    code, message = "patient0007", "tree/patient0007/view1.png: patient Smith has 'x' twice"

    def crash() -> None:
        try:
            raise KeyError(code)
        except KeyError as error:
            raise InputError(message) from error

    with pytest.raises(InputError), journal.kept(tmp_path, {}):
        crash()
    text = (tmp_path / journal.NAME).read_text()
    assert "test_journal.py" in text
    assert "in crash" in text
    assert "InputError: ...: patient ... has ... twice" in text
    assert "failed after" in text
    for secret in ("0007", "Smith", "view1"):
        assert secret not in text


def test_a_folder_that_is_not_there_is_not_made_and_one_that_comes_later_gets_all(tmp_path):
    with journal.kept(tmp_path / "work", {}):
        note("early")
        assert not (tmp_path / "work").exists()
        (tmp_path / "work").mkdir()
        note("late")
    assert "early" in (tmp_path / "work" / journal.NAME).read_text()


def test_a_log_is_bounded_and_its_lines_are_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "MOST", 2000)
    path = tmp_path / journal.NAME
    threads = [
        threading.Thread(target=lambda: [journal.append(path, "x" * 49 + "\n") for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for file in (path, path.with_name(f"{journal.NAME}.1")):
        assert file.stat().st_size < 2300
        assert set(file.read_text().splitlines()) == {"x" * 49}


def test_a_log_that_cannot_be_kept_ends_nothing(tmp_path, capsys):
    os.mkfifo(tmp_path / journal.NAME)
    with journal.kept(tmp_path, {}):
        note("on")
    assert capsys.readouterr().err.count("no log is kept") == 1


def test_a_refused_configuration_is_in_the_log_and_a_dry_run_is_not(tmp_path, capsys):
    flags = ["--config=quickstart_xray", f"--workdir={tmp_path}"]
    assert cli.main(["study", *flags, "--dry_run"]) == 0
    assert not list(tmp_path.iterdir())
    wrong = ["--config.assess.bins=0", "--config.assess.alphabet=1", "--config.report.dpi=1"]
    assert cli.main(["study", *flags, *wrong]) == 2
    err = capsys.readouterr().err
    assert "3 fields of the configuration are refused" in err
    assert "  1. config.assess" in err
    assert "did you mean 'alpha'?" in err
    text = (tmp_path / journal.NAME).read_text()
    assert "3 fields of the configuration are refused" in text
    # the command as it was typed: with its fields, and without the place of the bundled file
    begins = next(line for line in text.splitlines() if "begins: " in line)
    assert begins.endswith(f"begins: fairrecon {shlex.join(['study', *flags, *wrong])}")
    assert "Traceback" not in err


def test_a_study_that_a_function_runs_keeps_a_log_and_a_command_keeps_one(tmp_path):
    config = tiny_study.get_config().lock()
    run(config, tmp_path / "by_function", only="phantom")
    with journal.kept(tmp_path / "by_command", {}):
        run(config, tmp_path / "by_command", only="phantom")
    for folder in ("by_function", "by_command"):
        text = (tmp_path / folder / journal.NAME).read_text()
        for words in ("begins: ", "phantom took ", "ended after "):
            assert text.count(words) == 1, (folder, words)


def test_a_slow_first_call_says_that_it_compiles(capsys):
    slow = announced(lambda event: event.wait(0.3), "unet", after=0.05)
    slow(threading.Event())
    slow(threading.Event())
    err = capsys.readouterr().err
    assert err.count("unet: compiling ...") == 1
    assert err.count("unet: compiled in ") == 1


def test_a_quick_first_call_says_nothing(capsys):
    assert announced(lambda: 3, "unet")() == 3
    assert capsys.readouterr().err == ""
