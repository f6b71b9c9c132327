"""What a command of the console script is, and the two flags that most of them share."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

PROGRAM = "fairrecon"


@dataclasses.dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
      summary: one line for the overview.
      text: what it reads and writes, with an example; or what makes that text.
      run: does it, given the parsed flags; or its place, "module:function", so that the overview
        imports nothing.
      extra: defines flags beside --config and --workdir.
      together: whether all processes of a run take part, and not process 0 alone.
      folder: the work directory whose log tells of the command, given the parsed flags; None where
        it writes none.
    """

    summary: str
    text: str | Callable[[], str]
    run: str | Callable[[Any], None]
    extra: Callable[[flags.FlagValues], None] = lambda values: None
    together: bool = True
    folder: Callable[[Any], Path | None] = lambda values: workdir_of(values)

    @property
    def help(self) -> str:
        """The text."""
        return (self.text if isinstance(self.text, str) else self.text()).strip()

    @property
    def function(self) -> Callable[[Any], None]:
        """What does it, imported."""
        if not isinstance(self.run, str):
            return self.run
        module, _, name = self.run.partition(":")
        found: Callable[[Any], None] = getattr(importlib.import_module(module), name)
        return found


def config_of(values: Any) -> ConfigDict:
    """The configuration given by --config.

    Raises:
      ConfigError: none is given, the file cannot be loaded, or it gives something else.
    """
    from fairrecon_jax.types import ConfigError

    if values.config is None:
        raise ConfigError("give a configuration, e.g. --config=configs/nih_chestxray14.py")
    file = config_flags.get_config_filename(values["config"])
    try:
        values.config.is_locked  # noqa: B018  (a file that failed to load raises on first access)
    except OSError as error:
        # the cause lists every attempt; its last line says what failed
        cause = str(error.__cause__).strip().splitlines()[-1].strip()
        raise ConfigError(f"the configuration cannot be loaded: {cause}") from error
    except AttributeError as error:
        raise ConfigError(
            f"{file}: get_config() must return a ConfigDict, see configs/ for examples"
        ) from error
    return values.config


def no_folder(values: Any) -> None:
    """The work directory of a command that has none."""


def workdir_of(values: Any, otherwise: str = "") -> Path:
    """--workdir, or `otherwise`, or runs/<name of the configuration file>.

    Raises:
      ConfigError: neither those nor a configuration are given.
    """
    if values.workdir or otherwise:
        return Path(values.workdir or otherwise)
    config_of(values)  # refused where none is given
    name = config_flags.get_config_filename(values["config"])
    # the same without --workdir in every command, so that they find one another's work
    return Path("runs") / Path(str(name)).stem
