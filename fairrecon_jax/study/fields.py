"""Fields of a configuration: as plain values, and as typed objects whose errors name them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import UnionType
from typing import Any, TypeVar, Union, get_origin

from ml_collections import ConfigDict

from fairrecon_jax.assessment.options import RENAMED as RENAMED_OPTIONS
from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.metrics.conventions import ALIASES
from fairrecon_jax.registry import hints_of, is_finite, meant_choice, misfits, numeric
from fairrecon_jax.study.overrides import literal
from fairrecon_jax.study.refusals import Refusals, each, told
from fairrecon_jax.types import ConfigError, all_meant, nearest

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


def check_block(value: Any, where: str) -> None:
    """Refuses what is no block of fields, which have names.

    Raises:
      ConfigError: the message names the block.
    """
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"config.{where} is a block of fields, got {value!r}")


def checked_block(value: Any, where: str) -> Mapping[str, Any]:
    """A block, checked."""
    check_block(value, where)
    return value  # type: ignore[no-any-return]


def less(blocks: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """Blocks without the field at a place."""
    first, *rest = path
    return without(blocks, first) if not rest else {**blocks, first: less(blocks[first], rest)}


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
    refused, missing = Refusals(), dataclasses.MISSING
    known = {field.name: field for field in dataclasses.fields(factory)}  # type: ignore[arg-type]
    if unknown := sorted(set(fields) - set(known)):
        refused.add(
            f"config.{where} has no field {', '.join(unknown)}; it takes "
            f"{', '.join(sorted(known))}{all_meant(unknown, known)}"
        )
    # field.type is text, as annotations are not evaluated; the hints are the types themselves
    values, hints = without(fields, *unknown), hints_of(factory)  # type: ignore[arg-type]
    for name, value in values.items():
        if isinstance(value, str) and get_origin(hints[name]) in (Union, UnionType):
            # A command line writes a number where text may stand too.
            values[name] = literal(value)
        values[name] = numeric(values[name], hints[name])
    wrong = misfits(factory, values)
    for name, wanted in wrong.items():
        hint = meant_choice(hints[name], values[name])
        refused.add(f"config.{where}: {name} takes {wanted}, got {values[name]!r}{hint}")
    fitting = without(values, *wrong)
    needed = [
        name
        for name, field in known.items()
        if field.default is missing and field.default_factory is missing
    ]
    # what a misspelt field was meant for does not lack
    there = {*values, *(nearest(name, known) for name in unknown)}
    refused.add(*(f"config.{where}.{name} is not given" for name in needed if name not in there))
    lacking = {name: STAND_INS.get(hints[name]) for name in needed if name not in fitting}
    options = None
    if None not in lacking.values():
        # with something in the place of what is refused or lacks, the others are looked at too
        make = partial(factory, **lacking)
        options = each(make, where, fitting, refused, {*wrong, *lacking})
    refused.add(
        *(
            f"config.{where}: {name} must be finite, got {value!r}"
            for name, value in fitting.items()
            # the factory says more about its own fields than this line
            if not is_finite(value) and not refused.mentions(where, name)
        )
    )
    refused.tell()
    return told(options)


STAND_INS: Mapping[Any, Any] = {int: 1, float: 1.0}
"""By the type of a field that is not given, what takes its place while the others are looked at."""


def made(factory: Callable[..., T], where: str, **fields: Any) -> T:
    """A model or mitigation of the block `where`, by a factory that looks up its kind.

    Raises:
      ConfigError: the block names no kind, or the factory refuses it.
    """
    if "kind" not in fields:
        raise ConfigError(f"config.{where} has no field kind")
    # a mapping could not even be looked up
    if not isinstance(fields["kind"], str):
        raise ConfigError(f"config.{where}.kind takes the name of a kind, got {fields['kind']!r}")
    refused = Refusals()
    model = each(factory, where, fields, refused)
    refused.tell()
    return told(model)


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


def check_flag(value: Any, where: str) -> bool:
    """A field that is on or off."""
    if not isinstance(value, bool):
        raise ConfigError(f"config.{where} must be True or False, got {value!r}")
    return value


def check_seeds(seeds: Any) -> tuple[int, ...]:
    """Seeds of trainings, each once."""
    if isinstance(seeds, str) or not isinstance(seeds, Sequence):
        raise ConfigError(f"config.seeds must list whole numbers, got {seeds!r}")
    checked = tuple(check_seed(seed, "seeds") for seed in seeds)
    if len(set(checked)) < len(checked):
        raise ConfigError(f"config.seeds names a seed twice: {checked}")
    return checked


def check_seed(seed: Any, where: str) -> int:
    """A seed as every generator of the study takes it."""
    # jax.random.key would drop what is above 32 bits, so that two seeds were the same
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise ConfigError(f"config.{where} must be a whole number from 0 to 2^32 - 1, got {seed!r}")
    return seed


LONGEST_WORD = 64
"""Bytes of a name: most disks take 255 for all parts of a file's name together."""


def check_word(name: str, where: str, more: str = "") -> None:
    """Refuses a name that could not be one of a folder or column.

    Args:
      name: of a block.
      where: the blocks' place in the configuration.
      more: characters allowed beside letters, digits, "-" and single "_".

    Raises:
      ConfigError: the message gives the name.
    """
    if len(name.encode(errors="replace")) > LONGEST_WORD:
        raise ConfigError(
            f"config.{where}: {name[:12]!r}... is longer than {LONGEST_WORD} bytes, too long for "
            "the name of a file that has more in it"
        )
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
