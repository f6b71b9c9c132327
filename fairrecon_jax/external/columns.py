"""Columns of a foreign table that need interpretation: the split and the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.data.cells import (
    Column,
    Numbers,
    cell,
    codes,
    names,
    numbers,
    row_of,
    unpadded,
)
from fairrecon_jax.data.vocabulary import NEGATIVE, PARTS, POSITIVE
from fairrecon_jax.external.checks import Log
from fairrecon_jax.external.mapping import (
    check_keys,
    chosen,
    fields_of,
    nearest,
    one_of,
    words_of,
)
from fairrecon_jax.runtime.gathered import Gathered
from fairrecon_jax.runtime.nothing import in_words, no_value
from fairrecon_jax.runtime.text import alike
from fairrecon_jax.types import Aggregation, InputError, Task, TaskKind, meant

TASK_KEYS = frozenset(
    "label original reconstructed aggregation title kind original_pixels "
    "reconstructed_pixels scale positive negative unknown".split()
)
COLUMN_KEYS = ("label", "original", "reconstructed", "original_pixels", "reconstructed_pixels")
SPLITS = {name: PARTS[name] for name in ("val", "test")}
SCALES = ("probability", "percent", "logit")


def column_of(
    frame: pd.DataFrame, column: object, what: str, form: Mapping[str, Any] | None = None
) -> Column:
    """A column by name; where it is missing, the error names the key that asks for it.

    Args:
      frame: of `read_sheet`.
      column: its name.
      what: the key of the mapping.
      form: `decimal` and `separator` of the file.

    Raises:
      InputError: there is no such column, or there are several.
    """
    name = cell(column) if isinstance(column, str | int | float) else column
    places = [i for i, one in enumerate(frame.columns) if one == name]
    if not places:
        near = [one for one in frame.columns if alike(one) == alike(str(name))]
        hint = f"; did you mean {near[0]!r}?" if near else meant(name, frame.columns)
        raise InputError(
            f"the table has no column {name!r}, which the mapping names for {what}{hint}; its "
            f"columns are {[one for one in frame.columns if one][:30]}"
        )
    if len(places) > 1:
        raise InputError(
            f"the table has {len(places)} columns {name!r}, one of which the mapping names for "
            f"{what}: rename them"
        )
    values = frame.iloc[:, places[0]].to_numpy()
    if len(values) and isinstance(values[0], list | dict | bytes | np.ndarray):
        raise InputError(f"column {name!r}, for {what}, holds {type(values[0]).__name__}s, no text")
    return Column(values, str(name), **(form or {}))


def check(valid: np.ndarray | pd.Series, where: str, message: str) -> None:
    """Raises for the first row that is not valid, by its number."""
    if not np.all(valid):
        row = int(np.flatnonzero(~np.asarray(valid, bool))[0]) + 1
        raise InputError(f"{where}, row {row}: {message}")


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
    fields = {key: value for key, value in fields.items() if value is not None}
    check_keys("mapping 'split'", fields, frozenset(("column", "val", "test")))
    if "column" not in fields:
        raise InputError(f"mapping 'split' needs 'column', got {fields}")
    named = names(column_of(frame, fields["column"], "split"))
    split = pd.Series([None] * len(frame), dtype=object)
    # names given in the mapping come last and so overwrite the usual ones
    for name in sorted(SPLITS, key=fields.__contains__):
        given = words_of(fields.get(name, list(SPLITS[name])))
        spellings = set(given) | {unpadded(word) for word in given}
        # usual names in any case, those of the mapping exactly as given
        member = named.isin(spellings) if name in fields else named.str.lower().isin(spellings)
        near = {alike(word) for word in given} if name in fields and not member.any() else set()
        for word in named.dropna().unique():
            if alike(word) in near:
                raise InputError(
                    f"mapping 'split' says that {name} is {given}, which no row is; did you mean "
                    f"{word!r}?"
                )
        # only where both are given: a given name may well take over a usual one
        if fields.keys() >= SPLITS.keys() and len(twice := named[member & split.notna()]):
            raise InputError(
                f"mapping 'split' takes {twice.iloc[0]!r} for val and for test; name it once"
            )
        split[member.to_numpy()] = name
    return split, named


def read_task(
    frame: pd.DataFrame,
    table: pd.DataFrame,
    name: str,
    given: Any,
    log: Log,
    form: Mapping[str, Any] | None = None,
) -> Task:
    """Adds a task's columns to the table and checks their values.

    Args:
      frame: the foreign table.
      table: takes the columns `<name>__label`, `<name>__original` and so on.
      name: of the task.
      given: its entry in the mapping.
      log: takes counts of what becomes unknown.
      form: how the file writes numbers, see `column_of`.

    Returns:
      The task.

    Raises:
      InputError: the entry or a value cannot be used.
    """
    entry, kind, aggregation, scale = _choices(frame, name, given)
    # of a segmentation: some true pixels, not an empty mask
    label = np.ones(len(frame))
    if "label" in entry:
        column = column_of(frame, entry["label"], f"tasks.{name}.label", form)
        if kind == "classification":
            label = _labels(column, name, entry, table["split"], log)
        else:
            label = _read(numbers(column), f"label of {name}", table["split"], log)
    table[f"{name}__label"] = label
    for version in ("original", "reconstructed", "original_pixels", "reconstructed_pixels"):
        if version not in entry:
            continue
        column = column_of(frame, entry[version], f"tasks.{name}.{version}", form)
        if version.endswith("pixels"):
            found = numbers(column)
            if (found.values < 0).any():
                raise InputError(f"{column.where} holds a negative number of pixels")
        else:
            found = _scores(column, scale, f"tasks.{name}")
        what = f"{version.replace('_pixels', ' number of pixels')} of {name}"
        if not version.endswith("pixels"):
            what = f"{version} score of {name}"
        table[f"{name}__{version}"] = _read(found, what, table["split"], log)
    if kind == "segmentation" and "label" not in entry:
        table[f"{name}__label"] = _truth(table, name)
    title = entry.get("title")
    return Task(name, kind, aggregation, cell(title) or name)


def _choices(
    frame: pd.DataFrame, name: str, given: Any
) -> tuple[dict[str, Any], TaskKind, Aggregation, str]:
    """A task's entry, its kind, aggregation and scale, and all that is wrong with it but for what
    its columns hold.

    Raises:
      InputError: the message tells every key, word and column that is.
    """
    where, errors = f"tasks.{name}", Gathered()
    entry = fields_of(where, given, TASK_KEYS, errors)
    # what a misspelt key was meant for does not lack
    meant_for = {nearest(key, TASK_KEYS) for key in set(given) - TASK_KEYS}
    kind: TaskKind = "classification"
    with errors.gather():
        kind = one_of(f"{where}.kind", entry.get("kind", kind), Task, "kind")
        required = ("label", "reconstructed") if kind == "classification" else ("reconstructed",)
        if missing := [key for key in required if key not in entry and key not in meant_for]:
            errors.add(f"{where} lacks {missing}: name the columns that hold them")
    # the Dice of a patient is the mean over slices
    aggregation: Any = entry.get("aggregation", "mean" if kind == "segmentation" else "none")
    with errors.gather():
        one_of(f"{where}.aggregation", aggregation, Task, "aggregation")
    scale = entry.get("scale", "probability")
    with errors.gather():
        chosen(f"{where}.scale", scale, SCALES)
    for key in COLUMN_KEYS:
        with errors.gather():
            if key in entry:
                column_of(frame, entry[key], f"{where}.{key}")
    errors.tell()
    return entry, kind, aggregation, scale


def _truth(table: pd.DataFrame, name: str) -> np.ndarray:
    """[N] 0 where a region that nobody counted must be empty, as the Dice of an empty prediction is
    not defined; 1 elsewhere.
    """
    empty = np.zeros(len(table), bool)
    for version in ("original", "reconstructed"):
        score, pixels = f"{name}__{version}", f"{name}__{version}_pixels"
        if score in table and pixels in table:
            empty |= table[score].isna().to_numpy() & (table[pixels] == 0).to_numpy()
    return np.where(empty, 0.0, 1.0)


def _read(found: Numbers, what: str, split: pd.Series, log: Log) -> np.ndarray:
    """Numbers whose missing entries are counted, with the words that stood for them."""
    _count(np.isnan(found.values), f"{_article(what)}{in_words(found.words)}", split, log)
    return found.values


def _count(blank: np.ndarray, what: str, split: pd.Series, log: Log) -> None:
    """Counts what is missing among the rows that are used."""
    for name, rows in (("test", "test"), ("val", "validation")):
        log.add(
            f"{rows} rows without {what} were left out of it",
            int((blank & (split == name).to_numpy()).sum()),
        )


def _article(what: str) -> str:
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"


def _labels(
    column: Column, task: str, entry: Mapping[str, Any], split: pd.Series, log: Log
) -> np.ndarray:
    """0, 1 or NaN; uncertain labels (-1, as CheXpert writes them) become unknown; what is unknown
    is counted.

    Raises:
      InputError: any other value.
    """
    given = {
        value: {_label_word(word) for word in words_of(entry.get(key))}
        for key, value in (("positive", 1.0), ("negative", 0.0), ("unknown", np.nan))
    }
    named = {word: value for value, group in given.items() for word in group}
    if len(named) < sum(map(len, given.values())):
        raise InputError(f"tasks.{task} names one word as two labels")
    code, texts = codes(column)
    # beside "+" it says no, elsewhere nothing
    named |= {"-": 0.0} if {"+", "-"} <= set(texts) and "-" not in named else {}
    values, words = np.full(len(texts) + 1, np.nan), {}
    counts = np.bincount(code[code >= 0], minlength=len(texts))
    for i, text in enumerate(texts):
        word = _label_word(text)
        if word in named:
            values[i] = named[word]
        elif "positive" in entry or "negative" in entry:
            if not no_value(word) and word != "-1":
                _refuse_label(column, code, texts, text, task)
        elif word in POSITIVE | NEGATIVE:
            values[i] = float(word in POSITIVE)
        elif not no_value(word) and word != "-1":
            _refuse_label(column, code, texts, text, task)
        if np.isnan(values[i]) and word != "-1":
            words[text] = int(counts[i])
    labels = values[code]
    coded = [i for i, text in enumerate(texts) if _label_word(text) == "-1"]
    uncertain = np.isin(code, coded) & ("-1" not in named)
    log.add(f"uncertain labels (-1) of {task} count as unknown", int(uncertain.sum()))
    _count(np.isnan(labels) & ~uncertain, f"a label of {task}{in_words(words)}", split, log)
    return labels


def _label_word(text: str) -> str:
    """A label's word in small letters, "1" for 1.0."""
    return unpadded(cell(text).lower())


