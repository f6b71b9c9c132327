"""What is wrong with the words of a command line, all of it at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from absl import flags

from fairrecon_jax.runtime.gathered import SeveralErrors
from fairrecon_jax.types import InputError, nearest

ABSL = ("flagfile", "undefok")
"""Flags that the parser itself takes."""


def check_words(values: flags.FlagValues, words: Sequence[str]) -> None:
    """Refuses words that are no flags of a command, and values that a flag does not take.

    Args:
      values: the flags of the command, not parsed yet.
      words: behind the command, without fields of the configuration.

    Raises:
      InputError: the message tells each of them, with the nearest name.

    Example:
      >>> values = flags.FlagValues()
      >>> flags.DEFINE_string("workdir", "", "folder", flag_values=values)
      <...>
      >>> check_words(values, ["--wrokdir=runs/a"])
      Traceback (most recent call last):
      fairrecon_jax.types.InputError: there is no flag --wrokdir; did you mean --workdir?
    """
    wrong = list(_wrong(values, words))
    if len(wrong) > 1:
        raise SeveralErrors("the command line", *wrong)
    if wrong:
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
