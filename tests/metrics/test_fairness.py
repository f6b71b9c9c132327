"""Group gaps against fairlearn, fairmedfm and stored numbers; masks, empty strata, conventions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fairlearn.metrics import equal_opportunity_difference, equalized_odds_difference

from fairrecon_jax import metrics
from tests.support import golden_sample
from tests.support.metric_samples import random_decisions


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


GOLDEN = {
    "sex": (0.057591093117, 0.048026315789, 0.057591093117),
    "race": (0.323529411765, 0.289037433155, 0.323529411765),
    "both": (0.443750000000, 0.373390151515, 0.443750000000),
}


@pytest.mark.parametrize("attribute", GOLDEN)
def test_stored_rate_gaps(attribute):
    sex, race, y, s, _ = golden_sample.sample()
    y = y.astype(float)  # integers would make the metrics float32
    both = metrics.intersect([sex, race], [("F", "M"), ("A", "B", "C")])
    group, count = {"sex": (sex, 2), "race": (race, 3), "both": (both.group, 6)}[attribute]
    tau = metrics.balanced_threshold(y, s)
    counts = metrics.group_counts(y, metrics.decide(s, tau), group, count)
    got = (
        metrics.eodd_from_counts(counts).value,
        metrics.eodd_from_counts(counts, "mean").value,
        metrics.eop_from_counts(counts).value,
    )
    np.testing.assert_allclose(got, GOLDEN[attribute], atol=6e-13)


def test_stored_dice_gaps():
    sex, _, _, _, dice = golden_sample.sample()
    means = jnp.stack([dice[sex == g].mean() for g in (0, 1)])
    np.testing.assert_allclose(metrics.ser_from_means(means).value, 1.175292100206, atol=6e-13)
    np.testing.assert_allclose(
        metrics.delta_dice_from_means(means).value, 0.043622808715, atol=6e-13
    )


@pytest.mark.parametrize("seed", range(5))
def test_rate_gaps_agree_with_fairlearn(seed):
    y, decision, group = random_decisions(seed)
    known = ~np.isnan(y) & (group >= 0)
    counts = metrics.group_counts(y, decision, group, 4)
    args = (y[known], decision[known])
    for convention, agg in (("worst_case", "worst_case"), ("mean", "mean")):
        expected = equalized_odds_difference(*args, sensitive_features=group[known], agg=agg)
        np.testing.assert_allclose(
            metrics.eodd_from_counts(counts, convention).value, expected, atol=1e-10
        )
    expected = equal_opportunity_difference(*args, sensitive_features=group[known])
    np.testing.assert_allclose(metrics.eop_from_counts(counts).value, expected, atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_ser_agrees_with_fairmedfm(seed):
    fairmedfm = pytest.importorskip("fairmedfm")
    r = np.random.default_rng(seed)
    dice, group = np.round(r.random(200), 2), r.integers(0, 3, 200)
    means = np.array([dice[group == g].mean() for g in range(3)])
    np.testing.assert_allclose(
        metrics.ser_from_means(means).value,
        fairmedfm.dice_skewness(dice, sensitive_features=group),
        atol=1e-10,
    )
    np.testing.assert_allclose(
        metrics.delta_dice_from_means(means).value,
        fairmedfm.dice_gap(dice, sensitive_features=group),
        atol=1e-10,
    )


def test_gap_names_groups_label_and_convention():
    counts = jnp.array(
        [[[8, 2], [5, 5]], [[5, 5], [4, 6]], [[0, 0], [0, 0]]], float
    )  # rates: .2 .5 | .5 .6 | empty
    result = metrics.eodd_from_counts(counts)
    assert (float(result.value), int(result.high), int(result.low), int(result.label)) == (
        pytest.approx(0.3),
        1,
        0,
        0,
    )
    assert result.convention == "worst_case"
    assert "lower is fairer" in result.direction
    assert result.included.tolist() == [[True, True], [True, True], [False, False]]
    assert result.counts.tolist() == [[10, 10], [10, 10], [0, 0]]
    assert float(metrics.eop_from_counts(counts).value) == pytest.approx(0.1)


def test_estimable_leaves_small_strata_out():
    counts = jnp.array([[[80, 20], [50, 50]], [[50, 50], [40, 60]], [[9, 1], [0, 10]]], float)
    mask = metrics.estimable(counts.sum(-1), 20)
    assert float(
        metrics.eodd_from_counts(counts, "worst_case_estimable", mask).value
    ) == pytest.approx(0.3)
    assert float(metrics.eodd_from_counts(counts).value) == pytest.approx(0.5)
    alone = metrics.estimable(jnp.array([[100, 3], [3, 100], [3, 3]]), 20)
    assert np.isnan(metrics.eodd_from_counts(counts, "worst_case_estimable", alone).value)
    assert int(metrics.eodd_from_counts(counts, "worst_case_estimable", alone).high) == -1
    with pytest.raises(ValueError, match="needs `mask`"):
        metrics.eodd_from_counts(counts, "worst_case_estimable")
    with pytest.raises(ValueError, match="convention must be one of"):
        metrics.eodd_from_counts(counts, "max")


def test_one_label_missing():
    counts = jnp.array([[[0, 0], [5, 5]], [[0, 0], [4, 6]]], float)
    assert float(metrics.eodd_from_counts(counts).value) == pytest.approx(0.1)
    assert np.isnan(metrics.eodd_from_counts(counts, "mean").value)


def test_leading_axes_jit_and_vmap_agree():
    r = np.random.default_rng(3)
    counts = jnp.asarray(r.integers(0, 9, (7, 5, 2, 2)), float)
    together = jax.jit(metrics.eodd_from_counts)(counts)
    for one, value, high in zip(counts, together.value, together.high):
        assert float(metrics.eodd_from_counts(one).value) == float(value)
        assert int(metrics.eodd_from_counts(one).high) == int(high)
    assert jnp.array_equal(
        jax.vmap(metrics.eodd_from_counts)(counts).value, together.value, equal_nan=True
    )


@pytest.mark.parametrize("xp", [np, jnp])
def test_ser_of_perfect_groups(xp):
    one = metrics.ser_from_means(xp.array([[1.0, 0.5, np.nan], [0.5, 0.75, 1.0]]))
    assert np.isinf(one.value).all()
    assert (one.high.tolist(), one.low.tolist()) == ([0, 2], [1, 0])
    all_of_them = metrics.ser_from_means(xp.array([1.0, 1.0]))
    assert np.isnan(all_of_them.value)
    assert np.isnan(metrics.error_ratio(xp.array([1.0, np.nan])))


def test_ser_needs_two_groups():
    assert np.isnan(metrics.ser_from_means(jnp.array([0.7, jnp.nan])).value)
    assert float(metrics.ser_from_means(jnp.array([0.7, jnp.nan, 0.4])).value) == pytest.approx(2.0)
    assert "1 is no gap" in metrics.ser_from_means(jnp.array([0.7, 0.4])).direction


def test_worst_group_and_signed_difference():
    values = jnp.array([[0.9, 0.7, jnp.nan], [jnp.nan, jnp.nan, jnp.nan]])
    assert metrics.worst_group(values).tolist() == [1, -1]
    assert metrics.worst_group(values, higher_is_better=False).tolist() == [0, -1]
    np.testing.assert_allclose(metrics.signed_difference(values[0], 1), [0.2, 0.0, np.nan])


def test_intersection_masks_unknown():
    both = metrics.intersect(
        [jnp.array([0, 1, -1]), jnp.array([2, 0, 1])], [("F", "M"), ("a", "b", "c")]
    )
    assert both.group.tolist() == [2, 3, -1]
    assert both.names[2] == "F x c"
    assert both.names[3] == "M x a"


def test_counts_mask_and_weigh():
    counts = metrics.group_counts(
        [1.0, 0.0, np.nan, 1.0, 1.0],
        [1, 0, 1, 0, 1],
        np.array([0, 1, 0, 1, -1]),
        2,
        [2.0, 1, 1, 3, 1],
    )
    assert counts.tolist() == [[[0, 0], [0, 2]], [[1, 0], [3, 0]]]


def test_gap_of_any_value():
    result = metrics.gap_from_values(jnp.array([0.5, 0.9, 0.1]), counts=jnp.array([5, 5, 0]))
    assert float(result.value) == pytest.approx(0.4)
    assert (int(result.high), int(result.low), int(result.label)) == (1, 0, -1)
