"""The console script: `fairrecon <command> --config=FILE [--config.field=value ...] --workdir=DIR`.

This file parses and prints; the work is in the functions that the commands call, which are
importable by themselves.
"""

from __future__ import annotations

import _thread
import dataclasses
import difflib
import importlib.metadata
import io
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from absl import flags, logging
from ml_collections import config_flags

from fairrecon_jax.cli.command import PROGRAM, Command, config_of
from fairrecon_jax.cli.commands import COMMANDS
from fairrecon_jax.cli.completion import completion
from fairrecon_jax.cli.overview import SUMMARIES, overview
from fairrecon_jax.cli.told import DISK_HINT, in_line, of_disk, unread
from fairrecon_jax.runtime.memory import keep_memory

SWITCH = re.compile(
    "MPLBACKEND|JAX_(DEBUG_|PLATFORM|NUMPY_|TRANSFER_GUARD|ENABLE_|CHECK_|DISABLE_JIT|DEFAULT_)"
)
"""Names of variables by which a shell makes libraries refuse what they otherwise do."""
# endings of switches that are off, or say what holds anyway
HARMLESS = ("=", "=cpu", "=0", "=false", "=False")


class Terminated(BaseException):
    """SIGTERM has come."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
      argv: command and flags, without the program's name; those of the process if None.

    Returns:
      0, or with one line on stderr 2 where command, flags or input are refused, 130 after an
        interrupt and 143 after SIGTERM. Any other error of the package is a fault of the program
        and keeps its traceback.
    """
    name = " ".join([PROGRAM, *(sys.argv[1:] if argv is None else argv)[:1]])
    try:
        with _termination():
            return _command(argv)
    except KeyboardInterrupt:
        code, how = 128 + signal.SIGINT, "interrupted"
    except Terminated:
        code, how = 128 + signal.SIGTERM, "stopped by SIGTERM"
    # what is written is whole, and a training goes on from its last checkpoint
    print(f"{name}: {how}; the same command continues", file=sys.stderr)
    return code


@contextmanager
def _termination() -> Iterator[None]:
    """Ends the command at SIGTERM as at an interrupt, so that nothing half-written stays; a second
    one ends the process at once. Trainings save their state first.
    """

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    def dropped(told: sys.UnraisableHookArgs) -> None:
        # Python drops what is raised while an object is deleted, where a signal may come as well
        if not issubclass(told.exc_type, KeyboardInterrupt | Terminated):
            # writers of a checkpoint come back to a loop that the first failed write has closed
            if str(told.exc_value) != "Event loop is closed":
                sys.__unraisablehook__(told)
            return
        signal.signal(signal.SIGTERM, end)
        sent = signal.SIGINT if told.exc_type is KeyboardInterrupt else signal.SIGTERM
        # from another thread: sent here, it would be dropped once more
        threading.Timer(0.01, _thread.interrupt_main, (sent,)).start()

    # Python sets handlers in the main thread only
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, hook = signal.signal(signal.SIGTERM, end), sys.unraisablehook
    sys.unraisablehook = dropped
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.unraisablehook = hook


def _command(argv: Sequence[str] | None) -> int:
    """Runs one command; see `main`."""
    # for the console script alone: a caller's process keeps its own memory settings
    if argv is None:
        _start_over()
        keep_memory()
    for stream in (sys.stdout, sys.stderr):
        # a terminal of another encoding shows the escape of a letter instead of ending the program
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        print(f"{PROGRAM} {importlib.metadata.version('fairrecon_jax')}")
        return 0
    if words[0] == "completion":
        try:
            print(completion((*words[1:], "bash")[0]))
        except ValueError as error:
            print(f"{PROGRAM} completion: {error}", file=sys.stderr)
            return 2
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, SUMMARIES, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        print(
            f"{PROGRAM}: no command {name!r}; {hint}there are {', '.join(SUMMARIES)}",
            file=sys.stderr,
        )
        return 2
    # flags of its own: absl's global ones would be defined twice by a second call
    command, values = COMMANDS[name], flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "configuration file (Python, with get_config())", flag_values=values
    )
    flags.DEFINE_string(
        "workdir",
        "",
        "folder for everything the study makes; runs/<configuration> if empty",
        flag_values=values,
    )
    flags.DEFINE_boolean(
        "verbose", False, "print the libraries' messages and whole tracebacks", flag_values=values
    )
    command.extra(values)
    rest = [_underscored(word, values) for word in rest]
    if any(word in ("-h", "--help") for word in rest):
        print(f"usage: {PROGRAM} {name} [flags]\n\n{command.help}\n\nflags:\n{_flag_help(values)}")
        return 0
    try:
        # late: they bring JAX and Matplotlib, which read the switches of the shell
        import jax  # noqa: F401

        run = command.function
    except ValueError as error:
        return _switched(words, error)
    return _run(name, dataclasses.replace(command, run=run), values, rest)


