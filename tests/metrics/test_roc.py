"""The ROC curve at given rates against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from fairrecon_jax.metrics import sensitivity_at


@pytest.mark.parametrize("ties", [False, True])
def test_the_curve_is_that_of_scikit_learn_at_every_rate(ties):
    rng = np.random.default_rng(3)
    label = (rng.random(300) < 0.3).astype(float)
    score = 0.3 * label + rng.random(300)
    score = np.round(score, 1) if ties else score
    rates, found, _ = roc_curve(label, score, drop_intermediate=False)
    wanted = np.linspace(0, 1, 57)
    best = [found[rates <= at + 1e-12].max() for at in wanted]
    np.testing.assert_allclose(sensitivity_at(label, score, wanted), best, atol=1e-12)


def test_unknown_labels_and_scores_take_no_part():
    rng = np.random.default_rng(0)
    label, score = rng.integers(0, 2, 60).astype(float), rng.random(60)
    grid = np.linspace(0, 1, 9)
    more_label = np.concatenate([label, [np.nan] * 5, [1.0] * 5])
    more_score = np.concatenate([score, [0.99] * 5, [np.nan] * 5])
    np.testing.assert_array_equal(
        sensitivity_at(more_label, more_score, grid), sensitivity_at(label, score, grid)
    )


def test_the_curve_depends_on_the_order_of_scores_alone_and_never_falls():
    rng = np.random.default_rng(1)
    label, score = rng.integers(0, 2, 80), rng.random(80)
    grid = np.linspace(0, 1, 33)
    curve = sensitivity_at(label, score, grid)
    np.testing.assert_array_equal(curve, sensitivity_at(label, np.exp(5 * score), grid))
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == 1


@pytest.mark.parametrize("label", [0.0, 1.0, np.nan])
def test_one_label_has_no_curve(label):
    assert np.isnan(sensitivity_at(np.full(2, label), np.array([0.1, 0.7]), np.array([0.5]))).all()
