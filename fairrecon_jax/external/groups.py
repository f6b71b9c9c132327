"""Groups of patients in a foreign table, and numbers of patients such as age: what the cells mean,
which of them stand for nothing, and what cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import pandas as pd

from fairrecon_jax.data.cells import Column, cell, names, numbers, unpadded
from fairrecon_jax.data.words import CutSide
from fairrecon_jax.external.checks import Log
from fairrecon_jax.external.columns import column_of
from fairrecon_jax.external.mapping import chosen, entries, fields_of, one_of, real, words_of
from fairrecon_jax.runtime.gathered import Gathered
from fairrecon_jax.runtime.nothing import (
    AGES,
    DOUBTFUL,
    far_codes,
    impossible_ages,
    in_words,
    is_age,
    is_standin,
    lonely_codes,
    no_group,
)
from fairrecon_jax.runtime.text import alike, look_alikes
from fairrecon_jax.types import Attribute, InputError

ATTRIBUTE_KEYS = frozenset(
    "column groups cut cut_side reference derivation per missing range".split()
)


def read_attribute(
    frame: pd.DataFrame,
    table: pd.DataFrame,
    name: str,
    entry: Any,
    log: Log,
    form: Mapping[str, Any] | None = None,
) -> Attribute:
    """Adds an attribute's column of group names to the table.

    Args:
      frame: the foreign table.
      table: takes the column.
      name: of the attribute.
      entry: its entry in the mapping: a column, or fields.
      log: takes counts of what becomes unknown.
      form: how the file writes numbers, see `column_of`.

    Returns:
      The attribute.

    Raises:
      InputError: the entry or a value cannot be used.
    """
    where, errors = f"attributes.{name}", Gathered()
    fields = {"column": entry}
    if isinstance(entry, Mapping):
        fields = fields_of(where, entry, ATTRIBUTE_KEYS, errors)
    elif entry is None:
        fields = {}
    with errors.gather():
        column = column_of(frame, fields.get("column", name), where, form)
    with errors.gather():
        per = one_of(f"{where}.per", fields.get("per", "patient"), Attribute, "per")
    errors.tell()
    if "cut" in fields:
        table[name], groups, derivation = _cut_at(column, name, fields, log)
    else:
        for key in {"range", "cut_side"} & set(fields):
            raise InputError(f"{where}.{key} belongs to a number, which 'cut' makes two groups of")
        table[name], groups = _grouped(column, name, fields, log)
        derivation = f"as in column {column.name}"
    reference = cell(fields.get("reference"))
    if reference not in ("", *groups):
        raise InputError(f"{where}.reference must be among its groups {groups}, got {reference!r}")
    derivation = cell(fields.get("derivation")) or derivation
    return Attribute(name, groups, derivation, per, reference)


def quantity(column: Column, name: str, fields: Mapping[str, Any], log: Log) -> np.ndarray:
    """Numbers of patients; what stands for none, or cannot be, is NaN and counted.

    Args:
      column: of the table.
      name: what counts are to call it.
      fields: `missing` (codes) and `range` (the smallest and the largest that can be); without a
        range ages lie in (0, 120].
      log: takes the counts.

    Returns:
      [N] float.

    Raises:
      InputError: a code such as -9 or 999 stands far from all other values, and the mapping does
        not say what it is.
    """
    found = numbers(column, words_of(fields.get("missing")))
    values = found.values
    log.add(f"rows without a value of {name}{in_words(found.words)} count as unknown", found.blank)
    if "range" in fields:
        ends = fields["range"]
        if not isinstance(ends, list | tuple) or len(ends) != 2:
            raise InputError(f"attributes.{name}.range must be two numbers, got {ends!r}")
        low, high = (real(f"attributes.{name}.range", end) for end in ends)
        outside = (values < low) | (values > high)
    elif is_age(name, column.name):
        low, high = AGES
        outside = impossible_ages(values)
    else:
        _refuse_standins(values, column, name)
        return values
    shown = sorted({f"{v:g}" for v in values[outside]}, key=float)[:5]
    log.add(
        f"values of {name} that cannot be ({', '.join(shown)}; plausible are {low:g} to {high:g}) "
        "count as unknown",
        int(outside.sum()),
    )
    return np.where(outside, np.nan, values)


def _refuse_standins(values: np.ndarray, column: Column, name: str) -> None:
    """Raises where a code for "no value" may be among the values."""
    if far := far_codes(values):
        others = values[np.isfinite(values) & ~np.isin(values, far)]
        raise InputError(
            f"{column.where} holds {far[0]:g} in {int((values == far[0]).sum())} rows, and all "
            f"other values lie in {others.min():g} to {others.max():g}: if it stands for no value, "
            f"give attributes.{name} 'missing: [{far[0]:g}]', otherwise a 'range'"
        )


def _cut_at(
    column: Column, name: str, fields: dict[str, Any], log: Log
) -> tuple[list[str | None], tuple[str, ...], str]:
    """A number such as age in two groups: group names, the groups, and how they were derived."""
    if "groups" in fields or isinstance(fields["cut"], list | Mapping | bool):
        raise InputError(f"attributes.{name}.cut must be a number, without 'groups'; got {fields}")
    cut, values = real(f"attributes.{name}.cut", fields["cut"]), quantity(column, name, fields, log)
    older = "older" if is_age(name, column.name) else "more"
    side = chosen(
        f"attributes.{name}.cut_side", cell(fields.get("cut_side", "over")), get_args(CutSide)
    )
    groups = (f"under {cut:g}", f"{cut:g} or {older}")
    above = values >= cut
    if side == "under":
        groups, above = (f"{cut:g} and under", f"over {cut:g}"), values > cut
    # a comparison with NaN is false, which would be the lower group
    words = [
        None if np.isnan(value) else groups[int(over)]
        for value, over in zip(values, above, strict=True)
    ]
    return words, groups, f"{column.name}, cut at {cut:g}"


def _grouped(
    column: Column, name: str, fields: Mapping[str, Any], log: Log
) -> tuple[pd.Series, tuple[str, ...]]:
    """Group names and the groups: those of the mapping, or every value of the column."""
    words = names(column)
    by_group = entries(f"attributes.{name}.groups", fields.get("groups"))
    listed = [
        (spelling, group)
        for group, values in by_group.items()
        for value in words_of(values)
        # a column of whole numbers that had gaps
        for spelling in {value, unpadded(value)}
    ]
    group_of = dict(listed)
    if len(group_of) < len(set(listed)):
        raise InputError(f"attributes.{name}.groups puts one value into two groups: {by_group}")
    words = _without_missing(words, name, fields, set(group_of), log)
    present = list(words.dropna().unique())
    if group_of:
        _refuse_near(present, group_of, by_group, name)
        left = words[words.notna() & ~words.isin(list(group_of))]
        shown = in_words(left.value_counts().to_dict())
        log.add(f"entries{shown} of {name} that its groups do not name count as unknown", len(left))
        mapped = words.map(group_of).astype(object)
        # as the mapping orders them, even those that no row has
        return mapped.where(mapped.notna(), None), tuple(by_group)
    for same in look_alikes(present):
        log.say(
            f"the groups {', '.join(map(repr, same))} of {name} look alike: if they are one, give "
            f"attributes.{name} 'groups'"
        )
    codes = lonely_codes(present)
    for word in (
        word for word in present if word.lower() in DOUBTFUL or is_standin(word) or word in codes
    ):
        log.say(
            f"{word!r} of {name} is taken for a group ({int((words == word).sum())} rows): if it "
            f"means that nothing is known, give attributes.{name} 'missing: [{word}]'"
        )
    return words, tuple(sorted(present))


def _without_missing(
    words: pd.Series, name: str, fields: Mapping[str, Any], mapped: set[str], log: Log
) -> pd.Series:
    """Names without those that say that nothing is known, which are counted; a word that the
    mapping's groups name is a group.
    """
    given = set(words_of(fields.get("missing")))
    if given & mapped:
        raise InputError(
            f"attributes.{name} takes {sorted(given & mapped)[0]!r} for a group and for missing"
        )
    given |= {unpadded(word) for word in given}
    gone = {
        word
        for word in words.dropna().unique()
        if word not in mapped and (word in given or no_group(word))
    }
    lost = words.isin(list(gone))
    shown = in_words(words[lost].value_counts().to_dict())
    log.add(f"entries{shown} of {name} count as unknown", int(lost.sum()))
    return words.where(~lost, None)


def _refuse_near(
    present: list[str], group_of: Mapping[str, str], by_group: Mapping[str, Any], name: str
) -> None:
    """Raises where a group of the mapping has no row and a value that reads alike has no group."""
    held = {group_of[word] for word in present if word in group_of}
    free = {alike(word): word for word in present if word not in group_of}
    for word, group in group_of.items():
        if group not in held and alike(word) in free:
            raise InputError(
                f"attributes.{name}.groups: no row holds {word!r}; did you mean "
                f"{free[alike(word)]!r}? The column holds {sorted(present)[:10]}"
            )
    if not held and present:
        raise InputError(
            f"attributes.{name}.groups names {sorted(group_of)[:10]}, none of which a row holds; "
            f"the column holds {sorted(present)[:10]}"
        )
