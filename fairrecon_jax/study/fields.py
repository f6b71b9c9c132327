"""Fields of a configuration: as plain values, and as typed objects whose errors name them."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, TypeVar, Union, get_origin, get_type_hints

from ml_collections import ConfigDict

from fairrecon_jax.assessment.options import RENAMED as RENAMED_OPTIONS
from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.metrics.conventions import ALIASES
from fairrecon_jax.registry import is_finite, misfits
from fairrecon_jax.study.overrides import literal
from fairrecon_jax.types import ConfigError

T = TypeVar("T")


def plain(value: Any) -> Any:
    """A ConfigDict, and whatever it holds, as plain dictionaries, tuples and scalars."""
    if isinstance(value, ConfigDict):
        return {key: plain(value[key]) for key in value}
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(plain(inner) for inner in value)
    return value


def without(block: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A block less the named fields."""
    return {key: value for key, value in block.items() if key not in names}


@contextlib.contextmanager
def naming(where: str) -> Iterator[None]:
    """Puts the name of a block before what a room of the package refuses of it.

    Raises:
      ConfigError: in place of a ValueError or TypeError.
    """
    try:
        yield
    # is a ValueError as well, and names its field already
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        text = str(error).removeprefix(f"config.{where}: ")
        raise ConfigError(f"config.{where}: {text}") from error


def check_block(value: Any, where: str) -> None:
    """Refuses what is no block of fields, which have names.

    Raises:
      ConfigError: the message names the block.
    """
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"config.{where} is a block of fields, got {value!r}")


def build(factory: type[T], where: str, fields: Mapping[str, Any]) -> T:
    """Makes a typed object of a block.

    Args:
      factory: a dataclass.
      where: the block's name in the configuration, for the error.
      fields: the block.

    Raises:
      ConfigError: it is no block, a field is unknown, missing or of another type, or its value is
        refused; the message names block and field.
    """
    check_block(fields, where)
    known = {field.name: field for field in dataclasses.fields(factory)}  # type: ignore[arg-type]
    if unknown := sorted(set(fields) - set(known)):
        raise ConfigError(
            f"config.{where} has no field {', '.join(unknown)}; it takes {', '.join(sorted(known))}"
        )
    missing = dataclasses.MISSING
    for name, field in known.items():
        if name not in fields and field.default is missing and field.default_factory is missing:
            raise ConfigError(f"config.{where}.{name} is not given")
    # field.type is text, as annotations are not evaluated; the hints are the types themselves
    values, hints = dict(fields), get_type_hints(factory)
    for name, value in values.items():
        if isinstance(value, str) and get_origin(hints[name]) in (Union, UnionType):
            # A command line writes a number where text may stand too.
            values[name] = literal(value)
    for name, wanted in misfits(factory, values).items():
        raise ConfigError(f"config.{where}: {name} takes {wanted}, got {values[name]!r}")
    with naming(where):
        options = factory(**values)  # says more about its own fields than the line below
    if wild := [name for name, value in values.items() if not is_finite(value)]:
        name = wild[0]
        raise ConfigError(f"config.{where}: {name} must be finite, got {values[name]!r}")
    return options


def made(factory: Callable[..., T], where: str, **fields: Any) -> T:
    """A model or mitigation of the block `where`, by a factory that looks up its kind.

    Raises:
      ConfigError: the block names no kind, or the factory refuses it.
    """
    if "kind" not in fields:
        raise ConfigError(f"config.{where} has no field kind")
    with naming(where):
        return factory(**fields)


def numbers(values: Any, where: str) -> tuple[float, ...]:
    """A list of different numbers; a single number is a list of one.

    Raises:
      ConfigError: something else stands there, or a number twice; the message names the field.
    """
    listed = values if isinstance(values, (list, tuple)) else (values,)
    # bool is an int: True would pass for level 1.0
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in listed):
        raise ConfigError(f"config.{where} takes a list of numbers, got {values!r}")
    parsed = tuple(float(value) for value in listed)
    differ(parsed, where)
    return parsed


def words(values: Any, where: str) -> tuple[str, ...]:
    """A list of texts; a single text is a list of one.

    Raises:
      ConfigError: something else stands there; the message names the field.
    """
    listed = values if isinstance(values, (list, tuple)) else (values,)
    if not all(isinstance(value, str) for value in listed):
        raise ConfigError(f"config.{where} takes a list of texts, got {values!r}")
    return tuple(listed)


def differ(values: Sequence[Any], where: str) -> None:
    """Refuses a value that stands in a list twice.

    Raises:
      ConfigError: the message names the field.
    """
    if len(set(values)) < len(values):
        raise ConfigError(f"config.{where} must differ from one another, got {tuple(values)}")


def check_word(name: str, where: str, more: str = "") -> None:
    """Refuses a name that could not be one of a folder or column.

    Args:
      name: of a block.
      where: the blocks' place in the configuration.
      more: characters allowed beside letters, digits, "-" and single "_".

    Raises:
      ConfigError: the message gives the name.
    """
    allowed = all(c.isalnum() or c in "-_" + more for c in name)
    # "__" separates the parts of a file's stem, "none" stands for no mitigation, "." hides a folder
    if not name or not allowed or "__" in name or name.startswith(".") or name == "none":
        extra = "".join(f" {c!r}," for c in more)
        raise ConfigError(
            f"config.{where}: {name!r} must be a word of letters, digits, '-',{extra} and single "
            "'_', and not 'none'"
        )


RENAMED = {
    ("degradation", "fairness_level"): "headline_level",
    **{("assess", old): new for old, new in RENAMED_OPTIONS.items()},
}
"""Earlier names of fields, by block: still accepted, with a warning."""
WRITTEN = {
    ("assess", "null_draws"): AssessOptions().null_draws,
    ("assess", "permutations"): AssessOptions().permutations,
}
"""What `defaults` writes under today's name of such a field into every configuration."""
CONVENTIONS = (("assess", "conventions"), ("report", "convention"))
"""Fields that hold names of conventions, which had other names too."""


def renamed(blocks: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as plain dictionaries, with the names of today in place of earlier ones: of
    fields, and of the conventions of gaps.

    Raises:
      ConfigError: a field is given under both names with different values; today's name at the
        value of `defaults` does not count as given, as nobody need have written it.
    """
    current = dict(blocks)
    for (block, old), new in RENAMED.items():
        fields = current.get(block)
        if not isinstance(fields, Mapping) or old not in fields:
            continue
        value = fields[old]
        if fields.get(new, value) not in (value, WRITTEN.get((block, new), value)):
            raise ConfigError(
                f"config.{block}.{old} is now called {new}; both are given: {value!r} and "
                f"{fields[new]!r}"
            )
        _warn(f"config.{block}.{old} is now called {new}")
        current[block] = {k: v for k, v in fields.items() if k != old} | {new: value}
    for block, field in CONVENTIONS:
        fields = current.get(block)
        if not isinstance(fields, Mapping) or field not in fields:
            continue
        value = fields[field]
        listed = value if isinstance(value, (list, tuple)) else (value,)
        if old_names := [name for name in listed if isinstance(name, str) and name in ALIASES]:
            names = ", ".join(f"{name!r} is now called {ALIASES[name]!r}" for name in old_names)
            _warn(f"config.{block}.{field}: {names}")
            today = tuple(ALIASES.get(name, name) for name in listed)
            current[block] = {**fields, field: today[0] if isinstance(value, str) else today}
    return current


def _warn(text: str) -> None:
    """Warns the caller of the function that called `renamed`."""
    warnings.warn(text, FutureWarning, stacklevel=4)
