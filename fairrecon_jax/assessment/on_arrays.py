"""From arrays, or a table with other names, to a predictions table and its specification."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd

from fairrecon_jax.metrics import IMAGE_METRICS
from fairrecon_jax.metrics.columns import binary, grouped, one_group
from fairrecon_jax.runtime.nothing import no_group
from fairrecon_jax.runtime.precision import shortest
from fairrecon_jax.runtime.text import name_of, normal
from fairrecon_jax.types import (
    NO_MITIGATION,
    UNNAMED,
    Attribute,
    CohortSpec,
    DegradationSpec,
    InputError,
    Task,
    TaskKind,
    meant,
)

SPLITS = ("val", "test")
MARK = "__label"

MOST_GROUPS = 40
"""An attribute with more is a number, or a name of each patient."""


def predictions(
    table: pd.DataFrame | None = None,
    *,
    label: Any = None,
    original: Any = None,
    reconstructed: Any = None,
    groups: Any = None,
    patient: Any = None,
    split: Any = None,
    example: Any = None,
    level: Any = None,
    reconstructor: Any = None,
    mitigation: Any = None,
    seed: Any = None,
    carry: Sequence[str] = (),
    kind: TaskKind = "classification",
    name: str = "predictions",
    title: str = "",
    degradation: DegradationSpec | None = None,
) -> tuple[pd.DataFrame, CohortSpec]:
    """A predictions table, as `assess` takes it, from arrays or from columns of a table.

    Wherever an array is taken, the name of a column of `table` is too. A table that has columns
    `<task>__label` and `<task>__reconstructed` (from `fr.tandem`) needs `groups` only.

    Args:
      table: columns to choose from; None where arrays are given.
      label: [N] truth in {0, 1}, NaN = unknown; or by name of the finding. A segmentation needs
        none.
      original: [N] scores in [0, 1] (or Dice) of the original images; or by name.
      reconstructed: [N] the same of the reconstructions; or by name.
      groups: by name of the attribute, [N] names of groups; or a list of columns.
      patient: [N] names; every row is a patient of its own if None.
      split: [N] "val" (fits the threshold) or "test"; "test" if None.
      example: [N] names of the images; needed where several reconstructors or levels saw one image.
      level: [N] levels of the degradation, or one.
      reconstructor: [N] names, or one.
      mitigation: [N] names, "none" without one; or one name.
      seed: [N] whole numbers, where several trainings of a method read one image; or one.
      carry: further columns of the table that the options of the assessment name.
      kind: "classification", or "segmentation" where scores are Dice coefficients.
      name: of the cohort.
      title: of the cohort, as a reader sees it.
      degradation: what the levels mean, see `physics.describe`.

    Returns:
      (table, spec).

    Raises:
      InputError: a column is missing, of another length, or holds what it must not; the message
        names it.

    Example:
      >>> table, spec = predictions(label=[0, 1], original=[0.2, 0.9], reconstructed=[0.3, 0.8],
      ...     groups={"sex": ["f", "m"]})
      >>> [task.name for task in spec.tasks], spec.attributes[0].groups
      (['finding'], ('f', 'm'))
    """
    _check_kinds(table, kind)
    if degradation is None and table is not None and "degradation" in table.attrs:
        degradation = DegradationSpec(**{**table.attrs["degradation"], "levels": ()})
    read = _Columns(table)
    named = _versions(table, label, original, reconstructed)
    count = read.count(*(part for one in named.values() for part in one.values()))
    found = pd.DataFrame({"example_id": read.names(example, count, "example", "example_id")})
    who = read.names(patient, count, "patient", "patient_id")
    has_patient = patient is not None or (table is not None and "patient_id" in table)
    found["patient_id"] = who if has_patient else found["example_id"]
    found["split"] = _splits(read.constant(split, count, "split", "test"))
    found["level"] = _numbers(read.constant(level, count, "level", 1.0), "level")
    method = read.constant(reconstructor, count, "reconstructor", "reconstruction")
    found["reconstructor"] = method.astype(str)
    found["mitigation"] = read.constant(mitigation, count, "mitigation", NO_MITIGATION).astype(str)
    found["seed"] = _numbers(read.constant(seed, count, "seed", 0), "seed").astype(int)
    found["cohort"] = name
    tasks = [_task(read, found, task, parts, kind) for task, parts in named.items()]
    attributes = _attributes(read, found, groups, has_patient)
    for metric in IMAGE_METRICS:
        if table is not None and metric in table:
            found[metric] = _numbers(table[metric], metric)
    for more in carry:
        if more not in found:
            found[more] = read.column(more, f"the option that names {more!r}")
    spec = CohortSpec(
        name,
        title or name,
        "mri" if degradation is not None and degradation.modality == "mri" else "xray",
        tuple(tasks),
        tuple(attributes),
        _levels(found["level"].tolist(), degradation),
    )
    return found, spec


def _attributes(
    read: _Columns, found: pd.DataFrame, groups: Any, has_patient: bool
) -> list[Attribute]:
    """The attributes, whose columns are added to the table."""
    attributes = []
    for attribute, given in _groups(groups).items():
        named = _known_words(read.column(given, f"groups[{attribute!r}]"), attribute)
        column, words = grouped(named, attribute, len(found))
        if attribute in found or "__" in attribute:
            raise InputError(f"an attribute cannot be called {attribute!r}: rename it")
        if len(words) > MOST_GROUPS:
            raise InputError(
                f"{attribute} has {len(words)} groups, from {words[0]!r} to {words[-1]!r}: cut "
                "numbers into groups first, e.g. with pandas.cut, or name the column in "
                "options=fr.AssessOptions(continuous=...)"
            )
        if has_patient:
            column = one_group(column, found["patient_id"].to_numpy(), attribute)
        found[attribute] = column
        attributes.append(Attribute(attribute, words, per="patient" if has_patient else "image"))
    return attributes


def _known_words(column: np.ndarray, attribute: str) -> np.ndarray:
    """Groups in their normal form, None for words that say that none is known; these are told."""
    words = _words(column)
    unsaid = np.array([isinstance(word, str) and no_group(word) for word in words], bool)
    if unsaid.any():
        told = ", ".join(repr(word) for word in sorted(set(words[unsaid]))[:4])
        warnings.warn(
            f"{attribute}: {told} ({int(unsaid.sum())} rows) counts as unknown", stacklevel=2
        )
        words = words.copy()
        words[unsaid] = None
    return words


def _check_kinds(table: Any, kind: str) -> None:
    """What is given must be of the kinds that `predictions` takes."""
    if kind not in get_args(TaskKind):
        raise InputError(f"kind must be one of {', '.join(get_args(TaskKind))}, got {kind!r}")
    if table is not None and not isinstance(table, pd.DataFrame):
        raise InputError(f"table must be a DataFrame, got {type(table).__name__}")


class _Columns:
    """Arrays as they are, and columns of a table by name."""

    def __init__(self, table: pd.DataFrame | None) -> None:
        self.table = table

    def column(self, given: Any, what: str) -> np.ndarray:
        """One column.

        Raises:
          InputError: the table has no such column.
        """
        if isinstance(given, str):
            if self.table is None:
                raise InputError(f"{what} names the column {given!r}, but no table is given")
            if given not in self.table:
                raise InputError(
                    f"{what}: the table has no column {given!r}; it has "
                    f"{', '.join(map(str, self.table.columns))}{meant(given, self.table.columns)}"
                )
            return self.table[given].to_numpy()
        # a list of names and NaN would become text, "nan" with it
        found = np.asarray(given) if hasattr(given, "dtype") else np.asarray(list(given), object)
        if found.ndim == 2 and found.shape[1] == 1:
            found = found[:, 0]
        if found.ndim != 1:
            raise InputError(f"{what} must have one entry per row, got shape {found.shape}")
        return found

    def count(self, *given: Any) -> int:
        """The number of rows, the same in every column."""
        if self.table is not None:
            return len(self.table)
        lengths = {len(self.column(one, "a column")) for one in given}
        if len(lengths) > 1:
            raise InputError(f"columns have different lengths: {sorted(lengths)}")
        return lengths.pop()

    def names(self, given: Any, count: int, what: str, usual: str) -> np.ndarray:
        """Names as text; of the table's usual column, or row numbers, where none are given."""
        if given is None and self.table is not None and usual in self.table:
            given = usual
        if given is None:
            return np.array([f"row{i + 1:07d}" for i in range(count)], object)
        column = self.column(given, what)
        if len(column) != count:
            raise InputError(f"{what} has {len(column)} entries for {count} rows")
        if pd.isna(column).any():
            raise InputError(f"{what}: the entry of row {pd.isna(column).argmax() + 1} is empty")
        # 12.0 is patient 12 where a column of whole numbers had gaps elsewhere
        return np.array([name_of(value) for value in column], object)

    def constant(self, given: Any, count: int, what: str, default: Any) -> pd.Series:
        """A column, one value for all rows, or the default."""
        if given is None and self.table is not None and what in self.table:
            given = self.table[what].to_numpy()
        if given is None:
            given = default
        if isinstance(given, str) and self.table is not None and given in self.table:
            given = self.table[given].to_numpy()
        if np.ndim(given) == 0:
            return pd.Series([given] * count)
        if len(given) != count:
            raise InputError(f"{what} has {len(given)} entries for {count} rows")
        return pd.Series(list(given))


