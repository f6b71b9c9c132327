"""Reading the tables that come with the data: CSV files as text, checked for their columns."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from fairrecon_jax.runtime.text import normal
from fairrecon_jax.types import InputError

OLDEST = 120


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
    if not path.is_file():
        raise FileNotFoundError(f"no table {path}")
    try:
        # Spreadsheet programs start a file with a byte-order mark.
        with open(path, newline="", encoding="utf-8-sig") as handle:
            # csv and not pandas, which fills short rows and guesses types
            lines = [line for line in csv.reader(handle, delimiter=delimiter) if line]
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable CSV table: {error}") from error
    if not lines:
        raise InputError(f"{path}: an empty table")
    header, rows = list(map(normal, lines[0])), lines[1:]
    for count, row in enumerate(rows, start=2):
        # Commas at the end of a row are harmless, values behind the last column are not.
        if len(row) < len(header) or any(row[len(header) :]):
            raise InputError(
                f"{path}: row {count} has {len(row)} values, the header has {len(header)}"
            )
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise InputError(f"{path}: several columns are named {', '.join(repeated)}")
    table = pd.DataFrame([row[: len(header)] for row in rows], columns=header, dtype=object)
    # a column without a name is an index that pandas wrote
    table = table.loc[:, [bool(name) for name in header]]
    require_columns(path, table, needed)
    return table


def require_columns(path: Path, table: pd.DataFrame, needed: Iterable[str]) -> None:
    """Raises InputError naming the columns that a table lacks."""
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}"
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
    return years if 0 < years <= OLDEST else math.nan


def parse_age(text: str) -> float:
    """Years from "58", "058Y", "011M" or "023D"; NaN where blank, zero or below, or above 120."""
    match = re.fullmatch(r"\s*(-?\d+(?:\.\d*)?)\s*([YMD]?)\s*", text, flags=re.IGNORECASE)
    if not match:
        return float("nan")
    # Some ages carry their unit: years, months or days.
    years = number(match[1]) / {"": 1, "Y": 1, "M": 12, "D": 365.25}[match[2].upper()]
    return plausible_age(years)
