"""Changes along a continuous attribute: the spline, the size and power of the test, the band."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.inference.changes import decision_changes, value_changes
from fairrecon_jax.inference.trend import spline_basis, trend_test


def cohorts(count, size=200, seed=0, slope=0.0, spread=0.0):
    """Values that change by `slope` per year above 60, with noise that grows with age."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(20, 90, size)
    noise = rng.normal(size=(count, size)) * (1 + spread * (age - 20) / 70)
    change = noise - slope * np.maximum(age - 60, 0)
    found = value_changes(
        np.zeros_like(change), change, np.zeros(size, int), np.arange(size), groups=1
    )
    return found, age_of(found, age)


def age_of(found, age):
    """Ages in the order of the units."""
    order = decision_changes(
        np.zeros(len(age)), np.zeros(len(age)), np.ones(len(age)), np.zeros(len(age), int),
        np.arange(len(age)), groups=1,
    )  # fmt: skip
    assert len(order.tables.patient) == len(age)
    marked = value_changes(np.zeros(len(age)), age, np.zeros(len(age), int), np.arange(len(age)),
                           groups=1)  # fmt: skip
    return marked.tables.change[:, 0, 0]


def test_the_spline_is_linear_beyond_its_outer_knots_and_smooth():
    knots = np.array([20.0, 40.0, 60.0, 80.0])
    beyond = spline_basis(np.array([80.0, 90.0, 100.0, 110.0]), knots)
    np.testing.assert_allclose(np.diff(beyond, 2, axis=0), 0, atol=1e-9)
    below = spline_basis(np.array([0.0, 10.0, 20.0]), knots)
    np.testing.assert_allclose(np.diff(below, 2, axis=0), 0, atol=1e-9)
    near = spline_basis(np.array([60 - 1e-4, 60 + 1e-4]), knots)
    np.testing.assert_allclose(near[0], near[1], atol=1e-5)
    assert spline_basis(np.array([50.0]), knots).shape == (1, 3)


@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_size_also_where_noise_grows_with_age(spread):
    found, age = cohorts(300, size=120, spread=spread)
    p = trend_test(found, age, seed=1, permutations=199).p_value
    assert np.mean(p <= 0.05) <= 0.065 + 2 * np.sqrt(0.05 * 0.95 / 300)
    assert np.mean(p) == pytest.approx(0.5, abs=0.06), "uniform under the null"


def test_size_of_rare_one_sided_losses():
    rng = np.random.default_rng(2)
    size = 300
    age = rng.uniform(20, 90, size)
    lost = (rng.random((300, size)) < 0.03) * 1.0
    found = decision_changes(
        np.ones(size), 1 - lost, np.ones(size), np.zeros(size, int), np.arange(size), groups=1
    )
    p = trend_test(found, age_of(found, age), seed=1, permutations=199).p_value
    assert np.mean(p <= 0.05) <= 0.065 + 2 * np.sqrt(0.05 * 0.95 / 300)


def test_a_loss_of_the_old_is_found_and_the_curve_shows_it():
    found, age = cohorts(40, size=300, slope=0.05, seed=3)
    test = trend_test(found, age, seed=1, permutations=199)
    assert np.mean(test.p_value <= 0.05) > 0.9
    young, old = test.change[:, 0, 0].mean(), test.change[:, 0, -1].mean()
    assert young == pytest.approx(0, abs=0.15)
    assert old == pytest.approx(-0.05 * (test.at[-1] - 60), abs=0.3)


def test_the_band_holds_the_whole_curve():
    found, age = cohorts(400, size=200, seed=4, spread=1.0)
    test = trend_test(found, age, seed=1, permutations=19)
    inside = np.all((test.low[:, 0] <= 0) & (test.high[:, 0] >= 0), -1)
    assert 0.92 <= np.mean(inside) <= 0.98


def test_neither_the_unit_of_age_nor_its_direction_matters():
    found, age = cohorts(5, slope=0.02, seed=5)
    plain = trend_test(found, age, seed=1, permutations=199)
    months = trend_test(found, 12 * age, seed=1, permutations=199)
    np.testing.assert_allclose(plain.statistic, months.statistic, rtol=1e-6)
    np.testing.assert_allclose(plain.p_value, months.p_value)
    np.testing.assert_allclose(plain.change, months.change, rtol=1e-6, atol=1e-9)


def test_unknown_ages_are_left_out_and_few_patients_are_not_judged():
    found, age = cohorts(2, seed=6)
    some = np.where(np.arange(len(age)) % 4 == 0, np.nan, age)
    assert trend_test(found, some, seed=1, permutations=99).patients.tolist() == [[150], [150]]
    few, short = cohorts(2, size=39, seed=6)
    none = trend_test(few, short, seed=1, permutations=99)
    assert np.isnan(none.p_value).all()
    assert np.isnan(none.change).all()


def test_what_is_refused():
    found, age = cohorts(1)
    with pytest.raises(ValueError, match="must hold 200 entries"):
        trend_test(found, age[:-1], seed=0)
    with pytest.raises(ValueError, match="too few different values"):
        trend_test(found, np.round(age / 50), seed=0, attribute="age")
