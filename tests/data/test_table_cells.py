"""The cohort "table": cells that say nothing, names that are cut off or look alike, files of all
kinds.
"""

import json

import numpy as np
import openpyxl
import pandas as pd
import pytest

from fairrecon_jax.data import CohortConfig, make_splits, open_cohort, prepare
from fairrecon_jax.data.doctor import examine
from fairrecon_jax.data.guess import guess
from fairrecon_jax.data.mapping import table_columns
from fairrecon_jax.types import InputError
from tests.support.own_tree import COLUMNS, write_own


def config(**change):
    columns = table_columns({**COLUMNS, "mask": "", **change})
    return CohortConfig("table", image_size=16, columns=columns)


@pytest.fixture
def tree(tmp_path):
    return write_own(tmp_path / "tree")


def table_of(root):
    return pd.read_csv(root / "exams.csv", dtype=str, keep_default_na=False)


def examined(root, written=None, **change):
    """The doctor's report on the tree with another table."""
    if written is not None:
        written.to_csv(root / "exams.csv", index=False)
    return examine("table", root, config(**change), progress=False)


def told(report, kind):
    return " ".join(text for f in report.findings if f.kind == kind for text in f.examples)


WORDS = ["nan", "N/A", "#REF!", "<NA>", "null", "\\N", "(null)", ".", "-", "Unknown"]


def test_words_for_nothing_are_no_groups_no_patients_and_no_findings(tree, tmp_path):
    table = table_of(tree)
    table.loc[:9, "Scanner"] = WORDS
    table.loc[:9, "Finding"] = WORDS
    table.loc[10:13, "Patient ID"] = ["nan", "Unknown", "NULL", "NA"]
    report = examined(tree, table)
    assert report.images == 20
    assert report.count("unknown_name") == 4
    assert "has no patient: 'Unknown'" in told(report, "unknown_name")
    assert "'nan' 1 times" in told(report, "nothing_said")
    assert "14 rows without nodule ('nan' 1 times" in told(report, "missing_label")
    prepare(config(), tree, tmp_path / "out", progress=False)
    cohort = open_cohort(config(), tmp_path / "out")
    assert cohort.spec.attributes[2].groups == ("A", "B")
    rows = cohort.table.set_index("example_id").loc[[f"{i:03d}" for i in range(10)]]
    assert rows["nodule"].isna().all()


def test_a_declared_group_may_be_called_na(tree, tmp_path):
    table = table_of(tree)
    table["Race"] = ["White" if int(p[1:]) % 2 else "NA" for p in table["Patient ID"]]
    race = {"column": "Race", "groups": {"White": "White", "Native": "NA"}}
    assert examined(tree, table, attributes={"race": race}).count("nothing_said") == 0
    assert "'NA' of Race in 12 rows" in told(
        examined(tree, attributes={"race": "Race"}), "doubtful"
    )
    chosen = config(attributes={"race": race})
    prepare(chosen, tree, tmp_path / "out", progress=False)
    groups = open_cohort(chosen, tmp_path / "out").table["race"]
    assert groups.value_counts().to_dict() == {"White": 12, "Native": 12}


@pytest.mark.parametrize("name", ["1.23E+09", "1,23E+09"])
def test_patients_that_a_spreadsheet_cut_off_are_refused(tree, name):
    table = table_of(tree)
    table.loc[:5, "Patient ID"] = name
    report = examined(tree, table)
    assert "export the column as text" in told(report, "table")
    assert f"'Patient ID' of exams.csv has '{name}'" in told(report, "table")


def test_codes_far_from_all_numbers_ask(tree):
    table = table_of(tree).assign(BMI=[str(20 + i % 9) for i in range(24)])
    table.loc[3, "BMI"] = "-9"
    body = {"column": "BMI", "cuts": [25]}
    assert "'BMI' of exams.csv has '-9'" in told(
        examined(tree, table, attributes={"bmi": body}), "table"
    )
    report = examined(tree, attributes={"bmi": {**body, "unknown": ["-9"]}})
    assert report.count("table") == 0
    table.loc[:11, "Patient ID"] = "0"
    assert "patient '0' has 12 images" in told(examined(tree, table), "nobody")


