"""AUROC, DeLong's covariance and the AUROC bootstrap against quadratic references and
scikit-learn.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest

from fairrecon_jax.inference.bootstrap import bootstrap_auroc
from fairrecon_jax.inference.delong import (
    auroc,
    clustered_error,
    delong_change,
    paired_influences,
    placements,
    weighted_auroc,
)
from tests.support.golden_sample import sample

KEY = jax.random.key(5)
SIZE = 150


def draw(seed=0, ties=False):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, SIZE)
    first = label + rng.normal(0, 1, SIZE)
    second = label + 0.7 * (first - label) + rng.normal(0, 0.7, SIZE)
    if ties:
        first, second = np.round(first), np.round(second)
    return first, second, label


def quadratic(scores, label):
    """DeLong's covariance by the defining double loop, float64."""
    v10, v01, area = [], [], []
    for s in scores:
        kernel = (s[label == 1][:, None] > s[label == 0][None]) + 0.5 * (
            s[label == 1][:, None] == s[label == 0][None]
        )
        v10.append(kernel.mean(1))
        v01.append(kernel.mean(0))
        area.append(kernel.mean())
    return np.array(area), np.cov(v10) / (label == 1).sum() + np.cov(v01) / (label == 0).sum()


@pytest.mark.parametrize("ties", [False, True])
def test_covariance_matches_the_quadratic_reference(ties):
    first, second, label = draw(1, ties)
    area, covariance = quadratic((first, second), label)
    with jax.enable_x64(True):
        result = delong_change(first, second, label, np.ones(SIZE, bool))
        np.testing.assert_allclose([result.original, result.reconstructed], area, rtol=1e-12)
        np.testing.assert_allclose(result.covariance, covariance, rtol=1e-10)
        contrast = np.array([-1, 1])
        assert float(result.std_error) == pytest.approx(
            np.sqrt(contrast @ covariance @ contrast), rel=1e-10
        )
    single = delong_change(
        first.astype(np.float32), second.astype(np.float32), label, np.ones(SIZE, bool)
    )
    np.testing.assert_allclose(single.covariance, covariance, rtol=2e-4)


def test_reference_auroc_and_scikit_learn():
    _, _, y, s, _ = sample()
    assert float(auroc(s, y)) == pytest.approx(0.8872971824295608, abs=1e-6)
    metrics = pytest.importorskip("sklearn.metrics")
    first, _, label = draw(2, True)
    assert float(auroc(first, label)) == pytest.approx(
        metrics.roc_auc_score(label, first), abs=1e-6
    )


def test_mask_equals_leaving_out():
    first, second, label = draw(3)
    mask = np.random.default_rng(0).random(SIZE) < 0.7
    whole = delong_change(np.where(mask, first, np.nan), second, np.where(mask, label, 7), mask)
    part = delong_change(first[mask], second[mask], label[mask], np.ones(mask.sum(), bool))
    assert float(whole.change) == pytest.approx(float(part.change), abs=1e-6)
    assert float(whole.std_error) == pytest.approx(float(part.std_error), rel=1e-4)


def test_influences_sum_to_zero_and_vanish_without_change():
    first, second, label = draw(4)
    mask = np.arange(SIZE) % 5 > 0
    before, after, h = paired_influences(first, second, label, mask)
    assert abs(float(h.sum())) < 1e-5
    assert np.all(np.asarray(h)[~mask] == 0)
    assert float(before) == pytest.approx(float(auroc(first, label, mask)))
    assert float(after) == pytest.approx(float(auroc(second, label, mask)))
    assert np.all(np.asarray(paired_influences(first, np.exp(first), label, mask)[2]) == 0)


def test_one_class_is_undefined():
    first, second, _ = draw(5)
    result = delong_change(first, second, np.ones(SIZE), np.ones(SIZE, bool))
    assert np.isnan(result.change)
    assert np.isnan(result.std_error)
    assert np.all(
        np.asarray(paired_influences(first, second, np.ones(SIZE), np.ones(SIZE, bool))[2]) == 0
    )


def test_extremes():
    label = np.array([0, 0, 1, 1])
    assert float(auroc(np.array([0.1, 0.2, 0.3, 0.4]), label)) == 1
    assert float(auroc(np.array([0.4, 0.3, 0.2, 0.1]), label)) == 0
    assert float(auroc(np.zeros(4), label)) == 0.5


