"""Which errors the console script says in one line and which keep their traceback; what it says of
them, and what it leaves as it was.
"""

from __future__ import annotations

import dataclasses
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags, logging
from ml_collections import config_flags

from fairrecon_jax.cli import main as cli
from fairrecon_jax.cli.command import config_of, workdir_of
from fairrecon_jax.cli.commands import COMMANDS
from fairrecon_jax.cli.told import in_line
from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.progress import quiet
from fairrecon_jax.types import ConfigError, InputError, TrainingDiverged
from tests.support.own_tree import COLUMNS, write_own


@pytest.fixture(autouse=True)
def interrupted():
    """Ctrl-C raises, although a shell starts what runs in its background deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def run(monkeypatch, error: BaseException, *words: str) -> int:
    """The doctor command where it raises."""

    def broken(values) -> None:
        raise error

    monkeypatch.setitem(COMMANDS, "doctor", dataclasses.replace(COMMANDS["doctor"], run=broken))
    return cli.main(["doctor", "--config=configs/lgg_mri.py", *words])


# -- errors of a command


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("one\n  two"), 2, "one two"),
        (ConfigError("config.cohort:\n   no such  task"), 2, "config.cohort: no such task"),
        (TrainingDiverged("unet: loss is nan at step 3"), 2, "unet: loss is nan at step 3"),
        (OSError("disk\nfull"), 2, "disk full"),
        (TimeoutError("waited 48 h for process 0"), 2, "waited 48 h for process 0"),
        (
            FileNotFoundError(2, "No such file or directory", "/data/a.csv"),
            2,
            "/data/a.csv: No such file or directory; is the path right?",
        ),
        (OSError(22, "Invalid argument", "/proc/1/x"), 2, "/proc/1/x: Invalid argument"),
        (
            PermissionError(13, "Permission denied", "/root/x"),
            2,
            "/root/x: Permission denied; is the path right, may you write there, has the disk "
            "room?",
        ),
        (flags.Error("flag --konfig: unknown"), 2, "flag --konfig: unknown"),
        (KeyboardInterrupt(), 130, "interrupted; the same command continues"),
    ],
)
def test_what_a_user_can_mend_is_said_in_one_line(monkeypatch, capsys, error, code, line):
    assert run(monkeypatch, error) == code
    assert capsys.readouterr().err == f"fairrecon doctor: {line}\n"


@pytest.mark.parametrize(
    ("sent", "code", "how"),
    [(signal.SIGTERM, 143, "stopped by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_signal_ends_a_command_in_one_line(monkeypatch, capsys, sent, code, how):
    monkeypatch.setitem(
        COMMANDS,
        "doctor",
        dataclasses.replace(COMMANDS["doctor"], run=lambda _: signal.raise_signal(sent)),
    )
    before = signal.getsignal(sent)
    assert cli.main(["doctor", "--config=configs/lgg_mri.py"]) == code
    assert capsys.readouterr().err == f"fairrecon doctor: {how}; the same command continues\n"
    assert signal.getsignal(sent) is before


@pytest.mark.parametrize(
    "error",
    [
        ValueError("shapes differ"),
        KeyError("a"),
        TypeError("f() takes 0 arguments"),
        AttributeError("'NoneType' object has no attribute 'x'"),
        RuntimeError("no"),
        ImportError("No module named 'x'"),
        AssertionError(),
        ZeroDivisionError("no"),
    ],
)
def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch, capsys, error):
    with pytest.raises(type(error)) as raised:
        run(monkeypatch, error)
    assert raised.value is error
    assert capsys.readouterr().err == ""


def test_an_error_of_numpy_inside_a_command_keeps_its_traceback(monkeypatch):
    def broken(values) -> None:
        np.zeros(3) + np.zeros(4)

    monkeypatch.setitem(COMMANDS, "doctor", dataclasses.replace(COMMANDS["doctor"], run=broken))
    with pytest.raises(ValueError, match="could not be broadcast") as raised:
        cli.main(["doctor", "--config=configs/lgg_mri.py"])
    assert not isinstance(raised.value, InputError)
    assert raised.traceback[-1].name == "broken"


def test_verbose_keeps_the_traceback_of_a_refusal(monkeypatch, capsys):
    assert run(monkeypatch, InputError("refused")) == 2
    assert capsys.readouterr().err == "fairrecon doctor: refused\n"
    before = logging.get_verbosity()
    try:
        with pytest.raises(InputError, match="refused"):
            run(monkeypatch, InputError("refused"), "--verbose")
    finally:
        quiet(before)


def test_what_cannot_be_read_gives_no_hint_about_writing(monkeypatch, tmp_path):
    (tmp_path / "closed").mkdir()
    error = PermissionError(13, "Permission denied", str(tmp_path / "closed"))
    assert in_line(error).endswith(
        "closed: Permission denied; is the path right, may you write there, has the disk room?"
    )
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert in_line(error).endswith("closed: Permission denied; may you read it?")


# -- several processes


def test_a_process_whose_leader_failed_says_nothing_more(monkeypatch, capsys):
    assert run(monkeypatch, processes.PrimaryFailed("process 0 could not doctor: x")) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "said"), [(ConfigError("a field"), False), (InputError("a file"), True)]
)
def test_a_field_that_every_process_refuses_is_said_by_the_first(monkeypatch, capsys, error, said):
    monkeypatch.setitem(COMMANDS, "doctor", dataclasses.replace(COMMANDS["doctor"], together=True))
    monkeypatch.setattr(processes, "is_primary", lambda: False)
    assert run(monkeypatch, error) == 2
    assert bool(capsys.readouterr().err) is said


# -- configuration files


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def get_config(:\n", ", line 1: invalid syntax"),
        ("x = 1\n", " has no function get_config()"),
        (
            "def get_config():\n    return {}\n",
            ": get_config() must return a ConfigDict, see configs/ for examples",
        ),
        ("def get_config():\n    return {}['a']\n", ", line 2: KeyError: 'a'"),
        ("1 / 0\n", ", line 1: ZeroDivisionError: division by zero"),
        (
            "def get_config():\n    return len(3)\n",
            ", line 2: TypeError: object of type 'int' has ",
        ),
        (
            "import numpy as np\ndef get_config():\n    return np.zeros(3) + np.zeros(4)\n",
            ", line 3: ValueError: operands could not be broadcast together with shapes (3,) (4,)",
        ),
        (
            "def get_config():\n    open('/nowhere/a.csv')\n",
            ", line 2: FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/a.csv'",
        ),
        ("import nothing_here\n", ", line 1: ModuleNotFoundError: No module named 'nothing_here'"),
        (
            "from fairrecon_jax.types import InputError\ndef get_config():\n"
            "    raise InputError('mine')\n",
            ", line 3: InputError: mine",
        ),
        (
            "from fairrecon_jax.defaults import training\ndef get_config():\n"
            "    return training(0, 8, 1e-3)\n",
            ", line 3: ValueError: steps must be at least 1, got 0",
        ),
        (
            "from fairrecon_jax.defaults import study\ndef get_config():\n    c = study()\n"
            "    c.foo.bar = 1\n    return c\n",
            ", line 4: AttributeError: \"'foo'\"",
        ),
        (
            "def one():\n    return 1 / 0\n\ndef get_config():\n    return one()\n",
            ", line 2: ZeroDivisionError: division by zero",
        ),
    ],
)
def test_what_a_configuration_file_raises_is_said_with_its_line(
    text, line, capsys, tmp_path, monkeypatch
):
    monkeypatch.delitem(
        sys.modules, "config_config", raising=False
    )  # a program loads one configuration in its life
    file = tmp_path / "my.py"
    file.write_text(text)
    assert cli.main(["study", f"--config={file}", f"--workdir={tmp_path / 'work'}"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"fairrecon study: {file}{line}")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("form", ["--config={}", "-config={}", "--config {}"])
def test_the_line_is_found_however_the_file_is_given(form, capsys, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "config_config", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("my.py").write_text("def get_config():\n    return {}['a']\n")
    assert cli.main(["study", *form.format("my.py").split()]) == 2
    assert capsys.readouterr().err == "fairrecon study: my.py, line 2: KeyError: 'a'\n"


def test_a_configuration_that_is_not_there_is_named(capsys, tmp_path):
    assert cli.main(["study", f"--config={tmp_path / 'nowhere.py'}"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("fairrecon study: the configuration cannot be loaded: [Errno 2] No such")
    assert "nowhere.py" in err
    assert len(err.splitlines()) == 1


def test_an_error_is_told_by_the_innermost_line_of_the_file_that_caused_it():
    def raised(source: str, file: str) -> BaseException:
        try:
            exec(compile(source, file, "exec"), {})
        except Exception as error:
            return error
        raise AssertionError("nothing was raised")

    error = raised("try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError() from e\n", "a")
    assert cli._config_line(error, "a") == "a, line 2: KeyError: 'a'"
    assert cli._raised(error, "b") is None
    assert cli._raised(error, "") is None
    assert (
        cli._config_line(SyntaxError("bad", ("b.py", 3, 1, "", 3, 2)), "a") == "b.py, line 3: bad"
    )
    assert cli._config_line(InputError("one\ntwo"), "a") == "one two"


def test_a_command_whose_words_nobody_reads_ends_without_a_word(tmp_path):
    words = ["plan", "--json", "--config=quickstart_xray", f"--workdir={tmp_path}"]
    command = [sys.executable, "-m", "fairrecon_jax.cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # as `head` does once it has enough
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


# -- what is left as it was


def test_the_command_line_of_the_process_is_put_back(monkeypatch):
    monkeypatch.setattr(cli.sys, "argv", ["before", "all"])
    run(monkeypatch, InputError("refused"))
    assert cli.sys.argv == ["before", "all"]
    with pytest.raises(ValueError):
        run(monkeypatch, ValueError("a fault"))
    assert cli.sys.argv == ["before", "all"]


def test_the_work_directory_is_named_after_the_configuration_unless_given():
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "c", flag_values=values)
    flags.DEFINE_string("workdir", "", "w", flag_values=values)
    values(["x", "--config=configs/quickstart_xray.py"])
    assert workdir_of(values).as_posix() == "runs/quickstart_xray"
    values(["x", "--config=configs/quickstart_xray.py", "--workdir=there/it/is"])
    assert workdir_of(values).as_posix() == "there/it/is"
    assert config_of(values).cohort.name == "chexpert"


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
        quiet(logging.ERROR)
        assert not logging.level_info()
        assert not logging.level_warning()
        assert logging.level_error()
    finally:
        quiet(before)


# -- the shell


def test_a_switch_of_the_shell_behind_a_foreign_error_is_named(monkeypatch, capsys):
    def broken(values) -> None:
        jnp.zeros(3) + jnp.zeros(4)

    def doctor(*words: str) -> int:
        return cli.main(["doctor", "--config=configs/lgg_mri.py", *words])

    monkeypatch.setitem(COMMANDS, "doctor", dataclasses.replace(COMMANDS["doctor"], run=broken))
    for name in [n for n in os.environ if cli.SWITCH.match(n)]:
        monkeypatch.delenv(name)
    with pytest.raises(TypeError):
        doctor()
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "1")
    monkeypatch.setenv("JAX_DEBUG_NANS", "0")
    assert doctor() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fairrecon doctor: TypeError: ")
    assert "the shell sets JAX_PLATFORMS=cuda: try without" in line
    with pytest.raises(TypeError):
        doctor("--verbose")
    # a fault of the package has nothing to do with it
    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, ZeroDivisionError())


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("JAX_NUMPY_RANK_PROMOTION", "bogus", "jax_numpy_rank_promotion"),
        ("MPLBACKEND", "bogus", "MPLBACKEND=bogus"),
    ],
)
def test_a_switch_that_a_library_refuses_is_one_line(name, value, says):
    done = subprocess.run(
        [sys.executable, "-m", "fairrecon_jax.cli", "study", "--config=chexpert"],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr


def test_a_terminal_of_few_letters_ends_no_work(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setitem(
        COMMANDS,
        "doctor",
        dataclasses.replace(COMMANDS["doctor"], run=lambda values: print("8×, 性别")),
    )
    assert cli.main(["doctor", "--config=configs/lgg_mri.py"]) == 0
    stream.flush()
    assert stream.buffer.getvalue() == b"8\\xd7, \\u6027\\u522b\n"


def test_a_terminal_without_a_letter_shows_its_escape(tmp_path):
    root = write_own(tmp_path / "tree", 4)
    words = [f"--images={root / 'images'}", f"--table={root / 'exams.csv'}", "--labels=X"]
    table = root / "exams.csv"
    table.write_text(table.read_text("utf-8").replace("Finding", "Befund \u2713"), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "fairrecon_jax.cli", "init", *words],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 2
    assert b"Befund \\u2713" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_shell_without_utf8_and_with_warnings_as_errors_changes_nothing(tmp_path):
    root = write_own(tmp_path / "Bäume", 4)
    (root / "exams.csv").write_bytes(
        (root / "exams.csv").read_bytes().replace(b"000.png", b"\xc3\xbc.png")
    )
    for folder in ("images", "masks"):
        (root / folder / "000.png").rename(root / folder / "ü.png")
    (root / "study.py").write_text(
        "from fairrecon_jax.defaults import study\n\n\n"
        "def get_config():\n"
        "    c = study()\n"
        f"    c.cohort.update(name='table', root={str(root)!r}, image_size=32)\n"
        f"    c.cohort.columns = {COLUMNS!r}\n"
        "    c.degradation.update(kind='xray_low_dose', levels=(1e4,))\n"
        "    return c\n",
        encoding="utf-8",
    )
    shell = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONWARNINGS": "error",
    }
    done = subprocess.run(
        [sys.executable, "-m", "fairrecon_jax.cli", "doctor", f"--config={root / 'study.py'}"],
        capture_output=True,
        env={**os.environ, **shell},
        cwd=Path(__file__).parents[2],
    )
    assert b"Traceback" not in done.stderr
    assert "Bäume: 4 usable images".encode() in done.stdout


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_comes_while_an_object_is_deleted_is_not_lost(monkeypatch, sent, code):
    class Deleted:
        def __del__(self) -> None:
            signal.raise_signal(sent)

    def work(_: object) -> None:
        thing = Deleted()
        del thing
        for _ in range(100):
            time.sleep(0.01)
        raise AssertionError("it went on")

    monkeypatch.setitem(COMMANDS, "doctor", dataclasses.replace(COMMANDS["doctor"], run=work))
    assert cli.main(["doctor", "--config=configs/lgg_mri.py"]) == code


def test_a_full_disk_is_told_in_one_line_whoever_tells_it(monkeypatch, capsys):
    words = 'Failed to finalize: write() failed: No space left on device; writing "a"'
    assert run(monkeypatch, RuntimeError(words)) == 2
    hint = "is the path right, may you write there, has the disk room?"
    assert capsys.readouterr().err == f"fairrecon doctor: {words}; {hint}\n"
    assert run(monkeypatch, OSError(28, "No space left on device")) == 2
    assert capsys.readouterr().err == f"fairrecon doctor: No space left on device; {hint}\n"
