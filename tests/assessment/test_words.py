"""A clear word, or one clear error, for every table that cannot be judged as it is."""

import warnings

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import assess
from fairrecon_jax.assessment.performance import FEW, NO_THRESHOLD
from fairrecon_jax.assessment.verdicts import NO_VERDICT, UNPAIRED
from tests.support import hand
from tests.support import predictions_fake as fake
from tests.support.find import one, rows

SPEC = hand.spec(("widened",))
BALANCED = {"threshold_rule": "balanced", "threshold_value": None}
EVERYONE = {"attribute": "", "version": "change"}
RATES = ["sensitivity", "specificity"]


@pytest.fixture(autouse=True)
def silent():
    """Nothing here may warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def table(scenario: str = "widened") -> pd.DataFrame:
    return hand.table((scenario,)).rename(columns=lambda c: c.replace(scenario, "widened"))


def validated(fitted_on: pd.DataFrame) -> pd.DataFrame:
    """The scenario with those rows as validation patients."""
    renamed = {c: fitted_on[c] + "v" for c in ("example_id", "patient_id")}
    return pd.concat([table(), fitted_on.assign(split="val", **renamed)])


def gap(fairness: pd.DataFrame, metric: str = "eodd"):
    return one(fairness, **hand.CHANGE, metric=metric, reference_group="Female")


@pytest.mark.parametrize("label", [np.nan, 1.0, 0.0])
def test_a_validation_set_without_both_labels_has_no_threshold(label):
    performance, fairness = hand.judge(
        validated(table().assign(widened__label=label)), SPEC, **BALANCED
    )
    for metric in ("eodd", "eop"):
        row = gap(fairness, metric)
        assert (row["verdict"], row["reason"]) == ("not estimable", NO_THRESHOLD)
        assert row[["value", "p_value", "p_adjusted", "mde", "stable"]].isna().all()
    per_group = rows(fairness, metric=["gap_sensitivity", "gap_specificity"])
    assert len(per_group) == 4
    assert set(per_group["verdict"]) == {"not estimable"}
    assert set(per_group["reason"]) == {NO_THRESHOLD}
    for metric in RATES:
        row = one(performance, **EVERYONE, metric=metric)
        assert (row["verdict"], row["reason"]) == ("not estimable", NO_THRESHOLD)
    # what needs no threshold is judged all the same
    assert (
        gap(fairness, "gap_auroc")["verdict"] == gap(fairness, "gap_score")["verdict"] == "harmed"
    )
    assert one(performance, **EVERYONE, metric="auroc")["verdict"] == "lower"


def test_without_a_validation_set_there_is_one_clear_error():
    for rule in ("balanced", "per_version"):
        with pytest.raises(ValueError, match="no row has split 'val'; test patients are not used"):
            hand.judge(table(), SPEC, threshold_rule=rule, threshold_value=None)


@pytest.mark.parametrize("fitted", [False, True])
def test_scores_that_are_all_equal_are_at_chance(fitted):
    even = {f"widened__{version}": 0.5 for version in ("original", "reconstructed")}
    given = validated(table()).assign(**even) if fitted else table().assign(**even)
    performance, fairness = hand.judge(given, SPEC, **(BALANCED if fitted else {}))
    assert (fairness[fairness["verdict"] != ""]["verdict"] == "at chance").all()
    row = one(performance, **EVERYONE, metric="auroc")
    assert row["reason"].startswith("the AUROC on originals, 0.4")
    # all are called positive
    rates = {m: one(performance, **EVERYONE, metric=m)["reconstructed"] for m in RATES}
    assert rates == {"sensitivity": 1, "specificity": 0}


def test_reconstructions_that_are_all_alike_lose_what_originals_told():
    performance, fairness = hand.judge(table().assign(widened__reconstructed=0.1), SPEC)
    for metric in ("sensitivity", "auroc"):
        assert one(performance, **EVERYONE, metric=metric)["verdict"] == "lower"
    # women and men lost the same
    assert (
        gap(fairness)["verdict"] == gap(fairness, "gap_auroc")["verdict"] == "no difference shown"
    )


@pytest.mark.parametrize("part", ["label", "reconstructed"])
def test_a_task_without_any_label_or_prediction_is_not_estimable(part):
    performance, fairness = hand.judge(table().assign(**{f"widened__{part}": np.nan}), SPEC)
    told = fairness[(fairness["version"] == "change") & (fairness["convention"] != "mean")]
    assert set(told["verdict"]) == {"not estimable"}
    per_group = told[told["reference_group"] == "the other groups"]
    assert set(per_group["reason"]) == {"no images"}
    assert gap(fairness)["reason"].startswith("no two groups have enough patients to be compared")
    assert not len(rows(fairness, metric=["worst_group_sensitivity", "worst_group_specificity"]))
    for metric in ("auroc", "brier", *RATES):
        row = one(performance, **EVERYONE, metric=metric)
        assert (row["verdict"], row["reason"]) == ("not estimable", FEW)


def test_originals_that_are_all_unknown_are_no_originals():
    for given in (
        table().assign(widened__original=np.nan),
        table().drop(columns="widened__original"),
    ):
        performance, fairness = hand.judge(given, SPEC)
        row = gap(fairness)
        assert (row["verdict"], row["reason"], row["reconstructed"]) == (
            "not estimable",
            UNPAIRED,
            0.4,
        )
        assert set(rows(performance, version="change", metric="auroc")["reason"]) == {UNPAIRED}
        worst = rows(fairness, metric="worst_group_sensitivity")
        assert list(worst["version"]) == ["reconstructed"]
        assert (worst.iloc[0]["group"], worst.iloc[0]["value"]) == ("Female", 0.5)


def test_thresholds_per_version_leave_decisions_without_a_verdict():
    performance, fairness = hand.judge(
        validated(table()), SPEC, threshold_rule="per_version", threshold_value=None
    )
    for metric in ("eodd", "eop"):
        row = gap(fairness, metric)
        assert (row["verdict"], row["gap"], row["reason"]) == ("", "", NO_VERDICT)
    assert not len(rows(fairness, metric=["gap_sensitivity", "gap_specificity"]))
    # areas and scores need no threshold
    assert gap(fairness, "gap_score")["verdict"] == "harmed"
    assert one(performance, **EVERYONE, metric="sensitivity")["verdict"] == "lower"


def test_one_patient_or_three_images_are_not_enough():
    for given in (table().assign(patient_id="p"), table().iloc[[0, 70, 130]]):
        performance, fairness = hand.judge(given, SPEC)
        told = fairness[fairness["verdict"] != ""]
        # the interval of so few patients holds 0.5
        assert set(told["verdict"]) == {"at chance"}
        assert np.isnan(one(performance, **EVERYONE, metric="auroc")["p_value"])


def test_a_diagnosis_without_an_error_has_nothing_to_tell():
    perfect = {"widened": ((0, 0), (60, 60), (0, 0), (60, 60))}
    performance, fairness = hand.judge(hand.table(("widened",), perfect), SPEC)
    row = gap(fairness)
    assert (row["verdict"], row["reason"]) == ("no difference shown", "no decision changed")
    before = one(performance, attribute="", metric="sensitivity", version="original")
    assert (before["value"], before["ci_high"]) == (1, 1)
    assert 0.95 < before["ci_low"] < 1


def test_fewer_draws_than_the_family_needs_are_said():
    """Six comparisons of 19 draws: Holm's smallest p is 6 / 20."""
    performance, fairness = hand.judge(hand.table(hand.NAMES), adjustment="holm", permutations=19)
    row = one(fairness, **hand.CHANGE, task="widened", metric="eodd")
    assert row["verdict"] == "no difference shown"
    assert row["p_adjusted"] == pytest.approx(0.3)
    text = "too few permutations: over 6 comparisons no p can fall below 0.3, and none can show a "
    assert text + "difference at 0.05" in row["reason"]
    everyone = one(performance, **EVERYONE, task="widened", metric="sensitivity")
    assert (
        text.replace("6 comparisons", "7 comparisons").replace("0.3,", "0.35,")
        in everyone["reason"]
    )
    # draws that the comparisons share are enough: 1 / 20
    performance, fairness = hand.judge(hand.table(hand.NAMES), permutations=19)
    row = one(fairness, **hand.CHANGE, task="widened", metric="eodd")
    assert (row["verdict"], row["p_adjusted"]) == ("harmed", 0.05)
    assert not fairness["reason"].str.contains("too few permutations").any()
    strict = hand.judge(hand.table(hand.NAMES), permutations=19, alpha=0.01)[1]
    assert (
        "over 6 comparisons no p can fall below 0.05"
        in one(strict, **hand.CHANGE, task="widened", metric="eodd")["reason"]
    )


