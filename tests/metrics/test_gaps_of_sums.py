"""Gaps as functions of sums over label x group, against reference numbers, fairlearn and their edge
rules.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.metrics import fairness
from tests.support.golden_sample import THRESHOLD, sample


def table(decision, label, group, groups):
    """Images and positive decisions [L, G]."""
    where = [[(label == y) & (group == g) for g in range(groups)] for y in (0, 1)]
    images = np.array([[rows.sum() for rows in line] for line in where], float)
    positives = np.array([[decision[rows].sum() for rows in line] for line in where], float)
    return images, positives


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sex", (0.057591093117, 0.048026315789, 0.057591093117)),
        ("race", (0.323529411765, 0.289037433155, 0.323529411765)),
        ("both", (0.443750000000, 0.373390151515, 0.443750000000)),
    ],
)
def test_reference_numbers(name, expected):
    sex, race, y, s, _ = sample()
    group = {"sex": sex, "race": race, "both": sex * 3 + race}[name]
    gaps = fairness.decision_gaps(
        *table((s >= THRESHOLD).astype(float), y.astype(float), group, int(group.max()) + 1)
    )
    np.testing.assert_allclose([gaps["eodd"], gaps["eodd_mean"], gaps["eop"]], expected, atol=1e-6)


def test_reference_dice():
    sex, _, _, _, dice = sample()
    mean = jnp.asarray([dice[sex == g].mean() for g in (0, 1)])
    assert float(fairness.skewed_error_ratio(mean)) == pytest.approx(1.175292100206, abs=1e-5)
    assert float(fairness.spread(mean)) == pytest.approx(0.043622808715, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_matches_fairlearn(seed):
    metrics = pytest.importorskip("fairlearn.metrics")
    rng = np.random.default_rng(seed)
    label, decision, group = (
        rng.integers(0, 2, 300),
        rng.integers(0, 2, 300),
        rng.integers(0, 5, 300),
    )
    gaps = fairness.decision_gaps(*table(decision.astype(float), label.astype(float), group, 5))
    for form, agg in (("eodd", "worst_case"), ("eodd_mean", "mean")):
        expected = metrics.equalized_odds_difference(
            label, decision, sensitive_features=group, agg=agg
        )
        assert float(gaps[form]) == pytest.approx(expected, abs=1e-6)
    expected = metrics.equal_opportunity_difference(label, decision, sensitive_features=group)
    assert float(gaps["eop"]) == pytest.approx(expected, abs=1e-6)


def test_empty_groups_leave_the_comparison():
    rate = jnp.array([[0.2, jnp.nan, 0.5], [jnp.nan, jnp.nan, 0.9]])
    assert float(fairness.eodd_of_rates(rate)) == pytest.approx(0.3)
    assert float(fairness.eodd_of_rates(rate, "mean")) == pytest.approx(0.3)
    assert np.isnan(fairness.spread(rate[-1]))
    assert np.isnan(fairness.eodd_of_rates(jnp.full((2, 3), jnp.nan)))


def test_skewed_error_ratio_limits():
    assert float(fairness.skewed_error_ratio(jnp.array([0.5, 0.5]))) == 1
    assert np.isinf(fairness.skewed_error_ratio(jnp.array([1.0, 0.5])))
    assert np.isnan(fairness.skewed_error_ratio(jnp.array([0.5, jnp.nan])))
    assert np.isnan(fairness.skewed_error_ratio(jnp.array([1.0, 1.0])))


def test_gaps_ignore_the_order_of_groups_and_broadcast():
    rate = np.random.default_rng(0).random((2, 2, 3))
    rate[0, 1, 2] = np.nan
    turn = np.array([2, 0, 1])
    for function in (
        fairness.eodd_of_rates,
        fairness.spread,
        lambda x: fairness.eodd_of_rates(x, "mean"),
    ):
        np.testing.assert_array_equal(function(rate), function(rate[..., turn]))
        np.testing.assert_array_equal(function(rate), [function(row) for row in rate])
    mean, worst = fairness.eodd_of_rates(rate, "mean"), fairness.eodd_of_rates(rate)
    assert np.all(np.asarray(mean) <= np.asarray(worst) + 1e-7)


def test_means_of_sums_and_an_empty_group():
    gaps = fairness.mean_gaps(np.array([2.0, 4.0, 0.0]), np.array([1.0, 3.0, 0.0]))
    np.testing.assert_allclose(gaps["mean"], [0.5, 0.75, np.nan])
    assert float(gaps["delta"]) == 0.25
    assert float(gaps["ser"]) == 2


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="'max' or 'mean'"):
        fairness.eodd_of_rates(jnp.zeros((2, 2)), "median")
