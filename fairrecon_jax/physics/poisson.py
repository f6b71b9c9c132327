"""Poisson counts from one uniform number each, by the same arithmetic on every back end.

The count is the quantile of the uniform number: by walking the distribution function up from 0
where the mean is below `SMALL_MEAN`, by a rounded Cornish-Fisher expansion above. No loop depends
on the data, so the whole draw fuses into one pass over memory.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

SMALL_MEAN = 12.0
"""Means below are drawn by inversion, others by the expansion, whose total variation error is
largest here: 1e-4.
"""

_STEPS = 37
"""Largest count by inversion: the uniform numbers end at 1 - 2^-24, which a mean of 12 reaches at
34.
"""


def uniform_from_bits(bits: jax.Array) -> jax.Array:
    """Centres of 2^23 equal intervals of (0, 1), all exact in float32 and symmetric about one half.

    Args:
      bits: uint32 of any shape.

    Returns:
      float32 of the same shape in [2^-24, 1 - 2^-24].
    """
    # 23 bits and a half: float32 holds every centre, and its mirror image 1 - u, exactly.
    return ((bits >> 9).astype(jnp.float32) + 0.5) * jnp.float32(2**-23)


def poisson_quantile(uniform: jax.Array, mean: jax.Array) -> jax.Array:
    """The Poisson quantile min{k : P(X <= k) >= u}, exact below `SMALL_MEAN`, asymptotic above.

    Above, with z the normal quantile of u and m the mean, it is the Cornish-Fisher expansion with
    continuity correction floor(m + sqrt(m) z + (z^2 + 2)/6 - (z^3 + 2 z)/(72 sqrt(m)) + (3 z^4 + 7
    z^2 - 16)/(810 m)), not below 0.

    Args:
      uniform: float32 in (0, 1).
      mean: float32 of the same shape, not negative; at most 1e7, where float32 still holds every
        integer.

    Returns:
      Counts as float32 of the same shape.

    Reference: M. Giles, Algorithm 955: approximation of the inverse Poisson cumulative distribution
    function, ACM TOMS 42 (2016).
    """
    small = mean < SMALL_MEAN
    return jnp.where(
        small,
        # Both forms run everywhere; harmless means keep the unused one finite.
        _by_inversion(uniform, jnp.where(small, mean, 1.0)),
        _by_expansion(uniform, jnp.where(small, 16.0, mean)),
    )


def _by_inversion(uniform: jax.Array, mean: jax.Array) -> jax.Array:
    # P(X = 0); at least exp(-12), far from underflow.
    term = jnp.exp(-mean)
    below = term
    count = jnp.zeros_like(mean)
    for k in range(1, _STEPS + 1):
        count = count + (uniform > below).astype(mean.dtype)
        # P(X = k) from P(X = k - 1); a fixed number of steps lets the loop unroll and fuse.
        term = term * (mean * (1 / k))
        below = below + term
    return count


def _by_expansion(uniform: jax.Array, mean: jax.Array) -> jax.Array:
    # 2 u - 1 is exact in float32 (a multiple of 2^-23), and never +-1: z stays finite.
    z = jnp.sqrt(2.0).astype(mean.dtype) * jax.lax.erf_inv(2 * uniform - 1)
    root, square = jnp.sqrt(mean), z * z
    whole = jnp.floor(mean)  # kept apart: the fraction that decides about rounding keeps its digits
    excess = (
        root * z
        + (square + 2) / 6
        - z * (square + 2) / (72 * root)
        + ((3 * square + 7) * square - 16) / (810 * mean)
    )
    return jnp.maximum(whole + jnp.floor(mean - whole + excess), 0)


def poisson(key: jax.Array, mean: jax.Array) -> jax.Array:
    """Poisson counts for one example, a function of its key and its means only.

    Args:
      key: scalar typed key.
      mean: float32 of any shape, not negative.

    Returns:
      Counts as float32 of the same shape. The draw has no derivative with respect to the mean: it
        is a constant to `jax.grad`.
    """
    # A quantile is a staircase in the mean: nothing is lost, and no gradient walks the loop.
    mean = jax.lax.stop_gradient(mean)
    return poisson_quantile(uniform_from_bits(jax.random.bits(key, mean.shape, jnp.uint32)), mean)
