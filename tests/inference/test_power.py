"""What could have been found: detectable changes against simulated cohorts, and equivalence."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.inference.changes import decision_changes, score_changes
from fairrecon_jax.inference.equal_changes import group_test
from fairrecon_jax.inference.group_result import critical_statistic, one_cell
from fairrecon_jax.inference.power import _needed, equivalent, minimum_detectable_change


def cohorts(size, rates, count, seed=0):
    """Sensitivity only: [count] cohorts of two groups, original .8, lost at `rates`."""
    rng = np.random.default_rng(seed)
    group = np.repeat([0, 1], size)
    original = (rng.random((count, len(group))) < 0.8) * 1.0
    lost = rng.random(original.shape) < np.asarray(rates)[group]
    found = decision_changes(
        original,
        np.where(lost, 0, original),
        np.ones(len(group)),
        group,
        np.arange(len(group)),
        groups=2,
    )
    test = group_test(found.tables, seed=1, permutations=199, counted=found.counted, decisions=True)
    return found, test


@pytest.mark.parametrize("size", [100, 300])
def test_a_change_of_the_detectable_size_is_found_four_times_in_five(size):
    _, null = cohorts(size, (0.1, 0.1), 200)
    change = float(np.median(minimum_detectable_change(null).stratum[:, 1, 0]))
    # of the original positives 8 in 10 can be lost
    _, harmed = cohorts(size, (0.1 + change / 0.8, 0.1), 400)
    power = np.mean(harmed.p_value <= 0.05)
    assert 0.72 <= power <= 0.93


@pytest.mark.parametrize("weights", [(0.5, 1.0), (1.0, 0.5), (1.0,)])
@pytest.mark.parametrize("level", [0.05, 0.05 / 36])
def test_needed_noncentrality_is_found_four_times_in_five(weights, level):
    """The statistic of two groups under the normal law, by simulation."""
    rng, w = np.random.default_rng(0), np.array(weights)
    z = rng.normal(size=(1_000_000, len(w)))
    quantile = np.quantile(z**2 @ w, 1 - level)
    z[:, 0] += _needed(level, 0.8, weights, (2,) * len(w))
    assert np.mean(z**2 @ w > quantile) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("groups", [3, 6])
@pytest.mark.parametrize("label", [0, 1])
def test_one_group_of_several_is_found_about_four_times_in_five(groups, label):
    """The smaller p of statistic and weighted maximum, as the test combines them."""
    rng, w = np.random.default_rng(0), np.array([0.5, 1.0])
    order = (w[label], w[1 - label])
    delta = _needed(0.01, 0.8, order, (groups, groups))
    z = rng.normal(size=(2, 100_000, 2, groups))
    # the studentised deviation of one group is delta away
    z[1, :, label, 0] += delta / np.sqrt(1 - 1 / groups)
    z -= z.mean(-1, keepdims=True)
    total = (z**2).sum(-1) @ w
    peak = np.max(np.abs(z).max(-1) / np.sqrt(1 - 1 / groups) * np.sqrt(w), -1)
    ranks = [np.searchsorted(np.sort(v[0]), v) for v in (total, peak)]
    smallest = np.maximum(*ranks)
    assert np.mean(smallest[1] > np.quantile(smallest[0], 0.99)) == pytest.approx(0.8, abs=0.06)


def test_a_label_of_less_weight_needs_a_larger_change():
    rng = np.random.default_rng(0)
    n, group, label = 4000, np.arange(4000) % 2, np.arange(4000) // 2000
    original = (rng.random(n) < 0.5) * 1.0
    flipped = np.where(rng.random(n) < 0.1, 1 - original, original)
    found = decision_changes(original, flipped, label, group, np.arange(n), groups=2)
    test = one_cell(group_test(found.tables, seed=0, permutations=99, decisions=True), 0)
    half, one = minimum_detectable_change(test).stratum.mean(-1)
    assert half > 1.15 * one
    alike = minimum_detectable_change(test, label_weights=(1, 1)).stratum.mean(-1)
    assert alike[0] == pytest.approx(alike[1], rel=0.08)
    assert one < alike[1] < half


def test_smaller_with_more_patients_larger_in_a_family():
    few, many = (cohorts(n, (0.1, 0.1), 1)[1] for n in (60, 600))
    small, large = (minimum_detectable_change(t) for t in (few, many))
    assert large.largest[0] < small.largest[0]
    assert minimum_detectable_change(few, level=0.05 / 36).largest[0] > small.largest[0]
    assert minimum_detectable_change(few, power=0.95).largest[0] > small.largest[0]
    assert minimum_detectable_change(few, decisions=False).largest[0] < small.largest[0]


def test_not_judged_is_not_detectable():
    none = cohorts(5, (0.1, 0.1), 1)[1]
    found = minimum_detectable_change(one_cell(none, 0))
    assert np.isnan([found.largest, found.smallest]).all()
    assert np.isnan(found.stratum).all()


def test_equivalence_needs_enough_patients_however_little_changed():
    found, large = cohorts(2000, (0.01, 0.01), 1)
    assert equivalent(large, found.images).all()
    assert not equivalent(large, found.images, margin=0.001).any()
    found, small = cohorts(55, (0.0, 0.0), 1)
    assert not equivalent(small, found.images).any()


def test_equivalence_says_nothing_of_a_group_that_was_not_judged():
    found, test = cohorts(2000, (0.01, 0.01), 1)
    images = found.images.copy()
    reason = test.reason.copy()
    reason[0, 1, 1] = 2
    assert not equivalent(test._replace(reason=reason), images).any()


@pytest.mark.parametrize("size", [60, 100, 400])
def test_equivalence_errs_rarely_at_the_margin(size):
    found, test = cohorts(size, (0.0, 0.05 / 0.8), 400, seed=3)
    assert np.mean(equivalent(test, found.images)) <= 0.065


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"power": 0.4}, "power must lie in"),
        ({"level": 0.0}, "level must lie in"),
        ({"alpha": 1.0}, "alpha must lie in"),
    ],
)
def test_ranges(options, message):
    with pytest.raises(ValueError, match=message):
        minimum_detectable_change(cohorts(20, (0.1, 0.1), 1)[1], **options)
    with pytest.raises(ValueError, match="margin must be positive"):
        equivalent(cohorts(20, (0.1, 0.1), 1)[1], np.ones((1, 2, 2)), margin=0)


@pytest.mark.parametrize("level", [0.05, 0.051, 0.1, 0.5])
def test_a_cell_is_rejected_just_above_its_critical_statistic(level):
    """Rare changes, whose draws tie, and cells in which nothing changed at all."""
    _, test = cohorts(20, (0.08, 0.03), 150)
    assert np.sum(test.unchanged) > 2
    for k in range(len(test.p_value)):
        cell = one_cell(test, k)
        # one label and two groups: the p-value counts draws of T alone
        rejected = cell.p_value <= level
        assert (cell.statistic.astype(np.float32) > critical_statistic(cell, level)) == rejected


def test_of_values_that_did_not_change_nothing_is_known():
    label, group = np.repeat([0, 1], 40), np.tile([0, 1], 40)
    before = np.linspace(0.1, 0.9, 80)
    moved = np.where(label == 1, before + 0.01 * np.sin(np.arange(80)), before)
    for after, known in ((before, [False, False]), (moved, [False, True])):
        found = score_changes(before, after, label, group, np.arange(80), groups=2)
        cell = one_cell(group_test(found.tables, seed=0, permutations=99, counted=found.counted), 0)
        change = minimum_detectable_change(cell, decisions=False)
        np.testing.assert_array_equal(np.isfinite(change.stratum).all(-1), known)
        assert np.isfinite(change.largest) == any(known)
        assert np.isfinite(change.smallest) == any(known)
