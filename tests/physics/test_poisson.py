"""The Poisson sampler against SciPy: its whole law by running through every uniform number it can
be given.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fairrecon_jax.physics import poisson as sampler

MEANS = [0.1, 0.5, 3.0, 8.0, 11.9, 12.1, 20.0, 50.0, 1e3, 1e4, 1e5]


quantile = jax.jit(sampler.poisson_quantile)


@functools.lru_cache(maxsize=1)
def every_uniform() -> jax.Array:
    """All 2^23 numbers that `uniform_from_bits` can give."""
    return sampler.uniform_from_bits(jnp.arange(2**23, dtype=jnp.uint32) << 9)


@functools.cache
def law(mean: float) -> tuple[int, np.ndarray]:
    """Smallest count and the probabilities from it on, exactly as drawn."""
    counts = np.asarray(quantile(every_uniform(), jnp.full(2**23, mean, jnp.float32))).astype(
        np.int64
    )
    return int(counts.min()), np.bincount(counts - counts.min()) / 2**23


def test_uniform_numbers_are_symmetric_and_inside_the_open_interval():
    uniform = np.asarray(every_uniform(), np.float64)
    assert uniform[0] == 2.0**-24
    assert uniform[-1] == 1 - 2.0**-24
    np.testing.assert_array_equal(uniform + uniform[::-1], 1)
    assert len(np.unique(uniform)) == 2**23


@pytest.mark.parametrize("mean", MEANS)
def test_total_variation_to_scipy(mean):
    lowest, drawn = law(mean)
    true = stats.poisson(np.float32(mean)).pmf(lowest + np.arange(len(drawn)))
    distance = 0.5 * (np.abs(drawn - true).sum() + 1 - true.sum())
    # 2^-23 a cell by inversion; above, the expansion's third order at 12 and float32's digits at
    # 1e5
    assert distance < (2e-6 if mean < sampler.SMALL_MEAN else 1.2e-4)


@pytest.mark.parametrize("mean", MEANS)
def test_moments(mean):
    lowest, drawn = law(mean)
    counts = lowest + np.arange(len(drawn))
    first = (drawn * counts).sum()
    second = (drawn * (counts - first) ** 2).sum()
    third = (drawn * (counts - first) ** 3).sum() / second**1.5
    assert first == pytest.approx(mean, abs=1e-6 * max(1, np.sqrt(mean)) * 20)
    assert second == pytest.approx(mean, rel=3e-4)
    assert third == pytest.approx(1 / np.sqrt(mean), rel=2e-2, abs=1e-4)


@pytest.mark.parametrize("mean", [0.1, 11.9, 12.1, 1e3, 1e5])
def test_chi_square_of_draws(mean):
    count = 200_000
    draws = np.asarray(
        jax.jit(sampler.poisson)(jax.random.key(1), jnp.full(count, mean, jnp.float32))
    )
    edges = np.unique(stats.poisson(mean).ppf(np.linspace(0, 1, 21)[1:-1]))
    cells = np.searchsorted(edges, draws, side="left")
    probability = np.diff(np.concatenate([[0], stats.poisson(mean).cdf(edges), [1]]))
    observed = np.bincount(cells, minlength=len(probability))
    assert stats.chisquare(observed, probability * count).pvalue > 1e-3


def test_a_mean_of_zero_gives_zero_and_no_mean_gives_negative_counts():
    uniform = every_uniform()[:: 2**9]
    assert float(quantile(uniform, jnp.zeros_like(uniform)).max()) == 0
    for mean in (1e-30, 1e-3, 12.0, 15.0):
        assert float(quantile(uniform, jnp.full_like(uniform, mean)).min()) >= 0


@pytest.mark.parametrize("mean", [0.3, 11.99, 12.0, 300.0])
def test_quantile_rises_with_the_uniform_number(mean):
    uniform = every_uniform()[:: 2**9]
    counts = np.asarray(quantile(uniform, jnp.full_like(uniform, mean)))
    assert np.all(np.diff(counts) >= 0)
    np.testing.assert_array_equal(counts, np.round(counts))


def test_expansion_takes_over_without_a_jump():
    uniform = every_uniform()[:: 2**9]
    below = quantile(uniform, jnp.full_like(uniform, np.nextafter(np.float32(12), np.float32(0))))
    above = quantile(uniform, jnp.full_like(uniform, 12))
    assert float(jnp.abs(above - below).max()) <= 1
    assert float(jnp.mean(above != below)) < 2e-3


def test_function_of_key_and_mean_only():
    keys = jax.random.split(jax.random.key(0), 4)
    mean = jnp.linspace(0, 40, 4 * 50, dtype=jnp.float32).reshape(4, 50)
    together = jax.jit(jax.vmap(sampler.poisson))(keys, mean)
    draw = jax.jit(sampler.poisson)
    alone = jnp.stack([draw(key, row) for key, row in zip(keys, mean)])
    np.testing.assert_array_equal(together, alone)
    assert not np.array_equal(together[1], draw(keys[0], mean[1]))


def test_draws_have_no_derivative():
    slope = jax.grad(lambda mean: sampler.poisson(jax.random.key(0), mean).sum())
    gradient = jax.jit(slope)(jnp.asarray([1.0, 20.0]))
    np.testing.assert_array_equal(gradient, 0)
