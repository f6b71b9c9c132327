"""The published recipe: its gap, its reading of empty strata, its tails."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.inference.published import (
    CAUTION,
    published_gap,
    published_summary,
    published_test,
)
from tests.support.golden_sample import THRESHOLD, sample

KEY = 2


def draw(seed=0):
    sex, race, y, s, _ = sample()
    rng = np.random.default_rng(seed)
    moved = np.clip(s + rng.normal(0, 0.1, len(s)) - 0.1 * (sex == 1), 0, 1)
    return (
        (s >= THRESHOLD).astype(float),
        (moved >= THRESHOLD).astype(float),
        y.astype(float),
        sex,
        race,
    )


def test_reference_numbers_of_both_forms():
    o, r, y, sex, race = draw()
    mean = published_test(o, r, y, sex, KEY, groups=2, replicates=50)
    worst = published_test(o, r, y, race, KEY, groups=3, replicates=50, form="max")
    assert mean.original == pytest.approx(0.048026315789, abs=1e-6)
    assert worst.original == pytest.approx(0.323529411765, abs=1e-6)
    assert mean.change == pytest.approx(float(mean.reconstructed - mean.original), abs=1e-6)


def test_distribution_matches_resampling_images_by_hand():
    o, r, y, sex, _ = draw(1)
    actual = published_test(o, r, y, sex, KEY, groups=2, replicates=2000)
    rng = np.random.default_rng(0)

    def gap(d, y, g):
        rate = np.array([[d[(y == k) & (g == j)].mean() for j in (0, 1)] for k in (0, 1)])
        return np.abs(rate[:, 0] - rate[:, 1]).mean()

    by_hand = []
    for _ in range(1000):
        rows = rng.integers(0, len(o), len(o))
        by_hand.append(gap(r[rows], y[rows], sex[rows]) - gap(o[rows], y[rows], sex[rows]))
    by_hand = np.array(by_hand)
    assert actual.std_error == pytest.approx(by_hand.std(), rel=0.1)
    side = (by_hand <= 0) if actual.change > 0 else (by_hand >= 0)
    assert actual.p_one_tailed == pytest.approx(side.mean(), abs=0.05)
    np.testing.assert_allclose(
        [actual.ci_low, actual.ci_high], np.quantile(by_hand, [0.025, 0.975]), atol=0.02
    )
    assert actual.p_two_sided == pytest.approx(min(1, 2 * float(actual.p_one_tailed)), abs=1e-6)


def test_an_empty_stratum_reads_as_the_published_constant():
    table = np.zeros((1, 2, 2, 2, 2))
    table[0, :, 0, 1, 1], table[0, :, 0, 0, 0], table[0, 0, 1, 0, 0] = 6, 4, 5
    present = np.ones((1, 2, 2), bool)
    as_one = published_gap(table, present, "max", 1.0)[0]
    as_zero = published_gap(table, present, "max", 0.0)[0]
    assert float(as_one[0]) == pytest.approx(0.6, abs=1e-6)
    assert float(as_zero[0]) == pytest.approx(0.6, abs=1e-6)
    assert float(published_gap(table, present, "mean", 1.0)[0][0]) == pytest.approx(
        (0.6 + 0.4) / 2, abs=1e-6
    )
    assert float(published_gap(table, present, "mean", 0.0)[0][0]) == pytest.approx(0.6, abs=1e-6)


def test_a_group_absent_from_the_cohort_is_left_out():
    o, r, y, sex, _ = draw(2)
    two = published_test(o, r, y, sex, KEY, groups=2, replicates=50)
    three = published_test(o, r, y, sex, KEY, groups=3, replicates=50)
    assert two.change == pytest.approx(float(three.change), abs=1e-6)
    nobody = published_summary(np.zeros((1, 2, 2, 2, 2)), np.zeros((5, 1, 2, 2, 2, 2)))
    assert np.isnan(nobody[2]).all()


def test_seeded_batched_and_labelled():
    o, r, y, sex, _ = draw(3)
    first = published_test(o, np.stack([r, o]), y, sex, KEY, groups=2, replicates=50)
    again = published_test(o, np.stack([r, o]), y, sex, KEY, groups=2, replicates=50)
    np.testing.assert_array_equal(first.p_one_tailed, again.p_one_tailed)
    assert first.change.shape == (2,)
    assert first.change[1] == 0
    assert "no verdict" in CAUTION
    with pytest.raises(ValueError, match="at least 2"):
        published_test(o, r, y, sex, KEY, groups=2, replicates=1)
