"""Scores and decisions against scikit-learn; masks, weights, ties, absent classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from fairrecon_jax import metrics
from tests.support import golden_sample
from tests.support.metric_samples import random_scores


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def test_stored_numbers():
    _, _, y, s, _ = golden_sample.sample()
    np.testing.assert_allclose(metrics.auroc(y, s), 0.8872971824295608, atol=1e-14)
    assert float(metrics.balanced_threshold(y, s)) == 0.5698025243586015


@pytest.mark.parametrize("seed", range(4))
def test_auroc_and_brier_agree_with_scikit_learn(seed):
    score, y, weight = random_scores(seed)
    known = ~np.isnan(y)
    np.testing.assert_allclose(
        metrics.auroc(y, score), roc_auc_score(y[known], score[known]), atol=1e-10
    )
    np.testing.assert_allclose(
        metrics.brier(y, score), brier_score_loss(y[known], score[known]), atol=1e-10
    )
    args = y[known], score[known]
    np.testing.assert_allclose(
        metrics.auroc(y, score, weight),
        roc_auc_score(*args, sample_weight=weight[known]),
        atol=1e-10,
    )
    np.testing.assert_allclose(
        metrics.brier(y, score, weight),
        brier_score_loss(*args, sample_weight=weight[known]),
        atol=1e-10,
    )


def test_masked_nan_scores_do_not_leak():
    score, y, _ = random_scores(0)
    with_hole = np.where(np.isnan(y), np.nan, score)
    for function in (metrics.auroc, metrics.brier, metrics.balanced_threshold):
        assert float(function(y, with_hole)) == float(function(y, score))


def test_absent_classes_are_nan():
    score, y = np.array([0.1, 0.9]), np.array([1.0, 1.0])
    for value in (
        metrics.auroc(y, score),
        metrics.balanced_threshold(y, score),
        metrics.threshold_at_specificity(y, score, 0.5),
    ):
        assert np.isnan(value)
    assert np.isnan(metrics.brier(np.full(2, np.nan), score))


@pytest.mark.parametrize("seed", range(4))
def test_thresholds_agree_with_a_search_over_the_roc_curve(seed):
    score, y, _ = random_scores(seed)
    known = ~np.isnan(y)
    fpr, tpr, cut = roc_curve(y[known], score[known], drop_intermediate=False)
    fpr, tpr, cut = fpr[:0:-1], tpr[:0:-1], cut[:0:-1]  # ascending, without the infinite one
    balance = np.abs((1 - fpr) - tpr)
    assert (
        float(metrics.balanced_threshold(y, score))
        == cut[np.flatnonzero(balance <= balance.min() + 1e-12)[0]]
    )
    assert float(metrics.threshold_at_sensitivity(y, score, 0.8)) == cut[tpr >= 0.8].max()
    assert float(metrics.threshold_at_specificity(y, score, 0.8)) == cut[1 - fpr >= 0.8].min()


def test_confusion_and_rates():
    result = metrics.confusion([1.0, 0.0, 1.0, 0.0, np.nan], [1, 1, 0, 0, 1], [1.0, 1, 3, 1, 1])
    assert [float(x) for x in result] == [1, 3, 1, 1]
    assert float(result.sensitivity) == 0.25
    assert float(result.specificity) == 0.5
    assert np.isnan(metrics.confusion([1.0], [1]).specificity)


def test_calibration_error_by_hand():
    result = metrics.calibration_error([0.0, 1.0, 1.0, 1.0], [0.05, 0.05, 0.95, 1.0], bins=10)
    assert float(result.value) == pytest.approx((2 * 0.45 + 2 * 0.025) / 4)
    assert result.weight.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert np.isnan(result.frequency[5])
    r = np.random.default_rng(0)
    score = r.random(200_000)
    assert (
        float(metrics.calibration_error((r.random(score.size) < score).astype(float), score).value)
        < 0.01
    )


def test_vmap_over_tasks_and_replicates():
    score, y, _ = random_scores(1)
    weights = (
        np.random.default_rng(0).multinomial(len(y), np.full(len(y), 1 / len(y)), 3).astype(float)
    )
    together = jax.jit(jax.vmap(metrics.auroc, (None, None, 0)))(
        jnp.asarray(y), jnp.asarray(score), jnp.asarray(weights)
    )
    np.testing.assert_allclose(together, [metrics.auroc(y, score, w) for w in weights], atol=1e-12)


def test_single_precision_at_scale():
    r = np.random.default_rng(0)
    y = (r.random(38_000) < 0.1).astype(np.float32)
    score = (r.normal(0, 1, y.size) + y).astype(np.float32)
    with jax.enable_x64(False):
        np.testing.assert_allclose(
            metrics.auroc(jnp.asarray(y), jnp.asarray(score)), roc_auc_score(y, score), atol=1e-6
        )


@pytest.mark.parametrize("weighted", [False, True])
def test_numpy_and_jax_agree(weighted):
    score, y, weight = random_scores(4)
    weight = weight if weighted else None
    for function, options in (
        (metrics.auroc, {}),
        (metrics.brier, {}),
        (metrics.balanced_threshold, {}),
        (metrics.threshold_at_sensitivity, {"sensitivity": 0.8}),
        (metrics.threshold_at_specificity, {"specificity": 0.8}),
        (metrics.calibration_error, {}),
    ):
        host = function(y, score, weight=weight, **options)
        device = function(y, jnp.asarray(score), weight=weight, **options)
        for a, b in zip(jax.tree.leaves(host), jax.tree.leaves(device)):
            assert not isinstance(a, jax.Array)
            assert isinstance(b, jax.Array)
            np.testing.assert_allclose(a, b, atol=1e-12)


def test_calibration_error_of_sums_takes_leading_axes():
    score, y, _ = random_scores(5)
    known = ~np.isnan(y)
    slot = metrics.calibration_bin(score, 10)[known]
    sums = [np.bincount(slot, part, 10) for part in (None, score[known], y[known])]
    both = metrics.calibration_error_from_sums(*(np.stack([s, np.zeros(10)]) for s in sums))
    np.testing.assert_allclose(both.value, [metrics.calibration_error(y, score).value, np.nan])
    assert metrics.calibration_bin(np.array([0, 0.1, 1.0]), 10).tolist() == [0, 1, 9]


def test_the_label_comes_first_and_what_does_not_belong_together_is_refused():
    label, score = [0, 1, 1, np.nan], [0.2, 0.7, 0.9, 0.1]
    for function, what in (
        (metrics.auroc, "score"),
        (metrics.brier, "score"),
        (metrics.balanced_threshold, "score"),
        (metrics.calibration_error, "score"),
        (metrics.confusion, "decision"),
    ):
        function(label, score)
        message = rf"label must hold 0, 1 or NaN \(unknown\), got \[0\.2.*then the {what}"
        with pytest.raises(ValueError, match=message):
            function(score, label)
        with pytest.raises(ValueError, match=r"got shapes \(4,\) and \(1,\)"):
            function(label, [0.5])
    for function in (metrics.threshold_at_sensitivity, metrics.threshold_at_specificity):
        with pytest.raises(ValueError, match="the label comes first"):
            function(score, label, 0.8)
