"""Tables of users as text: nothing is guessed from a cell."""

import datetime

import openpyxl
import pytest

from fairrecon_jax.data.sheets import read_sheet
from fairrecon_jax.types import InputError


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_header_shows_the_delimiter(tmp_path, delimiter):
    rows = [['"id, old"', "Size[w;h]" if delimiter == "," else "Size[w,h]"], ["012", "1.0"]]
    text = "\n".join(delimiter.join(row) for row in rows)
    (tmp_path / "t.csv").write_text("\ufeff" + text, encoding="utf-8")
    table = read_sheet(tmp_path / "t.csv")
    assert table.to_numpy().tolist() == [["012", "1.0"]]
    assert table.columns[0] == "id, old"


def test_cells_stay_as_they_are_written(tmp_path):
    (tmp_path / "t.csv").write_text("id;n\n012;1,50\nNA;1E2\n;\n")
    table = read_sheet(tmp_path / "t.csv")
    assert table.to_numpy().tolist() == [["012", "1,50"], ["NA", "1E2"]]


def test_two_delimiters_are_refused_until_one_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("a,b;c\n1,2;3\n")
    with pytest.raises(InputError, match="say which separates"):
        read_sheet(tmp_path / "t.csv")
    assert list(read_sheet(tmp_path / "t.csv", ";").columns) == ["a,b", "c"]


def test_a_row_of_another_length_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2,3\n")
    with pytest.raises(InputError, match="row 2 has 3 values"):
        read_sheet(tmp_path / "t.csv")


def test_excel_as_it_is_shown(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["id", "number", "flag", "day", "text"])
    sheet.append([12, 3.0, True, datetime.datetime(2020, 1, 2), "NA"])
    sheet["A2"].number_format = "00000"
    sheet.append([None] * 5)
    sheet.append([7, 2.5, False, None, "  x"])
    book.create_sheet("other").append(["z"])
    book.save(tmp_path / "t.xlsx")
    table = read_sheet(tmp_path / "t.xlsx")
    assert table.to_numpy().tolist() == [
        ["00012", "3", "true", "2020-01-02", "NA"],
        ["7", "2.5", "false", "", "  x"],
    ]
    assert list(read_sheet(tmp_path / "t.xlsx", sheet="other").columns) == ["z"]
    with pytest.raises(InputError, match="no sheet 'third'; it has Sheet, other"):
        read_sheet(tmp_path / "t.xlsx", sheet="third")
    (tmp_path / "broken.xlsx").write_text("no workbook")
    with pytest.raises(InputError, match=r"broken\.xlsx: not readable"):
        read_sheet(tmp_path / "broken.xlsx")
