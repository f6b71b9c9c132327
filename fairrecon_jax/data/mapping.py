"""From a block of a configuration, or a YAML file, to `TableColumns`; errors name the field."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import yaml

from fairrecon_jax.data.columns import MaskColumn, PatientColumn, StoredColumn, TableColumns
from fairrecon_jax.data.files import inside
from fairrecon_jax.data.tables import number
from fairrecon_jax.data.words import AttributeColumn, LabelColumn, SplitColumn
from fairrecon_jax.runtime.gathered import Gathered
from fairrecon_jax.runtime.text import normal
from fairrecon_jax.types import InputError, all_meant, meant, nearest

MOST_YAML = 10**6
"""Characters of a mapping."""
DEEPEST = 20
"""Blocks and lists within one another."""

T = TypeVar("T")
RESERVED = {
    "example_id",
    "patient_id",
    "evaluate",
    "slice",
    "slices",
    "split",
    "given_split",
    "cells",
    "level",
    "reconstructor",
    "mitigation",
    "seed",
    "cohort",
    "index",
    "degraded",
    "original",
    "none",
}
"""Names of columns of other meaning in tables that hold tasks and attributes."""
BUILT = {
    "patient",
    "mask",
    "split",
    "labels",
    "attributes",
    "groups",
    "degraded",
    "reconstructions",
}
"""Fields that hold objects, made before what has them."""
NAMES = {"column", "image", "id"}
"""Fields that name columns."""
FOLDERS = {"images", "folder"}
"""Fields that name folders below the root."""
TRUTH = {"true": True, "yes": True, "false": False, "no": False}


def read_yaml(path: Path, loader: Any) -> Any:
    """What a YAML file holds; nothing of it is run or repeated.

    Args:
      path: of the file.
      loader: one of PyYAML's that makes no objects.

    Raises:
      YAMLError: it is none, or nested too deeply.
      UnicodeDecodeError: it is no UTF-8.
      InputError: it is too long, or repeats parts by alias, a few of which give billions.
    """
    text = path.read_text(encoding="utf-8-sig")
    if len(text) > MOST_YAML:
        raise InputError(f"{path} has more than {MOST_YAML} characters, too many for a mapping")
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            raise InputError(f"{path}: write out what the alias *{event.anchor} stands for")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.YAMLError(f"nested more than {DEEPEST} deep")
    return yaml.load(text, Loader=loader)


def read_mapping(path: str | Path) -> dict[str, Any]:
    """A YAML file of columns, every entry as text: YAML itself would read `no` as false and 012 as
    10.

    Raises:
      FileNotFoundError: no such file.
      InputError: it is no mapping.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no mapping {path}")
    try:
        content = read_yaml(path, yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: a mapping has names and values, got {type(content).__name__}")
    return content


def table_columns(block: Mapping[str, Any]) -> TableColumns:
    """The columns of a block.

    Args:
      block: fields of `TableColumns`; `patient`, `split`, `mask`, labels, attributes and
        reconstructions are blocks or, where one column says all, its name.

    Raises:
      InputError: a field is unknown, missing or of another type, or its value is refused.

    Example:
      >>> columns = table_columns({
      ...     "table": "exams.csv", "image": "File", "patient": "Patient",
      ...     "labels": {"nodule": "Nodule"},
      ...     "attributes": {"sex": {"column": "Sex", "groups": {"female": ["F"], "male": ["M"]}},
      ...                    "age": {"column": "Age", "cuts": [60], "unit": "years"}},
      ... })
      >>> columns.recorded
      ('Age', 'Nodule', 'Sex')
    """
    fields = dict(_block("", block))
    single: dict[str, Any] = {
        "patient": PatientColumn,
        "split": SplitColumn,
        "degraded": StoredColumn,
    }
    errors = Gathered()
    for name, kind in single.items():
        given = fields.pop(name, "")
        with errors.gather():
            fields |= {name: _made(kind, name, given)} if given else {}
    given = fields.pop("mask", "")
    with errors.gather():
        fields |= {"mask": _made(MaskColumn, "mask", given, {"task": "mask"})} if given else {}
    several: dict[str, Any] = {
        "labels": partial(_made, LabelColumn),
        "reconstructions": partial(_made, StoredColumn),
        "attributes": _attribute,
    }
    for name, make in several.items():
        entries = fields.pop(name, {})
        made: list[tuple[str, Any]] = []
        with errors.gather():
            for one, entry in _block(name, entries).items():
                with errors.gather():
                    made.append((one, make(f"{name}.{one}", entry)))
        fields[name] = tuple(made)
    columns = None
    with errors.gather():
        columns = _made(TableColumns, "", fields)
    # what follows rests on all of it
    if not errors and columns is not None:
        _check(columns)
    errors.tell()
    assert columns is not None  # otherwise its refusal was told
    return columns


def _attribute(where: str, given: Any) -> AttributeColumn:
    fields: dict[str, Any] = (
        {"column": given} if isinstance(given, str) else {**_block(where, given)}
    )
    if "groups" in fields:
        fields["groups"] = _groups(f"{where}.groups", fields["groups"])
    # ages are years wherever nothing else is said
    if where == "attributes.age" and (fields.get("cuts") or fields.get("quantiles")):
        fields.setdefault("unit", "years")
    return _made(AttributeColumn, where, fields)


def _groups(where: str, given: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(name, words) of each group: of a block, or of a list of pairs, which takes names with a dot
    that a ConfigDict does not.
    """
    if isinstance(given, list | tuple):
        if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in given):
            raise InputError(f"columns.{where} lists pairs of a group and its words, got {given!r}")
        pairs = [(_scalar(group, str, where), words) for group, words in given]
    else:
        pairs = list(_block(where, given).items())
    if len({normal(group) for group, _ in pairs}) < len(pairs):
        raise InputError(f"columns.{where} has a group twice")
    return tuple(
        (normal(group), _converted(words, tuple[str, ...], f"{where}.{group}"))
        for group, words in pairs
    )


def _block(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InputError(f"columns{_dot(where)} is a block of fields, got {value!r}")
    return value


def _dot(where: str) -> str:
    return f".{where}" if where else ""


def _made(kind: type[T], where: str, given: Any, defaults: Mapping[str, Any] | None = None) -> T:
    """An object of a block; of a text alone, with it as column."""
    block = {"column": given} if isinstance(given, str) else _block(where, given)
    fields = {**(defaults or {}), **block}
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    errors = Gathered()
    if unknown := [name for name in fields if name not in known]:
        errors.add(
            f"columns{_dot(where)} has no field {', '.join(map(repr, unknown))}; it takes "
            f"{', '.join(known)}{all_meant(unknown, known)}"
        )
    # what a misspelt field was meant for does not lack
    lacking = set(known) - {nearest(name, known) for name in unknown}
    for name, field in known.items():
        lacks = name in lacking and fields.get(name, "") == ""
        if field.default is dataclasses.MISSING and lacks:
            errors.add(f"columns{_dot(where)}.{name} is not given")
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name in known:
            with errors.gather():
                place = f"{where}.{name}".strip(".")
                values[name] = value if name in BUILT else _converted(value, hints[name], place)
    errors.tell()
    # as the names of a table are brought into one form
    values |= {name: normal(values[name]) for name in NAMES & set(values)}
    values |= {
        name: _folder(values[name], f"{where}.{name}".strip(".")) for name in FOLDERS & set(values)
    }
    try:
        return kind(**values)
    except ValueError as error:
        raise InputError(f"columns{_dot(where)}: {error}") from error


def _folder(written: str, where: str) -> str:
    """A folder below the root in one form, "" for the root itself.

    Raises:
      InputError: it lies elsewhere.
    """
    if not inside(written):
        raise InputError(f"columns.{where} must be a folder below the root, got {written!r}")
    below = PurePosixPath(written.replace("\\", "/")).as_posix()
    return "" if below == "." else below


def _converted(value: Any, hint: Any, where: str) -> Any:
    """A value as its field declares it: from YAML everything is text.

    Raises:
      InputError: it does not fit.
    """
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        several = next((one for one in arguments if typing.get_origin(one) is tuple), None)
        # a list, or one number of it; else a word
        numeric = not math.isnan(number(value)) and not isinstance(value, bool)
        takes_list = several is not None and (isinstance(value, list | tuple) or numeric)
        return _converted(value, several if takes_list else str, where)
    if typing.get_origin(hint) is tuple:
        values = value if isinstance(value, list | tuple) else (value,)
        return tuple(_converted(one, arguments[0], where) for one in values)
    if typing.get_origin(hint) is typing.Literal:
        if value in arguments:
            return value
        raise InputError(
            f"columns.{where} must be one of {', '.join(map(repr, arguments))}, got {value!r}"
            f"{meant(value, arguments)}"
        )
    return _scalar(value, hint, where)


def _scalar(value: Any, hint: type, where: str) -> Any:
    try:
        if hint is bool:
            return value if isinstance(value, bool) else TRUTH[value.strip().lower()]
        if hint is str:
            # a whole number is a word too; 1.0, True and None might be several
            return {str: str, int: str}[type(value)](value)
        converted = hint(value)
        if isinstance(value, bool) or float(converted) != float(value):
            raise ValueError
        return converted
    except (KeyError, TypeError, ValueError, AttributeError):
        words = {str: "a text, in quotes", int: "a whole number", float: "a number"}
        raise InputError(
            f"columns.{where} takes {words.get(hint, 'true or false')}, got {value!r}"
        ) from None


def is_word(name: str) -> bool:
    """Whether a label, an attribute, a mask or a reconstruction may be called so.

    Example:
      >>> is_word("v1_2"), is_word("v1.2"), is_word("split")
      (True, False, False)
    """
    letters = all(c.isalnum() or c in "-_" for c in name)
    return bool(name) and letters and "__" not in name and name not in RESERVED


def _check(columns: TableColumns) -> None:
    """Refuses names that clash, and values outside their choices."""
    names = [name for name, _ in (*columns.labels, *columns.attributes)]
    names += [columns.mask.task] if columns.mask else []
    for name in (*names, *(name for name, _ in columns.reconstructions)):
        if not is_word(name):
            raise InputError(
                f"columns: the name {name!r} must be a word of letters, digits, '-' and single "
                f"'_', and none of {', '.join(sorted(RESERVED))}"
            )
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"columns: {twice[0]!r} names two labels, attributes or masks")
    if columns.bits not in (0, 8, 16):
        raise InputError(f"columns.bits must be 8 or 16, got {columns.bits}")
    if columns.decimal not in (".", ","):
        raise InputError(f"columns.decimal must be '.' or ',', got {columns.decimal!r}")
    window = columns.window
    if window not in ("file", "none") and (
        isinstance(window, str) or len(window) != 2 or window[1] <= 0
    ):
        raise InputError(
            f"columns.window must be 'file', 'none' or (centre, width), got {window!r}"
        )
    if not columns.labels and columns.mask is None and not columns.reconstructions:
        raise InputError("columns has no label, no mask and no reconstruction: nothing to study")
