"""What groups differ in beside their name, and permutations within strata."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import assess
from fairrecon_jax.assessment.arrays import studies
from fairrecon_jax.assessment.confounding import group_differences, standardised_difference
from fairrecon_jax.types import InputError
from tests.support import hand
from tests.support import predictions_fake as fake
from tests.support.find import one

ONLY = ("alike",)


def test_a_standardised_difference_by_hand():
    assert standardised_difference([1.0, 3.0], [0.0, 2.0]) == pytest.approx(1 / np.sqrt(2))
    assert standardised_difference([1.0, 1.0], [1.0, 1.0]) == 0
    assert np.isnan(standardised_difference([1.0, 1.0], [0.0, 0.0]))
    assert np.isnan(standardised_difference([1.0, np.nan], [0.0, 1.0]))


def row(table, **where):
    return one(group_differences(table, fake.XRAY), **where)


def test_prevalence_missing_labels_and_images_per_patient():
    table = fake.xray()
    women = table["sex"] == "Female"
    table.loc[women & (table.index % 2 == 0), "edema__label"] = np.nan
    table.loc[women, "effusion__label"] = 1.0
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
    table = fake.xray()
    table["scanner"] = np.where(table["sex"] == "Male", "A", "B")
    table["accession"] = table["example_id"]
    found = group_differences(table, fake.XRAY)
    assert {"age_group old", "age_group young", "scanner A", "scanner B"} <= set(found["what"])
    assert not found["what"].str.startswith("accession").any()
    scanner = one(found, attribute="sex", group="Male", what="scanner A")
    assert (scanner["value"], scanner["others"]) == (1, 0)


def clinics():
    """Every loss is that of one clinic, which sees most of the women and few of the men."""
    table = hand.table(ONLY)
    rng = np.random.default_rng(0)
    near = rng.random(len(table)) < np.where(table["sex"] == "Female", 0.8, 0.2)
    table["site"] = np.where(near, "near", "far")
    found = table["alike__label"] == 1
    table.loc[found, "alike__original"] = 0.8
    lost = found & (table["site"] == "near") & (rng.random(len(table)) < 0.6)
    table["alike__reconstructed"] = np.where(lost, 0.2, table["alike__original"])
    return table


def test_a_loss_that_a_site_explains_is_none_of_women_within_sites():
    table, spec = clinics(), hand.spec(ONLY)
    where = {**hand.CHANGE, "task": "alike", "metric": "eop"}
    plain = one(assess(table, spec, hand.options(permutations=999))[1], **where)
    within = one(assess(table, spec, hand.options(permutations=999, strata="site"))[1], **where)
    assert (plain["verdict"], plain["group"]) == ("harmed", "Female")
    assert within["verdict"] == "no difference shown"
    assert within["p_value"] > 0.05


def test_strata_are_those_of_patients():
    table = hand.table(ONLY).iloc[:4].assign(patient_id=["a", "a", "b", "c"])
    table["site"] = ["x", "y", "x", None]
    strata = studies(table, hand.spec(ONLY), (), "site")[0].strata
    assert len(set(strata)) == 3
    with pytest.raises(InputError, match=r"assess.strata names the column 'room'"):
        studies(table, hand.spec(ONLY), (), "room")


def test_one_stratum_is_none():
    table, spec = hand.table(ONLY).assign(site="x"), hand.spec(ONLY)
    tables = [assess(table, spec, hand.options(strata=name))[1] for name in ("", "site")]
    pd.testing.assert_frame_equal(*tables)
