"""Cells, CSV and LaTeX of the report's tables."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.report.tables import table
from fairrecon_jax.report.tables.table import Missing, Table

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.12345, "0.123"),
        (-0.5, "−0.500"),
        (12345, "12,345"),
        (3900.0, "3,900"),
        (-3.0, "−3"),
        (0.0, "0.000"),
        (None, "–"),
        (NAN, "–"),
        ("words", "words"),
        (Missing("why"), "n.e."),
        (np.float64(2.5), "2.500"),
    ],
)
def test_numbers_as_text(value, expected):
    assert table.number(value) == expected


def test_fixed_never_turns_a_missing_value_into_zero():
    cell = table.fixed(NAN, 2, "no positives")
    assert isinstance(cell, Missing)
    assert cell.reason == "no positives"


@pytest.mark.parametrize(
    ("value", "sign", "expected"),
    [(0.0, True, "0.00"), (-0.001, True, "0.00"), (0.02, True, "+0.02"), (-0.02, False, "−0.02")],
)
def test_fixed_has_no_negative_zero(value, sign, expected):
    assert table.fixed(value, 2, sign=sign) == expected


def test_intervals_stand_in_brackets_where_known():
    assert table.with_interval(0.81, 0.79, 0.83, 2) == "0.81 (0.79–0.83)"
    assert table.with_interval(0.1, -0.1, 0.3, 1, sign=True) == "+0.1 (−0.1 to +0.3)"
    assert table.with_interval(0.1, -0.1, 0.3, 1) == "0.1 (−0.1 to 0.3)"
    assert table.with_interval(0.81, NAN, 0.83, 2) == "0.81"
    assert isinstance(table.with_interval(NAN, 0.7, 0.8, 2, "few"), Missing)


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("a_b", r"a\_b"),
        ("50 %", r"50 \%"),
        ("A & B", r"A \& B"),
        ("{x}$^~#", r"\{x\}\$\textasciicircum{}\textasciitilde{}\#"),
        (r"\input{secret}", r"\textbackslash{}input\{secret\}"),
        ("<script>", r"\textless{}script\textgreater{}"),
    ],
)
def test_latex_is_escaped(hostile, harmless):
    assert table.escape_latex(hostile) == harmless


def sheet() -> Table:
    frame = pd.DataFrame(
        [["a_b & c", 0.5, Missing("too few")], ["<i>", 2, Missing("too few")]],
        columns=["name", "50 %", "x"],
    )
    return Table("key", "A & B", "100 % of it", frame, spans=(("", 1), ("both_levels", 2)))


def test_latex_table_has_one_line_per_row_and_equal_columns():
    lines = table.latex(sheet()).splitlines()
    start = lines.index(r"\midrule")
    end = lines.index(r"\bottomrule")
    body = lines[start + 1 : end]
    assert len(body) == 2
    assert all(line.replace(r"\&", "").count("&") == 2 and line.endswith(r"\\") for line in body)
    assert r"\multicolumn{2}{c}{both\_levels}" in "\n".join(lines)
    assert r"\caption{A \& B. 100 \% of it}" in lines
    assert body[0].startswith(r"a\_b \& c & 0.500 & n.e.")


def test_line_breaks_do_not_reach_latex():
    assert "\n" not in table.escape_latex("a\nb")


def test_csv_says_why_a_cell_is_missing():
    read = pd.read_csv(io.StringIO(table.csv(sheet().frame)))
    assert read["x"].tolist() == ["n.e. (too few)"] * 2
    assert read["50 %"].tolist() == [0.5, 2.0]


def test_csv_keeps_repeated_column_names():
    frame = pd.DataFrame([[1, 2, 3]], columns=pd.Index(["", "original", "original"]))
    assert table.csv(frame).splitlines()[0] == ",original,original"


def test_csv_names_columns_by_their_spanning_headings():
    assert (
        table.csv(sheet().frame, sheet().spans).splitlines()[0]
        == "name,both_levels: 50 %,both_levels: x"
    )


@pytest.mark.parametrize(("value", "expected"), [(137.0, 137), (0.0, 0), (NAN, "–")])
def test_counts_are_whole(value, expected):
    assert repr(table.count(value)) == repr(expected)
    assert table.number(table.count(value)) == str(expected)
    assert table.number(np.int64(0)) == "0"


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (0.0, "< 0.001"),
        (0.0004, "< 0.001"),
        (0.001, "0.001"),
        (0.0312, "0.031"),
        (0.312, "0.31"),
        (NAN, Missing("none")),
    ],
)
def test_p_values_are_never_zero(p, expected):
    assert table.p_cell(p, "none") == expected


def test_csv_of_an_empty_table_is_its_header():
    assert table.csv(pd.DataFrame(columns=["a", "b"])) == "a,b\n"


def test_reasons_are_counted_commonest_first():
    frame = pd.DataFrame(
        [[Missing("few"), Missing("none")], [Missing("few"), Missing()]], columns=["a", "b"]
    )
    assert Table("k", "t", "c", frame).reasons() == [
        ("few", 2),
        ("no reason is given in the table", 1),
        ("none", 1),
    ]
