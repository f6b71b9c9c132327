"""Tables of users as text: CSV with any delimiter, TSV, and Excel."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd

from fairrecon_jax.data.tables import read_table
from fairrecon_jax.runtime.text import normal
from fairrecon_jax.types import InputError

EXCEL = (".xlsx", ".xlsm")
DELIMITERS = (",", ";", "\t")


def read_sheet(path: Path, delimiter: str = "", sheet: str = "") -> pd.DataFrame:
    """A table with every cell as text ("" = blank); rows that are wholly blank are left out.

    Args:
      path: a file of CSV, TSV or Excel (.xlsx).
      delimiter: of a text file; "" for the one that its header shows.
      sheet: of an Excel file; "" for the first.

    Raises:
      FileNotFoundError: no such file.
      InputError: not a table, columns of one name, rows of another length than the header, or a
        header that leaves the delimiter open.
    """
    if path.suffix.lower() in EXCEL:
        table = _excel(path, sheet)
    elif path.suffix.lower() == ".xls":
        raise InputError(f"{path}: Excel's old format; save it as .xlsx or CSV")
    elif sheet:
        raise InputError(f"{path} is no Excel file and has no sheet {sheet!r}")
    else:
        table = read_table(path, (), delimiter or _delimiter(path))
    # spreadsheets keep blank rows below the last one
    blank = (table.map(str.strip) == "").all(axis=1)
    return table[~blank].reset_index(drop=True)


def _delimiter(path: Path) -> str:
    """The delimiter that the header shows.

    Raises:
      InputError: it may be several.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no table {path}")
    with path.open(encoding="utf-8-sig", errors="replace") as handle:
        # what stands in quotes separates nothing
        header = re.sub(r'"[^"]*"', "", handle.readline())
    found = [one for one in DELIMITERS if one in header]
    if len(found) > 1:
        # one within brackets belongs to a name, as in Size[Width,Height]
        outside = re.sub(r"[\[(][^\])]*[\])]", "", header)
        found = [one for one in found if one in outside]
    if len(found) > 1:
        raise InputError(
            f"{path}: its header has {' and '.join(map(repr, found))}: say which separates the "
            "columns, with the field delimiter"
        )
    return found[0] if found else ","


def _excel(path: Path, sheet: str) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"no table {path}")
    try:
        # values of formulas, as Excel last computed them
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:
        raise InputError(f"{path}: not readable: {type(error).__name__}: {error}") from error
    try:
        if sheet and sheet not in book.sheetnames:
            raise InputError(f"{path} has no sheet {sheet!r}; it has {', '.join(book.sheetnames)}")
        chosen = book[sheet] if sheet else book.worksheets[0]
        rows = [[_text(cell) for cell in row] for row in chosen.iter_rows()]
    finally:
        book.close()
    rows = [row for row in rows if any(row)]
    if not rows:
        raise InputError(f"{path}: an empty table")
    header = list(map(normal, rows[0]))
    width = max(len(row) for row in rows)
    header += [""] * (width - len(header))
    rows = [row + [""] * (width - len(row)) for row in rows[1:]]
    for number, name in enumerate(header):
        if not name and (line := next((i for i, row in enumerate(rows) if row[number]), None)):
            raise InputError(f"{path}: row {line + 2} has a value in a column without a name")
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise InputError(f"{path}: several columns are named {', '.join(repeated)}")
    table = pd.DataFrame(rows, columns=header, dtype=object)
    return table.loc[:, [bool(name) for name in header]]


def _text(cell: Any) -> str:
    """A cell as Excel shows it, but for digits behind the point that its format hides."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    # a format of zeros alone shows the zeros in front of an identifier
    if isinstance(value, int) and re.fullmatch("0+", cell.number_format or ""):
        return f"{value:0{len(cell.number_format)}d}"
    return str(value)
