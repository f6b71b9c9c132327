"""What scores may not depend on: the order of rows, masked rows, how a weight is spelt, monotone scales; further outside oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, recall_score
from test_classification import sample

from fairrecon_jax import metrics
from fairrecon_jax.metrics.classification import class_weights, divide, threshold_curve


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


NUMBERS = {
    "auroc": metrics.auroc,
    "brier": metrics.brier,
    "balanced_threshold": metrics.balanced_threshold,
    "at_sensitivity": lambda s, y, w=None: metrics.threshold_at_sensitivity(s, y, 0.7, w),
    "at_specificity": lambda s, y, w=None: metrics.threshold_at_specificity(s, y, 0.7, w),
    "sensitivity": lambda s, y, w=None: metrics.confusion(metrics.decide(s, 0.5), y, w).sensitivity,
    "specificity": lambda s, y, w=None: metrics.confusion(metrics.decide(s, 0.5), y, w).specificity,
    "calibration": lambda s, y, w=None: metrics.calibration_error(s, y, w).value,
}


@pytest.mark.parametrize("name", NUMBERS)
def test_rows_masks_and_repeats(name):
    """Order does not matter; weight 0, a NaN label and a missing row are one thing; a weight of k is k copies."""
    number, (score, y, weight) = NUMBERS[name], sample(5, 120)
    whole = float(number(score, y, weight))
    order = np.random.default_rng(0).permutation(len(y))
    assert float(number(score[order], y[order], weight[order])) == pytest.approx(whole, abs=1e-12)
    copies = np.repeat(np.arange(len(y)), weight.astype(int))
    assert float(number(score[copies], y[copies])) == pytest.approx(whole, abs=1e-12)
    assert float(number(score, np.where(weight > 0, y, np.nan), weight)) == whole
    assert float(number(score, y, 7 * weight)) == pytest.approx(whole, abs=1e-12)
    junk = (np.append(score, [np.nan, 0.5]), np.append(y, [1.0, np.nan]), np.append(weight, [0.0, 9.0]))
    assert float(number(*junk)) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("name", NUMBERS)
def test_nothing_known_is_nan(name):
    for label, weight in ((np.full(3, np.nan), None), (np.array([1.0, 0.0, 1.0]), np.zeros(3))):
        assert np.isnan(NUMBERS[name](np.array([0.2, 0.4, 0.6]), label, weight))


@pytest.mark.parametrize("name", NUMBERS)
def test_batches_equal_loops_and_compile_once(name):
    number = NUMBERS[name]
    batch = [np.stack(part) for part in zip(*(sample(seed, 60) for seed in range(3)))]
    mapped = jax.jit(jax.vmap(number))
    together = mapped(*batch)
    np.testing.assert_allclose(together, [number(*rows) for rows in zip(*batch)], atol=1e-12)
    mapped(*(part[::-1].copy() for part in batch))
    assert mapped._cache_size() == 1


@pytest.mark.parametrize("seed", range(3))
def test_auroc_is_the_mann_whitney_statistic(seed):
    score, y, _ = sample(seed)
    positive, negative = score[y == 1], score[y == 0]
    share = mannwhitneyu(positive, negative).statistic / (positive.size * negative.size)
    np.testing.assert_allclose(metrics.auroc(score, y), share, atol=1e-12)


def test_auroc_knows_ranks_only_and_turns_with_labels_and_scores():
    score, y, weight = sample(6)
    area = float(metrics.auroc(score, y, weight))
    assert float(metrics.auroc(np.exp(5 * score) - 3, y, weight)) == area
    assert float(metrics.auroc(-score, y, weight)) == pytest.approx(1 - area, abs=1e-12)
    assert float(metrics.auroc(score, 1 - y, weight)) == pytest.approx(1 - area, abs=1e-12)
    assert float(metrics.auroc(np.ones_like(score), y, weight)) == pytest.approx(0.5, abs=1e-12)
    assert float(metrics.auroc(np.nan_to_num(y), y, weight)) == pytest.approx(1, abs=1e-12)


def test_thresholds_move_with_a_monotone_scale():
    score, y, weight = sample(7)
    for name in ("balanced_threshold", "at_sensitivity", "at_specificity"):
        plain, scaled = float(NUMBERS[name](score, y, weight)), float(NUMBERS[name](2 * score + 1, y, weight))
        assert plain in score
        assert scaled == 2 * plain + 1


@pytest.mark.parametrize("wanted", [0.0, 0.31, 0.75, 1.0])
def test_thresholds_keep_their_promise_and_are_the_extreme_ones(wanted):
    score, y, weight = sample(8)

    def reached(threshold):
        return metrics.confusion(metrics.decide(score, threshold), y, weight)

    cut = float(metrics.threshold_at_sensitivity(score, y, wanted, weight))
    seen = np.unique(score[~np.isnan(y) & (weight > 0)])
    assert float(reached(cut).sensitivity) >= wanted
    assert all(float(reached(t).sensitivity) < wanted for t in seen[seen > cut][:3])
    cut = float(metrics.threshold_at_specificity(score, y, wanted, weight))
    if np.isnan(cut):
        assert all(float(reached(t).specificity) < wanted for t in seen)
    else:
        assert float(reached(cut).specificity) >= wanted
        assert all(float(reached(t).specificity) < wanted for t in seen[seen < cut][-3:])


def test_a_specificity_that_no_score_reaches_is_nan():
    score, y = np.array([0.2, 0.4, 0.9]), np.array([0.0, 1.0, 0.0])  # the highest score is a negative's
    assert np.isnan(metrics.threshold_at_specificity(score, y, 1.0))
    assert float(metrics.threshold_at_specificity(score, y, 0.5)) == 0.4
    assert float(metrics.threshold_at_sensitivity(score, y, 1.0)) == 0.4
    assert float(metrics.threshold_at_sensitivity(score, y, 0.0)) == 0.9


def test_the_smallest_of_equally_balanced_scores_wins():
    score, y = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 1.0, 0.0, 1.0])
    _, sensitivity, specificity = threshold_curve(score, y)
    np.testing.assert_allclose(np.abs(specificity - sensitivity), [1, 0.5, 0, 0.5])
    assert float(metrics.balanced_threshold(score, y)) == pytest.approx(0.3)
    even = np.array([0.0, 0.0, 1.0, 1.0])  # |difference|: 1, .5, 0, .5
    assert float(metrics.balanced_threshold(score, even)) == pytest.approx(0.3)
    assert float(metrics.balanced_threshold(score[:3], y[:3])) == pytest.approx(0.2)  # as far apart at 0.2 as at 0.3


def test_threshold_curve_falls_and_rises():
    score, y, weight = sample(9)
    threshold, sensitivity, specificity = (np.asarray(part) for part in threshold_curve(score, y, weight))
    known = np.isfinite(threshold)
    assert known.sum() == (~np.isnan(y) & (weight > 0)).sum()
    assert np.all(np.diff(threshold[known]) >= 0)
    assert np.all(np.diff(sensitivity[known]) <= 1e-12)
    assert np.all(np.diff(specificity[known]) >= -1e-12)
    assert (sensitivity[0], specificity[0]) == (1, 0)


@pytest.mark.parametrize("seed", range(2))
def test_confusion_agrees_with_scikit_learn(seed):
    score, y, weight = sample(seed)
    known = ~np.isnan(y)
    decision = np.asarray(metrics.decide(score, 0.5))
    found = metrics.confusion(decision, y, weight)
    (tn, fp), (fn, tp) = confusion_matrix(y[known], decision[known], sample_weight=weight[known])
    np.testing.assert_allclose(list(found), [tp, fn, fp, tn])
    args, options = (y[known], decision[known]), dict(sample_weight=weight[known])
    np.testing.assert_allclose(found.sensitivity, recall_score(*args, **options), atol=1e-10)
    np.testing.assert_allclose(found.specificity, recall_score(*args, pos_label=0, **options), atol=1e-10)
    turned = metrics.confusion(~decision, 1 - y, weight)
    assert [float(x) for x in turned] == [
        float(x) for x in (found.true_negative, found.false_positive, found.false_negative, found.true_positive)
    ]


def test_decisions_include_the_threshold():
    assert metrics.decide([0.49, 0.5, 0.51], 0.5).tolist() == [False, True, True]


@pytest.mark.parametrize("bins", [5, 10])
def test_reliability_curve_agrees_with_scikit_learn(bins):
    score, y, _ = sample(3)
    score = np.clip(score + np.random.default_rng(1).uniform(1e-4, 9e-3, score.size), 0, 1)  # none on an edge, where the two differ
    known = ~np.isnan(y)
    found = metrics.calibration_error(score, y, bins=bins)
    frequency, mean = calibration_curve(y[known], score[known], n_bins=bins)
    some = np.asarray(found.weight) > 0
    np.testing.assert_allclose(np.asarray(found.frequency)[some], frequency, atol=1e-10)
    np.testing.assert_allclose(np.asarray(found.score)[some], mean, atol=1e-10)
    share = np.asarray(found.weight)[some] / known.sum()
    np.testing.assert_allclose(found.value, (share * np.abs(frequency - mean)).sum(), atol=1e-10)


def test_calibration_bins_close_on_the_left_and_refine_upwards():
    assert metrics.calibration_error([0.0, 0.5, 1.0], [0.0, 1.0, 1.0], bins=2).weight.tolist() == [1, 2]
    score, y, weight = sample(4)
    errors = [float(metrics.calibration_error(score, y, weight, bins=b).value) for b in (1, 2, 4, 8, 16)]
    assert np.all(np.diff(errors) >= -1e-12)  # splitting a bin can only uncover error
    known = ~np.isnan(y)
    mean, base = (np.average(part[known], weights=weight[known]) for part in (score, y))
    assert errors[0] == pytest.approx(abs(mean - base), abs=1e-12)


def test_brier_limits_and_gradient():
    y = np.array([1.0, 0.0, 0.0, 1.0, 0.0, np.nan])
    assert float(metrics.brier(np.nan_to_num(y), y)) == 0
    assert float(metrics.brier(1 - np.nan_to_num(y), y)) == 1
    assert float(metrics.brier(np.full(6, 0.4), y)) == pytest.approx(0.4 * 0.6)  # the base rate: the variance of the labels
    score = jnp.array([0.3, 0.2, 0.9, 0.8, 0.5, 0.5])
    slope = jax.grad(metrics.brier)(score, y)
    np.testing.assert_allclose(slope, np.where(np.isnan(y), 0, 2 * (score - np.nan_to_num(y)) / 5), atol=1e-12)


def test_division_by_nothing_has_a_finite_gradient():
    assert divide(6, 3) == 2
    assert np.isnan(divide(1.0, 0.0))
    for which in (0, 1):
        assert np.isfinite(jax.grad(divide, which)(1.0, 0.0))


def test_class_weights_of_integer_labels_are_floats():
    positive, negative = class_weights(np.array([1, 0, 2]), np.array([2.5, 3, 4]))
    assert positive.tolist() == [2.5, 0, 0]
    assert negative.tolist() == [0, 3, 0]
