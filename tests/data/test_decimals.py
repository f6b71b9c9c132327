"""Decimal points and commas, and separators of thousands."""

import pandas as pd
import pytest

from fairrecon_jax.data.decimals import signs_of, with_points
from fairrecon_jax.types import InputError


def read(texts, decimal="", separator=";", shown=()):
    return with_points(texts, decimal, separator, lambda: shown, "column 'c'", "decimal")


@pytest.mark.parametrize(
    ("texts", "decimal", "wanted"),
    [
        (["1.234,5", "7"], ",", ["1234.5", "7"]),
        (["1.234.567", "2.345", "0,5"], ",", ["1234567", "2345", "0.5"]),
        (["1,234.5", "2,345"], ".", ["1234.5", "2345"]),
        (["0,5", "1,234"], "", ["0.5", "1.234"]),
        (["0.5", "1.234"], "", ["0.5", "1.234"]),
    ],
)
def test_a_column_says_what_its_signs_are(texts, decimal, wanted):
    assert read(texts, decimal) == wanted


@pytest.mark.parametrize(
    ("texts", "decimal", "shown"),
    [
        (["1.234"], ",", ()),
        (["1,234"], ".", ()),
        (["1,234", "2,345"], "", ()),
        (["1,234"], "", (".",)),
        (["1,234"], "", (".", ",")),
        (["1.234"], "", (",",)),
    ],
)
def test_what_may_be_thousands_is_refused(texts, decimal, shown):
    with pytest.raises(InputError, match=r"holds '1[.,]234', which may be 1234 or 1\.234: take"):
        read(texts, decimal, shown=shown)


def test_other_columns_settle_what_one_leaves_open():
    assert read(["1,234"], shown=(",",)) == ["1.234"]
    frame = pd.DataFrame({"a": ["1,234", "x"], "b": ["0,5", ""], "c": [0.5, 1.0]})
    assert signs_of(frame) == {","}
    assert signs_of(frame[["a"]]) == set()


def test_typed_numbers_have_points_whatever_the_text_has():
    assert read(["62.5", "61,5"], ",", separator="") == ["62.5", "61.5"]
    with pytest.raises(InputError, match=r"holds '62\.5', but the decimal sign is a comma"):
        read(["62.5", "61,5"], ",")
