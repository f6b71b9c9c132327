import numpy as np
import pytest

from fairrecon_jax.data.notes import KEPT, KINDS, SKIPPED, Notes
from fairrecon_jax.data.tables import number, plausible_age, read_table, rows_of


def test_table_is_read_as_text_with_blanks(tmp_path):
    (tmp_path / "t.csv").write_text("\ufeffa,b\n007,\nNA,1.5\n", encoding="utf-8")
    table = read_table(tmp_path / "t.csv", ["a", "b"])
    assert rows_of(table) == [{"a": "007", "b": ""}, {"a": "NA", "b": "1.5"}]


def test_missing_file_and_column_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_table(tmp_path / "none.csv", [])
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"t\.csv: no column Sex; it has a, b"):
        read_table(tmp_path / "t.csv", ["a", "Sex"])


def test_a_repeated_column_is_refused_and_nameless_ones_are_left_out(tmp_path):
    (tmp_path / "t.csv").write_text("a,Sex, Sex ,b\n1,F,M,2\n")
    with pytest.raises(ValueError, match=r"t\.csv: several columns are named Sex"):
        read_table(tmp_path / "t.csv", ["a"])
    (tmp_path / "t.csv").write_text("a,,\n1,,x\n")
    with pytest.raises(ValueError, match=r"t\.csv, line 2: 3 cells, more than the header"):
        read_table(tmp_path / "t.csv", ["a"])
    (tmp_path / "t.csv").write_text(",a,\n0,1,\n")
    assert rows_of(read_table(tmp_path / "t.csv", ["a"])) == [{"a": "1"}]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2,3,4\n5\n1,2,3\n", b"\xff\xfe\x00\x01"])
def test_what_is_no_table_is_an_error_with_its_name(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"t\.csv"):
        read_table(tmp_path / "t.csv", ["a"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.0", 1),
        (" 3 ", 3),
        ("-1.0", -1),
        ("", np.nan),
        ("x", np.nan),
        ("inf", np.nan),
        (None, np.nan),
    ],
)
def test_number(text, value):
    np.testing.assert_equal(number(text), float(value))


@pytest.mark.parametrize(
    ("years", "expected"),
    [(0.0, np.nan), (0.5, 0.5), (120.0, 120.0), (121.0, np.nan), (-3.0, np.nan), (np.nan, np.nan)],
)
def test_plausible_age(years, expected):
    np.testing.assert_equal(plausible_age(years), expected)


def test_notes_are_counted_sorted_and_of_known_kinds():
    notes = Notes()
    notes.skip("b.png", "unreadable", "r")
    notes.skip("a.png", "unreadable", "r")
    notes.keep("c.png", "missing_sex", "s")
    assert notes.counts() == {(SKIPPED, "unreadable"): 2, (KEPT, "missing_sex"): 1}
    table = notes.table()
    assert list(table.columns) == ["file", "reason", "kind", "action"]
    assert table["file"].tolist() == ["c.png", "a.png", "b.png"]
    assert len(notes) == 3
    with pytest.raises(ValueError, match="unknown kind of note 'typo'"):
        notes.skip("a", "typo", "r")
    assert all(meaning for meaning in KINDS.values())


def test_no_notes_make_an_empty_table_with_its_columns():
    assert list(Notes().table().columns) == ["file", "reason", "kind", "action"]
