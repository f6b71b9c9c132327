"""Who is in the study: counts per split and group, prevalence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.report import cohort
from fairrecon_jax.report.tables.entries import Missing
from tests.support import report_fake as fake


def people() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": ["a", "a", "b", "c", "d"],
            "split": ["train_reconstruction", "train_reconstruction", "test", "test", "val"],
            "sex": ["Female", "Female", "Male", None, "Male"],
            "age": ["under 58"] * 5,
            "grade": [1.0, 0.0, 1.0, np.nan, 0.0],
            "type": [np.nan] * 5,
            "tumour": [10.0, 0.0, 300.0, 0.0, 0.0],
        }
    )


def test_cohort_counts_patients_and_slices_per_split():
    table = cohort.counts(fake.mri_spec(), people())
    assert [words for words, _ in table.spans] == [
        "",
        "train (reconstruction)",
        "validation",
        "test",
    ]
    everyone = table.frame.iloc[0].tolist()
    assert everyone == ["all", "everyone", 1, "2 (100.0 %)", 1, "1 (100.0 %)", 2, "2 (100.0 %)"]
    unknown = table.frame[table.frame["group"] == "unknown"].iloc[0]
    assert unknown.tolist()[-1] == "1 (50.0 %)"
    assert "No patient is in two splits" in table.caption


def test_patients_in_two_splits_are_reported():
    table = people()
    table.loc[1, "split"] = "test"
    assert "more than one split" in cohort.counts(fake.mri_spec(), table).caption


def test_prevalence_counts_known_labels_of_the_test_split_only():
    frame = cohort.prevalence(fake.mri_spec(), people()).frame
    grade = frame.iloc[0]
    assert grade["everyone"] == "100.0 % (1 of 1)"
    assert isinstance(grade["unknown"], Missing)
    assert frame.iloc[2]["everyone"] == "50.0 % (1 of 2)"
    assert all(isinstance(c, Missing) for c in frame.iloc[1, 1:])


def test_cohort_tables_of_an_empty_table():
    assert cohort.tables(fake.mri_spec(), pd.DataFrame()) == []
    assert cohort.tables(fake.mri_spec(), people().iloc[:0]) == []


def test_a_cohort_table_without_splits_is_refused():
    with pytest.raises(ValueError, match=r"lacks the columns \['split'\]"):
        cohort.tables(fake.mri_spec(), people().drop(columns="split"))


def test_attributes_that_the_table_lacks_are_left_out():
    frame = cohort.counts(fake.mri_spec(), people().drop(columns="age")).frame
    assert set(frame["attribute"]) == {"all", "sex"}
