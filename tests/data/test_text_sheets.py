"""Tables of users as text: nothing is guessed from a cell."""

import datetime

import openpyxl
import pytest

from fairrecon_jax.data.tables import text_sheet
from fairrecon_jax.types import InputError


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_rows_show_the_delimiter(tmp_path, delimiter):
    rows = [['"id, old"', "Size[w;h]" if delimiter == "," else "Size[w,h]"], ["012", "1.0"]]
    text = "\n".join(delimiter.join(row) for row in rows)
    (tmp_path / "t.csv").write_text("\ufeff" + text, encoding="utf-8")
    table = text_sheet(tmp_path / "t.csv").frame
    assert table.to_numpy().tolist() == [["012", "1.0"]]
    assert table.columns[0] == "id, old"


def test_cells_stay_as_they_are_written(tmp_path):
    (tmp_path / "t.csv").write_text("id;n\n012;1,50\nNA;1E2\n;\n")
    table = text_sheet(tmp_path / "t.csv").frame
    assert table.to_numpy().tolist() == [["012", "1,50"], ["NA", "1E2"]]


def test_two_delimiters_are_refused_until_one_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("a,b;c\n1,2;3\n")
    with pytest.raises(InputError, match=r"say which with columns\.delimiter"):
        text_sheet(tmp_path / "t.csv")
    assert list(text_sheet(tmp_path / "t.csv", ";").frame.columns) == ["a,b", "c"]


def test_a_row_of_another_length_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2,3\n")
    with pytest.raises(InputError, match="line 2: 3 cells, more than the header of line 1"):
        text_sheet(tmp_path / "t.csv")


def test_excel_as_it_is_shown(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["id", "number", "flag", "day", "text"])
    sheet.append([12, 3.0, True, datetime.datetime(2020, 1, 2), "NA"])
    sheet["A2"].number_format = "00000"
    sheet.append([None] * 5)
    sheet.append([7, 2.5, False, None, "  x"])
    book.save(tmp_path / "t.xlsx")
    found = text_sheet(tmp_path / "t.xlsx")
    assert found.frame.to_numpy().tolist() == [
        ["00012", "3", "TRUE", "2020-01-02", "NA"],
        ["7", "2.5", "FALSE", "", "  x"],
    ]
    assert found.lines == [2, 4]
    book.create_sheet("other").append(["z"])
    book["other"].append([1])
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match=r"has the sheets Sheet, other; say which with columns\.s"):
        text_sheet(tmp_path / "t.xlsx")
    assert list(text_sheet(tmp_path / "t.xlsx", sheet="other").frame.columns) == ["z"]
    with pytest.raises(InputError, match="no sheet 'third'; it has Sheet, other"):
        text_sheet(tmp_path / "t.xlsx", sheet="third")
    (tmp_path / "broken.xlsx").write_text("no workbook")
    with pytest.raises(InputError, match=r"broken\.xlsx cannot be read as Excel"):
        text_sheet(tmp_path / "broken.xlsx")


def test_a_title_above_the_header_is_told_from_a_broken_row(tmp_path):
    book = openpyxl.Workbook()
    for row in (["Export of 2021"], [], ["id", "n"], ["a", 1]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match="does a title stand above the names of the columns"):
        text_sheet(tmp_path / "t.xlsx")
