"""Tables of counts against plain loops, and what the masks leave out."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.inference import counts
from fairrecon_jax.keys import example_digest


def draw(seed=0, images=60):
    rng = np.random.default_rng(seed)
    o, r = rng.integers(0, 2, (2, 3, images)).astype(float)
    y = rng.integers(0, 2, (3, images)).astype(float)
    g = rng.integers(-1, 3, (3, images))
    patient = rng.integers(0, 9, images)
    o[0, 3], r[1, 5], y[2, 7] = np.nan, np.nan, np.nan
    return o, r, y, g, patient


def test_image_counts_match_a_loop():
    o, r, y, g, _ = draw()
    actual = np.asarray(counts.image_counts(o, r, y, g, groups=3))
    expected = np.zeros((3, 2, 3, 2, 2))
    for k in range(3):
        for i in range(o.shape[1]):
            if g[k, i] >= 0 and np.isfinite(o[k, i] + r[k, i] + y[k, i]):
                expected[k, int(y[k, i]), g[k, i], int(o[k, i]), int(r[k, i])] += 1
    np.testing.assert_array_equal(actual, expected)


def test_patient_counts_match_a_loop_and_sum_to_the_image_counts():
    o, r, y, g, patient = draw(1)
    patient[4] = -1
    actual = np.asarray(counts.patient_counts(o, r, y, g, patient, patients=9, groups=3))
    expected = np.zeros((9, 3, 2, 3, 3))
    for k in range(3):
        for i in range(o.shape[1]):
            if g[k, i] >= 0 and patient[i] >= 0 and np.isfinite(o[k, i] + r[k, i] + y[k, i]):
                expected[patient[i], k, int(y[k, i]), g[k, i]] += 1, o[k, i], r[k, i]
    np.testing.assert_array_equal(actual, expected)
    patient[4] = 0
    total = np.asarray(counts.patient_counts(o, r, y, g, patient, patients=9, groups=3)).sum(0)
    table = np.asarray(counts.image_counts(o, r, y, g, groups=3))
    np.testing.assert_array_equal(total[..., 0], table.sum((-2, -1)))
    np.testing.assert_array_equal(
        total[..., 2] - total[..., 1], table[..., 0, 1] - table[..., 1, 0]
    )


def test_labels_can_be_a_subset():
    o, r, y, g, _ = draw(2)
    both = np.asarray(counts.image_counts(o, r, y, g, groups=3))
    one = np.asarray(counts.image_counts(o, r, y, g, groups=3, labels=(1,)))
    np.testing.assert_array_equal(one[:, 0], both[:, 1])


def test_groups_beyond_the_last_are_left_out():
    o, r, y, g, _ = draw(3)
    few = np.asarray(counts.image_counts(o, r, y, g, groups=2))
    np.testing.assert_array_equal(
        few, np.asarray(counts.image_counts(o, r, y, g, groups=3))[:, :, :2]
    )


def test_patient_means_and_totals_match_a_loop():
    rng = np.random.default_rng(4)
    value = rng.normal(size=(2, 40))
    value[1, 6] = np.nan
    group, patient = rng.integers(-1, 2, (2, 40)), rng.integers(0, 5, 40)
    mean, present = (
        np.asarray(a)[:, :, 0]
        for a in counts.patient_means(value, group, patient, patients=5, groups=2)
    )
    total = np.asarray(counts.patient_totals(np.nan_to_num(value), patient, patients=5))
    for p in range(5):
        for k in range(2):
            assert total[p, k] == pytest.approx(
                np.nan_to_num(value[k])[patient == p].sum(), abs=1e-5
            )
            for g in range(2):
                rows = (patient == p) & (group[k] == g) & np.isfinite(value[k])
                assert present[p, k, g] == rows.any()
                assert mean[p, k, g] == pytest.approx(
                    value[k][rows].mean() if rows.any() else 0, abs=1e-6
                )


def test_patients_are_numbered_by_name_and_keyed_by_it():
    who = counts.index_patients(["b", "a", "b", "c"])
    np.testing.assert_array_equal(who.codes, [1, 0, 1, 2])
    assert who.total == 3
    np.testing.assert_array_equal(who.digest[0], example_digest("a"))
    np.testing.assert_array_equal(
        counts.index_patients(np.array([7, 7, 12])).digest[1], example_digest("7")
    )


def test_align_broadcasts_and_refuses():
    lead, (a, b) = counts.align((np.zeros((4, 1, 5)), np.zeros((3, 5))), 5)
    assert lead == (4, 3)
    assert a.shape == b.shape == (12, 5)
    assert counts.align((np.zeros(5),), 5)[0] == ()
    with pytest.raises(ValueError, match="last axis must hold 6 images"):
        counts.align((np.zeros(5),), 6)
    with pytest.raises(ValueError, match="non-empty vector"):
        counts.index_patients(np.zeros((2, 2)))
