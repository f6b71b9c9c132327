"""Pools, scales, spreads and maxima by hand: what they hold after each step, and where their
gradients point.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.mitigation.pooling import (
    combine,
    empty_pool,
    fresh_scale,
    largest,
    pool,
    rescale,
    spread,
)

BATCHES = [([1.0, 3.0], [2.0, 4.0]), ([0.0, 1.0], [0.0, 1.0]), ([2.0, 0.0], [2.0, 2.0])]


def test_a_pool_by_hand():
    """Decay 0.5: after n/d of 1/2, 0/0, 2/2 the first cell holds (0.25 + 2) / (0.5 + 2)."""
    kept, rates = empty_pool((2,)), []
    for n, d in BATCHES:
        rate, count, kept = pool(kept, jnp.array(n), jnp.array(d), 0.5)
        rates.append(np.asarray(rate))
        np.testing.assert_array_equal(count, kept["denominator"])
    np.testing.assert_allclose(
        rates, [[0.5, 0.75], [0.5, 2.5 / 3], [2.25 / 2.5, 1.25 / 3.5]], rtol=1e-6
    )
    np.testing.assert_allclose(kept["numerator"], [2.25, 1.25])
    np.testing.assert_allclose(kept["denominator"], [2.5, 3.5])
    assert float(kept["batches"]) == 1.75


def test_without_decay_a_pool_is_its_last_batch():
    kept = empty_pool((2,))
    for n, d in BATCHES:
        rate, _, kept = pool(kept, jnp.array(n), jnp.array(d), 0.0)
        np.testing.assert_allclose(rate, np.divide(n, d, out=np.zeros(2), where=np.array(d) > 0))
        assert float(kept["batches"]) == 1


def test_a_constant_stream_is_its_own_rate_and_fills_up_to_one_over_one_minus_decay():
    kept = empty_pool((1,))
    for _ in range(80):
        rate, count, kept = pool(kept, jnp.array([3.0]), jnp.array([4.0]), 0.8)
        assert float(rate[0]) == pytest.approx(0.75, rel=1e-6)
    assert float(count[0]) == pytest.approx(20, rel=1e-5)
    assert float(kept["batches"]) == pytest.approx(5, rel=1e-5)


def test_the_gradient_of_a_pooled_rate_by_hand():
    kept = {
        "numerator": jnp.array([2.0]),
        "denominator": jnp.array([6.0]),
        "batches": jnp.array(3.0),
    }

    def rate(n, d):
        return pool(kept, n, d, 0.5)[0][0]

    n, d = jax.grad(rate, (0, 1))(jnp.array([1.0]), jnp.array([2.0]))
    assert float(n[0]) == pytest.approx(
        2.5 / 5, rel=1e-6
    )  # W / D with W = 0.5 * 3 + 1, D = 0.5 * 6 + 2
    assert float(d[0]) == 0
    assert float(rate(jnp.array([1.0]), jnp.array([2.0]))) == pytest.approx(2 / 5)
    through = jax.grad(
        lambda n: sum(jnp.sum(leaf) for leaf in pool(kept, n, jnp.array([2.0]), 0.5)[2].values())
    )(jnp.array([1.0]))
    assert float(through[0]) == 0  # the state carries no gradient
    empty = jax.grad(lambda n: pool(empty_pool((1,)), n, jnp.array([0.0]), 0.5)[0][0])(
        jnp.array([0.0])
    )
    assert float(empty[0]) == 0


def test_a_scale_by_hand():
    kept, scaled_values = fresh_scale(), []
    for value in (4.0, 2.0, 3.0, 12.0, 1.5):
        scaled, kept = rescale(jnp.array(value), kept, 3)
        scaled_values.append(float(scaled))
    np.testing.assert_allclose(scaled_values, [1, 2 / 3, 1, 4, 0.5], rtol=1e-6)
    assert (int(kept["steps"]), float(kept["mean"])) == (3, pytest.approx(3.0))


def test_a_term_that_nothing_measures_does_not_count():
    """The divisor is the mean of 4, 2 and 3, whatever zeros stand between them."""
    kept, scaled_values = fresh_scale(), []
    for value in (0.0, 4.0, 0.0, 2.0, 3.0, 0.0, 12.0):
        scaled, kept = rescale(jnp.array(value), kept, 3)
        scaled_values.append(float(scaled))
    np.testing.assert_allclose(scaled_values, [0, 1, 0, 2 / 3, 1, 0, 4], rtol=1e-6)
    assert (int(kept["steps"]), float(kept["mean"])) == (3, pytest.approx(3.0))
    slope = jax.grad(lambda x: rescale(x, fresh_scale(), 5)[0])(jnp.array(0.0))
    assert float(slope) == 0


def test_no_warmup_is_no_division_and_a_term_of_zero_stays_finite():
    value, kept = rescale(jnp.array(7.0), fresh_scale(), 0)
    assert float(value) == 7
    assert int(kept["steps"]) == 0
    zero, _ = rescale(jnp.array(0.0), fresh_scale(), 5)
    assert float(zero) == 0


def test_the_divisor_carries_no_gradient():
    slope = jax.grad(lambda x: rescale(x**2, fresh_scale(), 5)[0])(jnp.array(3.0))
    assert float(slope) == pytest.approx(2 * 3 / 9)
    kept = {"steps": jnp.array(5, jnp.int32), "mean": jnp.array(2.0)}
    assert float(jax.grad(lambda x: rescale(x**2, kept, 5)[0])(jnp.array(3.0))) == pytest.approx(3)


@pytest.mark.parametrize(
    ("included", "size", "slope"),
    [
        ([1, 1, 1, 1], 0.7, [0, 1, -1, 0]),
        ([1, 0, 1, 1], 0.4, [0, 0, -1, 1]),
        ([1, 0, 0, 1], 0.1, [-1, 0, 0, 1]),
        ([0, 1, 0, 0], 0.0, [0, 0, 0, 0]),
        ([0, 0, 0, 0], 0.0, [0, 0, 0, 0]),
    ],
)
def test_a_spread_and_its_gradient(included, size, slope):
    values, inside = jnp.array([0.5, 0.9, 0.2, 0.6]), jnp.array(included, bool)
    assert float(spread(values, inside, 0)) == pytest.approx(size, abs=1e-6)
    np.testing.assert_array_equal(jax.grad(lambda v: spread(v, inside, 0))(values), slope)


def test_spreads_along_an_axis_are_apart():
    values = jnp.array([[0.1, 0.5], [0.4, 0.7]])
    np.testing.assert_allclose(
        spread(values, jnp.array([[True, True], [True, False]]), 0), [0.3, 0.0], atol=1e-7
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_largest_is_the_maximum_and_hands_its_whole_gradient_to_one(axis):
    values = jnp.array([[0.3, 0.7, 0.7], [0.3, -jnp.inf, 0.1]])
    np.testing.assert_array_equal(largest(values, axis), jnp.max(values, axis))
    slope = np.asarray(jax.grad(lambda v: largest(v, axis).sum())(values))
    np.testing.assert_array_equal(slope.max(axis), 1)
    assert np.count_nonzero(slope) == values.shape[1 - axis % 2]


def test_a_soft_maximum_lies_between_mean_and_maximum_and_tends_to_both():
    values = jnp.array([0.1, 0.2, 0.6])
    assert float(combine(values, "max", 1.0)) == pytest.approx(0.6)
    soft = [float(combine(values, "logsumexp", k)) for k in (1e-3, 1.0, 20.0, 1e4)]
    assert soft == sorted(soft)
    assert soft[0] == pytest.approx(0.3, abs=1e-3)
    assert soft[-1] == pytest.approx(0.6, abs=1e-3)
    assert float(combine(jnp.array([0.4, 0.4]), "logsumexp", 5.0)) == pytest.approx(0.4, abs=1e-6)
    exact = np.log(np.mean(np.exp(20 * np.asarray(values, float)))) / 20
    assert soft[2] == pytest.approx(exact, rel=1e-5)


def test_a_soft_maximum_moves_everyone_and_a_maximum_one():
    values = jnp.array([0.1, 0.2, 0.6])
    np.testing.assert_array_equal(jax.grad(lambda v: combine(v, "max", 1.0))(values), [0, 0, 1])
    soft = np.asarray(jax.grad(lambda v: combine(v, "logsumexp", 5.0))(values))
    assert np.all(soft > 0)
    np.testing.assert_allclose(
        soft, np.exp(5 * np.asarray(values)) / np.exp(5 * np.asarray(values)).sum(), rtol=1e-5
    )