def _refuse_label(column: Column, code: np.ndarray, texts: list[str], text: str, task: str) -> None:
    """Raises for a label that means nothing known."""
    raise InputError(
        f"{column.where}, row {row_of(code, texts, text)}: label {text[:60]} of task {task!r} is "
        f"not 0, 1, -1 or blank, nor yes or no; say what it means with 'positive', 'negative' and "
        f"'unknown' in tasks.{task}"
    )


def _scores(column: Column, scale: str, where: str) -> Numbers:
    """Scores in [0, 1].

    Raises:
      InputError: they are not, on the scale that the mapping says or without one.
    """
    code, texts = codes(column)
    # decisions in words
    spoken = {word for text in texts if not no_value(word := _label_word(text))}
    if spoken and spoken <= (POSITIVE | NEGATIVE) and not spoken <= {"0", "1"}:
        return _decisions(code, texts)
    found = numbers(column)
    values = found.values
    if scale == "logit":
        # of large negative ones exp(-x) would overflow
        small = np.exp(-np.abs(values))
        return found._replace(values=np.where(values >= 0, 1 / (1 + small), small / (1 + small)))
    top = 1.0
    if scale == "percent" and not found.percent:
        top = 100.0
        if np.nanmax(values, initial=0) <= 1:
            raise InputError(
                f"{where}.scale is percent, but {column.where} holds nothing above 1: are these "
                "probabilities?"
            )
    outside = (values < 0) | (values > top)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"{column.where} holds {int(outside.sum())} scores outside [0, {top:g}] "
            f"(row {row + 1}: {values[row]:g}); {where} takes 'scale: logit' where they are "
            "logits and 'scale: percent' where they go to 100"
        )
    if top == 100.0:
        # of decimals: 85.1 / 100 in binary is not always the nearest number to 0.851
        distinct, place = np.unique(values, return_inverse=True)
        parts = [float(Decimal(repr(float(v))) / 100) for v in distinct]
        values = np.array(parts, float)[place]
    return found._replace(values=values)


def _decisions(code: np.ndarray, texts: list[str]) -> Numbers:
    """Yes and no as 1 and 0."""
    values, words = np.full(len(texts) + 1, np.nan), {}
    for i, text in enumerate(texts):
        word = _label_word(text)
        if no_value(word):
            words[text] = int((code == i).sum())
        else:
            values[i] = float(word in POSITIVE)
    return Numbers(values[code], int(np.isnan(values[code]).sum()), words)
