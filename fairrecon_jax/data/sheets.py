"""A file of rows and columns as text: CSV with its separator and encoding, parquet, Excel.

Nothing is guessed of what a cell means: it stays the text that the file holds.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fairrecon_jax.data.bounds import MOST_BYTES, check_bytes, check_columns
from fairrecon_jax.runtime.csv_text import as_written
from fairrecon_jax.runtime.text import normal
from fairrecon_jax.types import InputError

EXCEL = (".xlsx", ".xlsm")
SEP = re.compile(r'"?sep=(.?)"?[,;\t]*', re.IGNORECASE)
"""A first line in which Excel says what separates the cells."""
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
LOOKED_AT = 200
"""Rows by which the separator is told."""
PACKED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
MARKS = (
    # the longer ones first: UTF-32 begins as UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Fields(NamedTuple):
    """What errors call the fields that say how a file is read."""

    separator: str = "'separator' in the mapping"
    encoding: str = "'encoding' in the mapping"
    sheet: str = "'sheet' in the mapping"
    decimal: str = "'decimal' in the mapping"


OF_MAPPING = Fields()
OF_COLUMNS = Fields("columns.delimiter", "columns.encoding", "columns.sheet", "columns.decimal")


class Sheet(NamedTuple):
    """A table as text.

    Attributes:
      frame: a column per header, each cell a `str`, "" where it is blank; of parquet also columns
        of numbers.
      separator: between the cells of a CSV, "" elsewhere.
      notes: what a reader of the file should know, in sentences.
      lines: [N] number of each row in its file.
      metadata: of a parquet file.
    """

    frame: pd.DataFrame
    separator: str = ""
    notes: tuple[str, ...] = ()
    lines: Sequence[int] = ()
    metadata: Mapping[bytes, bytes] = {}


def read_sheet(
    path: Path,
    separator: str = "",
    encoding: str = "",
    sheet: str = "",
    fields: Fields = OF_MAPPING,
) -> Sheet:
    """Reads a file of rows and columns.

    Args:
      path: `.parquet` and `.pq`, `.xlsx` and `.xlsm`, or anything else: text with separators, also
        packed (`.gz`, `.bz2`, `.xz`).
      separator: of the cells; told from the rows if empty.
      encoding: of the text; UTF-8 or what its first bytes say if empty.
      sheet: of an Excel file with several.
      fields: what errors call these.

    Raises:
      FileNotFoundError: there is no such file.
      InputError: it cannot be read as what it is called; the message names line and cell.

    Example:
      >>> from tempfile import mkdtemp
      >>> path = Path(mkdtemp(), "exams.csv")
      >>> written = path.write_text("id;age\\n007;61,5\\n\\n12;\\n")
      >>> found = read_sheet(path)
      >>> found.frame.to_numpy().tolist(), found.separator, found.lines
      ([['007', '61,5'], ['12', '']], ';', [2, 4])
    """
    if not path.is_file():
        raise FileNotFoundError(f"no table {path}")
    kind = path.suffix.lower()
    if sheet and kind not in EXCEL:
        raise InputError(f"{path} is no Excel file and has no sheet {sheet!r}")
    if kind in (".parquet", ".pq"):
        found = _parquet(path)
    elif kind in EXCEL:
        # late: most tables need no reader of Excel files
        from fairrecon_jax.data.excel import read_excel

        rows, notes = read_excel(path, sheet, fields.sheet)
        frame, lines = _frame(path, rows)
        found = Sheet(frame, "", notes, lines)
    elif kind in (".xls", ".ods", ".zip", ".sav", ".dta", ".rds", ".feather", ".json"):
        raise InputError(f"{path} is no CSV, Excel (.xlsx) or parquet file: save it as one of them")
    else:
        found = _text_file(path, separator, encoding, fields)
    if found.frame.empty:
        raise InputError(f"{path} holds no rows")
    return found


def _text_file(path: Path, separator: str, encoding: str, fields: Fields) -> Sheet:
    """Rows of text with separators."""
    try:
        with PACKED.get(path.suffix.lower(), open)(path, "rb") as stream:
            # no further than that: a small file may unpack to a large one
            content: bytes = stream.read(MOST_BYTES + 1)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"{path} cannot be unpacked: {error}") from error
    check_bytes(path, len(content))
    if content[:4] == b"PK\x03\x04":
        raise InputError(f"{path} is no CSV: it looks like Excel or ZIP; call it .xlsx if it is")
    text, note = _decoded(path, content, encoding, fields.encoding)
    first, _, rest = text.partition("\n")
    before = 0
    # Excel writes and reads this line
    if (named := SEP.fullmatch(first.strip("\r"))) is not None:
        separator, text, before = separator or named[1] or "\t", rest, 1
    if not text.strip():
        raise InputError(f"{path} cannot be read as CSV: it is empty")
    chosen = separator or _separator(path, text, fields.separator)
    frame, lines = _frame(path, _rows(path, text, chosen, before))
    return Sheet(frame, chosen, (note,) if note else (), lines)


def _decoded(path: Path, content: bytes, encoding: str, field: str) -> tuple[str, str]:
    """The text, and a sentence where its encoding is a guess."""
    known = encoding or next((name for mark, name in MARKS if content.startswith(mark)), "")
    if not known and 4 * content[:200].count(0) > len(content[:200]):
        # letters of Latin scripts are every other byte of UTF-16
        known = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    try:
        text = content.decode(known or "utf-8")
    except LookupError as error:
        raise InputError(f"{field}: {encoding!r} is none that is known") from error
    except UnicodeDecodeError as error:
        if known:
            raise InputError(
                f"{path} cannot be read as CSV in {known}: {error.reason} at byte {error.start}"
            ) from error
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError as other:
            raise InputError(
                f"{path} is neither UTF-8 nor Windows-1252 text: give its encoding, such as "
                f"shift_jis or gb18030, with {field}, or save the file as UTF-8"
            ) from other
        line = content.count(b"\n", 0, error.start) + 1
        return text, (
            f"{path.name} is not UTF-8 (line {line}) and was read as Latin-1 (Windows-1252): look "
            f"at names with accents, and say the encoding with {field} if they are wrong"
        )
    if "\0" in text:
        raise InputError(f"{path} cannot be read as CSV: it holds bytes that are no text")
    return text, ""


def _separator(path: Path, text: str, field: str) -> str:
    """The separator by which header and rows fall into equally many cells, at least two.

    Raises:
      InputError: several do, or none.
    """
    fitting: dict[str, int] = {}
    widest = {}
    for one in SEPARATORS:
        try:
            lines = csv.reader(io.StringIO(text, newline=""), delimiter=one, strict=True)
            rows = [row for row, _ in zip((r for r in lines if r), range(LOOKED_AT))]
        except csv.Error:
            continue
        widest[one] = len(rows[0])
        filled = [len(row) - _blank_end(row, len(rows[0])) for row in rows]
        if widest[one] > 1 and set(filled) == {widest[one]}:
            fitting[one] = widest[one]
    most = [one for one in fitting if fitting[one] == max(fitting.values())]
    if len(most) > 1:
        raise InputError(
            f"{path}: its cells may be separated by {' or '.join(SEPARATORS[s] for s in most)}; "
            f"say which with {field}"
        )
    # a table whose rows do not fit is told so by its rows; one column needs no separator
    return most[0] if most else max(widest, key=widest.__getitem__, default=",")


def _blank_end(row: Sequence[str], width: int) -> int:
    """Blank cells behind the last column."""
    extra = row[width:]
    return len(extra) if not any(cell.strip() for cell in extra) else 0


def _rows(path: Path, text: str, separator: str, before: int) -> list[list[str]]:
    """The rows of a text, each with the number of its line in front; empty lines left out."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return [[str(lines.line_num + before), *map(as_written, row)] for row in lines if row]
    except csv.Error as error:
        raise InputError(
            f"{path} cannot be read as CSV: {error} at line {lines.line_num + before}; is a "
            "quotation mark left open?"
        ) from error


