"""The published recipe: its gap, its reading of empty strata, its tails."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.inference.published import (
    CAUTION,
    published_gap,
    published_means_tests,
    published_summary,
    published_test,
    published_tests,
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


def test_equal_opportunity_and_two_tails_from_the_same_draws():
    o, r, y, sex, _ = draw(1)
    both = published_tests(o, r, y, sex, KEY, groups=2, replicates=400)
    assert both["eodd"] == published_test(o, r, y, sex, KEY, groups=2, replicates=400)

    def gap(d):
        return abs(d[(y == 1) & (sex == 0)].mean() - d[(y == 1) & (sex == 1)].mean())

    assert float(both["eop"].change) == pytest.approx(gap(r) - gap(o))
    for found in both.values():
        # a tail and its opposite: the smaller one doubled, never less than the one-tailed p
        assert found.p_one_tailed <= found.p_two_sided <= 1
        assert found.p_two_sided == pytest.approx(min(1, 2 * float(found.p_one_tailed)), abs=0.02)


def test_gaps_of_dice_by_resampling_patients():
    rng = np.random.default_rng(3)
    group = np.repeat([0, 1, -1], [40, 20, 5])
    before = np.clip(rng.normal(0.8, 0.1, 65), 0, 1)
    after = before - 0.1 * (group == 1) + rng.normal(0, 0.02, 65)
    before[3] = after[3] = np.nan
    found = published_means_tests(before[None], after[None], group, 0, groups=2, replicates=2000)

    def gaps(rows):
        means = [[np.nanmean(v[rows][group[rows] == g]) for g in (0, 1)] for v in (before, after)]
        ser = [(1 - min(m)) / (1 - max(m)) for m in means]
        return np.array([ser[1] - ser[0], np.ptp(means[1]) - np.ptp(means[0])])

    observed = gaps(np.arange(65))
    moved = np.array([gaps(rng.integers(0, 65, 65)) for _ in range(1000)])
    for k, name in enumerate(("ser", "delta_dice")):
        assert float(found[name].change[0]) == pytest.approx(observed[k])
        assert float(found[name].std_error[0]) == pytest.approx(moved[:, k].std(), rel=0.12)
        share = (moved[:, k] <= 0).mean()
        assert float(found[name].p_one_tailed[0]) == pytest.approx(share, abs=0.03)
