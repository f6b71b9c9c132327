"""Meanings of columns: how words become labels, groups, numbers and parts; what is refused."""

import math

import numpy as np
import pytest

from fairrecon_jax.data.mapping import read_mapping, table_columns
from fairrecon_jax.data.words import AttributeColumn, LabelColumn, SplitColumn
from fairrecon_jax.types import InputError

PLAIN = {"table": "t.csv", "image": "File", "labels": {"x": "X"}}


def test_usual_words_of_a_finding():
    found = LabelColumn("x").read(["1", "0", "1.0", "Yes", "no ", "", "TRUE", "maybe", "-1"])
    np.testing.assert_array_equal(found.values, [1, 0, 1, 1, 0, math.nan, 1, math.nan, math.nan])
    assert found.strange == ["-1", "maybe"]


def test_named_words_and_every_other():
    one = LabelColumn("x", ("COVID-19",), ("*",), ("?",))
    found = one.read(["COVID-19", "covid-19", "Flu", "?", " "])
    np.testing.assert_array_equal(found.values, [1, 1, 0, math.nan, math.nan])
    assert found[1:] == ([], {}, {}, 0)
    anything = LabelColumn("x", ("*",), ("No Finding",))
    found = anything.read(["No Finding", "Mass", ""])
    np.testing.assert_array_equal(found.values, [0, 1, math.nan])


@pytest.mark.parametrize(
    "word", ["nan", "N/A", "NA", "#REF!", "<NA>", "null", "\\N", "(null)", ".", "-", "Unknown"]
)
def test_words_for_nothing_are_never_every_other_word(word):
    for one in (LabelColumn("x", ("Mass",), ("*",)), LabelColumn("x", ("*",), ("Clear",))):
        found = one.read(["Mass", "Clear", word, word])
        np.testing.assert_array_equal(found.values, [1, 0, math.nan, math.nan])
        assert (found.strange, found.gone) == ([], {word: 2})
    found = LabelColumn("x", ("Mass",), ("*", word)).read(["Mass", word])
    np.testing.assert_array_equal(found.values, [1, 0])
    rest = AttributeColumn("x", (("White", ("White",)),), rest="Other")
    found = rest.read_words(["White", "Asian", word])
    assert (found.values, found.gone) == (["White", "Other", None], {word: 1})
    found = AttributeColumn("x", cuts=(3.0,)).read_numbers(["1", word], ".")
    np.testing.assert_array_equal(found.values, [1, math.nan])
    assert found.gone == {word: 1}


def test_codes_for_nothing_are_never_every_other_word():
    for one in (LabelColumn("x", ("4",), ("*",)), AttributeColumn("x", (("4", ("4",)),), "low")):
        read = one.read if isinstance(one, LabelColumn) else one.read_words
        assert read(["4", "2", "-9", "999", "-1"]).strange == ["-1", "-9", "999"]
    assert AttributeColumn("x", (("4", ("4",)),), "").read_words(["-9"]).values == [None]
    found = AttributeColumn("x").read_words(["1", "2", "-9", "-9"])
    assert (found.values[2], found.doubtful) == ("-9", {"-9": 2})
    assert LabelColumn("x", ("Mass",), ("*",)).read(["None"])[3] == {"None": 1}


def test_several_words_in_a_cell():
    one = LabelColumn("x", ("Mass",), ("*",), separator="|")
    cells = ["Mass|Edema", "Edema", "Mass", "Mass effect", ""]
    np.testing.assert_array_equal(one.read(cells).values, [1, 0, 1, 0, math.nan])


def test_groups_as_written_and_as_declared():
    words = ["01", "1", "1E2", "100", "2.10", "2.1", "NA", "nan", "None", ""]
    found = AttributeColumn("x").read_words(words)
    wanted = [word if word != "nan" else None for word in words[:-1]]
    assert found.values == [*wanted, None], "names are no numbers, and NA may be Namibia"
    assert found[1:] == ([], {"nan": 1}, {"NA": 1, "None": 1}, 0)
    one = AttributeColumn("x", (("female", ("F", "w")), ("male", ("M",))), unknown=("-9",))
    found = one.read_words(["F", "W", "m", "female", "-9", "", "D"])
    assert found.values == ["female", "female", "male", "female", None, None, None]
    assert found.strange == ["D"]
    rest = AttributeColumn("x", (("White", ("White",)),), rest="Other")
    assert rest.read_words(["White", "Asian", ""]).values == ["White", "Other", None]
    found = AttributeColumn("x", (("a", ("a",)),), rest="").read_words(["b"])
    assert (found.values, found.strange) == ([None], [])


def test_numbers_of_an_attribute():
    years = AttributeColumn("a", quantiles="train median", unit="years", unknown=("?",))
    found = years.read_numbers(["61", "058Y", "006M", "0", "411", "?", "x"], ".")
    wanted = [61, 58, 0.5, math.nan, math.nan, math.nan, math.nan]
    np.testing.assert_array_equal(found.values, wanted)
    assert (found.strange, found.outside) == (["x"], 2)
    bare = AttributeColumn("ageAtScan", cuts=(50.0,)).read_numbers(["61", "999", "-1"], ".")
    assert (np.isnan(bare.values).tolist(), bare.outside) == ([False, True, True], 2)
    mass = AttributeColumn("BMI", cuts=(25.0,))
    assert mass.codes(mass.read_numbers(["22.5", "30", "-9"], ".").values) == [-9]
    tesla = AttributeColumn("b", cuts=(2.0,), range=(0.1, 11))
    found = tesla.read_numbers(["1,5", "3", "-1", "1.000,5"], ",")
    np.testing.assert_array_equal(found.values, [1.5, 3, math.nan, math.nan])
    assert (found.strange, found.outside) == ([], 2)
    with pytest.raises(InputError, match=r"column 'b' holds '1\.234', which may be 1234 or 1\.234"):
        tesla.read_numbers(["1,5", "1.234"], ",")
    np.testing.assert_array_equal(tesla.read_numbers(["1,5", "2.5"], ",").values, [1.5, 2.5])
    with pytest.raises(InputError, match=r"holds '1,5', but the decimal sign is a point.*columns"):
        tesla.read_numbers(["1,5"], ".")


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
