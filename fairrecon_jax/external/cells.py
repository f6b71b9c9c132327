"""Reading single cells and columns of foreign tables: numbers, also printed as tensors, and names."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan"
CELL = re.compile(rf"^\s*(?:tensor\(\s*\[?\s*({NUMBER})\s*\]?\s*(?:,[^()]*)?\)|\[?\s*({NUMBER})\s*\]?)\s*$", re.IGNORECASE)


def number(cell: object) -> float:
    """A number from a cell: a number, its text, or the text of a printed tensor; blank is NaN.

    Raises:
      ValueError: the cell is something else.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return float("nan")
    if isinstance(cell, int | float | np.number | np.bool_):
        return float(cell)
    found = CELL.match(str(cell))
    if not found:
        raise ValueError(f"{str(cell)[:60]!r} is not a number")
    return float(found.group(1) or found.group(2))


def text(value: object) -> str:
    """A group's name: whole numbers without their decimal point, printed tensors as their number."""
    try:
        parsed = number(value)
    except ValueError:
        return str(value).strip()
    return f"{parsed:g}"


def column_of(frame: pd.DataFrame, column: object, what: str) -> pd.Series:
    """A column by name; a missing one is an error that says who asked for it."""
    if column not in frame.columns:
        raise ValueError(
            f"the table has no column {column!r}, which the mapping names for {what}; its columns are {list(frame.columns)[:30]}"
        )
    return frame[column]


def numbers(frame: pd.DataFrame, column: object, what: str = "") -> pd.Series:
    """A column as floats; the first cell that is none is named."""
    cells = column_of(frame, column, what or str(column))
    if pd.api.types.is_numeric_dtype(cells):
        return cells.astype(float)
    values = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells.where(cells.notna(), None)):
        try:
            values[i] = number(cell)
        except ValueError as error:
            raise ValueError(f"column {column!r}, row {i + 1}: {error}") from error
    return pd.Series(values, index=cells.index)