def _frame(path: Path, rows: list[list[str]]) -> tuple[pd.DataFrame, list[int]]:
    """Rows as a frame, and their lines.

    Args:
      path: for messages.
      rows: the header first; each begins with the number of its line.

    Raises:
      InputError: a row has fewer or more cells than the header.
    """
    rows = [row for row in rows if any(cell and not cell.isspace() for cell in row[1:])]
    if not rows:
        raise InputError(f"{path} holds no rows")
    header = [normal(cell) for cell in rows[0][1:]]
    # a comma behind every line ends the header too
    while header and not header[-1]:
        header.pop()
    check_columns(path, len(header))
    width = len(header) + 1
    body = []
    for row in rows[1:]:
        if len(row) != width:
            row = _of_width(path, row, width, rows[0][0])
        if row[1] == rows[0][1] and row[1:] == rows[0][1:width]:
            raise InputError(f"{path}, line {row[0]} repeats the header: were files joined?")
        body.append(row)
    columns = list(zip(*body)) if body else [() for _ in range(width)]
    data = {i: np.array(cells, object) for i, cells in enumerate(columns[1:])}
    frame = pd.DataFrame(data, dtype=object)
    frame.columns = pd.Index(header, dtype=object)
    return frame, list(map(int, columns[0]))


def _of_width(path: Path, row: list[str], width: int, line: str) -> list[str]:
    """A row cut to the width of the header, where what is cut is blank."""
    spare = _blank_end(row, width)
    if len(row) - spare == width:
        return row[:width]
    cells, columns = len(row) - 1, width - 1
    many = "more" if cells > columns else "fewer"
    hint = {
        "more": "an unquoted separator within a cell, or names of rows without a header (R's "
        "write.table)?",
        "fewer": "is the file cut off, or is it another header?",
    }[many]
    if columns == 1:
        # a line with a title, as programs that export tables write one
        hint = "does a title stand above the names of the columns? Delete the lines above them"
    raise InputError(
        f"{path}, line {row[0]}: {cells} cells, {many} than the header of line {line}, which has "
        f"{columns}; {hint}"
    )


