"""Every kind of error as the one line the console script makes of it, and which errors stay whole."""

from __future__ import annotations

import types

import pytest
from absl import flags, logging

from fairrecon_jax.cli import main as cli
from fairrecon_jax.cli.commands import COMMANDS
from fairrecon_jax.runtime import processes

CONFIG = "configs/mine.py"


def raised(source: str, file: str) -> BaseException:
    """The error that running a text gives, as if it stood in a file."""
    try:
        exec(compile(source, file, "exec"), {})
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("config.cohort:\n   no such  task"), "config.cohort: no such task"),
        (KeyError("splitz"), "the configuration has no field 'splitz'"),
        (
            FileNotFoundError(2, "No such file or directory", "/data/a.csv"),
            "/data/a.csv: No such file or directory; is the path right, ",
        ),
        (
            PermissionError(13, "Permission denied", "/root/x"),
            "/root/x: Permission denied; is the path right, may you write there, ",
        ),
        (OSError("disk\nfull"), "disk full"),
        (ImportError("No module named 'torch'"), "No module named 'torch'"),
        (
            SyntaxError("invalid syntax", ("my.py", 3, 1, "def f(", 3, 2)),
            "my.py, line 3: invalid syntax",
        ),
        (
            AttributeError("module 'my' has no attribute 'get_config'"),
            f"{CONFIG} has no function get_config()",
        ),
        (
            AttributeError("'NoneType' object has no attribute 'x'"),
            "'NoneType' object has no attribute 'x'",
        ),
        (flags.Error("flag --konfig: unknown"), "flag --konfig: unknown"),
        (
            flags.Error(
                "bad\nTraceback (most recent call last):\n  File x\nZeroDivisionError: "
                "division by zero"
            ),
            f"{CONFIG}: ZeroDivisionError",
        ),
        (TypeError("f() takes 0\targuments"), "f() takes 0 arguments"),
    ],
)
def test_each_kind_of_error_in_one_line(error, line):
    made = cli._line(error, CONFIG)
    assert made.startswith(line)
    assert len(made.splitlines()) == 1


def test_what_the_configuration_file_raises_is_given_with_its_line():
    error = raised("a = 1\nb = {}\nb['c']\n", CONFIG)
    assert cli._line(error, CONFIG) == f"{CONFIG}, line 3: KeyError: 'c'"
    assert cli._line(error, "configs/other.py") == "the configuration has no field 'c'"


def test_of_several_lines_of_the_file_the_innermost_is_given():
    error = raised("def get_config():\n    return 1 / 0\n\nget_config()\n", CONFIG)
    assert cli._line(error, CONFIG) == f"{CONFIG}, line 2: ZeroDivisionError: division by zero"


def test_errors_of_a_configuration_are_told_from_errors_of_the_package():
    package = cli.__file__.replace("cli.py", "")
    assert cli._inside_package(raised("1 / 0", package + "tandem.py"))
    assert cli._inside_package(raised("1 / 0", package + "training/loop.py"))
    for outside in (CONFIG, package + "cli.py", package + "defaults.py"):
        assert not cli._inside_package(raised("1 / 0", outside))
    assert not cli._inside_package(ValueError("never raised"))


def run(monkeypatch, error: BaseException, *words: str) -> int:
    """The doctor command where it raises."""

    def broken(values):
        raise error

    made = types.SimpleNamespace(**{**vars(COMMANDS["doctor"]), "run": broken})
    monkeypatch.setitem(COMMANDS, "doctor", made)
    return cli.main(["doctor", "--config=configs/lgg_mri.py", *words])


def test_an_error_of_the_program_itself_stays_whole(monkeypatch):
    inside = raised("{}['a']", cli.__file__.replace("cli.py", "tandem.py"))
    with pytest.raises(KeyError):
        run(monkeypatch, inside)
    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, ZeroDivisionError("no"))


def test_verbose_keeps_the_traceback_of_a_refusal(monkeypatch, capsys):
    assert run(monkeypatch, ValueError("refused")) == 2
    assert capsys.readouterr().err == "fairrecon doctor: refused\n"
    with pytest.raises(ValueError, match="refused"):
        run(monkeypatch, ValueError("refused"), "--verbose")


def test_a_process_whose_leader_failed_says_nothing_more(monkeypatch, capsys):
    assert run(monkeypatch, processes.PrimaryFailed("process 0 could not doctor: x")) == 2
    assert capsys.readouterr().err == ""


def test_the_command_line_of_the_process_is_put_back(monkeypatch):
    monkeypatch.setattr(cli.sys, "argv", ["before", "all"])
    run(monkeypatch, ValueError("refused"))
    assert cli.sys.argv == ["before", "all"]


def test_the_work_directory_is_named_after_the_configuration_unless_given():
    values = flags.FlagValues()
    cli.config_flags.DEFINE_config_file("config", None, "c", flag_values=values)
    flags.DEFINE_string("workdir", "", "w", flag_values=values)
    values(["x", "--config=configs/quickstart_xray.py"])
    assert cli.workdir_of(values).as_posix() == "runs/quickstart_xray"
    values(["x", "--config=configs/quickstart_xray.py", "--workdir=there/it/is"])
    assert cli.workdir_of(values).as_posix() == "there/it/is"
    assert cli.config_of(values).cohort.name == "chexpert"


def test_flags_are_listed_with_defaults_where_they_have_any():
    values = flags.FlagValues()
    flags.DEFINE_integer("size", 64, "pixels", flag_values=values)
    flags.DEFINE_string("root", "", "folder", flag_values=values)
    assert cli._flag_help(values).splitlines() == [
        "  --root: folder",
        "  --size: pixels (default 64)",
    ]


def test_quiet_holds_back_what_is_less_than_asked_for():
    before = logging.get_verbosity()
    try:
        cli.quiet(logging.ERROR)
        assert not logging.level_info()
        assert not logging.level_warning()
        assert logging.level_error()
    finally:
        cli.quiet(before)
