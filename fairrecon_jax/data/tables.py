"""Reading the tables that come with the data: CSV files as text, checked for their columns."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from fairrecon_jax.data.cells import Column, codes
from fairrecon_jax.data.sheets import OF_COLUMNS, Fields, Sheet, read_sheet, repeated
from fairrecon_jax.runtime.nothing import AGES
from fairrecon_jax.types import InputError, meant

NUMERIC = re.compile(r"[-+\N{MINUS SIGN}]?[\d.,]*\d[.,]?(?:[eE][-+]?\d+)?\s?%?")
"""What may be a number, whatever its decimal sign is."""


def read_table(path: Path, needed: Iterable[str], delimiter: str = ",") -> pd.DataFrame:
    """A CSV file with every value as text ("" = blank); columns without a name are left out.

    Args:
      path: the file.
      needed: names of required columns.
      delimiter: between cells.

    Raises:
      FileNotFoundError: no such file.
      InputError: not a table, or a column is missing or repeated; the message names file and
        columns.
    """
    table = text_sheet(path, delimiter).frame
    require_columns(path, table, needed)
    return table


def text_sheet(
    path: Path,
    delimiter: str = "",
    encoding: str = "",
    sheet: str = "",
    fields: Fields = OF_COLUMNS,
) -> Sheet:
    """A table with every cell as text and every column under a name of its own; what has no name is
    left out.

    Args:
      path: CSV, TSV, Excel or parquet.
      delimiter: of a text file; "" for the one that its rows show.
      encoding: of a text file; "" for UTF-8, or what its first bytes say.
      sheet: of an Excel file; "" for the one that is filled.
      fields: what errors call these.

    Raises:
      FileNotFoundError: no such file.
      InputError: see `read_sheet`; or columns of one name.
    """
    found = read_sheet(path, delimiter, encoding, sheet, fields)
    if twice := sorted(filter(None, repeated(found.frame))):
        raise InputError(f"{path}: several columns are named {', '.join(twice)}")
    # a column without a name is an index that pandas wrote
    named = found.frame.loc[:, [bool(name) for name in found.frame.columns]]
    return found._replace(frame=named.apply(_as_text))


def _as_text(column: pd.Series) -> pd.Series:
    """Numbers of a parquet file as text, "" for none."""
    if column.dtype == object:
        return column
    code, texts = codes(Column(column.to_numpy(), str(column.name)))
    return pd.Series(np.array([*texts, ""], object)[code], dtype=object)


def require_columns(path: Path, table: pd.DataFrame, needed: Iterable[str]) -> None:
    """Raises InputError naming the columns that a table lacks."""
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}"
            f"{meant(missing[0], table.columns)}"
        )


def rows_of(table: pd.DataFrame) -> list[dict[str, str]]:
    """The rows of a text table as dictionaries."""
    names = list(table.columns)
    return [
        dict(zip(names, values, strict=True))
        # columns at once: iterrows would make a Series of every row
        for values in zip(*(table[name].tolist() for name in names), strict=True)
    ]


def number(text: object) -> float:
    """A value as a number; NaN where it is blank, no number or not finite."""
    try:
        value = float(str(text).strip())
    except ValueError:
        return math.nan
    # float() also reads "inf" and "nan"
    return value if math.isfinite(value) else math.nan


def plausible_age(years: float) -> float:
    """Years where 0 < years <= 120, else NaN: 0 and values above 120 stand for a missing age in
    these tables.
    """
    return years if AGES[0] < years <= AGES[1] else math.nan


def parse_age(text: str) -> float:
    """Years from "58", "058Y", "011M" or "023D"; NaN where blank, zero or below, or above 120."""
    match = re.fullmatch(r"\s*(-?\d+(?:\.\d*)?)\s*([YMD]?)\s*", text, flags=re.IGNORECASE)
    if not match:
        return float("nan")
    # Some ages carry their unit: years, months or days.
    years = number(match[1]) / {"": 1, "Y": 1, "M": 12, "D": 365.25}[match[2].upper()]
    return plausible_age(years)