def _parquet(path: Path) -> Sheet:
    """A parquet file; numbers stay numbers, everything else becomes text."""
    try:
        told = pq.read_metadata(path)
        check_columns(path, told.num_columns)
        # eight bytes a cell, however well it is packed
        check_bytes(path, 8 * told.num_rows * told.num_columns)
        arrow = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} cannot be read as parquet: {' '.join(str(error).split())}"
        ) from error
    columns = [_of_arrow(arrow.column(i), name) for i, name in enumerate(arrow.column_names)]
    frame = pd.DataFrame({i: pd.Series(c, dtype=c.dtype) for i, c in enumerate(columns)})
    # an index stored by pandas is a column like any other
    frame.columns = pd.Index([normal(name) for name in arrow.column_names], dtype=object)
    return Sheet(frame, "", (), range(1, len(frame) + 1), arrow.schema.metadata or {})


def _of_arrow(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """A column as numbers in the type they came in, or as text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_floating(kind):
        return column.to_numpy()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        try:
            # some programs do not say that their bytes are text
            column, kind = column.cast(pa.string()), pa.string()
        except pa.ArrowInvalid:
            pass
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        found = np.empty(len(column), object)
        # one by one: lists of one length would become a table
        for place, value in enumerate(column.to_pylist()):
            found[place] = value
        return found
    if pa.types.is_boolean(kind):
        values: list[Any] = [None if v is None else str(v) for v in column.to_pylist()]
    elif pa.types.is_temporal(kind):
        values = [None if v is None else str(v) for v in column.to_pylist()]
    else:
        values = column.cast(pa.string()).to_pylist()
    found = np.empty(len(values), object)
    found[:] = ["" if v is None else v for v in values]
    return found


def repeated(frame: pd.DataFrame) -> list[str]:
    """Headers that stand over several columns."""
    return [str(name) for name, times in Counter(frame.columns).items() if times > 1]