ALIKE = [("P-00", "P00"), ("p01", "P01"), ("Р02", "P02"), ("00000100", "100")]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_patients_that_look_alike_are_in_one_part(tree, tmp_path, one, other):
    table = table_of(tree).replace({"Patient ID": {f"P{n:02d}": other for n in (0, 1, 2)}})
    table["Patient ID"] = [*[one, other] * 3, *table["Patient ID"][6:]]
    report = examined(tree, table)
    assert report.count("alike_patients") == 1
    assert not report.ok
    with pytest.warns(UserWarning, match="alike_patients x 1"):
        prepare(config(), tree, tmp_path / "out", progress=False)
    cohort = open_cohort(config(), tmp_path / "out")
    for seed in range(8):
        parts = make_splits(cohort.table, cohort.spec, (0.4, 0.3, 0.3), seed=seed).patients
        assert parts[one] == parts[other]
    table["Fold"] = ["train", "test"] * 12
    table.loc[6:, "Fold"] = "train"
    report = examined(tree, table, split="Fold")
    assert "who looks alike, in" in told(report, "leaking_lists")
    leaking = cohort.table.assign(given_split="train")
    leaking.loc[leaking["patient_id"] == other, "given_split"] = "test"
    with pytest.raises(InputError, match="who look alike, into test and train"):
        make_splits(leaking, cohort.spec)


def test_images_and_parts_that_say_nothing(tree):
    table = table_of(tree).assign(key=[f"k{i}" for i in range(24)])
    table.loc[:1, "key"] = ["nan", "N/A"]
    report = examined(tree, table, id="key")
    assert (report.images, report.count("unknown_name")) == (22, 2)
    table.loc[:1, "Fold"] = ["nan", "-"]
    table.loc[2, "Fold"] = ""
    report = examined(tree, table, split="Fold")
    assert report.count("no_part") == 1
    assert "patient 'P00' in column 'Fold'" in told(report, "no_part")


def test_blanks_around_a_name_are_no_part_of_it(tree):
    table = table_of(tree)
    table.loc[0, "Patient ID"] = " P00\u00a0"
    assert examined(tree, table).patients == 12


@pytest.mark.parametrize("kind", ["latin-1", "utf-16", "utf-8-sig", "packed", "parquet"])
def test_the_same_cohort_of_any_file(tree, kind):
    table = table_of(tree).assign(Scanner=np.resize(["Zürich", "Zürich", "Genf", "Genf"], 24))
    name = {"packed": "t.csv.gz", "parquet": "t.parquet"}.get(kind, "t.csv")
    if kind == "parquet":
        table.assign(Age=table["Age"].astype(float)).to_parquet(tree / name)
    elif kind == "packed":
        table.to_csv(tree / name, index=False, compression="gzip")
    else:
        (tree / name).write_bytes(("sep=;\n" + table.to_csv(sep=";", index=False)).encode(kind))
    report = examined(tree, table=name)
    assert report.images == 24
    groups = report.counts["group"]
    assert {"Zürich", "Genf"} <= set(groups)
    assert report.count("as_read") == (kind == "latin-1")


def workbook(root, change):
    book = openpyxl.Workbook()
    table = table_of(root)
    for row in [list(table), *table.to_numpy().tolist()]:
        book.active.append(row)
    change(book, book.active)
    book.save(root / "exams.xlsx")
    return examined(root, table="exams.xlsx")


def test_excel_that_cannot_be_read_as_it_looks(tree):
    merged = workbook(tree, lambda _, sheet: sheet.merge_cells("B2:B3"))
    assert "the cells B2:B3 are merged" in told(merged, "table")
    formula = workbook(tree, lambda _, sheet: sheet.__setitem__("D2", "=1+2"))
    assert "'=1+2' has no stored value" in told(formula, "table")
    several = workbook(tree, lambda book, _: book.create_sheet("x").append(["a"]))
    assert "has the sheets Sheet, x; say which with columns.sheet" in told(several, "table")

    def notes(book, sheet):
        sheet.row_dimensions[3].hidden = True
        sheet.row_dimensions[4].hidden = True

    hidden = workbook(tree, notes)
    assert hidden.images == 24
    assert "2 rows of the sheet 'Sheet' of exams.xlsx are hidden" in told(hidden, "as_read")


