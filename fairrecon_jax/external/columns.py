"""Columns of a foreign table that need interpretation: the split, tasks and attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.external.cells import column_of, numbers, text
from fairrecon_jax.external.checks import Log
from fairrecon_jax.external.mapping import check_keys, entries, fields_of, one_of
from fairrecon_jax.types import Attribute, InputError, Task

TASK_KEYS = frozenset(
    "label original reconstructed aggregation title kind original_pixels "
    "reconstructed_pixels".split()
)
ATTRIBUTE_KEYS = frozenset("column groups cut reference derivation per".split())
SPLITS = {"val": ("val", "valid", "validation", "dev"), "test": ("test",)}


def read_split(frame: pd.DataFrame, entry: Any) -> tuple[pd.Series, pd.Series]:
    """The split of every row; names that the mapping gives take precedence over the usual ones.

    Args:
      frame: the foreign table.
      entry: of the mapping: a column, or fields; None for a table of test rows alone.

    Returns:
      ("val", "test" or None for other splits, the split as the table names it).

    Raises:
      InputError: the entry has unknown keys, no column, or one name for both splits.
    """
    if entry is None:
        return pd.Series(["test"] * len(frame)), pd.Series(["test"] * len(frame))
    fields = dict(entry) if isinstance(entry, Mapping) else {"column": entry}
    check_keys("mapping 'split'", fields, frozenset(("column", "val", "test")))
    if "column" not in fields:
        raise InputError(f"mapping 'split' needs 'column', got {fields}")
    named = _group_names(column_of(frame, fields["column"], "split"))
    split = pd.Series([None] * len(frame), dtype=object)
    # names given in the mapping come last and so overwrite the usual ones
    for name in sorted(SPLITS, key=fields.__contains__):
        given = fields.get(name, SPLITS[name])
        spellings = [text(v) for v in (given if isinstance(given, list | tuple) else [given])]
        # usual names in any case, those of the mapping exactly as given
        member = named.isin(spellings) if name in fields else named.str.lower().isin(spellings)
        # only where both are given: a given name may well take over a usual one
        if fields.keys() >= SPLITS.keys() and len(twice := named[member & split.notna()]):
            raise InputError(
                f"mapping 'split' takes {twice.iloc[0]!r} for val and for test; name it once"
            )
        split[member.to_numpy()] = name
    return split, named


def _group_names(column: pd.Series) -> pd.Series:
    """A column as names of groups or splits, see `cells.text`; missing ones stay missing."""
    return column.astype(object).map(text, na_action="ignore").astype(object)


def read_task(frame: pd.DataFrame, table: pd.DataFrame, name: str, given: Any, log: Log) -> Task:
    """Adds a task's columns to the table and checks their values.

    Args:
      frame: the foreign table.
      table: takes the columns `<name>__label`, `<name>__original` and so on.
      name: of the task.
      given: its entry in the mapping.
      log: takes counts of what becomes unknown.

    Returns:
      The task.

    Raises:
      InputError: the entry or a value cannot be used.
    """
    entry = fields_of(f"tasks.{name}", given, TASK_KEYS)
    kind = one_of(f"tasks.{name}.kind", entry.get("kind", "classification"), Task, "kind")
    # the Dice of a patient is the mean over slices
    aggregation = entry.get("aggregation", "mean" if kind == "segmentation" else "none")
    one_of(f"tasks.{name}.aggregation", aggregation, Task, "aggregation")
    required = ("label", "reconstructed") if kind == "classification" else ("reconstructed",)
    missing = [key for key in required if key not in entry]
    if missing:
        raise InputError(f"tasks.{name} lacks {missing}: name the columns that hold them")
    label = (
        numbers(frame, entry["label"], f"tasks.{name}.label")
        if "label" in entry
        else pd.Series(
            1.0, index=frame.index
        )  # a segmentation: some true pixels, not an empty mask
    )
    if kind == "classification":
        label = _binary_label(label, name, entry["label"], log)
    table[f"{name}__label"] = label
    for version in ("original", "reconstructed", "original_pixels", "reconstructed_pixels"):
        if version in entry:
            values = numbers(frame, entry[version], f"tasks.{name}.{version}")
            # counts of pixels have no upper bound
            if not version.endswith("pixels"):
                _check_scores(values, entry[version])
            table[f"{name}__{version}"] = values
    return Task(name, kind, aggregation, str(entry.get("title", name)))


def _binary_label(label: pd.Series, task: str, column: object, log: Log) -> pd.Series:
    """0, 1 or NaN; uncertain labels (-1, as CheXpert writes them) become unknown and are counted.

    Raises:
      InputError: any other value.
    """
    uncertain = label == -1
    log.add(f"uncertain labels (-1) of {task} count as unknown", int(uncertain.sum()))
    label = label.where(~uncertain)
    invalid = label.notna() & ~label.isin([0, 1])
    if invalid.any():
        row = int(np.flatnonzero(invalid)[0])
        raise InputError(
            f"column {column!r}, row {row + 1}: label {label.iloc[row]:g} of "
            f"task {task!r} is not 0, 1, -1 or blank"
        )
    return label


def _check_scores(values: pd.Series, column: object) -> None:
    """Raises for scores outside [0, 1], which are logits more often than not."""
    outside = values.notna() & ((values < 0) | (values > 1))
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"column {column!r} holds {int(outside.sum())} scores outside "
            f"[0, 1] (row {row + 1}: {values.iloc[row]:g}); "
            "give probabilities (of logits, their sigmoid)"
        )


def read_attribute(frame: pd.DataFrame, table: pd.DataFrame, name: str, entry: Any) -> Attribute:
    """Adds an attribute's column of group names to the table.

    Args:
      frame: the foreign table.
      table: takes the column.
      name: of the attribute.
      entry: its entry in the mapping: a column, or fields.

    Returns:
      The attribute.

    Raises:
      InputError: the entry or a value cannot be used.
    """
    fields = (
        fields_of(f"attributes.{name}", entry, ATTRIBUTE_KEYS)
        if isinstance(entry, Mapping)
        else {"column": entry}
    )
    column = fields.get("column", name)
    per = one_of(f"attributes.{name}.per", fields.get("per", "patient"), Attribute, "per")
    if "cut" in fields:
        table[name], groups, derivation = _cut_at(frame, name, column, fields)
    else:
        table[name], groups = _grouped(frame, name, column, fields.get("groups"))
        derivation = f"as in column {column}"
    reference = str(fields.get("reference", ""))
    if reference not in ("", *groups):
        raise InputError(
            f"attributes.{name}.reference must be among its groups {groups}, got {reference!r}"
        )
    return Attribute(name, groups, str(fields.get("derivation", derivation)), per, reference)


def _cut_at(
    frame: pd.DataFrame, name: str, column: object, fields: dict[str, Any]
) -> tuple[list[str | None], tuple[str, ...], str]:
    """A number such as age in two groups: group names, the groups, and how they were derived."""
    if "groups" in fields or not isinstance(fields["cut"], int | float):
        raise InputError(f"attributes.{name}.cut must be a number, without 'groups'; got {fields}")
    cut, values = float(fields["cut"]), numbers(frame, column, f"attributes.{name}")
    groups = (f"under {cut:g}", f"{cut:g} or older")
    # a comparison with NaN is false, which would be the lower group
    names = [None if np.isnan(value) else groups[int(value >= cut)] for value in values]
    return names, groups, f"{column}, cut at {cut:g}"


def _grouped(
    frame: pd.DataFrame, name: str, column: object, given: Any
) -> tuple[pd.Series, tuple[str, ...]]:
    """Group names and the groups: those of the mapping, or every value of the column."""
    names = _group_names(column_of(frame, column, f"attributes.{name}"))
    by_group = entries(f"attributes.{name}.groups", given)
    # a set: a value named twice for one group is harmless
    pairs = {
        (text(value), group)
        for group, values in by_group.items()
        for value in (values if isinstance(values, list) else [values])
    }
    group_of = dict(pairs)
    if len(group_of) < len(pairs):
        raise InputError(f"attributes.{name}.groups puts one value into two groups: {by_group}")
    # as the mapping orders them, even those that no row has
    groups = tuple(by_group) if group_of else tuple(sorted(names.dropna().unique()))
    mapped = (names.map(group_of) if group_of else names).astype(object)
    return mapped.where(lambda s: s.notna(), None), groups
