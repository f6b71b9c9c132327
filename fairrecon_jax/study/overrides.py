"""Fields of a configuration that are set on the command line: `--config.block.field=value`."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from fairrecon_jax.registry import unbounded
from fairrecon_jax.study.refusals import Refusals
from fairrecon_jax.types import ConfigError, meant

WORD = re.compile(r"--?(no)?config\.([^=]+)(?:=(.*))?", re.DOTALL)
NAMED = ("reconstructors", "diagnosers", "mitigations")  # hold blocks by name


def literal(text: str) -> Any:
    """A Python literal as its value, any other text as it is."""
    try:
        return ast.literal_eval(text.strip())
    # TypeError: a list cannot be a key; the last two: nested too deeply for the parser
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def separate(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The words of a command line that set no field, and the text for each dotted field; the last
    word of a field counts.
    """
    found = {word: WORD.fullmatch(word) for word in words}
    # without "=": --config.field means True and --noconfig.field False, as for flags
    fields = {m[2]: m[3] if m[3] is not None else str(not m[1]) for m in found.values() if m}
    return [word for word, match in found.items() if not match], fields


def override(config: ConfigDict, fields: Mapping[str, str]) -> None:
    """Sets fields of a configuration.

    A field takes the kind of value that it has: text stays text, a whole number becomes a fraction,
    and a single value a tuple of its like where such a one stands. A field that its block has not
    given may be set too; whether there is one of that name and type is seen when the block's object
    is built.

    Args:
      config: changed in place, locked or not.
      fields: text by dotted name.

    Raises:
      ConfigError: there is no such block or field, or it is a block and the text no dictionary; the
        message says what there is. All others are set.
    """
    refused = Refusals()
    for path, text in fields.items():
        with refused.gather():
            _set(config, path, text)
    refused.tell()


def _set(config: ConfigDict, path: str, text: str) -> None:
    """Sets one field."""
    *outer, last = path.split(".")
    block: Any = config
    for name in outer:
        block = block.get(name) if isinstance(block, ConfigDict) else None
    # names right below the root or among named blocks are known; deeper ones `build` looks at
    if not isinstance(block, ConfigDict) or (
        last not in block and (not outer or (path.count(".") == 1 and outer[0] in NAMED))
    ):
        hint = _meant(config, path.split("."))
        raise ConfigError(f"config has no field {path}; {_there(config, outer)}{hint}")
    there, value = block.get(last), literal(text)
    if isinstance(there, ConfigDict):
        if not isinstance(value, dict):
            raise ConfigError(
                f"config.{path} is a block, set its fields; {_there(config, [*outer, last])}"
            )
        try:
            value = ConfigDict(value)
        # a dot in a name, which would be taken for a path
        except ValueError as error:
            raise ConfigError(f"config.{path}: {error}") from error
    elif isinstance(there, str):
        # not its literal: a folder may be called "2024"
        value = text
    # by type: True is an int too, and is for `build` to refuse
    elif isinstance(there, float) and type(value) is int:
        value = float(value)
    elif isinstance(value, str) and _numeric(there):
        value = unbounded(value)
    elif isinstance(value, list):
        value = tuple(value)
    elif (
        isinstance(there, tuple)
        and not isinstance(value, tuple)
        and all(isinstance(v, str) == isinstance(value, str) for v in there)
    ):
        value = (value,)
    # ConfigDict knows the value that stands there, the dataclass all types it takes
    with config.unlocked(), config.ignore_type():
        if isinstance(value, bool) and last in block:
            # in the place of a number True would become 1.0
            del block[last]
        block[last] = value


def _numeric(value: Any) -> bool:
    """Whether a value is a number, or numbers."""
    parts = value if isinstance(value, tuple) and value else (value,)
    return all(isinstance(part, int | float) and not isinstance(part, bool) for part in parts)


def _meant(config: ConfigDict, path: Sequence[str]) -> str:
    """What was probably meant by the first name of a path that is none."""
    block = config
    for name in path:
        if name not in block:
            return meant(name, block)
        if not isinstance(block[name], ConfigDict):
            break
        block = block[name]
    return ""


def _there(config: ConfigDict, path: Sequence[str]) -> str:
    """What the innermost block on a path has, in words."""
    block, reached = config, "the configuration"
    for number, name in enumerate(path, 1):
        if not isinstance(block.get(name), ConfigDict):
            break
        block, reached = block[name], f"config.{'.'.join(path[:number])}"
    return f"{reached} has: {', '.join(sorted(block)) or 'nothing'}"