def _words(column: np.ndarray) -> np.ndarray:
    """A column of groups, text in its normal form."""
    if column.dtype.kind not in "OUT":
        return column
    values = [normal(value) if isinstance(value, str) else value for value in column]
    # the None keeps NumPy from making an axis of entries that are sequences
    return np.array([*values, None], object)[:-1]


def _versions(
    table: pd.DataFrame | None, label: Any, original: Any, reconstructed: Any
) -> dict[str, dict[str, Any]]:
    """By task, its columns by version."""
    given = {"label": label, "original": original, "reconstructed": reconstructed}
    given = {version: value for version, value in given.items() if value is not None}
    if not given and table is not None:
        names = [str(c).removesuffix(MARK) for c in table if str(c).endswith(MARK)]
        more = ("label", "original", "reconstructed", "original_pixels", "reconstructed_pixels")
        found = {
            task: {v: f"{task}__{v}" for v in more if f"{task}__{v}" in table}
            for task in names
            if f"{task}__reconstructed" in table
        }
        if found:
            return found
    if "reconstructed" not in given:
        raise InputError(
            "give reconstructed (scores of the reconstructions), with label and original; or a "
            "table with columns <task>__label, <task>__original, <task>__reconstructed"
        )
    tasks = list(given["reconstructed"]) if isinstance(given["reconstructed"], Mapping) else None
    if tasks is None:
        return {"finding": given}
    for version, value in given.items():
        if not isinstance(value, Mapping) or set(value) != set(tasks):
            raise InputError(f"{version} must have an entry for each of {tasks}")
    return {task: {v: value[task] for v, value in given.items()} for task in tasks}


