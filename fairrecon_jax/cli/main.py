"""The console script: `fairrecon <command> --config=FILE [--config.field=value ...] --workdir=DIR`.

This file parses and prints; the work is in the functions it calls, which are importable by
themselves.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from fairrecon_jax.runtime.memory import keep_memory

PROGRAM = "fairrecon"
REFUSED = (ValueError, OSError, ImportError, flags.Error)  # errors that are said in one line
INTRODUCTION = """fairrecon: assess what AI image reconstruction does to the diagnosis that follows it, and to whom.

usage: fairrecon <command> --config=FILE [--config.field=value ...] [--workdir=DIR] [flags]

commands, in the order in which a study needs them:
{commands}

`fairrecon <command> --help` says what a command reads and writes and shows an example.
Configurations are the Python files in configs/; any field can be set on the command line, e.g.
--config.cohort.root=DIR or --config.reconstructors.unet.train.steps=100; a field that does not exist is refused. Tuples are written
--config.degradation.levels="(4, 8)".
"""


@dataclasses.dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
      summary: one line for the overview.
      text: what it reads and writes, with an example.
      run: does it, given the parsed flags.
      extra: defines flags beside --config and --workdir.
      together: whether all processes of a run take part, and not process 0 alone.
    """

    summary: str
    text: str
    run: Callable[[Any], None]
    extra: Callable[[flags.FlagValues], None] = lambda values: None
    together: bool = True


def config_of(values: Any) -> ConfigDict:
    """The configuration given by --config.

    Raises:
      ValueError: none is given, the file cannot be loaded, or it gives something else.
    """
    if values.config is None:
        raise ValueError("give a configuration, e.g. --config=configs/nih_chestxray14.py")
    file = config_flags.get_config_filename(values["config"])
    try:
        values.config.is_locked  # noqa: B018  (a file that failed to load raises on the first access)
    except OSError as error:
        cause = str(error.__cause__).strip().splitlines()[-1].strip()
        raise ValueError(f"the configuration cannot be loaded: {cause}") from error
    except AttributeError as error:
        raise ValueError(
            f"{file}: get_config() must return a ConfigDict, see configs/ for examples"
        ) from error
    return values.config


def workdir_of(values: Any) -> Path:
    """--workdir, or runs/<name of the configuration file>."""
    if values.workdir:
        return Path(values.workdir)
    name = config_flags.get_config_filename(values["config"])
    return Path("runs") / Path(str(name)).stem


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
      argv: command and flags, without the program's name; those of the process if None.

    Returns:
      0, or 2 with one line on stderr where command, flags or input are refused.
    """
    if argv is None:
        keep_memory()
    words = list(sys.argv[1:] if argv is None else argv)
    if (
        "--verbose" not in words
        # XLA calls the tuning flags of a cached program an error, even on the machine that compiled
        # it
    ):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from fairrecon_jax.cli.commands import COMMANDS

    if not words or words[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        print(
            INTRODUCTION.format(
                commands="\n".join(
                    f"  {name:<{width}}  {c.summary}" for name, c in COMMANDS.items()
                )
            )
        )
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        print(f"{PROGRAM}: no command {name!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
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
    if any(word in ("-h", "--help") for word in rest):
        print(
            f"usage: {PROGRAM} {name} "
            f"[flags]\n\n{command.text.strip()}\n\nflags:\n{_flag_help(values)}"
        )
        return 0
    return _run(name, command, values, rest)


def _run(name: str, command: Command, values: flags.FlagValues, rest: list[str]) -> int:
    from fairrecon_jax.runtime import processes
    from fairrecon_jax.study.overrides import override, separate
    from fairrecon_jax.training.run import TrainingDiverged

    refused = (*REFUSED, TrainingDiverged)
    config = next(
        (word.partition("=")[2].partition(":")[0] for word in rest if word.startswith("--config=")),
        "",
    )
    rest, fields = separate(rest)
    saved, sys.argv = sys.argv, [f"{PROGRAM} {name}", *rest]  # the configuration's flag looks there
    try:
        positional = values(sys.argv)[1:]
        if positional:
            raise ValueError(f"{positional[0]!r} is not a flag; flags are written --name=value")
        if fields:
            override(config_of(values), fields)
        quiet(logging.INFO if values.verbose else logging.ERROR)
        processes.start()
        if command.together:
            command.run(values)
        else:
            processes.on_primary(lambda: command.run(values), name)
    except processes.PrimaryFailed:
        return 2
    except KeyboardInterrupt:
        print(f"{PROGRAM} {name}: interrupted; the same command continues", file=sys.stderr)
        return 130
    except (*refused, AttributeError, KeyError, TypeError, SyntaxError) as error:
        expected = isinstance(error, refused) or not _inside_package(error)
        if not expected or (values.is_parsed() and values.verbose):
            raise
        print(f"{PROGRAM} {name}: {_line(error, config)}", file=sys.stderr)
        return 2
    finally:
        sys.argv = saved
    return 0


def _line(error: BaseException, config: str) -> str:
    """An error in one line, with the file it is about."""
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == config
    ]
    if lines:
        return f"{config}, line {lines[-1]}: {type(error).__name__}: {error}"
    if isinstance(error, flags.Error) and "Traceback" in str(
        error
    ):  # the configuration file raised
        return f"{config}: {str(error).strip().splitlines()[-1]}"
    if isinstance(error, AttributeError) and "get_config" in str(error):
        return f"{config} has no function get_config()"
    if isinstance(error, KeyError):
        return f"the configuration has no field {error}"
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return (
            f"{error.filename}: {error.strerror}; is the path right, may you write there, has "
            "the disk room?"
        )
    return " ".join(str(error).split())


def quiet(verbosity: int) -> None:
    """Sets what absl's logger lets through (the checkpoint and data set libraries are talkative)."""
    logging.set_verbosity(verbosity)
    logging.set_stderrthreshold(verbosity)


def _inside_package(error: BaseException) -> bool:
    """Whether an error was raised while the command ran (and not while its configuration was read)."""
    frame, here = error.__traceback__, str(Path(__file__).parent)
    while frame is not None:
        path = frame.tb_frame.f_code.co_filename
        if path.startswith(here) and Path(path).name not in ("cli.py", "defaults.py"):
            return True
        frame = frame.tb_next
    return False


def _flag_help(values: flags.FlagValues) -> str:
    lines = []
    for name in sorted(values):
        flag = values[name]
        default = "" if flag.default in (None, "") else f" (default {flag.default})"
        lines.append(f"  --{name}: {flag.help}{default}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
