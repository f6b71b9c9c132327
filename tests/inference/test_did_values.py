"""The difference-in-differences test of values and of AUROC against decisions, patient means and
DeLong's variances.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest

from fairrecon_jax.inference.did import did_test, did_test_auroc, did_test_continuous
from tests.support.decisions_fake import simulate

KEY = jax.random.key(7)


def test_continuous_matches_decisions_of_one_image_a_patient_and_is_scale_free():
    o, r, _, g, _ = simulate(14, images=1)
    patient = np.arange(len(o))
    as_value = did_test_continuous(o, r, g, patient, KEY, groups=3, flips=199)
    as_decision = did_test(o, r, np.ones(len(o)), g, patient, KEY, groups=3, flips=199, labels=(1,))
    assert as_value.statistic == pytest.approx(float(as_decision.statistic), rel=1e-5)
    assert as_value.p_value == pytest.approx(float(as_decision.p_value), abs=1e-6)
    scaled = did_test_continuous(1000 * o, 1000 * r, g, patient, KEY, groups=3, flips=199)
    assert scaled.p_value == pytest.approx(float(as_value.p_value), abs=1.5 / 200)
    assert np.isnan(scaled.probit_change).all()


def test_continuous_uses_patient_means():
    value = np.array([1.0, 3.0, 10.0, np.nan, 5.0, 7.0])
    patient = np.array(list("aabbcd"))
    group = np.array([0, 0, 0, 0, 1, 1])
    result = did_test_continuous(
        np.zeros(6), value, group, patient, KEY, groups=2, flips=199, min_patients=2
    )
    np.testing.assert_allclose(result.change[0], [(2 + 10) / 2, 6])
    np.testing.assert_array_equal(result.n_patients[0], [2, 2])
    np.testing.assert_array_equal(result.n_images[0], [3, 2])
    np.testing.assert_allclose(result.overall_change, [(2 + 10 + 5 + 7) / 4])


def test_auroc_change_and_variance_are_delongs():
    rng = np.random.default_rng(2)
    size = 300
    label, group = rng.integers(0, 2, size).astype(float), rng.integers(0, 2, size)
    score = label + rng.normal(0, 1, size)
    noisy = score + rng.normal(0, 0.7, size) * (1 + group)
    result = did_test_auroc(score, noisy, label, group, np.arange(size), KEY, groups=2, flips=199)
    for g in (0, 1):
        rows = group == g
        pos, neg = rows & (label == 1), rows & (label == 0)

        def kernel(s, pos=pos, neg=neg):
            return (s[pos][:, None] > s[neg][None]) + 0.5 * (s[pos][:, None] == s[neg][None])

        change = kernel(noisy) - kernel(score)
        assert result.change[0, g] == pytest.approx(change.mean(), abs=1e-5)
        h2 = ((change.mean(1) - change.mean()) ** 2).sum() / pos.sum() ** 2 + (
            (change.mean(0) - change.mean()) ** 2
        ).sum() / neg.sum() ** 2
        assert result.variance[0, g] == pytest.approx(h2, rel=0.05)
    assert result.p_value > 0
    null = did_test_auroc(score, score, label, group, np.arange(size), KEY, groups=2, flips=199)
    assert null.p_value == 1


def test_auroc_sums_influences_of_a_patients_images():
    rng = np.random.default_rng(3)
    size = 400
    patient = np.repeat(np.arange(size // 2), 2)
    label, group = (
        np.repeat(rng.integers(0, 2, size // 2), 2).astype(float),
        np.repeat(np.arange(size // 2) % 2, 2),
    )
    score = np.repeat(label[::2] + rng.normal(0, 1, size // 2), 2)
    noisy = score + np.repeat(rng.normal(0, 1, size // 2), 2)
    doubled = did_test_auroc(score, noisy, label, group, patient, KEY, groups=2, flips=199)
    single = did_test_auroc(
        score[::2], noisy[::2], label[::2], group[::2], patient[::2], KEY, groups=2, flips=199
    )
    np.testing.assert_allclose(doubled.variance, single.variance, rtol=1e-4)
    assert doubled.p_value == pytest.approx(float(single.p_value), abs=1.5 / 200)


def test_auroc_needs_both_classes():
    o, r, y, g, patient = simulate(15)
    y = np.where(g == 2, 1.0, y)
    result = did_test_auroc(o, r, y, g, patient, KEY, groups=3, flips=199, min_patients=10)
    assert not result.estimable[0, 2]
    assert result.estimable[0, :2].all()