def test_decimal_commas_typed_into_excel_are_read_beside_its_numbers(tree):
    def change(book, sheet):
        for row in range(3, 26):
            sheet[f"D{row}"] = 30.25 + row
        sheet["D2"] = "31,5"

    workbook(tree, change)
    read = guess(tree / "images", tree / "exams.xlsx")
    assert read.columns["decimal"] == ","
    chosen = CohortConfig("table", image_size=16, columns=table_columns(read.columns))
    assert examine("table", tree, chosen, progress=False).ok


def drafted(tree, table, **how):
    table.to_csv(tree / "t.csv", index=False, **how)
    return guess(tree / "images", tree / "t.csv")


def test_a_german_table_is_drafted(tree):
    table = table_of(tree).drop(columns="Finding")
    table["Sex"] = table["Sex"].map({"F": "w", "M": "m"})
    table["Age"] += ",5"
    table["Erguss"] = np.resize(["ja", "nein", "nein"], 24)
    table = table.rename(columns={"Sex": "Geschlecht", "Age": "Alter"})
    read = drafted(tree, table, sep=";", encoding="cp1252")
    assert read.columns["decimal"] == ","
    assert read.columns["labels"] == {
        "erguss": {"column": "Erguss", "positive": ["ja"], "negative": ["nein"]}
    }
    assert read.columns["attributes"]["sex"]["groups"] == {"female": ["w"], "male": ["m"]}
    assert read.columns["attributes"]["age"]["column"] == "Alter"
    chosen = CohortConfig("table", image_size=16, columns=table_columns(read.columns))
    assert examine("table", tree, chosen, progress=False).ok


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (("oui", "non", "non"), {"positive": ["oui"], "negative": ["non"]}),
        (("+", "-", "-"), {"positive": ["+"], "negative": ["-"]}),
        (("0", "1", "9", "-1"), {"unknown": ["-1", "9"]}),
        (
            ("mass", "mass", "normal", "normal"),
            {"positive": ["mass"], "negative": ["*"]},
        ),
        (
            ("4", "-9", "normal", "normal"),
            {"positive": ["4"], "negative": ["*"], "unknown": ["-9"]},
        ),
    ],
)
def test_two_words_are_one_finding(tree, words, fields):
    read = drafted(tree, table_of(tree).assign(Finding=np.resize(words, 24)))
    (label,) = read.columns["labels"].values()
    assert label == {"column": "Finding", **fields}


def test_drafts_leave_out_what_says_nothing(tree):
    table = table_of(tree)
    table["Scanner"] = np.resize(["A", "B", "nan", "NA"], 24)
    table["ageAtScan"] = ["999", "n/a", *table["Age"][2:]]
    read = drafted(tree, table.drop(columns="Age"))
    attributes = read.columns["attributes"]
    assert [name for name, _ in attributes["scanner"]["groups"]] == ["A", "B", "NA"]
    assert "NA may say that nothing is known" in read.remarks["scanner"]
    assert attributes["age"] == {
        "column": "ageAtScan",
        "quantiles": "train median",
        "unit": "years",
    }
    assert json.dumps(read.columns)


def test_all_that_is_wrong_with_the_columns_is_told():
    block = {
        **COLUMNS,
        "image": "",
        "tabel": "x.csv",
        "imges": "y",
        "bits": "many",
        "patient": {"colum": "P"},
        "labels": {"nodule": {"column": "Finding", "positive": 1.5}, "edema": 3},
        "attributes": {"sex": {"column": "Sex", "cuts": ["old"]}},
    }
    with pytest.raises(InputError) as refused:
        table_columns(block)
    text = str(refused.value)
    for part in (
        "columns has no field 'tabel', 'imges'; it takes ",
        "did you mean 'table' for 'tabel', 'images' for 'imges'?",
        "columns.image is not given",
        "columns.bits takes a whole number, got 'many'",
        "columns.patient has no field 'colum'; it takes column",
        "columns.labels.nodule.positive takes a text, in quotes, got 1.5",
        "columns.labels.edema is a block of fields, got 3",
        "columns.attributes.sex.cuts takes a number, got 'old'",
    ):
        assert part in text, part
    assert len(refused.value.refusals) == 7
