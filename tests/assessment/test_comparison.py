"""Mitigated against unmitigated: planted help and harm are found, absent ones are not, thresholds
and price are what they should be.
"""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from fairrecon_jax.assessment import COLUMNS, assess, compare, points
from tests.support import predictions_fake as fake

CELL = [(1e4, "unet")]


@pytest.fixture(scope="module")
def stacked():
    """Without mitigation women's positives are lost; "cure" gives them back, "twin" changes
    nothing, "poison" is the reverse.
    """
    harmed, fine = fake.xray(harm=1.5, cells=CELL), fake.xray(harm=0.0, cells=CELL)
    fine["psnr"] = harmed["psnr"] - 0.5
    one = pd.concat([harmed, fine.assign(mitigation="cure"), harmed.assign(mitigation="twin")])
    two = pd.concat([fine, harmed.assign(mitigation="poison")])
    return one, two


@pytest.fixture(scope="module")
def compared(stacked, quick):
    return [
        compare(table, fake.XRAY, quick(conventions=("worst_case", "mean"))) for table in stacked
    ]


def gap(table, mitigation, attribute="sex", task="edema", metric="eodd"):
    rows = table[
        (table["metric"] == metric)
        & (table["version"] == "change")
        & (table["mitigation"] == mitigation)
    ]
    (row,) = rows[(rows["attribute"] == attribute) & (rows["task"] == task)].to_dict("records")
    return row


def test_planted_help_and_harm_are_found_with_their_group(compared):
    assert tuple(compared[0].columns) == COLUMNS
    cure, poison = gap(compared[0], "cure"), gap(compared[1], "poison")
    assert (cure["verdict"], poison["verdict"]) == ("helped", "harmed")
    assert (cure["group"], poison["group"]) == ("Female", "Female")
    assert (cure["gap"], poison["gap"]) == ("narrowed", "widened")
    assert cure["change"] < 0 < poison["change"]
    assert cure["original"] == pytest.approx(poison["reconstructed"], abs=1e-9)
    assert gap(compared[0], "cure", "age_group")["verdict"] == "no difference shown"


def test_without_any_change_no_difference_is_shown_with_what_could_hide(compared):
    twin = gap(compared[0], "twin")
    assert (twin["verdict"], twin["change"]) == ("no difference shown", 0)
    assert 0 < twin["mde"] < 1


def test_versions_are_named_and_thresholds_are_those_of_the_originals(compared, stacked, quick):
    table = compared[0]
    assert set(table["version"]) == {"unmitigated", "mitigated", "change"}
    assert set(table.loc[table["metric"] == "eodd", "threshold_rule"]) == {
        "balanced on validation originals"
    }
    _, fairness = assess(
        stacked[0], fake.XRAY, quick(conventions=("worst_case",), auroc_gaps=False)
    )
    after = fairness[
        (fairness["metric"] == "eodd")
        & (fairness["version"] == "reconstructed")
        & (fairness["convention"] == "worst_case")
    ]
    for mitigation, version in (("none", "unmitigated"), ("cure", "mitigated")):
        wanted = after[after["mitigation"] == mitigation].set_index(["task", "attribute"])["value"]
        matching = table[
            (table["metric"] == "eodd")
            & (table["version"] == version)
            & (table["mitigation"] == "cure")
        ]
        for (task, attribute), value in matching.set_index(["task", "attribute"])["value"].items():
            assert value == pytest.approx(wanted[task, attribute], abs=1e-12)


def test_the_price_is_paired(compared, stacked):
    table, frame = compared[0], stacked[0]
    price = table[
        (table["version"] == "change")
        & (table["attribute"] == "")
        & (table["mitigation"] == "cure")
    ].set_index(["metric", "task"])
    assert price.loc[("psnr", ""), "change"] == pytest.approx(-0.5, abs=1e-5)
    # the same shift for every image says nothing of its spread
    assert price.loc[("psnr", ""), ["ci_low", "ci_high"]].isna().all()
    assert price.loc[("auroc", "edema"), "ci_low"] > 0
    test = frame[frame["split"] == "test"]
    areas = [
        roc_auc_score(part["edema__label"], part["edema__reconstructed"])
        for part in (test[test["mitigation"] == m] for m in ("none", "cure"))
    ]
    assert price.loc[("auroc", "edema"), "change"] == pytest.approx(areas[1] - areas[0], abs=1e-9)


def test_at_chance_is_a_matter_of_the_original_images(quick):
    """The unmitigated reconstruction loses the diagnosis, the original does not: the mitigation is
    judged. And the other way round.
    """
    fine = fake.xray(cells=CELL)
    guess = np.random.default_rng(5).random(len(fine))
    lost = fine.assign(edema__reconstructed=guess)
    blind = fine.assign(edema__original=guess)
    for base, judged in ((lost, True), (blind, False)):
        cured = base.assign(edema__reconstructed=fine["edema__reconstructed"], mitigation="cure")
        row = gap(compare(pd.concat([base, cured]), fake.XRAY, quick()), "cure")
        assert (row["verdict"] != "at chance") == judged
        if not judged:
            area = roc_auc_score(
                base.loc[base["split"] == "test", "edema__label"], guess[base["split"] == "test"]
            )
            low, high = map(
                float,
                re.search(r"AUROC on originals, ([\d.]+) to ([\d.]+),", row["reason"]).groups(),
            )
            assert low < area < high


def test_without_a_pair_there_is_no_row(quick):
    assert compare(fake.xray(cells=CELL), fake.XRAY, quick()).empty
    assert compare(fake.xray(cells=CELL).assign(mitigation="cure"), fake.XRAY, quick()).empty


def test_points_are_those_of_the_assessment(stacked, quick):
    estimates = points(stacked[0], fake.XRAY, quick(), "test").set_index(
        ["mitigation", "metric", "task", "attribute"]
    )["value"]
    performance, fairness = assess(
        stacked[0], fake.XRAY, quick(conventions=("worst_case",), auroc_gaps=False)
    )
    for table, metrics in ((performance, ("auroc", "psnr")), (fairness, ("eodd",))):
        rows = table[
            table["metric"].isin(metrics)
            & (table["version"] == "reconstructed")
            & table["convention"].isin(["worst_case", ""])
        ]
        rows = rows[(rows["group"] == "") | (rows["metric"] == "eodd")]
        for row in rows[(rows["attribute"] == "") | (rows["metric"] == "eodd")].itertuples():
            assert estimates[row.mitigation, row.metric, row.task, row.attribute] == pytest.approx(
                row.value, abs=1e-6
            )
    assert set(points(stacked[0], fake.XRAY, quick(), "val")["part"]) == {"val"}
    with pytest.raises(ValueError, match="part must be"):
        points(stacked[0], fake.XRAY, quick(), "train")


def test_points_of_dice_are_means_of_patients(brain, quick):
    table = brain[0]
    estimates = points(table[table["level"] == 8.0], fake.BRAIN, quick(), "test").set_index(
        ["metric", "task", "attribute"]
    )["value"]
    part = table[
        (table["level"] == 8.0) & (table["split"] == "test") & (table["tumour__label"] > 0)
    ]
    patients = part.groupby("patient_id").agg(
        dice=("tumour__reconstructed", "mean"), sex=("sex", "first")
    )
    assert estimates["dice", "tumour", ""] == pytest.approx(patients["dice"].mean(), abs=1e-6)
    errors = 1 - patients.groupby("sex")["dice"].mean()
    assert estimates["ser", "tumour", "sex"] == pytest.approx(errors.max() / errors.min(), rel=1e-6)
    assert np.isfinite(estimates["eodd", "grade", "sex"])
