"""Decimal points, decimal commas and separators of thousands: told apart by a whole column, and
where that leaves it open by the other columns of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from fairrecon_jax.runtime.text import normal
from fairrecon_jax.types import InputError

OTHER = {".": ",", ",": "."}
NAMES = {".": "point", ",": "comma"}
COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")
DECIMAL = {sign: re.compile(rf"[-+]?\d*[{sign}]\d+(?:[eE][-+]?\d+)?") for sign in OTHER}
GROUPED = {
    sign: re.compile(rf"[-+]?[1-9]\d{{0,2}}(?:[{other}]\d{{3}})+(?:[{sign}]\d*)?")
    for sign, other in OTHER.items()
}
"""By decimal sign: numbers with the other sign between thousands."""


def signs_of(frame: pd.DataFrame) -> frozenset[str]:
    """The decimal signs that a table shows beyond doubt: 0,5 has a decimal comma, 1,234 may have.

    Args:
      frame: of text; columns of numbers are passed over.

    Example:
      >>> sorted(signs_of(pd.DataFrame({"a": ["0,5", "7"], "b": ["1.234", "x"]})))
      [',']
    """
    found = set()
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]
        if not pd.api.types.is_numeric_dtype(column):
            texts = [normal(str(cell)) for cell in pd.unique(column)]
            found |= {sign for sign in OTHER if any(_is_decimal(text, sign) for text in texts)}
    return frozenset(found)


def _is_decimal(text: str, sign: str) -> bool:
    """Whether a sign in a text is a decimal one and nothing else."""
    return bool(DECIMAL[sign].fullmatch(text)) and not GROUPED[OTHER[sign]].fullmatch(text)


def _is_grouped(text: str, sign: str) -> bool:
    """Whether a text has thousands and nothing else: 1,234.5 and 1,234,567."""
    other = OTHER[sign]
    sure = sign in text or text.count(other) > 1
    return sure and bool(GROUPED[sign].fullmatch(text))


def with_points(
    texts: Sequence[str],
    decimal: str,
    separator: str,
    shown: Callable[[], Iterable[str]],
    where: str,
    field: str,
) -> list[str]:
    """Numbers with a decimal point, without separators of thousands.

    Args:
      texts: of one column.
      decimal: its decimal sign as somebody said it, "" where nobody did.
      separator: of the file's cells; where it is no comma, a comma may be a decimal one; "" of a
        file whose numbers are no text, such as Excel, which have a point whatever the text has.
      shown: the signs that the file shows, see `signs_of`; asked where the column leaves it open.
      where: what errors call the column.
      field: what errors call the field that says the sign.

    Raises:
      InputError: a sign can be read in two ways.

    Example:
      >>> with_points(["1.234,5", "7"], ",", ";", tuple, "column 'x'", "decimal")
      ['1234.5', '7']
    """
    if decimal:
        return _declared(texts, decimal, separator, where, field)
    commas = [text for text in texts if "," in text]
    points = [text for text in texts if "." in text]
    if commas and (points or separator in ("", ",")):
        raise InputError(
            f"{where} holds {commas[0]!r}: if the comma is a decimal one, say so with {field}: "
            '","; if it stands between thousands, take it out'
        )
    if commas:
        if not any(_is_decimal(text, ",") for text in commas) and set(shown()) != {","}:
            raise _open(commas[0], where, field)
        return [t.replace(",", ".") if COMMA.fullmatch(t) else t for t in texts]
    # a point in a file of decimal commas may stand between thousands
    grouped = points and separator not in ("", ",") and all(map(GROUPED[","].fullmatch, points))
    if grouped and set(shown()) == {","}:
        raise _open(points[0], where, field)
    return list(texts)


def _declared(
    texts: Sequence[str], decimal: str, separator: str, where: str, field: str
) -> list[str]:
    """Numbers whose decimal sign is known."""
    other = OTHER[decimal]
    typed = {t for t in texts if not separator and decimal == "," and _is_decimal(t, ".")}
    marked = [text for text in texts if other in text and text not in typed]
    if odd := [text for text in marked if not GROUPED[decimal].fullmatch(text)]:
        raise InputError(
            f"{where} holds {odd[0]!r}, but the decimal sign is a {NAMES[decimal]}: if it is a "
            f'{NAMES[other]} there, say so with {field}: "{other}"'
        )
    # one number with both signs, or with two groups, says what the sign of the others is
    if marked and not any(_is_grouped(text, decimal) for text in marked):
        raise _open(marked[0], where, field)
    return [t if t in typed else t.replace(other, "").replace(decimal, ".") for t in texts]


def _open(text: str, where: str, field: str) -> InputError:
    """The error of a number of two readings."""
    sign = "," if "," in text else "."
    bare, point = text.replace(sign, ""), text.replace(sign, ".")
    return InputError(
        f"{where} holds {text!r}, which may be {bare} or {point}: take separators of thousands "
        f'out, or, if this is the decimal sign, say so with {field}: "{sign}"'
    )
