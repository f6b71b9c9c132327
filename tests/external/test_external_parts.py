"""Cells, columns, mappings and exclusions of foreign tables, one by one."""

import warnings

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import AssessOptions
from fairrecon_jax.external.cells import column_of, number, numbers, text
from fairrecon_jax.external.checks import Log, usable_attributes, usable_rows, usable_tasks
from fairrecon_jax.external.mapping import check_keys, fields_of, load, published
from fairrecon_jax.study.table import options_of
from fairrecon_jax.types import Attribute, Task


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (1.0, "1"),
        ("tensor(1.)", "1"),
        ("tensor([2.5])", "2.5"),
        (" White ", "White"),
        (np.int64(3), "3"),
        (True, "1"),
        ("A 1", "A 1"),
        (1234567, "1234567"),
        (" ", None),
    ],
)
def test_names_of_groups(cell, name):
    assert text(cell) == name


@pytest.mark.parametrize("cell", [None, "  ", np.float32("nan"), "NaN"])
def test_blank_cells_are_not_numbers(cell):
    assert np.isnan(number(cell))


def test_columns_of_numbers():
    table = pd.DataFrame(
        {"whole": [1, 2, 3], "mixed": ["tensor(1.)", None, ".5"], "bad": ["1", "x", "y"]},
        index=[5, 6, 7],
    )
    assert numbers(table, "whole").dtype == float
    pd.testing.assert_series_equal(
        numbers(table, "mixed"), pd.Series([1.0, np.nan, 0.5], index=[5, 6, 7])
    )
    with pytest.raises(ValueError, match="column 'bad', row 2: 'x' is not a number"):
        numbers(table, "bad")
    with pytest.raises(
        ValueError,
        match=r"no column 'worse', .* names for worse; its columns are \['whole', 'mixed', 'bad'\]",
    ):
        numbers(table, "worse")
    with pytest.raises(ValueError, match="which the mapping names for patient"):
        column_of(table, "pid", "patient")


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
    age = {"column": "AGE", "cut": 62.0, "per": "image"}
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
