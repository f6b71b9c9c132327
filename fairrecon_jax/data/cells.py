"""What the cells of a table mean: names and numbers.

A cell is text until somebody says what it is; a parquet file's numbers are numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from fairrecon_jax.data.decimals import with_points
from fairrecon_jax.data.sheets import OF_MAPPING
from fairrecon_jax.runtime.nothing import no_value
from fairrecon_jax.runtime.precision import shortest
from fairrecon_jax.runtime.text import alike, normal
from fairrecon_jax.types import InputError

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)"
PRINTED = re.compile(
    rf"(?:tensor|array|(?:np|numpy|torch|jnp)\.\w+|float\d*|Array)\(\s*\[?\s*({NUMBER})\s*\]?\s*"
    rf"(?:,[^()]*)?\)|\[\s*({NUMBER})\s*\]",
    re.IGNORECASE,
)
"""A number as PyTorch, NumPy and JAX print it, or a list of one."""
PLAIN = re.compile(NUMBER, re.IGNORECASE)
WHOLE = re.compile(r"([-+]?\d+)\.0*")
CUT_OFF = re.compile(r"[-+]?\d(?:[.,]\d+)?[eE]\+\d+")
"""An identifier that went through a format of numbers and lost its last digits there."""
CUT = "a format of numbers has cut off its last digits; export the column as text"


class Column(NamedTuple):
    """A column of a table.

    Attributes:
      values: [N] text, "" where blank; or floats, NaN where blank.
      name: its header.
      decimal: "." or ",", "" where nobody says it.
      separator: of the file's cells, see `with_points`.
      shown: the decimal signs of the file's columns, asked for where this one leaves it open.
      field: what errors call the field that says the decimal sign.
    """

    values: np.ndarray
    name: str
    decimal: str = ""
    separator: str = ""
    shown: Callable[[], Iterable[str]] = tuple
    field: str = OF_MAPPING.decimal

    @property
    def where(self) -> str:
        """What an error is to call it."""
        return f"column {self.name!r}"


class Numbers(NamedTuple):
    """A column of numbers.

    Attributes:
      values: [N] float64, NaN where blank.
      blank: number of entries without a number.
      words: the words that stood for nothing, with their counts.
      percent: the cells were written with a percent sign; the values are fractions.
    """

    values: np.ndarray
    blank: int
    words: dict[str, int]
    percent: bool = False


def cell(value: object) -> str:
    """An entry of a mapping or a table as text: without float detours, None is blank.

    Example:
      >>> cell(" F "), cell(3.0), cell(True), cell(None)
      ('F', '3.0', 'True', '')
    """
    return "" if value is None else normal(str(value))


def printed(text: str) -> str:
    """The number of a printed tensor, otherwise the text; it is matched, never evaluated.

    Example:
      >>> printed("tensor(68., dtype=torch.float64)"), printed("[0.5]"), printed("A[1]")
      ('68.', '0.5', 'A[1]')
    """
    # files of predictions come from anybody
    match = PRINTED.fullmatch(text) if text.endswith((")", "]")) else None
    return (match[1] or match[2]) if match else text


def number(entry: object) -> float:
    """A number from an entry: a number, its text, or the text of a printed tensor; blank and the
    words for nothing are NaN.

    Raises:
      InputError: the entry is something else.
    """
    text = printed(cell(entry)).replace("\N{MINUS SIGN}", "-")
    if not text or no_value(text):
        return float("nan")
    if not PLAIN.fullmatch(text):
        raise InputError(f"{text[:60]!r} is not a number")
    return float(text)


def codes(column: Column) -> tuple[np.ndarray, list[str]]:
    """The distinct entries of a column as normalised text, and the number of each row's entry.

    Returns:
      ([N] int, -1 where blank; the texts).
    """
    values = column.values
    if values.dtype.kind == "f":
        # the decimal text of a float: 0.7 of a float32 column is 0.7
        code, distinct = pd.factorize(values)
        texts = [f"{v:.0f}.0" if v == np.round(v) else str(v) for v in distinct]
    else:
        code, distinct = pd.factorize(values)
        texts = [printed(normal(str(v))) for v in distinct]
    # two spellings of one text are one entry
    spelt: dict[str, int] = {}
    renumbered = np.array([spelt.setdefault(text, len(spelt)) for text in texts], int)
    found = list(spelt)
    blank = np.array([not text for text in found], bool)
    place = np.append(np.where(blank, -1, np.cumsum(~blank) - 1), -1).astype(int)
    return place[np.append(renumbered, -1)[code]], [text for text in found if text]


def whole(texts: Iterable[str]) -> bool:
    """Whether the numbers among texts are whole, so that "1.0" is 1 and no version before 1.1."""
    return not any(re.search(r"\d\.\d*[1-9]", text) for text in texts)


def unpadded(text: str) -> str:
    """A whole number without ".0" behind it; other text as it is.

    Example:
      >>> unpadded("12.0"), unpadded("2.10"), unpadded("007")
      ('12', '2.10', '007')
    """
    match = WHOLE.fullmatch(text)
    return match[1] if match else text


def cut_off(texts: Iterable[str]) -> str:
    """The first identifier that a format of numbers cut off, "" for none.

    Example:
      >>> cut_off(["12", "1.23E+09"])
      '1.23E+09'
    """
    return next((text for text in texts if CUT_OFF.fullmatch(text)), "")


def names(column: Column, identifiers: bool = False) -> pd.Series:
    """A column as names, None where blank: text as it is written, in one normal form.

    Where no number among them has decimals, "12.0" is 12: a column of whole numbers that had gaps
    was written as one of floats. Of identifiers every "12.0" is 12.

    Args:
      column: of the table.
      identifiers: they name patients or images, and must be complete.

    Returns:
      [N] text or None; of identifiers the words for nothing are None too.

    Raises:
      InputError: identifiers were cut off by a format of numbers.
    """
    code, texts = codes(column)
    if identifiers:
        cut = cut_off(texts)
        if column.values.dtype.kind == "f" and np.nanmax(np.abs(column.values), initial=0) >= 2**53:
            cut = f"{np.nanmax(column.values):.0f}"
        if cut:
            raise InputError(f"{column.where} holds {cut!r}: {CUT}")
    if identifiers or whole(texts):
        texts = [unpadded(text) for text in texts]
    words = [None if identifiers and no_value(text) else text for text in texts]
    return pd.Series(np.array([*words, None], object)[code], dtype=object)


def numbers(column: Column, missing: Iterable[str] = (), infinite: bool = False) -> Numbers:
    """A column as float64.

    Args:
      column: of the table.
      missing: words or numbers that stand for nothing, beside the usual words.
      infinite: infinity is a value, as in PSNR.

    Raises:
      InputError: an entry is no number, or commas or percent signs are in some entries alone; the
        message names the row.
    """
    given = {alike(cell(word)) for word in missing}
    if column.values.dtype.kind == "f":
        values = narrowed(column.values)
        if given:
            text = np.array([alike(str(v)) in given for v in values])
            return Numbers(np.where(text, np.nan, values), *_lost(values, text))
        return Numbers(values, int(np.isnan(values).sum()), {})
    code, texts = codes(column)
    counts = np.bincount(code[code >= 0], minlength=len(texts))
    gone = np.array([no_value(t) or alike(t) in given for t in texts], bool)
    kept = [text for text, lost in zip(texts, gone, strict=True) if not lost]
    sign = _all_or_none(column, code, texts, [t.endswith("%") for t in kept], kept)
    if sign:
        kept = [text[:-1].rstrip() for text in kept]
    form = column.decimal, column.separator, column.shown
    kept = with_points(kept, *form, column.where, column.field)
    values = np.full(len(texts) + 1, np.nan)
    values[:-1][~gone] = _parsed(column, code, kept, np.flatnonzero(~gone), sign, infinite)
    words = {text: int(counts[i]) for i, text in enumerate(texts) if gone[i]}
    found = values[code]
    return Numbers(found, int(np.isnan(found).sum()), words, sign)


def _lost(values: np.ndarray, coded: np.ndarray) -> tuple[int, dict[str, int]]:
    """Entries without a number, and the codes among them with their counts."""
    distinct, counts = np.unique(values[coded], return_counts=True)
    words = {unpadded(str(v)): int(n) for v, n in zip(distinct, counts, strict=True)}
    return int(np.isnan(values).sum() + coded.sum()), words


def _all_or_none(
    column: Column, code: np.ndarray, texts: list[str], marked: list[bool], kept: list[str]
) -> bool:
    """Whether all entries have a percent sign.

    Raises:
      InputError: some have.
    """
    if any(marked) and not all(marked):
        bare = kept[marked.index(False)]
        raise InputError(
            f"{column.where}, row {row_of(code, texts, bare)}: {bare!r} has no percent sign, other "
            "entries have one"
        )
    return any(marked)


def row_of(code: np.ndarray, texts: list[str], text: str) -> int:
    """The first row that holds a text, counted from 1."""
    return int(np.flatnonzero(code == texts.index(text))[0]) + 1


def _parsed(
    column: Column,
    code: np.ndarray,
    texts: list[str],
    places: np.ndarray,
    percent: bool,
    infinite: bool,
) -> np.ndarray:
    """The numbers of distinct texts."""
    try:
        values = np.array(pa.array(texts, pa.string()).cast(pa.float64()), float)
    except pa.ArrowInvalid:
        values = np.full(len(texts), np.nan)
        for i, text in enumerate(texts):
            try:
                values[i] = number(text)
            except InputError as error:
                row = int(np.flatnonzero(code == places[i])[0]) + 1
                raise InputError(f"{column.where}, row {row}: {error}") from error
    if not infinite and np.isinf(values).any():
        i = int(np.isinf(values).argmax())
        row = int(np.flatnonzero(code == places[i])[0]) + 1
        raise InputError(f"{column.where}, row {row}: {texts[i]!r} is no finite number")
    if percent:
        # of decimals: 85.1 / 100 in binary is not always the nearest number to 0.851
        return np.array([float(Decimal(text) / 100) for text in texts])
    return narrowed(values)


def narrowed(values: np.ndarray) -> np.ndarray:
    """Numbers as float64, see `shortest`; float64 numbers that are all float32 ones, with more
    digits than people write, were widened on the way and are taken back.
    """
    if values.dtype == np.float64:
        known = values[np.isfinite(values)]
        if (np.round(known, 9) == known).all() or not (known.astype(np.float32) == known).all():
            return values
        values = values.astype(np.float32)
    return shortest(values)
