"""Reading single cells and columns of foreign tables: numbers, also printed as tensors, and names."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from fairrecon_jax.types import InputError

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan"
CELL = re.compile(
    rf"^\s*(?:tensor\(\s*\[?\s*({NUMBER})\s*\]?\s*(?:,[^()]*)?\)|\[?\s*({NUMBER})\s*\]?)\s*$",
    re.IGNORECASE,
)


def number(cell: object) -> float:
    """A number from a cell: a number, its text, or the text of a printed tensor; blank is NaN.

    Raises:
      InputError: the cell is something else.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return float("nan")
    if isinstance(cell, int | float | np.number | np.bool_):
        return float(cell)
    found = CELL.match(str(cell))
    if not found:
        raise InputError(f"{str(cell)[:60]!r} is not a number")
    return float(found.group(1) or found.group(2))


def text(value: object) -> str | None:
    """A group's name: whole numbers without their decimal point, printed tensors as their number;
    blank is None.
    """
    try:
        parsed = number(value)
    except ValueError:
        return str(value).strip()
    return None if np.isnan(parsed) else f"{parsed:.0f}" if parsed.is_integer() else f"{parsed:.7g}"


def words(cells: pd.Series) -> pd.Series:
    """Cells as text without blanks around it; an empty one is missing."""
    return (
        cells.astype(object)
        .map(lambda cell: str(cell).strip() or None, na_action="ignore")
        .astype(object)
    )


def check(good: pd.Series, where: str, wanted: str) -> None:
    """Refuses the first row that is not good, by its number."""
    if not good.all():
        raise InputError(f"{where}, row {int(np.flatnonzero(~good)[0]) + 1}: {wanted}")


def column_of(frame: pd.DataFrame, column: object, what: str) -> pd.Series:
    """A column by name; a missing one is an error that says who asked for it."""
    if column not in list(frame.columns):
        raise InputError(
            f"the table has no column {column!r}, which the mapping names for {what}; its "
            f"columns are {list(frame.columns)[:30]}"
        )
    return frame[column]


def numbers(frame: pd.DataFrame, column: object, what: str = "") -> pd.Series:
    """A column as floats; the first cell that is none is named."""
    return parsed(column_of(frame, column, what or str(column)), f"column {column!r}")


def parsed(cells: pd.Series, where: str) -> pd.Series:
    """Cells as floats; the first that is none is named by where it stands and its row."""
    if pd.api.types.is_numeric_dtype(cells):
        return cells.astype(float)
    values = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells.where(cells.notna(), None)):
        try:
            values[i] = number(cell)
        except ValueError as error:
            raise InputError(f"{where}, row {i + 1}: {error}") from error
    return pd.Series(values, index=cells.index)