def test_few_flips_are_no_difference():
    """Two of 60 women lost: nearly every second permutation has both in one sex."""
    few = {"widened": ((6, 6), (54, 52), (6, 6), (54, 54))}
    row = gap(hand.judge(hand.table(("widened",), few), SPEC)[1], "eop")
    assert row["verdict"] == "no difference shown"
    # 2 C(60, 2) / C(120, 2) = 59 / 119
    assert row["p_value"] == pytest.approx(59 / 119, abs=0.1)
    assert "2 decisions changed" in row["reason"]


def test_dice_of_one_is_a_ratio_without_bound():
    """Women are perfect before, men after: SER is infinite, its change has no size."""
    brain = fake.brain(patients=150)
    women = brain["sex"] == "Female"
    some = brain["tumour__label"] > 0
    brain["tumour__original"] = np.where(some, np.where(women, 1.0, 0.9), np.nan)
    brain["tumour__reconstructed"] = np.where(some, np.where(women, 0.9, 1.0), np.nan)
    brain = brain.drop(columns=[c for c in brain if c.startswith(("grade", "type"))])
    _, fairness = assess(brain[brain["level"] == 8], fake.BRAIN, hand.options(**BALANCED))
    where = {"attribute": "sex", "convention": "worst_case_estimable", "version": "change"}
    ser, delta = (one(fairness, **where, metric=m) for m in ("ser", "delta_dice"))
    assert [ser["original"], ser["reconstructed"]] == [np.inf, np.inf]
    assert np.isnan(ser["value"])
    np.testing.assert_allclose([delta["original"], delta["reconstructed"]], [0.1, 0.1], rtol=1e-9)
    assert (
        (ser["verdict"], ser["group"]) == (delta["verdict"], delta["group"]) == ("harmed", "Female")
    )
    assert (ser["gap"], delta["gap"]) == ("", "same")
