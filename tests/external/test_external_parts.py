"""Cells, columns, mappings and exclusions of foreign tables, one by one."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import AssessOptions
from fairrecon_jax.data.cells import Column, names, number, numbers
from fairrecon_jax.external.checks import Log, usable_attributes, usable_rows, usable_tasks
from fairrecon_jax.external.columns import column_of
from fairrecon_jax.external.mapping import check_keys, fields_of, load
from fairrecon_jax.external.published import published
from fairrecon_jax.study.table import options_of
from fairrecon_jax.types import Attribute, Task


def column(*values, **form):
    return Column(np.array(values, object), "c", **form)


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["1.0", "2.", "1"], ["1", "2", "1"]),
        (["tensor(1.)", "tensor([0.])"], ["1", "0"]),
        (["2.1", "2.10", "2.0"], ["2.1", "2.10", "2.0"]),
        (["1", "1.0", "x", "Unknown"], ["1", "1", "x", "Unknown"]),
        (["1.0", "1.0.2"], ["1.0", "1.0.2"]),
        (["01", "1", "1E2", "100"], ["01", "1", "1E2", "100"]),
        (["9007199254740992", "9007199254740993"], ["9007199254740992", "9007199254740993"]),
        (["True", "False", ""], ["True", "False", None]),
        ([" White\u00a0 ", "White\u200b"], ["White", "White"]),
        (["Zu\u0308rich", "Zürich"], ["Zürich", "Zürich"]),
        (["NA", "None", "nan"], ["NA", "None", "nan"]),
    ],
)
def test_names_are_text_in_one_form(cells, wanted):
    assert names(column(*cells)).tolist() == wanted


def test_numbers_of_a_parquet_file_are_names_without_a_detour():
    floats = Column(np.array([1.0, np.nan, 12.0]), "c")
    assert names(floats).tolist() == ["1", None, "12"]
    assert names(Column(np.float32([0.7, 0.1]), "c")).tolist() == ["0.7", "0.1"]
    with pytest.raises(ValueError, match="'9007199254740994': a format of numbers has cut off"):
        names(Column(np.array([9007199254740994.0]), "c"), identifiers=True)


def test_identifiers_are_whole_or_refused():
    found = names(column("12", "12.0", "A7", "007", "NA", "nan"), identifiers=True)
    assert found.tolist() == ["12", "12", "A7", "007", None, None]
    with pytest.raises(ValueError, match=r"column 'c' holds '1.23457E\+12': a format of numbers"):
        names(column("1.23457E+12", "5"), identifiers=True)


@pytest.mark.parametrize("cell", [None, "  ", np.float32("nan"), "NaN", "NA", "n/a", "-"])
def test_blank_cells_are_not_numbers(cell):
    assert np.isnan(number(cell))


@pytest.mark.parametrize(
    ("cells", "form", "values"),
    [
        (["0.5", "1e-3", "", "NA"], {}, [0.5, 0.001, np.nan, np.nan]),
        (["tensor(1.)", "[.5]", "np.float64(0.25)"], {}, [1, 0.5, 0.25]),
        (["0,5", "1", "2,25"], {"separator": ";"}, [0.5, 1, 2.25]),
        (["0,5", "7"], {"separator": ",", "decimal": ","}, [0.5, 7]),
        (["85.1%", "7 %", ""], {}, [0.851, 0.07, np.nan]),
        (["85,1 %"], {"separator": ";"}, [0.851]),
        (["\N{MINUS SIGN}2"], {}, [-2]),
    ],
)
def test_numbers_as_people_write_them(cells, form, values):
    np.testing.assert_array_equal(numbers(column(*cells, **form)).values, values)


@pytest.mark.parametrize(
    ("cells", "form", "message"),
    [
        (["1", "x"], {}, "column 'c', row 2: 'x' is not a number"),
        (["0,5"], {"separator": ","}, "'0,5': if the comma is a decimal one"),
        (["1.234,5"], {"separator": ";"}, "'1.234,5': if the comma is a decimal one"),
        (["0,5", "0.5"], {"separator": ";"}, "if the comma is a decimal one"),
        (["0.5"], {"decimal": ",", "separator": ";"}, "'0.5', but the decimal sign is a comma"),
        (["85%", "0.5"], {}, "row 2: '0.5' has no percent sign"),
        (["1", "inf"], {}, "row 2: 'inf' is no finite number"),
        (["1_000"], {}, "'1_000' is not a number"),
        (["0x10"], {}, "'0x10' is not a number"),
        (["12:30"], {}, "'12:30' is not a number"),
    ],
)
def test_what_is_ambiguous_is_refused(cells, form, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        numbers(column(*cells, **form))


def test_words_for_nothing_are_counted():
    found = numbers(column("1", "NA", "NA", "", "999"), missing=["999"])
    assert (found.blank, found.words) == (4, {"NA": 2, "999": 1})
    typed = numbers(Column(np.array([1.0, 999.0, np.nan]), "c"), missing=["999"])
    np.testing.assert_array_equal(typed.values, [1, np.nan, np.nan])
    assert (typed.blank, typed.words) == (2, {"999": 1})


def test_scores_that_were_float32_are_so_again():
    scores = np.float32([0.7, 0.1, 1 / 3])
    widened = [repr(float(v)) for v in scores]
    short = [0.7, 0.1, 0.33333334]
    assert numbers(column(*widened)).values.tolist() == short
    assert numbers(Column(scores, "c")).values.tolist() == short
    assert numbers(Column(scores.astype(float), "c")).values.tolist() == short
    assert numbers(Column(np.float16([0.7]), "c")).values.tolist() == [0.7]
    # numbers with all digits of float64 stay
    exact = [repr(v) for v in (0.1 + 0.2, 1 / 3, 0.5)]
    assert numbers(column(*exact)).values.tolist() == [0.1 + 0.2, 1 / 3, 0.5]


def test_columns_are_found_by_their_normal_name():
    table = pd.DataFrame([["a", "b", "c", "d"]], columns=["Größe", "x", "x", "Sex"])
    assert column_of(table, "Gro\u0308ße ", "patient").values.tolist() == ["a"]
    with pytest.raises(ValueError, match="has 2 columns 'x', one of which the mapping names for l"):
        column_of(table, "x", "label")
    with pytest.raises(ValueError, match=r"no column 'sex', .* for a; did you mean 'Sex'"):
        column_of(table, "sex", "a")


def test_unknown_keys_of_several_types_are_named():
    with pytest.raises(ValueError, match=r"here has unknown keys \[1, 'b'\]"):
        check_keys("here", {"b": 2, 1: "x"}, frozenset("a"))


def test_a_mapping_is_a_copy_and_its_entries_are_checked():
    given = {"name": "a"}
    loaded = load(given)
    loaded["name"] = "b"
    assert given == {"name": "a"}
    assert load(None) == {}
    with pytest.raises(ValueError, match=r"here has unknown keys \['b', 'c'\]; known are \['a'\]"):
        check_keys("here", {"c": 1, "b": 2, "a": 3}, frozenset("a"))
    with pytest.raises(ValueError, match=r"tasks.x must hold keys among \['a'\], got 'column'"):
        fields_of("tasks.x", "column", frozenset("a"))
    with pytest.raises(ValueError, match=r"alpha must lie between 0 and 1"):
        options_of({"options": {"alpha": 2.0}})
    assert options_of({"options": None}) == options_of({}) == AssessOptions()
    assert options_of({"options": {"label_weights": [1.0, 2.0]}}).label_weights == (1.0, 2.0)


def test_the_published_columns_are_recognised_in_any_spelling(tmp_path):
    columns = ["Pleural Effusion", "Pleural Effusion_recon", "Edema", "Edema_class", "Edema_recon"]
    table = pd.DataFrame(columns=[*columns, "Gender", "AGE", "PRIMARY_RACE", "PatientID", "Split"])
    mapping = published(table, tmp_path / "run 1.csv")
    assert mapping["tasks"] == {
        "pleural_effusion": {
            "label": "Pleural Effusion",
            "reconstructed": "Pleural Effusion_recon",
            "title": "Pleural Effusion",
        },
        "edema": {
            "label": "Edema",
            "reconstructed": "Edema_recon",
            "title": "Edema",
            "original": "Edema_class",
        },
    }
    age = {"column": "AGE", "cut": 62.0, "cut_side": "under", "per": "image"}
    assert mapping["attributes"] == {
        "sex": {"column": "Gender"},
        "age": age,
        "race": {"column": "PRIMARY_RACE"},
    }
    assert (mapping["patient"], mapping["split"], mapping["name"]) == (
        "PatientID",
        "Split",
        "run 1",
    )
    assert (mapping["level"], mapping["reconstructor"]) == ({"value": 1e4}, {"value": "run 1"})
    bare = published(table[columns], tmp_path / "b.csv")
    assert not {"patient", "split"} & set(bare)
    assert bare["attributes"] == {}


def test_findings_that_would_share_a_name_are_refused(tmp_path):
    table = pd.DataFrame(columns=["A b", "A b_recon", "A-b", "A-b_recon"])
    with pytest.raises(
        ValueError,
        match="the columns 'A b' and 'A-b' are both called 'a_b'; rename one or give a mapping",
    ):
        published(table, tmp_path / "x.csv")


def test_what_cannot_be_used_one_by_one():
    place = {"level": 1.0, "reconstructor": "r", "mitigation": "none", "seed": 0}
    table = pd.DataFrame(
        {
            "example_id": list("abc"),
            "patient_id": list("abc"),
            "split": "test",
            "t__label": [1, 1, 1],
            **place,
        }
    )
    log = Log()
    with pytest.raises(
        ValueError,
        match=r"no task can be assessed: the test labels of \['t'\] are constant or missing",
    ):
        usable_tasks(table, [Task("t", "classification")], log)
    with pytest.raises(ValueError, match="no task can be assessed"):
        usable_tasks(table.assign(t__label=np.nan), [Task("t", "classification")], log)
    assert [e["reason"] for e in log.entries] == [
        "task t was left out: its test labels are all 1",
        "task t: no label",
    ]
    log = Log()
    assert usable_attributes(table.assign(g=None), [Attribute("g", ("x", "y"))], log) == ()
    assert log.entries == [
        {
            "reason": "attribute g was left out: its test rows hold no group, and a gap needs two",
            "count": 3,
        }
    ]
    log.add("nothing", 0)
    assert len(log.entries) == 1
    with pytest.raises(
        ValueError,
        match=r"1 rows repeat an example with other values, e.g. 'a'; keep one row of each",
    ):
        usable_rows(pd.concat([table, table.iloc[:1].assign(t__label=0)]), Log())
    assert len(usable_rows(pd.concat([table, table.iloc[:1].assign(seed=1)]), Log())) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Log().attach(table).attrs["exclusions"] == []
