"""Curves of the change along a continuous attribute."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import trends
from fairrecon_jax.assessment.curves import COLUMNS, WORDS
from fairrecon_jax.types import InputError
from tests.support import hand
from tests.support import predictions_fake as fake

TASKS = ("alike", "same")


def table(old_lose=True):
    """Findings of the old are lost in "alike", nothing changes in "same"."""
    made = hand.table(TASKS)
    rng = np.random.default_rng(0)
    made["age_years"] = rng.uniform(20, 90, len(made))
    found = made["alike__label"] == 1
    made["alike__original"] = np.where(found, 0.8, 0.2)
    chance = np.where(made["age_years"] > 65, 0.7, 0.02) if old_lose else 0.2
    lost = found & (rng.random(len(made)) < chance)
    made["alike__reconstructed"] = np.where(lost, 0.2, made["alike__original"])
    return made


def options(**changes):
    return hand.options(permutations=499, continuous=("age_years",), **changes)


def test_a_loss_of_the_old_is_told_and_drawn():
    found = trends(table(), hand.spec(TASKS), options())
    assert tuple(found.columns) == COLUMNS
    loss = found[(found["task"] == "alike") & (found["metric"] == "sensitivity")]
    assert set(loss["verdict"]) == {"depends"}
    assert loss.iloc[0]["change"] == pytest.approx(0, abs=0.15)
    assert loss.iloc[-1]["change"] < -0.5
    assert (loss["ci_low"] <= loss["change"]).all()
    assert (loss["p_adjusted"] >= loss["p_value"]).all()
    still = found[found["task"] == "same"]
    assert set(still["verdict"]) == {"no dependence shown"}
    assert (still["p_value"] == 1).all()
    assert set(found["verdict"]) <= set(WORDS)


def test_a_common_loss_does_not_depend_on_age():
    found = trends(table(old_lose=False), hand.spec(TASKS), options())
    assert set(found.loc[found["task"] == "alike", "verdict"]) == {"no dependence shown"}


def test_dice_has_one_curve_per_cell():
    made = fake.brain()
    rng = np.random.default_rng(1)
    ages = {p: rng.uniform(20, 90) for p in made["patient_id"].unique()}
    made["age_years"] = made["patient_id"].map(ages)
    found = trends(made, fake.BRAIN, options())
    dice = found[found["task"] == "tumour"]
    assert set(dice["metric"]) == {"dice"}
    assert len(dice) == 25 * dice[["level", "reconstructor"]].drop_duplicates().shape[0]


def test_without_a_column_there_is_no_curve_and_a_wrong_one_is_named():
    made, spec = table(), hand.spec(TASKS)
    assert trends(made, spec, hand.options()).empty
    with pytest.raises(InputError, match="names the column 'weight'"):
        trends(made, spec, hand.options(continuous=("weight",)))
    with pytest.raises(InputError, match="'sex' holds no number"):
        trends(made, spec, hand.options(continuous=("sex",)))
    few = made.assign(age_years=np.round(made["age_years"] / 50))
    with pytest.raises(InputError, match="too few different values"):
        trends(few, spec, options())


def test_unknown_ages_and_rows_in_another_order():
    made, spec = table(), hand.spec(TASKS)
    made.loc[made.index % 10 == 0, "age_years"] = np.nan
    first = trends(made, spec, options())
    again = trends(made.sample(frac=1, random_state=0), spec, options())
    pd.testing.assert_frame_equal(first, again)
    assert first["n_patients"].max() < 120
