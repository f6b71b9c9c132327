"""Tables as CSV that a spreadsheet shows and never runs: a text that it would take for a formula
gets an apostrophe in front, which our readers take away again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""How a text begins that a spreadsheet runs, or one that was made of such a one."""
NUMBER = re.compile(r"[+-][\d.,;:%()\[\]\s+-]*(?:[eE][+-]?\d+)?")
"""A number, or an interval: nothing in it can be run."""


def shown(text: str) -> str:
    """A text as a spreadsheet shows it.

    Example:
      >>> shown("=1+cmd|'/C calc'!A0"), shown("-0.3 (-0.5, -0.1)"), shown("F")
      ("'=1+cmd|'/C calc'!A0", '-0.3 (-0.5, -0.1)', 'F')
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def as_written(text: str) -> str:
    """The text of which `shown` made this one.

    Example:
      >>> [as_written(shown(text)) for text in ("@a", "'@a", "-1", "'", "a")]
      ['@a', "'@a", '-1', "'", 'a']
    """
    return text[1:] if text[:1] == "'" and FORMULA.match(text) else text


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV without its index.

    Example:
      >>> csv_text(pd.DataFrame({"group": ["=A1", "F"], "value": [-1.5, 2.0]}))
      "group,value\\n'=A1,-1.5\\nF,2.0\\n"
    """
    return _each(frame, shown).to_csv(index=False, lineterminator="\n")


def read_csv(path: str | Path, **options: Any) -> pd.DataFrame:
    """A frame that `csv_text` wrote.

    Args:
      path: of the file.
      **options: of `pandas.read_csv`.

    Example:
      >>> from tempfile import mkdtemp
      >>> frame = pd.DataFrame({"group": ["=A1", "F"]})
      >>> path = Path(mkdtemp(), "rows.csv")
      >>> length = path.write_text(csv_text(frame))
      >>> read_csv(path)["group"].tolist()
      ['=A1', 'F']
    """
    return _each(pd.read_csv(path, **options), as_written)


def _each(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """A frame with every text changed, those of the header too; what stays keeps its type."""

    def changed(values: Iterable[Any]) -> list[Any]:
        return [change(value) if isinstance(value, str) else value for value in values]

    frame = frame.copy(deep=False)
    frame.columns = pd.Index(changed(frame.columns), dtype=frame.columns.dtype)
    # by position: names may repeat
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]
        if pd.api.types.is_numeric_dtype(column):
            continue
        new = changed(column)
        if any(one is not other for one, other in zip(new, column, strict=True)):
            kind = object if isinstance(column.dtype, pd.CategoricalDtype) else column.dtype
            frame.isetitem(place, pd.Series(new, index=frame.index, dtype=kind).array)
    return frame
