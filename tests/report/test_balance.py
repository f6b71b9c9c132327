"""What groups differ in beside their name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.metrics import standardised_difference
from fairrecon_jax.report.balance import differing, group_differences
from fairrecon_jax.types import UNNAMED, CohortSpec, Task
from tests.support import predictions_fake as fake
from tests.support.find import one


def cohort():
    """One row per image, tasks by name."""
    table = fake.xray(cells=[(1e4, "unet")])
    return table.rename(columns={f"{t.name}__label": t.name for t in fake.XRAY.tasks})


def test_a_standardised_difference_by_hand():
    assert standardised_difference([1.0, 3.0], [0.0, 2.0]) == pytest.approx(1 / np.sqrt(2))
    assert standardised_difference([1.0, 1.0], [1.0, 1.0]) == 0
    assert standardised_difference([1.0, 1.0], [0.0, 0.0]) == np.inf
    assert np.isnan(standardised_difference([1.0, np.nan], [0.0, 1.0]))


def row(table, **where):
    return one(group_differences(table, fake.XRAY), **where)


def test_prevalence_missing_labels_and_images_per_patient():
    table = cohort()
    women = table["sex"] == "Female"
    table.loc[women & (table.index % 2 == 0), "edema"] = np.nan
    table.loc[women, "effusion"] = 1.0
    missing = row(table, attribute="sex", group="Female", what="label of edema missing")
    assert missing["others"] == 0
    assert missing["value"] > 0.3
    assert missing["flagged"]
    share = row(table, attribute="sex", group="Female", what="share with effusion")
    assert share["value"] == 1
    images = row(table, attribute="sex", group="Female", what="images per patient")
    assert (images["value"], images["others"], images["difference"]) == (1, 1, 0)
    assert not images["flagged"]


def test_other_attributes_and_further_columns_are_compared_names_are_not():
    table = cohort()
    table["scanner"] = np.where(table["sex"] == "Male", "A", "B")
    table["accession"] = table["example_id"]
    found = group_differences(table, fake.XRAY)
    assert {"age_group old", "age_group young", "scanner A", "scanner B"} <= set(found["what"])
    assert not found["what"].str.startswith("accession").any()
    scanner = one(found, attribute="sex", group="Male", what="scanner A")
    assert (scanner["value"], scanner["others"]) == (1, 0)


def test_the_table_lists_what_differs_and_says_how_much_was_compared():
    table = cohort()
    table["scanner"] = np.where(table["sex"] == "Male", "A", "B")
    shown = differing(fake.XRAY, table)
    frame = shown.frame
    assert list(frame["what"][:2].str[:7]) == ["scanner", "scanner"]
    assert set(frame["difference (sd)"][:2]) == {"complete"}
    assert "pairs" in shown.caption
    assert differing(fake.XRAY, table.iloc[:0]) is None
    alike = table.drop(columns="scanner").assign(sex="Male", age_group="old", effusion=1.0)
    assert "None differs by as much" in differing(fake.XRAY, alike).caption


def test_without_attributes_nothing_differs():
    table = pd.DataFrame({"example_id": ["a"], "patient_id": ["p"], "split": ["test"], "y": [1.0]})
    spec = CohortSpec("c", "c", "xray", (Task("y", "classification"),), (), UNNAMED, "")
    assert differing(spec, table) is None
