"""The studentised distance between groups against Welch's test, and its normal tail."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, studentized_range, ttest_ind

from fairrecon_jax.inference.distance import (
    largest_distance,
    mean_variances,
    rate_variances,
    tail_of_largest,
    tail_of_mean,
)
from fairrecon_jax.inference.group_draws import observed_sums
from fairrecon_jax.inference.group_statistic import contrasts, frame_of
from fairrecon_jax.inference.group_tables import PatientTables, patient_digests


def distance_of(value, group, groups, judged=None, shrink=True):
    """Distances [K] of values [U, K] of patients."""
    digest = patient_digests(np.arange(len(group)))[1]
    s = value[..., None]
    tables = PatientTables(
        s, np.ones_like(s), group, digest, digest, np.zeros(len(group), int), groups
    )
    patients = np.stack([np.full(s.shape[1:], np.sum(group == g)) for g in range(groups)], -1)
    judged = patients > 0 if judged is None else judged & (patients > 0)
    sums = observed_sums(tables)
    found = contrasts(sums, frame_of(tables, judged, patients, None, 0.0))
    found = found if shrink else found._replace(variance=np.zeros_like(found.variance))
    variances = mean_variances(sums, found, patients)
    return largest_distance(found.change, variances, judged, patients)[0, :, 0]


@pytest.mark.parametrize("sizes", [(5, 8), (40, 7), (200, 30)])
def test_of_two_groups_it_is_the_deviate_of_welchs_test(sizes):
    r = np.random.default_rng(0)
    group = np.repeat([0, 1], sizes)
    value = r.normal(size=(len(group), 50)) * np.where(group == 0, 1, 2)[:, None]
    welch = ttest_ind(value[group == 0], value[group == 1], equal_var=False).pvalue
    np.testing.assert_allclose(
        distance_of(value, group, 2, shrink=False), norm.isf(welch / 2), atol=0.03
    )
    assert np.all(distance_of(value, group, 2) <= distance_of(value, group, 2, shrink=False) + 0.01)


def test_scale_shift_and_names_do_not_matter_and_groups_can_be_left_out():
    r = np.random.default_rng(1)
    group = np.repeat([0, 1, 2], [20, 15, 10])
    value = r.normal(size=(45, 6))
    plain = distance_of(value, group, 3)
    np.testing.assert_allclose(distance_of(3 * value, group, 3), plain, rtol=1e-9)
    np.testing.assert_allclose(distance_of(value, np.array([2, 0, 1])[group], 3), plain, rtol=1e-9)
    inside = np.broadcast_to(np.array([True, True, False]), (6, 1, 3))
    assert np.all(distance_of(value, group, 3, judged=inside) <= plain + 0.2)
    assert np.isnan(distance_of(value, group, 3, judged=inside & (np.arange(3) > 0))).all()


def sums_of(s, n, group):
    """Sums of positives s and images n [U] of patients."""
    digest = patient_digests(np.arange(len(group)))[1]
    parts = [np.asarray(v, float)[:, None, None] for v in (s, n)]
    zero = np.zeros(len(group), int)
    sums = observed_sums(PatientTables(*parts, group, digest, digest, zero, int(group.max()) + 1))
    patients = np.bincount(group)[None, None]
    return sums, patients, np.ones(patients.shape, bool)


def test_rates_of_single_images_have_the_variance_of_one_rate():
    group = np.repeat([0, 1], [10, 30])
    s = np.arange(40) % 4 == 0
    whole, estimated = rate_variances(*sums_of(s, np.ones(40), group))
    np.testing.assert_allclose(whole[0, 0, 0], 0.25 * 0.75 / np.array([10, 30]))
    assert not estimated.any()


def test_rates_of_copied_images_have_the_variance_of_patients():
    """Eight equal images of a patient are one image."""
    group, s = np.repeat([0, 1], 200), np.arange(400) % 4 == 0
    whole, estimated = rate_variances(*sums_of(8 * s, np.full(400, 8), group))
    np.testing.assert_allclose(whole[0, 0, 0], 0.25 * 0.75 / 200, rtol=0.01)
    np.testing.assert_allclose(estimated / whole, 7 / 8, rtol=0.01)


def test_rates_of_independent_images_have_the_variance_of_images():
    r = np.random.default_rng(0)
    group, n = np.repeat([0, 1], [4000, 6000]), r.integers(1, 9, 10_000)
    whole, _ = rate_variances(*sums_of(r.binomial(n, 0.3), n, group))
    images = np.bincount(group, n)
    np.testing.assert_allclose(whole[0, 0, 0], 0.21 / images, rtol=0.15)


def test_the_tail_of_two_groups_is_normal_and_of_more_that_of_tukey():
    z = np.array([0, 1.0, 1.96, 3, np.nan])
    one = np.ones(1)
    two = tail_of_largest(z, np.full((5, 1), 2), one)
    np.testing.assert_allclose(two, 2 * norm.sf(z), atol=2e-4)
    for groups in (3, 6):
        actual = tail_of_largest(z[1:4], np.full((3, 1), groups), one)
        expected = studentized_range.sf(np.sqrt(2) * z[1:4], groups, np.inf)
        np.testing.assert_allclose(actual, expected, atol=5e-4)
    both = tail_of_largest(z, np.full((5, 2), 2), np.array([0.5, 1]))
    np.testing.assert_allclose(both, 1 - (1 - 2 * norm.sf(2 * z)) * (1 - 2 * norm.sf(z)), atol=3e-4)


def test_the_tail_of_a_mean_over_labels():
    r = np.random.default_rng(2)
    deviates = r.normal(size=(200_000, 5)) / np.sqrt(2)
    peaks = np.ptp(deviates[:, :2], axis=1), np.ptp(deviates[:, 2:], axis=1)
    z = np.array([0.5, 1.0, 1.5, 2.0, 2.5])
    for order in ((0, 1), (1, 0)):
        mean = (0.7 * peaks[order[0]] + peaks[order[1]]) / 2
        groups = np.tile(np.array([2, 3])[list(order)], (5, 1))
        actual = tail_of_mean(z, groups, np.array([0.7, 1.0]))
        np.testing.assert_allclose(actual, (mean[:, None] >= z).mean(0), rtol=0.05, atol=1e-3)
