"""Permutations within strata."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import assess
from fairrecon_jax.assessment.arrays import studies
from fairrecon_jax.types import InputError
from tests.support import hand
from tests.support.find import one

ONLY = ("alike",)


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


def test_within_strata_nothing_is_said_of_what_could_have_been_found():
    """The limits of whole groups say nothing of a test within strata."""
    table, spec = clinics(), hand.spec(ONLY)
    where = {**hand.CHANGE, "task": "alike", "metric": "eop"}
    row = one(assess(table, spec, hand.options(permutations=999, strata="site"))[1], **where)
    assert np.isnan(row["mde"])
    assert "4 times in 5" not in row["reason"]
    assert "within strata" in row["method"]
    assert "no group changed by more than" not in row["reason"]


def test_a_group_without_a_stratum_in_common_is_not_estimable():
    table = clinics().assign(site=lambda t: t["sex"])
    fairness = assess(table, hand.spec(ONLY), hand.options(strata="site"))[1]
    row = one(fairness, **hand.CHANGE, task="alike", metric="eop")
    assert row["verdict"] == "not estimable"
    assert "no second group within any of the strata" in row["reason"]