def _task(
    read: _Columns, found: pd.DataFrame, task: str, parts: dict[str, Any], kind: TaskKind
) -> Task:
    """Adds a task's columns, checked."""
    if "original_pixels" in parts:
        kind = "segmentation"
    count = len(found)
    for version, given in parts.items():
        column = read.column(given, f"{task}: {version}")
        what = f"{version} of {task!r}"
        if version == "label" and kind == "classification":
            found[f"{task}__label"] = binary(column, what, count).astype(float)
            continue
        numbers: np.ndarray = _numbers(column, what)
        scores = version in ("original", "reconstructed")  # pixels are numbers of any size
        if scores and len(wrong := numbers[(numbers < 0) | (numbers > 1)]):
            raise InputError(
                f"{what} must lie in [0, 1], got {wrong[0]:g}: turn logits into probabilities first"
            )
        found[f"{task}__{version}"] = numbers
        if scores and (lost := int(np.isnan(numbers).sum())):
            if lost == count:
                raise InputError(f"{what} holds no number at all: did its diagnoser give NaN?")
            warnings.warn(
                f"{what}: {lost} of {count} rows have no score and are left out", stacklevel=2
            )
    if kind == "classification" and "label" not in parts:
        raise InputError(f"{task!r} has no label: give label, or kind='segmentation' for Dice")
    if "label" not in parts:
        # some true pixels, not an empty mask
        found[f"{task}__label"] = 1.0
    return Task(task, kind, "none" if kind == "classification" else "mean")


def _numbers(column: Any, what: str) -> np.ndarray:
    """Numbers, NaN = unknown."""
    values = column
    if not isinstance(column, pd.Series):
        typed = isinstance(column, np.ndarray) and column.dtype.kind in "fiub"
        values = pd.Series(column if typed else list(column))
    numbers: pd.Series = pd.to_numeric(values, errors="coerce")
    wrong = values[values.notna() & numbers.isna()]
    if len(wrong):
        raise InputError(f"{what} must hold numbers, got {wrong.iloc[0]!r}")
    found = numbers.to_numpy(na_value=np.nan)
    return shortest(found) if found.dtype.kind == "f" else found.astype(float)


def _splits(column: pd.Series) -> np.ndarray:
    """Splits, each "val" or "test"."""
    wrong = column[~column.isin(SPLITS)]
    if len(wrong):
        raise InputError(f"split must hold 'val' and 'test', got {wrong.iloc[0]!r}")
    return column.to_numpy()


def _groups(groups: Any) -> dict[str, Any]:
    """Groups by name of the attribute."""
    if groups is None:
        return {}
    if isinstance(groups, str):
        return {groups: groups}
    if isinstance(groups, np.ndarray | pd.Series):
        raise InputError('groups is one column: give it a name, groups={"sex": ...}')
    if isinstance(groups, Mapping | pd.DataFrame):
        return {str(name): groups[name] for name in groups}
    if isinstance(groups, Iterable) and all(isinstance(one, str) for one in groups):
        return {one: one for one in groups}
    raise InputError("groups must be a dictionary by attribute, or a list of columns of the table")


def _levels(column: Sequence[float], degradation: DegradationSpec | None) -> DegradationSpec:
    """The levels that occur, mildest first, in the words of a degradation."""
    words = degradation or UNNAMED
    levels = tuple(sorted(set(map(float, column)), reverse=words.worse == "lower"))
    headline = words.headline_level if words.headline_level in levels else levels[len(levels) // 2]
    return dataclasses.replace(words, levels=levels, headline_level=headline)