def _underscored(word: str, values: flags.FlagValues) -> str:
    """--dry-run as --dry_run, as flags of other programs are written."""
    name, equals, value = word.partition("=")
    known = name.startswith("--") and name[2:].replace("-", "_") in values
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if known else word


def _start_over() -> None:
    """Begins the process again where variables of the shell would break it: a locale without UTF-8
    garbles the names of files, PYTHONWARNINGS=error ends it at every notice of a library.
    """
    wanted = dict(os.environ)
    if sys.getfilesystemencoding().lower() != "utf-8" and wanted.get("PYTHONUTF8") != "1":
        wanted["PYTHONUTF8"] = "1"
    if "error" in wanted.get("PYTHONWARNINGS", ""):
        del wanted["PYTHONWARNINGS"]
    if wanted != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)


def _switched(words: Sequence[str], error: Exception) -> int:
    """Tells an error that a library raised under a switch of the shell, in one line.

    Raises:
      Exception: the error itself, where no switch is set, another module raised it, or the whole
        traceback is asked for.
    """
    given = [f"{n}={os.environ[n]}" for n in sorted(os.environ) if SWITCH.match(n)]
    given = [switch for switch in given if not switch.endswith(HARMLESS)]
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    places = (frames[-1].f_globals.get("__name__", ""), type(error).__module__)
    foreign = any(place.split(".")[0] in ("jax", "jaxlib", "matplotlib") for place in places)
    if not given or not foreign or "--verbose" in words:
        raise error
    print(
        f"{' '.join((PROGRAM, *words[:1]))}: {type(error).__name__}: {in_line(error)[:300]}; the "
        f"shell sets {', '.join(given)}: try without, or see the traceback with --verbose",
        file=sys.stderr,
    )
    return 2


def _run(name: str, command: Command, values: flags.FlagValues, rest: list[str]) -> int:
    from fairrecon_jax.runtime import journal, processes
    from fairrecon_jax.runtime.progress import note, quiet
    from fairrecon_jax.study.overrides import separate
    from fairrecon_jax.study.provenance import versions
    from fairrecon_jax.types import ConfigError, InputError, TrainingDiverged

    typed = [PROGRAM, name, *rest]
    # taken out before the flags: overrides of ml_collections set no field that a block leaves out
    rest, fields = separate(rest)

    def told(message: Warning | str, *_: object, **__: object) -> str:
        note(f"warning: {journal.discreet(str(message))}")
        return f"{PROGRAM} {name}: {message}\n"

    warnings.formatwarning = told
    # The configuration's flag looks at the command line of the process.
    saved, sys.argv = sys.argv, [f"{PROGRAM} {name}", *rest]
    threading.excepthook = _thread_failed
    try:
        _parse(values, fields)
        # as it was given: the log and the record of a study tell the command
        sys.argv = typed
        quiet(logging.INFO if values.verbose else logging.ERROR)
        processes.start()
        with journal.kept(command.folder(values), versions()):
            if command.together:
                command.function(values)
            else:
                processes.on_primary(lambda: command.function(values), name)
    except processes.PrimaryFailed:
        return 2
    except (InputError, TrainingDiverged, OSError, flags.Error) as error:
        if unread(error):
            # what is still waiting to be printed would fail once more as the process ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        if values.is_parsed() and values.verbose:
            raise
        # Every process parses the configuration and refuses the same field: one of them says so.
        if processes.is_primary() or not isinstance(error, ConfigError):
            print(f"{PROGRAM} {name}: {in_line(error)}", file=sys.stderr)
        return 2
    except Exception as error:
        # libraries in C++ tell the end of the disk in words alone
        if not values.verbose and of_disk(error):
            print(f"{PROGRAM} {name}: {in_line(error)[-400:]}; {DISK_HINT}", file=sys.stderr)
            return 2
        return _switched([name, *rest], error)
    finally:
        sys.argv, threading.excepthook = saved, threading.__excepthook__
    return 0


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """Shows what ended a thread."""
    # the writer of checkpoints hands its error to whoever waits for it, who says it
    if not of_disk(failed.exc_value):
        threading.__excepthook__(failed)


