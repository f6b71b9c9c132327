"""Gaps of plain arrays against fairlearn, whatever groups are called and whatever is unknown; their
edges.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import equal_opportunity_difference, equalized_odds_difference

from fairrecon_jax import metrics
from tests.support import golden_sample
from tests.support.metric_samples import random_decisions

NAMES = np.array(["unknown", "Asian", "Black", "White", "other"], object)


def renamed(group):
    """Ways to write one column of groups, -1 unknown."""
    names = NAMES[group + 1]
    missing = np.where(group < 0, None, names)
    return {
        "integers": group,
        "floats with NaN": np.where(group < 0, np.nan, group),
        "names with None": missing,
        "a list with NaN": [np.nan if g < 0 else str(NAMES[g + 1]) for g in group],
        "a column of a table": pd.Series(missing),
        "a categorical column": pd.Series(missing, dtype="category"),
        "integers of a table": pd.Series(np.where(group < 0, np.nan, group)).astype("Int64"),
    }


@pytest.mark.parametrize("seed", range(20))
def test_equal_to_fairlearn(seed):
    groups = 2 + seed % 4
    y, decision, group = random_decisions(seed, groups, 120 + 40 * seed)
    known = ~np.isnan(y) & (group >= 0)
    weight = np.random.default_rng(seed).random(len(y)) if seed % 2 else None
    options = {"sensitive_features": group[known]}
    if weight is not None:
        options["sample_weight"] = weight[known]
    for convention in ("worst_case", "mean"):
        expected = equalized_odds_difference(y[known], decision[known], agg=convention, **options)
        actual = metrics.eodd(y, decision, group, convention=convention, weight=weight)
        assert isinstance(actual, float)
        assert actual == pytest.approx(expected, abs=1e-12)
    expected = equal_opportunity_difference(y[known], decision[known], **options)
    assert metrics.eop(y, decision, group, weight=weight) == pytest.approx(expected, abs=1e-12)


def test_reference_numbers():
    sex, race, y, s, dice = golden_sample.sample()
    decision = s >= golden_sample.THRESHOLD
    for group, expected in (
        (sex, (0.057591093117, 0.048026315789, 0.057591093117)),
        (race, (0.323529411765, 0.289037433155, 0.323529411765)),
    ):
        actual = (
            metrics.eodd(y, decision, group),
            metrics.eodd(y, decision, group, convention="mean"),
            metrics.eop(y, decision, group),
        )
        np.testing.assert_allclose(actual, expected, atol=6e-13)
    assert metrics.ser(dice, sex) == pytest.approx(1.175292100206, abs=6e-13)
    assert metrics.delta_dice(dice, sex) == pytest.approx(0.043622808715, abs=6e-13)


@pytest.mark.parametrize("seed", range(5))
def test_ser_and_delta_dice_equal_fairmedfm(seed):
    fairmedfm = pytest.importorskip("fairmedfm")
    r = np.random.default_rng(seed)
    dice, group = np.round(r.random(200), 2), r.integers(0, 3, 200)
    for ours, theirs in (
        (metrics.ser, fairmedfm.dice_skewness),
        (metrics.delta_dice, fairmedfm.dice_gap),
    ):
        assert ours(dice, group) == pytest.approx(theirs(dice, sensitive_features=group), abs=1e-12)


@pytest.mark.parametrize("form", renamed(np.array([-1])))
def test_groups_may_be_written_in_any_way(form):
    y, decision, group = random_decisions(3)
    column = renamed(group)[form]
    value = np.random.default_rng(0).random(len(y))
    assert metrics.eodd(y, decision, column) == metrics.eodd(y, decision, group)
    assert metrics.gap(value, column) == pytest.approx(metrics.gap(value, group), abs=1e-15)
    codes, names = metrics.group_codes(column)
    np.testing.assert_array_equal(codes < 0, group < 0)
    assert len(names) == 4
    assert len(set(zip(codes, group))) == len(set(group))


def test_groups_that_look_alike_are_told_apart():
    codes, names = metrics.group_codes(["1", 1, "1", None, float("nan"), -1])
    assert codes.tolist() == [0, 1, 0, -1, -1, -1]
    assert names == ("1", 1)
    assert metrics.group_codes(np.array([True, False, True]))[1] == (False, True)
    assert metrics.group_codes([])[0].size == 0


def test_unknown_labels_decisions_and_values_are_left_out():
    label = [1, 1, 1, 1, None, 1, 0, 0]
    decision = [1, 0, 1, 1, 0, np.nan, 0, 0]
    group = ["f", "f", "m", "m", "m", "m", "f", "m"]
    assert metrics.eop(label, decision, group) == 0.5
    assert metrics.eodd(label, decision, group, convention="mean") == 0.25
    assert metrics.gap([1, np.inf, None, 0.5], ["f", "f", "f", "m"]) == 0.5


def test_patients_weigh_alike_and_are_counted():
    value, group = [1, 1, 1, 0, 0.25], ["f", "f", "f", "f", "m"]
    assert metrics.gap(value, group) == 0.5
    patient = ["a", "a", "a", "b", "c"]
    assert metrics.gap(value, group, patient=patient) == 0.25
    assert metrics.ser(value, group, patient=patient) == 1.5
    assert np.isnan(metrics.gap(value, group, patient=patient, min_patients=2))
    assert metrics.gap([1, 0], ["f", "m"], patient=["a", "a"]) == 1  # in both of its groups


def test_estimable_strata_hold_enough_patients():
    label, group = np.ones(50), np.repeat(["a", "b", "c"], [20, 20, 10])
    decision = np.concatenate([np.ones(20), np.tile([0, 1], 10), np.zeros(10)])
    estimable = {"convention": "worst_case_estimable"}
    assert metrics.eop(label, decision, group) == 1
    assert metrics.eop(label, decision, group, **estimable) == 0.5
    assert metrics.eop(label, decision, group, **estimable, min_patients=10) == 1
    twins = np.where(group == "b", np.arange(50) // 2, np.arange(50))
    assert np.isnan(metrics.eop(label, decision, group, **estimable, patient=twins))


def test_edges():
    everyone = np.ones(6)
    halves = np.repeat([0, 1], 3)
    decision = np.array([1, 1, 0, 1, 0, 0])
    assert metrics.eodd(everyone, decision, halves) == pytest.approx(1 / 3)
    assert np.isnan(metrics.eodd(everyone, decision, halves, convention="mean"))
    assert np.isnan(metrics.eodd(everyone, decision, everyone))  # fairlearn: 0
    one_sided = np.array([0, 1, 1, 1, 1, 1])  # negatives in one group alone
    assert np.isnan(metrics.eodd(one_sided, decision, halves, convention="mean"))
    assert metrics.eodd(one_sided, decision, halves) == metrics.eop(one_sided, decision, halves)
    assert metrics.ser([1, 1, 0.5], [0, 0, 1]) == np.inf
    assert np.isnan(metrics.ser([1, 1, 1], [0, 0, 1]))
    assert np.isnan(metrics.ser([0.5, 0.5, 1], [0, 0, -1]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.eodd([0.3], [1], ["f"]), r"label must hold 0, 1 or NaN .*got \[0.3\]"),
        (lambda: metrics.eop([1], [2], ["f"]), r"decision must hold 0, 1 or NaN .*got \[2.0\]"),
        (lambda: metrics.eodd([1, 0], [1], ["f"]), "label must hold 1 entries like group"),
        (lambda: metrics.gap([1], [["f"]]), r"group must be a vector .*got shape \(1, 1\)"),
        (lambda: metrics.gap([1], ["f"], patient=[1, 2]), "patient must hold 1 entries"),
        (lambda: metrics.eodd([1], [1], ["f"], convention="max"), "convention must be one of"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
