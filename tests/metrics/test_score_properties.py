"""What scores may not depend on: the order of rows, masked rows, how a weight is spelt, monotone
scales; further outside oracles.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, recall_score, roc_curve

from fairrecon_jax import metrics
from fairrecon_jax.metrics.classification import class_weights, divide
from fairrecon_jax.metrics.thresholds import threshold_curve
from tests.support.metric_samples import random_scores


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


N = 120
NAMES = (
    "auroc",
    "brier",
    "calibration",
    "balanced",
    "at_sensitivity",
    "at_specificity",
    "sensitivity",
    "specificity",
)


@jax.jit
def compiled(score, label, weight, wanted):
    decided = metrics.confusion(label, metrics.decide(score, 0.5), weight)
    values = (
        metrics.auroc(label, score, weight),
        metrics.brier(label, score, weight),
        metrics.calibration_error(label, score, weight).value,
        metrics.balanced_threshold(label, score, weight),
        metrics.threshold_at_sensitivity(label, score, wanted, weight),
        metrics.threshold_at_specificity(label, score, wanted, weight),
        decided.sensitivity,
        decided.specificity,
    )
    return jnp.stack(values), decided, threshold_curve(label, score, weight)


def numbers(score, label, weight, wanted=0.7):
    """Every number of one vector of N examples, by name."""
    return dict(zip(NAMES, np.asarray(compiled(score, label, weight, wanted)[0]), strict=True))


def weighted(seed):
    """Scores, labels and weights that sum to N, so that their copies are as many."""
    score, label, _ = random_scores(seed, N)
    return score, label, np.random.default_rng(seed).multinomial(N, np.full(N, 1 / N)).astype(float)


def test_rows_masks_and_repeats():
    """Order does not matter; weight 0, a NaN label and a missing row are one thing; a weight of k
    is k copies.
    """
    score, y, weight = weighted(5)
    whole, order, copies = (
        numbers(score, y, weight),
        np.random.default_rng(0).permutation(N),
        np.repeat(np.arange(N), weight.astype(int)),
    )
    gone = weight == 0
    others = {
        "order": (score[order], y[order], weight[order]),
        "copies": (score[copies], y[copies], np.ones(N)),
        "NaN labels": (score, np.where(gone, np.nan, y), np.where(gone, 3.0, weight)),
        "NaN scores": (np.where(gone, np.nan, score), y, weight),
        "scaled weights": (score, y, 7 * weight),
    }
    for change, data in others.items():
        actual = numbers(*data)
        for name in NAMES:
            assert actual[name] == pytest.approx(whole[name], abs=1e-12), (change, name)


def test_nothing_known_is_nan():
    score, y, weight = weighted(5)
    for label, mass in ((np.full(N, np.nan), weight), (y, 0 * weight)):
        assert np.isnan(list(numbers(score, label, mass).values())).all()


def test_batches_equal_loops_and_compile_once():
    batch = [np.stack(part) for part in zip(*(weighted(seed) for seed in range(3)))]
    mapped = jax.jit(jax.vmap(lambda *rows: compiled(*rows, 0.7)[0]))
    np.testing.assert_allclose(
        mapped(*batch), [list(numbers(*rows).values()) for rows in zip(*batch)], atol=1e-12
    )
    mapped(*(part[::-1].copy() for part in batch))
    assert mapped._cache_size() == 1


@pytest.mark.parametrize("seed", range(3))
def test_auroc_is_the_mann_whitney_statistic(seed):
    score, y, _ = weighted(seed)
    positive, negative = score[y == 1], score[y == 0]
    share = mannwhitneyu(positive, negative).statistic / (positive.size * negative.size)
    assert numbers(score, y, np.ones(N))["auroc"] == pytest.approx(share, abs=1e-12)


def test_auroc_knows_ranks_only_and_turns_with_labels_and_scores():
    score, y, weight = weighted(6)
    area = numbers(score, y, weight)["auroc"]
    assert numbers(np.exp(5 * score) - 3, y, weight)["auroc"] == area
    assert numbers(-score, y, weight)["auroc"] == pytest.approx(1 - area, abs=1e-12)
    assert numbers(score, 1 - y, weight)["auroc"] == pytest.approx(1 - area, abs=1e-12)
    assert numbers(np.ones(N), y, weight)["auroc"] == pytest.approx(0.5, abs=1e-12)
    assert numbers(np.nan_to_num(y), y, weight)["auroc"] == pytest.approx(1, abs=1e-12)


def test_thresholds_move_with_a_monotone_scale():
    score, y, weight = weighted(7)
    plain, scaled = numbers(score, y, weight), numbers(2 * score + 1, y, weight)
    for name in ("balanced", "at_sensitivity", "at_specificity"):
        assert plain[name] in score
        assert scaled[name] == 2 * plain[name] + 1


@pytest.mark.parametrize("wanted", [0.0, 0.31, 0.75, 1.0])
def test_thresholds_keep_their_promise_and_are_the_extreme_ones(wanted):
    score, y, weight = weighted(8)
    actual = numbers(score, y, weight, wanted)
    seen = np.unique(score[~np.isnan(y) & (weight > 0)])
    share = {
        c: np.array([weight[(y == c) & (score >= t)].sum() / weight[y == c].sum() for t in seen])
        for c in (0, 1)
    }
    assert actual["at_sensitivity"] == seen[share[1] >= wanted].max()
    enough = 1 - share[0] >= wanted
    np.testing.assert_equal(
        actual["at_specificity"], seen[enough].min() if enough.any() else np.nan
    )


def padded(score, label):
    """A few examples, and padding of weight 0 up to N."""
    few = len(score)
    return (
        np.pad(score, (0, N - few)),
        np.pad(label, (0, N - few)),
        (np.arange(N) < few).astype(float),
    )


def test_a_specificity_that_no_score_reaches_is_nan():
    data = padded([0.2, 0.4, 0.9], [0.0, 1.0, 0.0])  # the highest score is a negative's
    assert np.isnan(numbers(*data, 1.0)["at_specificity"])
    assert numbers(*data, 0.5)["at_specificity"] == 0.4
    assert [numbers(*data, wanted)["at_sensitivity"] for wanted in (1.0, 0.0)] == [0.4, 0.9]


def test_the_smallest_of_equally_balanced_scores_wins():
    data = padded([0.1, 0.2, 0.3], [0.0, 1.0, 0.0])
    _, sensitivity, specificity = compiled(*data, 0.7)[2]
    np.testing.assert_allclose(
        np.abs(np.asarray(specificity) - np.asarray(sensitivity))[:3], [1, 0.5, 0.5]
    )
    assert numbers(*data)["balanced"] == 0.2


def test_threshold_curve_falls_and_rises():
    score, y, weight = weighted(9)
    threshold, sensitivity, specificity = (
        np.asarray(part) for part in compiled(score, y, weight, 0.7)[2]
    )
    known = np.isfinite(threshold)
    assert known.sum() == (~np.isnan(y) & (weight > 0)).sum()
    assert np.all(np.diff(threshold[known]) >= 0)
    assert np.all(np.diff(sensitivity[known]) <= 1e-12)
    assert np.all(np.diff(specificity[known]) >= -1e-12)
    assert (sensitivity[0], specificity[0]) == (1, 0)


@pytest.mark.parametrize("seed", range(2))
def test_confusion_agrees_with_scikit_learn(seed):
    score, y, weight = weighted(seed)
    known, decision = ~np.isnan(y), score >= 0.5
    actual = compiled(score, y, weight, 0.7)[1]
    (tn, fp), (fn, tp) = confusion_matrix(y[known], decision[known], sample_weight=weight[known])
    np.testing.assert_allclose(list(actual), [tp, fn, fp, tn])
    args, options = (y[known], decision[known]), dict(sample_weight=weight[known])
    values = numbers(score, y, weight)
    assert values["sensitivity"] == pytest.approx(recall_score(*args, **options), abs=1e-10)
    assert values["specificity"] == pytest.approx(
        recall_score(*args, pos_label=0, **options), abs=1e-10
    )
    below = np.where(score >= 0.5, 0.4, 0.6)  # every decision and every label turned
    turned = compiled(below, 1 - y, weight, 0.7)[1]
    np.testing.assert_array_equal(np.stack(turned), np.stack(actual)[::-1])


def test_decisions_include_the_threshold():
    assert metrics.decide([0.49, 0.5, 0.51], 0.5).tolist() == [False, True, True]


error_in_bins = jax.jit(metrics.calibration_error, static_argnames="bins")


@pytest.mark.parametrize("bins", [4, 8])
def test_reliability_curve_agrees_with_scikit_learn(bins):
    score, y, _ = weighted(3)
    score = np.clip(
        score + np.random.default_rng(1).uniform(1e-4, 9e-3, score.size), 0, 1
    )  # none on an edge, where the two differ
    known = ~np.isnan(y)
    actual = error_in_bins(y, score, np.ones(N), bins=bins)
    frequency, mean = calibration_curve(y[known], score[known], n_bins=bins)
    some = np.asarray(actual.weight) > 0
    np.testing.assert_allclose(np.asarray(actual.frequency)[some], frequency, atol=1e-10)
    np.testing.assert_allclose(np.asarray(actual.score)[some], mean, atol=1e-10)
    share = np.asarray(actual.weight)[some] / known.sum()
    np.testing.assert_allclose(actual.value, (share * np.abs(frequency - mean)).sum(), atol=1e-10)


def test_calibration_bins_close_on_the_left_and_refine_upwards():
    assert metrics.calibration_error([0.0, 1.0, 1.0], [0.0, 0.5, 1.0], bins=2).weight.tolist() == [
        1,
        2,
    ]
    score, y, weight = weighted(4)
    errors = [float(error_in_bins(y, score, weight, bins=b).value) for b in (1, 4, 8)]
    assert np.all(np.diff(errors) >= -1e-12)  # splitting a bin can only uncover error
    known = ~np.isnan(y)
    mean, base = (np.average(part[known], weights=weight[known]) for part in (score, y))
    assert errors[0] == pytest.approx(abs(mean - base), abs=1e-12)


def test_brier_limits_and_gradient():
    y = np.array([1.0, 0.0, 0.0, 1.0, 0.0, np.nan])
    assert float(metrics.brier(y, np.nan_to_num(y))) == 0
    assert float(metrics.brier(y, 1 - np.nan_to_num(y))) == 1
    assert float(metrics.brier(y, np.full(6, 0.4))) == pytest.approx(
        0.4 * 0.6
    )  # the base rate: the variance of the labels
    score = jnp.array([0.3, 0.2, 0.9, 0.8, 0.5, 0.5])
    slope = jax.grad(metrics.brier, argnums=1)(y, score)
    np.testing.assert_allclose(
        slope, np.where(np.isnan(y), 0, 2 * (score - np.nan_to_num(y)) / 5), atol=1e-12
    )


def test_division_by_nothing_has_a_finite_gradient():
    assert divide(6, 3) == 2
    assert np.isnan(divide(1.0, 0.0))
    for which in (0, 1):
        assert np.isfinite(jax.grad(divide, which)(1.0, 0.0))


def test_class_weights_of_integer_labels_are_floats():
    positive, negative = class_weights(np.array([1, 0, 2]), np.array([2.5, 3, 4]))
    assert positive.tolist() == [2.5, 0, 0]
    assert negative.tolist() == [0, 3, 0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ties", [False, True])
def test_the_thinned_threshold_is_that_of_scikit_learn_s_own_curve(seed, ties):
    rng = np.random.default_rng(seed)
    label = (rng.random(80) < 0.3).astype(float)
    score = rng.normal(label, 1)
    score = np.round(score, 1) if ties else score
    rate, found, threshold = roc_curve(label, score)  # drop_intermediate by default
    wanted = threshold[np.argmin(np.abs(1 - rate - found))]
    assert metrics.thinned_balanced_threshold(label, score) == wanted
    assert np.isnan(metrics.thinned_balanced_threshold(np.ones(3), score[:3]))
    masked = np.append(label, np.nan), np.append(score, 9.0)
    assert metrics.thinned_balanced_threshold(*masked) == wanted
