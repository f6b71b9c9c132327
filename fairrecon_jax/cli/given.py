"""What is wrong with the words of a command line, all of it at once."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence

from absl import flags
from ml_collections import ConfigDict

from fairrecon_jax.runtime.gathered import SeveralErrors
from fairrecon_jax.types import ConfigError, InputError, nearest

ABSL = ("flagfile", "undefok")
"""Flags that the parser itself takes."""


def wrong_words(values: flags.FlagValues, words: Sequence[str]) -> list[str]:
    """What is said of words that are no flags of a command, and of values that a flag does not
    take.

    Args:
      values: the flags of the command, not parsed yet.
      words: behind the command, without fields of the configuration.

    Returns:
      A line for each of them, with the nearest name.

    Example:
      >>> values = flags.FlagValues()
      >>> flags.DEFINE_string("workdir", "", "folder", flag_values=values)
      <...>
      >>> wrong_words(values, ["--wrokdir=runs/a"])
      ['there is no flag --wrokdir; did you mean --workdir?']
    """
    return list(_wrong(values, words))


def of_configuration(words: Sequence[str]) -> list[str]:
    """The words of a command line that name the configuration.

    Example:
      >>> of_configuration(["--zzz", "--config", "a.py", "--workdir=w"])
      ['--config', 'a.py']
    """
    found: list[str] = []
    for word, following in itertools.zip_longest(words, words[1:]):
        name, sign, _ = word.lstrip("-").partition("=")
        if word.startswith("-") and name == "config":
            found += [word] if sign or following is None else [word, following]
    return found


def set_fields(
    config: ConfigDict | None, fields: Mapping[str, str], wrong: Sequence[str] = ()
) -> None:
    """Sets the fields of a configuration that the command line gives; where something is wrong with
    it, the whole configuration is looked at, so that all is said at once.

    Args:
      config: changed in place; None where the command line names none that can be loaded.
      fields: text by dotted name.
      wrong: what is said of the other words.

    Raises:
      InputError: the message tells everything that is refused.
    """
    from fairrecon_jax.study.overrides import override
    from fairrecon_jax.study.parse import parse
    from fairrecon_jax.study.refusals import Refusals

    refused = Refusals()
    if config is not None:
        with refused.gather():
            override(config, fields)
        # a file that is not there is told of where nothing else is wrong
        with refused.gather(), contextlib.suppress(OSError):
            if refused or wrong:
                parse(config)
    if not wrong:
        refused.tell()
        return
    lines: tuple[str, ...] = ()
    try:
        refused.tell()
    except ConfigError as error:
        lines = error.refusals
    if len(wrong) + len(lines) > 1:
        raise SeveralErrors("the command line", *wrong, *lines)
    raise InputError(wrong[0])


def _wrong(values: flags.FlagValues, words: Sequence[str]) -> Iterator[str]:
    """What is said of each wrong word."""
    waiting, maybe = False, False
    for word in words:
        # behind --name without = comes its value
        if waiting or (maybe and not word.startswith("-")) or word in ("-", "--"):
            waiting = maybe = False
            continue
        if not word.startswith("-"):
            yield f"{word!r} is not a flag; flags are written --name=value"
            continue
        name, sign, value = word.lstrip("-").partition("=")
        on_or_off = name.removeprefix("no")
        switched = on_or_off in values and values[on_or_off].boolean
        waiting = maybe = False
        if name in ABSL or (switched and name != on_or_off):
            continue
        if name not in values:
            near = nearest(name, sorted(values))
            hint = f"did you mean --{near}?" if near else f"there are {_listed(values)}"
            yield f"there is no flag --{name}; {hint}"
            maybe = not sign
            continue
        waiting = not sign and not switched
        # a configuration is read, and told of, by itself
        if sign and name != "config":
            try:
                values[name].parser.parse(value)
            except (ValueError, TypeError) as error:
                # behind the words some parsers give the value
                yield f"--{name}={value}: {error.args[0]}"


def _listed(values: flags.FlagValues) -> str:
    return ", ".join(f"--{name}" for name in sorted(values))
