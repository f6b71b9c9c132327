"""Rows of intersections that are drawn towards the sum of their parts."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.assessment import assess
from tests.support import predictions_fake as fake
from tests.support.find import one, rows

CROSSED = {"intersections": (("sex", "age_group"),), "auroc_gaps": False, "scores": False}


def test_every_intersection_has_a_shrunken_change_and_says_whether_it_is_judged_alone(quick):
    table = fake.xray(harm=1.5, cells=[(1e4, "unet")])
    # seven old women with the finding are left
    few = (table["sex"] == "Female") & (table["age_group"] == "old") & (table["edema__label"] == 1)
    kept = few & (few.cumsum() <= 7)
    table = table[~few | kept | (table["split"] == "val")]
    fairness = assess(table, fake.XRAY, quick(**CROSSED))[1]
    where = {"task": "edema", "attribute": "sex x age_group", "metric": "shrunk_sensitivity"}
    shrunk = rows(fairness, **where)
    assert len(shrunk) == 4
    assert set(shrunk["version"]) == {"change"}
    scarce = one(fairness, **where, group="Female x old")
    assert "not judged alone" in scarce["reason"]
    alone = rows(shrunk, group="Male x young").iloc[0]
    assert "judged alone too" in alone["reason"]
    assert alone["value"] == pytest.approx(alone["reconstructed"] - alone["original"], abs=0.05)
    assert (shrunk["ci_low"] < shrunk["value"]).all()
    assert (shrunk["value"] < shrunk["ci_high"]).all()
    width = (shrunk["ci_high"] - shrunk["ci_low"]).set_axis(shrunk["group"])
    assert width.idxmax() == "Female x old"


def test_single_attributes_and_tables_without_originals_have_none(quick):
    table = fake.xray(cells=[(1e4, "unet")])
    fairness = assess(table, fake.XRAY, quick(**CROSSED))[1]
    found = fairness[fairness["metric"].str.startswith("shrunk_")]
    assert set(found["attribute"]) == {"sex x age_group"}
    alone = table.drop(columns=[c for c in table if c.endswith("__original")])
    options = quick(**CROSSED, threshold_rule="fixed", threshold_value=0.5)
    fairness = assess(alone, fake.XRAY, options)[1]
    assert not fairness["metric"].str.startswith("shrunk_").any()


def test_dice_too(quick):
    fairness = assess(fake.brain(harm=0.1), fake.BRAIN, quick(**CROSSED))[1]
    dice = rows(fairness, metric="shrunk_dice")
    assert set(dice["group"]) == {
        f"{s} x {a}" for s in ("Female", "Male") for a in ("young", "old")
    }
    women = dice[dice["group"].str.startswith("Female")]["value"]
    men = dice[dice["group"].str.startswith("Male")]["value"]
    assert women.mean() < men.mean()
    assert np.isfinite(dice["value"]).all()
