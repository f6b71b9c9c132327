"""Files of rows and columns: separators, encodings, cells per row, Excel, parquet."""

import gzip

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairrecon_jax.data.sheets import read_sheet
from fairrecon_jax.types import InputError

ROWS = [["id", "Größe", "p"], ["007", "1,5", "0.5"], ["2.10", "NA", ""]]


def text_file(folder, text, encoding="utf-8", name="t.csv"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def cells(sheet):
    return [list(sheet.frame.columns), *sheet.frame.to_numpy().tolist()]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_separators_and_encodings(tmp_path, separator, encoding):
    text = "\r\n".join(separator.join(row) for row in ROWS)
    found = read_sheet(text_file(tmp_path, text, encoding))
    assert cells(found) == ROWS
    assert (found.separator, found.notes) == (separator, ())


def test_latin_is_read_with_a_word(tmp_path):
    text = "\n".join(";".join(row) for row in ROWS)
    found = read_sheet(text_file(tmp_path, text, "latin-1"))
    assert cells(found) == ROWS
    assert "line 1" in found.notes[0]
    assert "Latin-1" in found.notes[0]
    assert read_sheet(text_file(tmp_path, text, "cp1252"), encoding="cp1252").notes == ()
    with pytest.raises(InputError, match="cannot be read as CSV in ascii"):
        read_sheet(text_file(tmp_path, text), encoding="ascii")
    with pytest.raises(InputError, match="'encoding' in the mapping: 'utf9' is none that is known"):
        read_sheet(text_file(tmp_path, text), encoding="utf9")


def test_a_line_that_names_the_separator(tmp_path):
    assert cells(read_sheet(text_file(tmp_path, "sep=;\na;b,c\n1;2,5\n"))) == [
        ["a", "b,c"],
        ["1", "2,5"],
    ]


def test_packed_files(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert cells(read_sheet(path)) == [["a", "b"], ["1", "2"]]
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(InputError, match="cannot be unpacked"):
        read_sheet(path)


def test_quotes_and_blank_lines(tmp_path):
    text = 'a,b\n"x, y","line\nbreak"\n\n,\n"say ""no""",2\n'
    assert cells(read_sheet(text_file(tmp_path, text)))[1:] == [
        ["x, y", "line\nbreak"],
        ['say "no"', "2"],
    ]
    with pytest.raises(InputError, match="is a quotation mark left open"):
        read_sheet(text_file(tmp_path, 'a,b\n"1,2\n3,4\n'))


@pytest.mark.parametrize("text", ["a,b\n1,2,\n3,4,\n", "a,b,\n1,2,\n3,4,\n", "a,b\n1,2,,\n3,4\n"])
def test_blank_cells_behind_the_last_column(tmp_path, text):
    assert cells(read_sheet(text_file(tmp_path, text))) == [["a", "b"], ["1", "2"], ["3", "4"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,4,5\n", "line 3: 3 cells, more than the header of line 1, which has 2"),
        ("a,b\n1,2\n3\n", "line 3: 1 cells, fewer than the header of line 1, which has 2"),
        ("a,b\nr1,1,2\nr2,3,4\n", "line 2: 3 cells, more .*R's write.table"),
        ("a,b\n1,2\na,b\n3,4\n", "line 3 repeats the header"),
        ("a;b,c;d\n1;2,3;4\n5;6,7;8\n", None),
        ("a;b,c\n1;2,3\n", "separated by comma or semicolon"),
    ],
)
def test_rows_that_do_not_fit(tmp_path, text, message):
    path = text_file(tmp_path, text)
    if message is None:
        assert list(read_sheet(path).frame.columns) == ["a", "b,c", "d"]
        return
    with pytest.raises(InputError, match=message):
        read_sheet(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.xls", b"x", "is no CSV, Excel"),
        ("t.csv", b"PK\x03\x04zip", "looks like Excel or ZIP"),
        ("t.csv", b"a,b\n1,\x00\n", "bytes that are no text"),
        ("t.csv", b" \n", "it is empty"),
        ("t.csv", b"a,b\n", "holds no rows"),
        ("t.xlsx", b"no", "cannot be read as Excel"),
        ("t.parquet", b"no", "cannot be read as parquet"),
    ],
)
def test_files_that_are_something_else(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_sheet(path)


def workbook(path, rows, formats=(), **sheets):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for place, form in formats:
        book.active[place].number_format = form
    for name, extra in sheets.items():
        for row in extra:
            (book[name] if name in book.sheetnames else book.create_sheet(name)).append(row)
    book.save(path)
    return path


def test_excel_cells_are_what_excel_shows(tmp_path):
    when = pd.Timestamp("2024-01-31").to_pydatetime()
    rows = [["id", "text", "share", "flag", "when", "score", "long"]]
    rows += [[7, "007", 0.07, True, when, 0.1, 9007199254740992], [12, "NA", 1, None, None, 3.0, 5]]
    formats = [("A2", "00000"), ("A3", '"P"000'), ("C2", "0%"), ("C3", "0.0%")]
    found = read_sheet(workbook(tmp_path / "t.xlsx", rows, formats))
    assert cells(found)[1:] == [
        ["00007", "007", "7%", "TRUE", "2024-01-31", "0.1", "9007199254740992"],
        ["P012", "NA", "100%", "", "", "3", "5"],
    ]
    assert "15 digits" in found.notes[0]


def test_excel_sheets_are_chosen_by_name(tmp_path):
    path = workbook(tmp_path / "t.xlsx", [["a"], [1]], Other=[["b"], [2]])
    with pytest.raises(InputError, match="has the sheets Sheet, Other; say which with 'sheet' in"):
        read_sheet(path)
    assert cells(read_sheet(path, sheet="Other")) == [["b"], ["2"]]
    with pytest.raises(InputError, match="has no sheet 'x'"):
        read_sheet(path, sheet="x")


def test_excel_formulas_without_values_and_merged_cells_are_refused(tmp_path):
    path = workbook(tmp_path / "t.xlsx", [["a", "b"], [1, "=A2*2"]])
    with pytest.raises(InputError, match=r"row 2: the formula '=A2.2' has no stored value"):
        read_sheet(path)
    book = openpyxl.Workbook()
    for row in (["a", "b"], ["x", 1], [None, 2]):
        book.active.append(row)
    book.active.merge_cells("A2:A3")
    book.save(path)
    with pytest.raises(InputError, match="the cells A2:A3 are merged"):
        read_sheet(path)


def test_parquet_types(tmp_path):
    table = pa.table(
        {
            "big": pa.array([2**60 + 1, None]),
            "flag": pa.array([True, None]),
            "name": pa.array(["None", None]),
            "kind": pa.array(["a", "b"]).dictionary_encode(),
            "exact": pa.array(["1.10", "2"]).cast(pa.decimal128(5, 2)),
            "f": pa.array([0.5, None], pa.float32()),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    frame = read_sheet(tmp_path / "t.parquet").frame
    assert frame["big"].tolist() == [str(2**60 + 1), ""]
    assert frame["flag"].tolist() == ["True", ""]
    assert frame["name"].tolist() == ["None", ""]
    assert frame["kind"].tolist() == ["a", "b"]
    assert frame["exact"].tolist() == ["1.10", "2.00"]
    assert frame["f"].dtype == np.float32