def _parse(values: flags.FlagValues, fields: Mapping[str, str]) -> None:
    """Parses the flags of `sys.argv`, loads the configuration and sets the fields that the command
    line gives.

    Raises:
      InputError: a word is no flag, or its value is none of the flag's.
      ConfigError: whatever the configuration file raises, with its line.
    """
    from fairrecon_jax.cli.given import of_configuration, set_fields, wrong_words
    from fairrecon_jax.types import ConfigError, InputError

    wrong = wrong_words(values, sys.argv[1:])
    try:
        sys.argv[1:] = map(_bundled, sys.argv[1:], sys.argv)
    except InputError as error:
        set_fields(None, fields, [str(error), *wrong])
    if wrong:
        # the configuration is looked at all the same
        sys.argv = [sys.argv[0], *of_configuration(sys.argv[1:])]
    try:
        positional = values(sys.argv)[1:]
        if values.config is not None:
            config_of(values)
    except Exception as error:
        if wrong:
            set_fields(None, fields, [_config_line(error, _file(sys.argv)), *wrong])
        # one raised by the file itself is told with its line instead
        if isinstance(error, InputError) and not _raised(error, _file(sys.argv)):
            raise
        raise ConfigError(_config_line(error, _file(sys.argv))) from error
    if positional:
        raise InputError(f"{positional[0]!r} is not a flag; flags are written --name=value")
    if fields or wrong:
        lacking = bool(wrong) and values.config is None
        set_fields(None if lacking else config_of(values), fields, wrong)


def _bundled(word: str, before: str) -> str:
    """--config=NAME of a configuration that comes with the package as the path of its file.

    Args:
      word: of the command line.
      before: the word before it.
    """
    match = re.fullmatch(r"(--?config=)?([\w/-]+)", word)
    if not match or not (match[1] or before in ("--config", "-config")) or Path(match[2]).exists():
        return word
    from fairrecon_jax.study.bundled import find
    from fairrecon_jax.types import InputError

    try:
        return f"{match[1] or ''}{find(match[2])}"
    except InputError as error:
        raise InputError(f"no file {match[2]!r} and {error}") from error


def _file(words: Sequence[str]) -> str:
    """The configuration file that --config names, "" without one."""
    # what follows a colon is an argument of get_config
    given = (re.fullmatch(r"--?config(?:=([^:]*).*)?", word) for word in words)
    found = [
        match[1] if match[1] is not None else "".join(words[place + 1 : place + 2]).split(":")[0]
        for place, match in enumerate(given)
        if match
    ]
    return found[-1] if found else ""


def _raised(error: BaseException | None, file: str) -> tuple[BaseException, int] | None:
    """The first error of a chain that a line of a file raised, with the number of the innermost
    such line; None where there is none.
    """
    found = None
    while error is not None:
        walked = traceback.walk_tb(error.__traceback__)
        # the last frame of the file, as the error may come from deeper in a library
        lines = [line for frame, line in walked if _same(frame.f_code.co_filename, file)]
        if lines:
            found = error, lines[-1]
        # ml_collections and absl wrap the first error several times
        error = error.__cause__ or error.__context__
    return found


def _same(one: str, other: str) -> bool:
    """Whether two names are of one file."""
    # real paths: a traceback has the absolute one, the command line what was typed
    return bool(other) and os.path.realpath(one) == os.path.realpath(other)


def _config_line(error: BaseException, file: str) -> str:
    """An error of loading a configuration in one line, with the place it is about."""
    if found := _raised(error, file):
        cause, line = found
        return f"{file}, line {line}: {type(cause).__name__}: {cause}"
    if isinstance(error, flags.Error) and "Traceback" in str(error):
        return f"{file}: {str(error).strip().splitlines()[-1]}"
    if isinstance(error, AttributeError) and "get_config" in str(error):
        return f"{file} has no function get_config()"
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    return in_line(error)


def _flag_help(values: flags.FlagValues) -> str:
    lines = []
    for name in sorted(values):
        flag = values[name]
        default = "" if flag.default in (None, "") else f" (default {flag.default})"
        lines.append(f"  --{name}: {flag.help}{default}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
