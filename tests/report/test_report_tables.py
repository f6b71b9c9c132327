"""Entries of tables as text, and tables as CSV and LaTeX, character by character."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.report.tables import entries
from fairrecon_jax.report.tables.entries import Missing
from fairrecon_jax.report.tables.table import Table, csv_text, escape_latex

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
    assert entries.number(value) == expected


def test_fixed_never_turns_a_missing_value_into_zero():
    entry = entries.fixed(NAN, 2, "no positives")
    assert isinstance(entry, Missing)
    assert entry.reason == "no positives"


@pytest.mark.parametrize(
    ("value", "sign", "expected"),
    [(0.0, True, "0.00"), (-0.001, True, "0.00"), (0.02, True, "+0.02"), (-0.02, False, "−0.02")],
)
def test_fixed_has_no_negative_zero(value, sign, expected):
    assert entries.fixed(value, 2, sign=sign) == expected


def test_intervals_stand_in_brackets_where_known():
    assert entries.with_interval(0.81, 0.79, 0.83, 2) == "0.81 (0.79–0.83)"
    assert entries.with_interval(0.1, -0.1, 0.3, 1, sign=True) == "+0.1 (−0.1 to +0.3)"
    assert entries.with_interval(0.1, -0.1, 0.3, 1) == "0.1 (−0.1 to 0.3)"
    assert entries.with_interval(0.81, NAN, 0.83, 2) == "0.81"
    assert isinstance(entries.with_interval(NAN, 0.7, 0.8, 2, "few"), Missing)


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
    assert escape_latex(hostile) == harmless


def hostile() -> Table:
    frame = pd.DataFrame(
        [["a_b & c", 0.5, Missing("too few")], ["<i>", 2, Missing("too few")]],
        columns=["name", "50 %", "x"],
    )
    return Table("key", "A & B", "100 % of it", frame, spans=(("", 1), ("both_levels", 2)))


def test_latex_table_has_one_line_per_row_and_equal_columns():
    lines = hostile().latex().splitlines()
    start = lines.index(r"\midrule")
    end = lines.index(r"\bottomrule")
    body = lines[start + 1 : end]
    assert len(body) == 2
    assert all(line.replace(r"\&", "").count("&") == 2 and line.endswith(r"\\") for line in body)
    assert r"\multicolumn{2}{c}{both\_levels}" in "\n".join(lines)
    assert r"\caption{A \& B. 100 \% of it}" in lines
    assert body[0].startswith(r"a\_b \& c & 0.500 & n.e.")


def test_line_breaks_do_not_reach_latex():
    assert "\n" not in escape_latex("a\nb")


def test_csv_says_why_an_entry_is_missing():
    read = pd.read_csv(io.StringIO(csv_text(hostile().frame)))
    assert read["x"].tolist() == ["n.e. (too few)"] * 2
    assert read["50 %"].tolist() == [0.5, 2.0]


def test_csv_keeps_repeated_column_names():
    frame = pd.DataFrame([[1, 2, 3]], columns=pd.Index(["", "original", "original"]))
    assert csv_text(frame).splitlines()[0] == ",original,original"


def test_csv_names_columns_by_their_spanning_headings():
    assert hostile().csv().splitlines()[0] == "name,both_levels: 50 %,both_levels: x"


@pytest.mark.parametrize(("value", "expected"), [(137.0, 137), (0.0, 0), (NAN, "–")])
def test_counts_are_whole(value, expected):
    assert repr(entries.count(value)) == repr(expected)
    assert entries.number(entries.count(value)) == str(expected)
    assert entries.number(np.int64(0)) == "0"


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
    assert entries.p_value(p, "none") == expected


def test_csv_of_an_empty_table_is_its_header():
    assert csv_text(pd.DataFrame(columns=["a", "b"])) == "a,b\n"


def test_reasons_are_counted_commonest_first():
    frame = pd.DataFrame(
        [[Missing("few"), Missing("none")], [Missing("few"), Missing()]], columns=["a", "b"]
    )
    assert Table("k", "t", "c", frame).reasons() == [
        ("few", 2),
        ("no reason is given in the table", 1),
        ("none", 1),
    ]


def test_a_latex_table_by_hand():
    frame = pd.DataFrame(
        [["a_b", 0.5, Missing("few")], ["c", 1200, None]], columns=["name", "50 %", "n"]
    )
    latex = Table("key", "A & B", "100 %\n of  it", frame, spans=(("", 1), ("8×", 2))).latex()
    assert latex == "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            r"\caption{A \& B. 100 \% of it}",
            r"\label{tab:key}",
            r"\begin{tabular}{lrr}",
            r"\toprule",
            r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{8$\times$} \\",
            r"name & 50 \% & n \\",
            r"\midrule",
            r"a\_b & 0.500 & n.e. \\",
            r"c & 1,200 & -- \\",
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


@pytest.mark.parametrize(("labels", "layout"), [(1, "lrr"), (2, "llr"), (3, "lll")])
def test_row_labels_stand_left_and_numbers_right(labels, layout):
    of_numbers = Table(
        "k", "t", "c", pd.DataFrame([[1, 2, 3]], columns=["a", "b", "c"]), labels=labels
    )
    assert rf"\begin{{tabular}}{{{layout}}}" in of_numbers.latex()
    assert "multicolumn" not in of_numbers.latex()


def test_a_latex_table_without_rows_is_its_head():
    lines = Table("k", "t", "c", pd.DataFrame(columns=["a", "b"])).latex().splitlines()
    assert lines[lines.index(r"\midrule") + 1] == r"\bottomrule"


@pytest.mark.parametrize("sign", list("−–×≥≤→←↔▼△⇄Δ↑↓"))
def test_every_sign_of_the_report_has_a_latex_command(sign):
    escaped = escape_latex(sign)
    assert escaped.isascii()
    assert escaped == "--" if sign == "–" else escaped.startswith("$")


def test_a_backslash_is_escaped_once_and_braces_of_its_command_stay():
    assert escape_latex("\\{}") == r"\textbackslash{}\{\}"


def test_csv_by_hand():
    frame = pd.DataFrame(
        [["a, b", 0.5, Missing("few, very")], ['say "x"', 2, Missing()]],
        columns=["name", "50 %", "n"],
    )
    assert csv_text(frame) == 'name,50 %,n\n"a, b",0.5,"n.e. (few, very)"\n"say ""x""",2.0,n.e.\n'


def test_missing_entries_of_repeated_columns_are_all_counted():
    frame = pd.DataFrame(
        [[Missing("few"), Missing("few")], [1, Missing("none")]], columns=pd.Index(["x", "x"])
    )
    assert Table("k", "t", "c", frame).reasons() == [("few", 2), ("none", 1)]
    assert Table("k", "t", "c", frame[:0]).reasons() == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((0.8149, 0.79, 0.8351, 3), "0.815 (0.790–0.835)"),
        ((-0.5, -0.6, -0.4, 1), "−0.5 (−0.6 to −0.4)"),
        ((0.5, 0.4, float("inf"), 1), "0.5"),
        ((float("inf"), 0.4, 0.6, 1, "few"), Missing("few")),
    ],
)
def test_intervals_by_hand(given, expected):
    assert entries.with_interval(*given) == expected
