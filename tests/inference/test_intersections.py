"""Shrunken changes of intersections: limits of much and little data, coverage, and what is won."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.inference.changes import value_changes
from fairrecon_jax.inference.intersections import additive_design, shrink_intersections

PARTS = [(i, j) for i in range(2) for j in range(4)]
SIZES = np.array([200, 80, 20, 6, 150, 60, 15, 3])


def cohort(count, tau, seed=0, sizes=SIZES):
    """Changes whose means are additive plus a deviation of each intersection of sd tau."""
    rng = np.random.default_rng(seed)
    first, second = np.array(PARTS).T
    truth = -0.1 - 0.2 * first + np.array([0, 0.1, -0.1, 0.05])[second]
    truth = truth + tau * rng.normal(size=(count, len(PARTS)))
    group = np.repeat(np.arange(len(PARTS)), sizes)
    change = truth[:, group] + rng.normal(0, 0.5, (count, len(group)))
    found = value_changes(
        np.zeros_like(change), change, group, np.arange(len(group)), groups=len(PARTS)
    )
    return found, truth


def test_the_design_has_a_column_for_every_group_but_the_first():
    design = additive_design(np.array(PARTS))
    assert design.shape == (8, 1 + 1 + 3)
    np.testing.assert_array_equal(design[0], [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(design[7], [1, 1, 0, 0, 1])


@pytest.mark.parametrize("tau", [0.0, 0.1, 0.3])
def test_coverage_and_error_against_the_intersections_alone(tau):
    found, truth = cohort(400, tau)
    shrunk = shrink_intersections(found, PARTS)
    inside = (shrunk.low[:, 0] <= truth) & (shrunk.high[:, 0] >= truth)
    assert 0.93 <= inside.mean() <= 0.99
    alone = found.reconstructed[:, 0]
    gain = np.mean((shrunk.change[:, 0] - truth) ** 2) / np.mean((alone - truth) ** 2)
    assert gain < (0.7 if tau < 0.2 else 0.95)


def test_much_data_stays_and_little_data_moves_to_the_sum_of_its_parts():
    found, _ = cohort(1, 0.3, seed=1, sizes=np.array([5000] * 7 + [2]))
    shrunk = shrink_intersections(found, PARTS)
    np.testing.assert_allclose(shrunk.change[0, 0, :7], found.reconstructed[0, 0, :7], atol=0.01)
    assert shrunk.own[0, 0, :7].min() > 0.95
    assert shrunk.own[0, 0, 7] < 0.6


def test_an_intersection_without_patients_is_predicted_with_the_widest_limits():
    found, _ = cohort(1, 0.1, seed=2, sizes=np.array([100] * 7 + [0]))
    shrunk = shrink_intersections(found, PARTS)
    assert shrunk.own[0, 0, 7] == 0
    assert shrunk.change[0, 0, 7] == shrunk.additive[0, 0, 7]
    width = shrunk.high[0, 0] - shrunk.low[0, 0]
    assert width.argmax() == 7


def crossed(parts, sizes):
    """Shrunken changes of other crossings: a step from group to group, and little noise."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(len(parts)), sizes)
    truth = (np.array(parts) - np.array(parts)[np.flatnonzero(sizes)[0]]) @ (-0.1, -0.2)
    change = truth[group] + rng.normal(0, 0.01, len(group))
    numbers = np.arange(len(group))
    found = value_changes(np.zeros(len(group)), change, group, numbers, groups=len(parts))
    return shrink_intersections(found, parts), truth


@pytest.mark.parametrize("sizes", [[30, 0, 0, 30], [0, 40, 40, 0]])
def test_fewer_intersections_than_effects_are_not_estimated(sizes):
    shrunk, _ = crossed([(0, 0), (0, 1), (1, 0), (1, 1)], sizes)
    for numbers in shrunk:
        assert np.isnan(numbers).all()


@pytest.mark.parametrize("absent", [0, 3])
def test_a_group_without_patients_takes_nothing_from_the_others(absent):
    there = np.array([j != absent for _, j in PARTS])
    shrunk, truth = crossed(PARTS, 50 * there)
    alone, _ = crossed([(i, j - (absent == 0)) for i, j in np.array(PARTS)[there]], [50] * 6)
    for name, numbers in shrunk._asdict().items():
        if name != "between":
            assert np.isnan(numbers[0, 0, ~there]).all(), "its effect is unknown"
            np.testing.assert_allclose(numbers[0, 0, there], getattr(alone, name)[0, 0])
    np.testing.assert_allclose(shrunk.change[0, 0, there], truth[there], atol=0.01)


def test_intersections_that_nothing_joins_do_not_borrow():
    parts = [(i, j) for i in range(3) for j in range(3)]
    # a block of four, and one that shares no group with it
    there = np.array([(i < 2) == (j < 2) for i, j in parts])
    shrunk, truth = crossed(parts, 50 * there)
    np.testing.assert_array_equal(np.isfinite(shrunk.additive[0, 0]), there)
    np.testing.assert_allclose(shrunk.change[0, 0, there], truth[there], atol=0.01)


def test_too_few_intersections_are_not_estimated():
    found, _ = cohort(1, 0.1, seed=3, sizes=np.array([50, 0, 0, 0, 0, 0, 0, 0]))
    assert np.isnan(shrink_intersections(found, PARTS).change).all()
    with pytest.raises(ValueError, match="must hold 8 rows"):
        shrink_intersections(found, PARTS[:-1])
