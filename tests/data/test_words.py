"""Meanings of columns: how words become labels, groups, numbers and parts; what is refused."""

import math

import numpy as np
import pytest

from fairrecon_jax.data.mapping import read_mapping, table_columns
from fairrecon_jax.data.words import AttributeColumn, LabelColumn, SplitColumn
from fairrecon_jax.types import InputError

PLAIN = {"table": "t.csv", "image": "File", "labels": {"x": "X"}}


def test_usual_words_of_a_finding():
    values, strange = LabelColumn("x").read(["1", "0", "1.0", "Yes", "no ", "", "TRUE", "maybe"])
    np.testing.assert_array_equal(values, [1, 0, 1, 1, 0, math.nan, 1, math.nan])
    assert strange == ["maybe"]


def test_named_words_and_every_other():
    one = LabelColumn("x", ("COVID-19",), ("*",), ("?",))
    values, strange = one.read(["COVID-19", "covid-19", "Flu", "?", " "])
    np.testing.assert_array_equal(values, [1, 1, 0, math.nan, math.nan])
    assert strange == []
    anything = LabelColumn("x", ("*",), ("No Finding",))
    np.testing.assert_array_equal(anything.read(["No Finding", "Mass", ""])[0], [0, 1, math.nan])


def test_several_words_in_a_cell():
    one = LabelColumn("x", ("Mass",), ("*",), separator="|")
    cells = ["Mass|Edema", "Edema", "Mass", "Mass effect", ""]
    np.testing.assert_array_equal(one.read(cells)[0], [1, 0, 1, 0, math.nan])


def test_groups_as_written_and_as_declared():
    words = ["01", "1", "1E2", "100", "2.10", "2.1", "NA", "nan", "None", ""]
    groups, strange = AttributeColumn("x").read_words(words)
    assert groups == [*words[:-1], None], "names are no numbers, and NA may be Namibia"
    assert strange == []
    one = AttributeColumn("x", (("female", ("F", "w")), ("male", ("M",))), unknown=("-9",))
    assert one.read_words(["F", "W", "m", "female", "-9", "", "D"]) == (
        ["female", "female", "male", "female", None, None, None],
        ["D"],
    )
    rest = AttributeColumn("x", (("White", ("White",)),), rest="Other")
    assert rest.read_words(["White", "Asian", ""])[0] == ["White", "Other", None]
    assert AttributeColumn("x", (("a", ("a",)),), rest="").read_words(["b"]) == ([None], [])


def test_numbers_of_an_attribute():
    years = AttributeColumn("a", quantiles="train median", unit="years", unknown=("?",))
    values, strange, outside = years.read_numbers(["61", "058Y", "006M", "0", "411", "?", "x"], ".")
    np.testing.assert_array_equal(values, [61, 58, 0.5, math.nan, math.nan, math.nan, math.nan])
    assert (strange, outside) == (["x"], 2)
    tesla = AttributeColumn("b", cuts=(2.0,), range=(0.1, 11))
    values, strange, outside = tesla.read_numbers(["1,5", "3", "-1", "1.000,5"], ",")
    np.testing.assert_array_equal(values, [1.5, 3, math.nan, math.nan])
    assert (strange, outside) == (["1.000,5"], 1)


def test_parts():
    assert SplitColumn("s").read(["Train", "dev", "test", "", "x"]) == (
        ["train", "val", "test", "", ""],
        ["x"],
    )
    folds = SplitColumn("s", train=("1", "2"), val=("3",), test=("4",))
    assert folds.read(["2", "3", "4"]) == (["train", "val", "test"], [])


