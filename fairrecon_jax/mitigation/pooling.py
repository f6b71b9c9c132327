"""Running statistics of a term: rates pooled over recent batches, a scale that is measured once,
and maxima with a gradient everywhere.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from fairrecon_jax.types import Array

Pool = dict[str, Any]
"""{"numerator", "denominator": [...] decayed sums, "batches": [] decayed number of batches},
float32.
"""


def empty_pool(shape: tuple[int, ...]) -> Pool:
    """A pool of nothing."""
    return {
        "numerator": jnp.zeros(shape),
        "denominator": jnp.zeros(shape),
        "batches": jnp.zeros(()),
    }


def pool(
    kept: Pool, numerator: Array, denominator: Array, decay: float
) -> tuple[jax.Array, jax.Array, Pool]:
    """Rates over recent batches, to which the present one adds its part and its gradient.

    N = decay N' + n, D = decay D' + d, W = decay W' + 1; rate = N / D. An entry that the batch does
    not hold (d = 0) keeps its rate, instead of one of 0 or 1. Past batches came from nearly the
    same network, so that their derivative is that of the present one: the gradient of the rate is W
    (dn/dx) / D, of the size that the rate of one batch of average composition would have.

    Args:
      kept: sums of earlier batches.
      numerator: [...] n, with a gradient.
      denominator: [...] d, without.
      decay: in [0, 1); 0 = this batch only.

    Returns:
      (rates [...], 0 where D is 0; D [...]; the new pool, without gradient).
    """
    n = decay * kept["numerator"] + numerator
    d = decay * kept["denominator"] + lax.stop_gradient(denominator)
    # Tends to 1 / (1 - decay); counted, because the first steps are far from it.
    batches = decay * kept["batches"] + 1.0
    # The inner `where` keeps 0 / 0, and with it NaN, out of the gradient.
    rate = jnp.where(d > 0, n / jnp.where(d > 0, d, 1.0), 0.0)
    # Below, the value is the rate and its gradient W times the rate's.
    fixed = lax.stop_gradient(rate)
    return (
        fixed + batches * (rate - fixed),
        d,
        {"numerator": lax.stop_gradient(n), "denominator": d, "batches": batches},
    )


def fresh_scale() -> dict[str, Any]:
    """The scale of a term before its first step."""
    return {"steps": jnp.zeros((), jnp.int32), "mean": jnp.zeros(())}


def rescale(value: Array, kept: dict[str, Any], warmup: int) -> tuple[jax.Array, dict[str, Any]]:
    """Divides a term by its own mean over the first `warmup` steps that measure it; afterwards the
    divisor stays, so that it can shrink.

    A term of 0, as of a batch without a known label or group, is no measurement and does not count.

    Args:
      value: [] the term, with a gradient.
      kept: {"steps", "mean"}.
      warmup: number of steps N; 0 = no division.

    Returns:
      ([] value / mean of the first N steps so far whose term is not 0, 0 before there is one; the
        new scale).
    """
    term = jnp.asarray(value)
    if warmup == 0:
        return term, kept
    now = lax.stop_gradient(term)
    counts = (now > 0) & (kept["steps"] < warmup)
    steps = kept["steps"] + counts
    # A running mean, without gradient: the divisor must not become a way to lower the term.
    mean = jnp.where(
        counts, kept["mean"] + (now - kept["mean"]) / jnp.maximum(steps, 1), kept["mean"]
    )
    return quotient(term, mean), {"steps": steps, "mean": mean}


def quotient(value: Array, mean: Array) -> jax.Array:
    """value / mean, 0 where the mean is 0."""
    # `where` computes both branches: the 1 spares the one not taken a division by 0.
    return jnp.where(mean > 0, value / jnp.where(mean > 0, mean, 1.0), 0.0)


def running_mean(value: Array, kept: dict[str, Any], rate: float) -> dict[str, Any]:
    """The mean that moves by a share of its distance to each value; the first is taken as it is.

    Args:
      value: [] of this step.
      kept: {"steps", "mean"}, see `fresh_scale`.
      rate: the share, in (0, 1].
    """
    share = jnp.where(kept["steps"] == 0, 1.0, rate)
    mean = kept["mean"] + share * (lax.stop_gradient(value) - kept["mean"])
    return {"steps": kept["steps"] + 1, "mean": mean}


def spread(values: Array, included: Array, axis: int) -> jax.Array:
    """Largest minus smallest included value along an axis; 0, without gradient, where fewer than
    two are included.

    Args:
      values: [...] finite.
      included: [...] bool.
      axis: of the groups.
    """
    enough = jnp.sum(included, axis, keepdims=True) >= 2
    inside = included & enough
    # What is left out cannot win; where too few are in, both extremes are 0.
    high = largest(jnp.where(inside, values, jnp.where(enough, -jnp.inf, 0.0)), axis)
    low = -largest(jnp.where(inside, -jnp.asarray(values), jnp.where(enough, -jnp.inf, 0.0)), axis)
    return high - low


def largest(values: Array, axis: int) -> jax.Array:
    """`jnp.max` along an axis; of equal values the first takes the gradient, which no rounding
    divides by zero.
    """
    # `jnp.max` would split the gradient among equal values.
    place = jnp.argmax(values, axis, keepdims=True)
    return jnp.take_along_axis(values, place, axis).squeeze(axis)


def combine(values: Array, how: str, sharpness: float) -> jax.Array:
    """One number from several: their maximum, or (log mean exp(k v)) / k, which lies between mean
    and maximum and moves all of them.

    Args:
      values: [K], K >= 1.
      how: "max" or "logsumexp".
      sharpness: k of "logsumexp"; large k approaches the maximum.
    """
    if how == "max":
        return largest(values, 0)
    # Without the log of their number it would lie above the maximum, and grow with the tasks.
    return (jax.nn.logsumexp(sharpness * values) - jnp.log(float(values.shape[0]))) / sharpness
