"""Tables of counts against plain loops, and what the masks leave out."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.inference import counts


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


def test_align_broadcasts_and_refuses():
    lead, (a, b) = counts.align((np.zeros((4, 1, 5)), np.zeros((3, 5))), 5)
    assert lead == (4, 3)
    assert a.shape == b.shape == (12, 5)
    assert counts.align((np.zeros(5),), 5)[0] == ()
    with pytest.raises(ValueError, match="last axis must hold 6 images"):
        counts.align((np.zeros(5),), 6)