def test_a_file_says_the_same_as_a_block(tmp_path):
    block = {
        "table": "t.csv",
        "image": "File",
        "patient": {"column": "File", "pattern": r"^(\d+)_"},
        "mask": {"task": "lung", "folder": "masks", "inside": [1, 2]},
        "labels": {"x": {"column": "X", "positive": ["no"], "negative": ["012"]}},
        "attributes": {
            "sex": {"column": "Sex", "groups": {"female": ["F"], "male": ["M"]}},
            "age": {"column": "Age", "cuts": [40, 60.5]},
        },
        "window": [40, 400],
        "volumes": True,
        "bits": 16,
    }
    text = r"""
table: t.csv
image: File
patient: {column: File, pattern: '^(\d+)_'}
mask: {task: lung, folder: masks, inside: [1, 2]}
labels:
  x: {column: X, positive: no, negative: 012}
attributes:
  sex: {column: Sex, groups: {female: F, male: [M]}}
  age: {column: Age, cuts: [40, 60.5]}
window: [40, 400]
volumes: yes
bits: 16
"""
    (tmp_path / "m.yaml").write_text(text)
    columns = table_columns(read_mapping(tmp_path / "m.yaml"))
    assert columns == table_columns(block)
    assert columns.attributes[1][1].unit == "years"
    assert columns.patient.read("00012_003.png") == "00012"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": ""}, r"columns\.image is not given"),
        ({"images": None}, r"columns\.images takes a text"),
        ({"pictures": "x"}, "columns has no field 'pictures'"),
        ({"labels": {"x": {"columm": "X"}}}, r"columns\.labels\.x has no field 'columm'"),
        ({"labels": {"x": {"column": "X", "positive": ["a"]}}}, "name the words of both"),
        ({"labels": {"x": {"column": "X", "positive": ["a"], "negative": ["A"]}}}, "two meanings"),
        ({"labels": {"x": {"column": "X", "positive": [1.0], "negative": [0]}}}, "a text, in quot"),
        ({"labels": {"x y": "X"}}, "'x y' must be a word"),
        ({"labels": {"slice": "X"}}, "'slice' must be a word"),
        ({"attributes": {"x": "X"}}, "'x' names two labels"),
        ({"attributes": {"a": {"column": "A", "cuts": [60, 40]}}}, r"columns\.attributes\.a: cuts"),
        (
            {"attributes": {"a": {"column": "A", "cuts": ["old"]}}},
            r"attributes\.a\.cuts takes a nu",
        ),
        ({"attributes": {"a": {"column": "A", "quantiles": "median"}}}, "quantiles must be one of"),
        ({"attributes": {"a": {"column": "A", "groups": [["g", ["x"]], ["G", ["X"]]]}}}, "in two"),
        ({"patient": {"column": "P", "pattern": "("}}, r"columns\.patient: pattern"),
        ({"mask": {"task": "m"}}, r"columns\.mask: needs a column, or the folder"),
        ({"images": "/data/images"}, r"columns\.images must be a folder below the root"),
        ({"mask": {"task": "m", "folder": "../m"}}, r"columns\.mask\.folder must be a folder"),
        ({"bits": 12}, r"columns\.bits must be 8 or 16"),
        ({"window": "wide"}, r"columns\.window must be"),
        ({"labels": {}}, "nothing to study"),
        ({"modality": "ct"}, r"columns\.modality must be one of 'xray', 'mri'"),
    ],
)
def test_refusals_name_the_field(change, message):
    with pytest.raises(InputError, match=message):
        table_columns({**PLAIN, **change})


def test_the_stored_examples_depend_on_files_and_cells_not_on_words():
    def digest(**change):
        return table_columns({**PLAIN, "attributes": {"a": "A"}, **change}).digest

    assert table_columns({**PLAIN, "images": ".\\a/b/"}).images == "a/b"
    assert table_columns({**PLAIN, "images": "./"}).images == ""
    same = [
        digest(attributes={"a": {"column": "A", "cuts": [3]}}),
        digest(labels={"y": {"column": "X", "positive": ["a"], "negative": ["*"]}}),
        digest(title="T"),
        digest(table="moved/t.csv"),
    ]
    assert set(same) == {digest()}
    masks = [{"task": "m", "folder": "f", "title": title} for title in ("", "Lung")]
    assert len({digest(mask=mask) for mask in masks}) == 1
    other = [
        digest(attributes={}),
        digest(patient="P"),
        digest(mask={"task": "m", "folder": "f"}),
        digest(bits=16),
        digest(reconstructions={"r": {"folder": "r"}}),
        digest(delimiter=";"),
    ]
    assert len({digest(), *other}) == 7
