"""Slopes along the level: least squares by another way, the law of the test, its power."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.inference import dose_positions, group_test, patient_tables, slope_tables

LEVELS = (1e5, 1e4, 3e3)
SEX = np.repeat([0, 1], 60)
WHO = np.repeat(np.arange(60), 2)  # two images a patient


def test_levels_are_placed_by_their_logarithms():
    np.testing.assert_allclose(dose_positions((4, 8, 16)), (0, 0.5, 1), atol=1e-12)
    np.testing.assert_allclose(dose_positions(LEVELS), (0, 1 / np.log10(1e5 / 3e3), 1), atol=1e-12)
    np.testing.assert_allclose(dose_positions((0.0, 0.1, 0.4)), (0, 0.25, 1))
    for levels in ((4,), (4, 4)):
        with pytest.raises(ValueError, match="at least two different levels"):
            dose_positions(levels)


def tables(change, position=None):
    made = patient_tables(change, None, SEX, WHO, groups=2)
    return slope_tables(made, dose_positions(LEVELS) if position is None else position)


def test_the_slope_of_a_group_is_that_of_its_means():
    change = np.random.default_rng(0).normal(size=(3, 120))
    found = tables(change)
    for group in (0, 1):
        own = found.group == group
        mean = found.change[own].sum() / found.images[own].sum()
        line = np.polyfit(dose_positions(LEVELS), change[:, group == SEX].mean(1), 1)
        assert mean == pytest.approx(line[0], abs=1e-12)


def test_units_with_other_images_at_another_level_are_refused():
    change = np.zeros((3, 120))
    change[1, 5] = np.nan
    with pytest.raises(ValueError, match="leave those out"):
        tables(change)
    with pytest.raises(ValueError, match=r"position must hold 3 places, one per level, got \(2,\)"):
        tables(np.zeros((3, 120)), [0, 1])


def cohorts(count, extra, seed=0):
    """Losses of decisions that grow with the level in both groups, by `extra` more in the first:
    p of `count` cohorts of the same patients.
    """
    rng, x = np.random.default_rng(seed), dose_positions(LEVELS)
    # one threshold an image: what is lost at a level stays lost at a worse one
    tolerance = rng.uniform(size=(count, 1, 120))
    lost = tolerance < 0.05 + (0.2 + extra * (SEX == 0)) * x[:, None]
    made = patient_tables(-1.0 * lost.reshape(-1, 120), None, SEX, WHO, groups=2)
    # [patients, cohorts, levels, 1]: a table per cohort, then all of them as one
    shape = (-1, count, len(x), 1)
    change, images = (v.reshape(shape) for v in (made.change, made.images))
    slopes = [
        slope_tables(made._replace(change=change[:, k], images=images[:, k]), x)
        for k in range(count)
    ]
    joint = made._replace(
        change=np.concatenate([one.change for one in slopes], 1),
        images=np.concatenate([one.images for one in slopes], 1),
    )
    return group_test(joint, seed=0, permutations=199).p_value


def test_the_law_under_a_common_loss_and_the_power_on_a_planted_one():
    null = cohorts(400, 0.0)
    # 5% of 400 is 20, with a standard error of 4.4; p is the larger of two, and so a bit too large
    assert np.mean(null <= 0.05) <= 0.05 + 3 * 4.4 / 400
    assert 0.3 <= np.mean(null <= 0.5) <= 0.55
    assert np.mean(cohorts(60, 0.5, seed=1) <= 0.05) > 0.9