@pytest.mark.parametrize("ties", [False, True])
def test_weighted_auroc_is_the_auroc_of_the_repeated_sample(ties):
    metrics = pytest.importorskip("sklearn.metrics")
    first, _, label = draw(6, ties)
    weight = np.random.default_rng(0).integers(0, 4, (3, SIZE)).astype(np.uint8)
    result = weighted_auroc(first, label, weight)
    for row, value in zip(weight, result):
        assert value == pytest.approx(
            metrics.roc_auc_score(np.repeat(label, row), np.repeat(first, row)), abs=1e-9
        )
    assert np.isnan(weighted_auroc(first, np.ones(SIZE), weight)).all()
    assert np.isnan(weighted_auroc(np.zeros(0), np.zeros(0), np.zeros((2, 0)))).all()


@pytest.mark.parametrize("ties", [False, True])
def test_placements_give_the_auroc_and_influences_that_sum_to_zero(ties):
    metrics = pytest.importorskip("sklearn.metrics")
    score, _, label = draw(9, ties)
    area, influence = placements(score, label)
    assert area == pytest.approx(metrics.roc_auc_score(label, score), abs=1e-12)
    assert abs(influence.sum()) < 1e-12
    undefined, zeros = placements(score, np.ones(SIZE))
    assert np.isnan(undefined)
    assert not zeros.any()


def test_an_error_of_single_images_is_delongs_and_copies_of_a_patient_add_nothing():
    first, _, label = draw(10)
    area, influence = placements(first, label)
    _, covariance = quadratic((first, first), label)
    result = clustered_error(influence, np.arange(SIZE), area)
    assert result == pytest.approx(np.sqrt(covariance[0, 0]), rel=0.01)
    three = placements(np.repeat(first, 3), np.repeat(label, 3))[1]
    again = clustered_error(three, np.repeat(np.arange(SIZE), 3), area)
    assert again == pytest.approx(result, rel=1e-9)
    by_hand = clustered_error(np.array([0.1, 0.2, -0.3]), np.array([0, 0, 1]), 0.7)
    assert by_hand == pytest.approx(np.sqrt(2 * (0.3**2 + 0.3**2)))
    assert np.isnan(clustered_error(influence, np.zeros(SIZE), area))
    assert np.isnan(clustered_error(influence, np.arange(SIZE), np.nan))


def test_bootstrap_error_agrees_with_delong():
    first, second, label = draw(7)
    group = np.arange(SIZE) % 2
    result = bootstrap_auroc(
        first, second, label, group, np.arange(SIZE), KEY, groups=2, replicates=800
    )
    exact = delong_change(first, second, label, np.ones(SIZE, bool))
    assert result["overall"].change.value == pytest.approx(float(exact.change), abs=1e-6)
    assert result["overall"].change.std_error == pytest.approx(float(exact.std_error), rel=0.12)
    assert (
        result["overall"].change.ci_low
        < result["overall"].change.value
        < result["overall"].change.ci_high
    )
    for g in (0, 1):
        rows = group == g
        assert result["auroc"].original.value[g] == pytest.approx(
            float(auroc(first, label, rows)), abs=1e-6
        )
    assert result["gap"].original.value == pytest.approx(
        np.ptp(result["auroc"].original.value), abs=1e-6
    )


def test_bootstrap_by_patient_is_wider_for_repeated_images_and_batches():
    first, second, label = draw(8)
    patient = np.repeat(np.arange(SIZE), 3)
    data = [np.repeat(a, 3) for a in (first, second, label)]
    group = np.zeros(3 * SIZE, int)
    batch = np.stack([data[1], data[0]])
    by_patient = bootstrap_auroc(
        data[0], batch, data[2], group, patient, KEY, groups=1, replicates=300
    )["overall"]
    by_image = bootstrap_auroc(
        data[0], batch, data[2], group, patient, KEY, groups=1, replicates=300, resample="image"
    )["overall"]
    assert by_patient.change.std_error[0] > 1.4 * by_image.change.std_error[0]
    assert by_patient.change.value[1] == 0
    assert by_patient.p_two_sided[1] == 1
    with pytest.raises(ValueError, match="'patient' or 'image'"):
        bootstrap_auroc(*data[:3], group, patient, KEY, groups=1, resample="slice")
