"""Parsing the entries of foreign tables: numbers (also printed as tensors) and names."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from fairrecon_jax.types import InputError

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan"
ENTRY = re.compile(
    rf"^\s*(?:tensor\(\s*\[?\s*({NUMBER})\s*\]?\s*(?:,[^()]*)?\)|\[?\s*({NUMBER})\s*\]?)\s*$",
    re.IGNORECASE,
)


def number(entry: object) -> float:
    """A number from an entry: a number, its text, or the text of a printed tensor; blank is NaN.

    The text is matched, never evaluated: a file of predictions may come from anybody.

    Raises:
      InputError: the entry is something else.
    """
    if entry is None or (isinstance(entry, str) and not entry.strip()):
        return float("nan")
    # also True and False, which some tables have for labels
    if isinstance(entry, int | float | np.number | np.bool_):
        return float(entry)
    match = ENTRY.match(str(entry))
    if not match:
        raise InputError(f"{str(entry)[:60]!r} is not a number")
    # the pattern has two places for the number, of which one matched
    return float(match.group(1) or match.group(2))


def text(value: object) -> str | None:
    """A group's name: whole numbers without their decimal point, printed tensors as their number;
    blank is None.
    """
    try:
        parsed = number(value)
    except ValueError:
        return str(value).strip()
    # 7 digits: a float32 printed in full and rounded names the same group
    return None if np.isnan(parsed) else f"{parsed:.0f}" if parsed.is_integer() else f"{parsed:.7g}"


def texts(entries: pd.Series) -> pd.Series:
    """Entries as text without blanks around it; an empty one is missing."""
    return (
        entries.astype(object)
        # as objects: the text type of pandas knows NaN only, and no None
        .map(lambda entry: str(entry).strip() or None, na_action="ignore")
        .astype(object)
    )


def check(valid: pd.Series, where: str, message: str) -> None:
    """Raises for the first row that is not valid, by its number."""
    if not valid.all():
        raise InputError(f"{where}, row {int(np.flatnonzero(~valid)[0]) + 1}: {message}")


def column_of(frame: pd.DataFrame, column: object, what: str) -> pd.Series:
    """A column by name; where it is missing, the error names the key that asks for it."""
    # a list: `in` of an index fails on what has no hash, such as a list from YAML
    if column not in list(frame.columns):
        raise InputError(
            f"the table has no column {column!r}, which the mapping names for {what}; its "
            f"columns are {list(frame.columns)[:30]}"
        )
    return frame[column]


def numbers(frame: pd.DataFrame, column: object, what: str = "") -> pd.Series:
    """A column as floats; an error names the first entry that is no number."""
    return parsed(column_of(frame, column, what or str(column)), f"column {column!r}")


def parsed(entries: pd.Series, where: str) -> pd.Series:
    """Entries as floats; an error names the column and row of the first that is no number."""
    if pd.api.types.is_numeric_dtype(entries):
        return entries.astype(float)
    values = np.full(len(entries), np.nan)
    for i, entry in enumerate(entries.where(entries.notna(), None)):
        try:
            values[i] = number(entry)
        except ValueError as error:
            raise InputError(f"{where}, row {i + 1}: {error}") from error
    return pd.Series(values, index=entries.index)
