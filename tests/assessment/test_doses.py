"""Dose-response per group from a predictions table."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import dose_responses
from fairrecon_jax.assessment.doses import COLUMNS
from fairrecon_jax.physics import describe
from tests.support import hand

LEVELS = (1e5, 1e4, 1e3)
STEPS = {1e5: "same", 1e4: "alike", 1e3: "widened"}


def spec():
    return dataclasses.replace(
        hand.spec(("same",)), degradation=describe("xray_low_dose", LEVELS, 1e4)
    )


def table(women=(54, 48, 30), men=(54, 48, 54)):
    """Women and men with the finding who are found at each level, of 54 on originals."""
    scenarios = {
        level: ((6, 6), (54, w), (6, 6), (54, m))
        for level, w, m in zip(LEVELS, women, men, strict=True)
    }
    parts = [
        hand.table(("same",), {"same": pairs}).assign(level=level)
        for level, pairs in scenarios.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_slopes_by_hand_and_the_group_that_falls_faster():
    found = dose_responses(table(), spec(), hand.options(permutations=999))
    assert tuple(found.columns) == COLUMNS
    rows = found[found["metric"] == "sensitivity"].set_index("group")
    # places 0, 1/2, 1: the slope is the last change less the first, of 60
    assert rows.loc["Female", "slope"] == pytest.approx(-24 / 60)
    assert rows.loc["Male", "slope"] == pytest.approx(0)
    assert rows.loc["Female", "extra"] == pytest.approx(-0.4)
    assert set(rows["verdict"]) == {"differs"}
    assert rows.loc["Female", "ci_low"] < -0.4 < rows.loc["Female", "ci_high"]
    assert (found["levels"] == "100000, 10000, 1000").all()
    negatives = found[found["metric"] == "specificity"]
    assert (negatives["slope"] == 0).all()
    # scores of two values: the AUROC is the mean of both rates
    auroc = found.loc[found["metric"] == "auroc", "slope"]
    np.testing.assert_allclose(auroc, (-0.2, 0), atol=1e-12)


def test_a_loss_that_both_share_is_no_difference():
    found = dose_responses(table(men=(54, 48, 30)), spec(), hand.options(permutations=499))
    assert set(found["verdict"]) == {"no difference shown"}
    rates = found[found["metric"] == "sensitivity"]
    np.testing.assert_allclose(rates["slope"], -0.4)


def test_one_level_has_no_slope_and_images_that_one_level_lacks_are_left_out():
    made = table()
    assert dose_responses(made[made["level"] == 1e4], spec(), hand.options()).empty
    lacking = made[~((made["level"] == 1e3) & (made["example_id"] == made["example_id"].iloc[-1]))]
    found = dose_responses(lacking, spec(), hand.options(permutations=99))
    assert set(found.loc[found["metric"] == "sensitivity", "n"]) == {60, 59}
