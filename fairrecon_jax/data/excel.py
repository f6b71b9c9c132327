"""Excel sheets as text, as Excel shows them."""

from __future__ import annotations

import datetime
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from fairrecon_jax.data.bounds import check_bytes
from fairrecon_jax.types import InputError, meant

PADDED = re.compile(r'(?:"([^"]*)")?(0+)')
"""A format that writes zeros, or letters, before a whole number."""
DIGITS = 10**15
"""Excel keeps 15 digits of a number and writes zeros for the others."""
HIDDEN = re.compile(rb'<row [^>]*hidden="(?:1|true)"')
LONG = (
    "the sheet holds numbers of more than 15 digits, of which Excel keeps 15: names that differ "
    "behind them have become one; such a column must be text when it is typed or imported"
)


def read_excel(
    path: Path, sheet: str = "", field: str = "'sheet' in the mapping"
) -> tuple[list[list[str]], tuple[str, ...]]:
    """The rows of a sheet, each with its number in front, and what to know of them.

    Text stays as it is; whole numbers have no decimal point and the zeros that their format puts
    before them; percentages end in "%"; dates are written as 2024-01-31; truth values as TRUE and
    FALSE.

    Args:
      path: .xlsx or .xlsm.
      sheet: its name; may be empty where one sheet alone is filled.
      field: what errors call the field that names the sheet.

    Raises:
      InputError: the file is no Excel file, the sheet is not there or is one of several, cells are
        merged, or a formula has no stored value.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            check_bytes(path, sum(part.file_size for part in packed.infolist()))
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        chosen = _chosen(path, book, sheet, field)
        source = _source(path, chosen)
        _refuse_merged(path, source)
        rows, long = [], False
        for number, row in enumerate(book[chosen].iter_rows(), 1):
            rows.append([str(number), *map(_text, row)])
            long = long or any(_is_long(cell.value) for cell in row)
        book.close()
        if any("" in row for row in rows) and re.search(rb"<f[ >/]", source):
            _refuse_formulas(path, chosen, rows)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, OSError, SyntaxError) as error:
        raise InputError(f"{path} cannot be read as Excel (.xlsx): {error}") from error
    filled = [row for row in rows if any(row[1:])]
    # cells that were formatted and never filled
    width = max((max(i for i, cell in enumerate(row) if cell) for row in filled), default=0) + 1
    notes = [LONG] if long else []
    if hidden := len(HIDDEN.findall(source)):
        notes.append(
            f"{hidden} rows of the sheet {chosen!r} of {path.name} are hidden, as by a filter, and "
            "are read like all others"
        )
    return [row[:width] + [""] * (width - len(row)) for row in filled], tuple(notes)


def _is_long(value: Any) -> bool:
    """Whether a number has more digits than Excel keeps; as text they are all there."""
    return isinstance(value, int | float) and abs(value) >= DIGITS and float(value).is_integer()


def _source(path: Path, sheet: str) -> bytes:
    """The XML of a sheet, which says what openpyxl does not read along: merged and hidden cells."""
    with zipfile.ZipFile(path) as packed:
        book = ElementTree.fromstring(packed.read("xl/workbook.xml"))
        links = ElementTree.fromstring(packed.read("xl/_rels/workbook.xml.rels"))
        known = {
            one.get("name"): next((v for k, v in one.items() if k.endswith("}id")), "")
            for one in book.iter()
            if one.tag.endswith("}sheet")
        }
        place = next(one.get("Target", "") for one in links if one.get("Id") == known[sheet])
        # from the root of the file where it begins with a slash
        return packed.read(place.lstrip("/") if place.startswith("/") else f"xl/{place}")


def _chosen(path: Path, book: Any, sheet: str, field: str) -> str:
    """The sheet to read."""
    if sheet and sheet not in book.sheetnames:
        raise InputError(
            f"{path} has no sheet {sheet!r}; it has {', '.join(book.sheetnames)}"
            f"{meant(sheet, book.sheetnames)}"
        )
    if sheet:
        return sheet
    filled = [
        one.title
        for one in book.worksheets
        if one.sheet_state == "visible"
        and any(c is not None for row in one.iter_rows(values_only=True) for c in row)
    ]
    if len(filled) > 1:
        raise InputError(f"{path} has the sheets {', '.join(filled)}; say which with {field}")
    if not filled:
        raise InputError(f"{path} holds no rows")
    return filled[0]


def _text(cell: Any) -> str:
    """A cell as Excel shows it."""
    value = cell.value
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ") if value.time() != datetime.time() else str(value.date())
    if not isinstance(value, int | float):
        return str(value)
    shown = str(cell.number_format).split(";")[0]
    if "%" in shown:
        # exact, so that 7 % is 0.07 again
        return f"{(Decimal(repr(value)) * 100).normalize():f}%"
    if isinstance(value, float) and value.is_integer() and abs(value) < DIGITS:
        value = int(value)
    if isinstance(value, int) and (match := PADDED.fullmatch(shown)):
        return f"{match[1] or ''}{value:0{len(match[2])}d}"
    return str(value)


def _refuse_merged(path: Path, source: bytes) -> None:
    """Raises where cells of a sheet are merged: all but the first of them read as blank."""
    if match := re.search(rb'<mergeCell ref="([^"]+)"', source):
        raise InputError(
            f"{path}: the cells {match[1].decode()} are merged; unmerge them, so that every row "
            "has its own value"
        )


def _refuse_formulas(path: Path, sheet: str, rows: list[list[str]]) -> None:
    """Raises where a cell that reads as blank holds a formula: no program has computed it yet."""
    book = openpyxl.load_workbook(path, read_only=True)
    for row, cells in zip(rows, book[sheet].iter_rows(values_only=True)):
        for shown, cell in zip(row[1:], cells):
            if not shown and isinstance(cell, str) and cell.startswith("="):
                raise InputError(
                    f"{path}, row {row[0]}: the formula {cell[:40]!r} has no stored value; open "
                    "the file in Excel or LibreOffice, save it, or paste values"
                )
    book.close()
