"""AUROC and DeLong's influences against scikit-learn and the defining double loop."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fairrecon_jax.inference.delong import placements
from tests.support.golden_sample import sample

SIZE = 150


def draw(seed=0, ties=False):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, SIZE)
    score = label + rng.normal(0, 1, SIZE)
    return (np.round(score) if ties else score), label


def loops(score, label):
    """AUROC, and each image's mean placement, by the defining double loop."""
    up, down = score[label == 1][:, None], score[label == 0][None]
    kernel = (up > down) + 0.5 * (up == down)
    return kernel.mean(), kernel.mean(1), kernel.mean(0)


@pytest.mark.parametrize("ties", [False, True])
def test_area_and_influences_against_the_double_loop(ties):
    score, label = draw(1, ties)
    area, influence = placements(label, score)
    mean, positive, negative = loops(score, label)
    np.testing.assert_allclose(area, mean, rtol=1e-12)
    np.testing.assert_allclose(area, roc_auc_score(label, score), rtol=1e-12)
    np.testing.assert_allclose(
        influence[label == 1], (positive - mean) / (label == 1).sum(), atol=1e-12
    )
    np.testing.assert_allclose(
        influence[label == 0], (negative - mean) / (label == 0).sum(), atol=1e-12
    )
    assert abs(influence.sum()) < 1e-12


def test_the_variance_is_delongs():
    score, label = draw(2)
    _, influence = placements(label, score)
    _, positive, negative = loops(score, label)
    delong = positive.var(ddof=1) / len(positive) + negative.var(ddof=1) / len(negative)
    assert np.sum(influence**2) == pytest.approx(delong, rel=0.03)


def test_the_golden_sample():
    _, _, label, score, _ = sample()
    known = np.isfinite(label)
    area, _ = placements(label[known], score[known])
    assert area == pytest.approx(roc_auc_score(label[known], score[known]), abs=1e-12)


def test_extremes():
    label = np.array([0, 0, 1, 1])
    for score, area in (([1, 2, 3, 4], 1), ([4, 3, 2, 1], 0), ([0, 0, 0, 0], 0.5)):
        assert placements(label, np.array(score, float))[0] == area
    undefined, zeros = placements(np.ones(4), np.arange(4.0))
    assert np.isnan(undefined)
    assert not zeros.any()
