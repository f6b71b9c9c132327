"""The permutation null: reference values, permutation by hand, patients kept together."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from fairrecon_jax.inference.counts import index_patients
from fairrecon_jax.inference.permutation import _units, permutation_null, permutation_null_means
from tests.support.golden_sample import THRESHOLD, sample

KEY = jax.random.key(0)


@pytest.mark.parametrize(("name", "null"), [("sex", 0.063), ("race", 0.196)])
def test_reference_floor(name, null):
    sex, race, y, s, _ = sample()
    group = {"sex": sex, "race": race}[name]
    actual = permutation_null(
        (s >= THRESHOLD).astype(float), y, group, np.arange(400), KEY, groups=3, permutations=2000
    )
    assert actual["eodd"].mean == pytest.approx(
        null, abs=0.012
    )  # the reference is itself a mean over permutations, to two digits
    assert actual["eodd"].observed == pytest.approx(
        {"sex": 0.057591093117, "race": 0.323529411765}[name], abs=1e-6
    )
    assert actual["eodd"].upper > actual["eodd"].mean


def test_floor_matches_permuting_by_hand():
    rng = np.random.default_rng(1)
    size = 90
    decision, label, group = (
        rng.integers(0, 2, size).astype(float),
        np.ones(size),
        np.arange(size) % 3,
    )
    actual = permutation_null(
        decision, label, group, np.arange(size), KEY, groups=3, permutations=2000
    )["eop"]
    by_hand = []
    for _ in range(2000):
        shuffled = rng.permutation(group)
        rates = [decision[shuffled == g].mean() for g in range(3)]
        by_hand.append(max(rates) - min(rates))
    assert actual.mean == pytest.approx(np.mean(by_hand), rel=0.05)
    assert actual.upper == pytest.approx(np.quantile(by_hand, 0.95), abs=0.035)


def test_patients_move_as_one():
    group = np.array([0, 0, 1, -1, 1, 0])
    units, own, count = _units(group, index_patients(["a", "a", "b", "c", "d", "d"]), 2)
    assert count == 4
    assert units[0] == units[1]
    assert units[3] == -1
    assert units[4] != units[5]
    np.testing.assert_array_equal(own[units[[0, 2, 4, 5]]], [0, 1, 1, 0])


def test_clusters_raise_the_floor():
    rng = np.random.default_rng(2)
    decision = np.repeat(rng.integers(0, 2, 60), 6).astype(float)
    patient = np.repeat(np.arange(60), 6)
    group = patient % 2
    together = permutation_null(
        decision, np.ones(360), group, patient, KEY, groups=2, permutations=300
    )["eop"].mean
    apart = permutation_null(
        decision, np.ones(360), group, np.arange(360), KEY, groups=2, permutations=300
    )["eop"].mean
    assert together > 1.8 * apart


def test_a_true_gap_has_a_small_p_and_no_gap_does_not():
    group = np.arange(200) % 2
    label = np.ones(200)
    rng = np.random.default_rng(3)
    real = (rng.random(200) < 0.3 + 0.4 * group).astype(float)
    none = (rng.random(200) < 0.5).astype(float)
    actual = permutation_null(
        np.stack([real, none]), label, group, np.arange(200), KEY, groups=2, permutations=500
    )["eop"]
    assert actual.p_value[0] < 0.01
    assert actual.p_value[1] > 0.05
    assert actual.mean.shape == (2,)


def test_means_floor_and_seed():
    sex, _, _, _, dice = sample()
    actual = permutation_null_means(dice, sex, np.arange(400), KEY, groups=2, permutations=500)
    assert actual["delta"].observed == pytest.approx(0.043622808715, abs=1e-6)
    assert actual["ser"].observed == pytest.approx(1.175292100206, abs=1e-5)
    assert actual["delta"].mean < 0.02
    assert actual["delta"].p_value < 0.01
    again = permutation_null_means(dice, sex, np.arange(400), KEY, groups=2, permutations=500)
    assert again["delta"].mean == actual["delta"].mean


def test_undefined_where_a_single_group_is_known():
    actual = permutation_null(
        np.ones(4), np.ones(4), np.zeros(4, int), np.arange(4), KEY, groups=2, permutations=20
    )["eodd"]
    assert np.isnan(actual.mean)
    assert np.isnan(actual.p_value)


def test_refusals():
    with pytest.raises(ValueError, match="no image has a known group"):
        permutation_null(np.ones(3), np.ones(3), -np.ones(3, int), np.arange(3), KEY, groups=2)
    with pytest.raises(ValueError, match="permutations"):
        permutation_null(
            np.ones(3), np.ones(3), np.zeros(3, int), np.arange(3), KEY, groups=2, permutations=0
        )
    with pytest.raises(ValueError, match="group must be a vector"):
        permutation_null(np.ones(3), np.ones(3), np.zeros((1, 3), int), np.arange(3), KEY, groups=2)


def test_the_null_of_estimable_strata_is_that_of_their_groups_alone():
    """Two groups of 60 and one of 4 that takes no part."""
    rng = np.random.default_rng(3)
    size, group = 124, np.repeat([0, 1, 2], [60, 60, 4])
    decision, label = rng.integers(0, 2, (2, size)).astype(float)
    mask = np.array([[True, True, False], [True, True, False]])
    actual = permutation_null(
        decision, label, group, np.arange(size), KEY, groups=3, permutations=400, mask=mask
    )
    assert actual["eodd_estimable"].mean < actual["eodd"].mean
    rates = np.array(
        [[decision[(label == y) & (group == g)].mean() for g in (0, 1)] for y in (0, 1)]
    )
    assert actual["eodd_estimable"].observed == pytest.approx(
        np.abs(np.diff(rates)).max(), abs=1e-6
    )
    assert actual["eop_estimable"].observed == pytest.approx(
        abs(rates[1, 1] - rates[1, 0]), abs=1e-6
    )
    whole = permutation_null(
        decision,
        label,
        group,
        np.arange(size),
        KEY,
        groups=3,
        permutations=400,
        mask=np.ones((2, 3), bool),
    )
    np.testing.assert_array_equal(whole["eodd_estimable"], whole["eodd"])
    means = permutation_null_means(
        decision, group, np.arange(size), KEY, groups=3, permutations=400, mask=mask[0]
    )
    assert means["delta_estimable"].mean < means["delta"].mean
    nothing = permutation_null_means(
        decision, group, np.arange(size), KEY, groups=3, permutations=20, mask=np.zeros(3, bool)
    )
    assert np.isnan(nothing["ser_estimable"].mean)
