"""Gaps between groups as functions of sums over label x group: vectorised, masked, usable on
replicates and permutations alike.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fairrecon_jax.types import Array


def rates(images: Array, positives: Array) -> Array:
    """Share of positive decisions per cell, positives / images.

    Args:
      images: [...] number of images (or weight).
      positives: [...] number of positive decisions.

    Returns:
      [...] in [0, 1], NaN where there are no images.
    """
    return jnp.where(images > 0, positives / jnp.where(images > 0, images, 1), jnp.nan)


def spread(values: Array) -> Array:
    """Largest minus smallest value over groups, max_g x_g - min_g x_g.

    Args:
      values: [..., G], NaN = empty group, which leaves the comparison.

    Returns:
      [...] >= 0; 0 = no gap; NaN with fewer than two groups.
    """
    known = jnp.isfinite(values)
    high = jnp.max(jnp.where(known, values, -jnp.inf), -1)
    low = jnp.min(jnp.where(known, values, jnp.inf), -1)
    enough = jnp.sum(known, -1) >= 2
    return jnp.where(enough, jnp.where(enough, high, 0) - jnp.where(enough, low, 0), jnp.nan)


def eodd(rate: Array, form: str = "max") -> Array:
    """Equalised-odds difference: the rate gaps of each true label, combined.

    max: max_y (max_g P(d=1 | y, g) - min_g ...) (the paper; fairlearn agg="worst_case"); mean:
    their mean over y (the published code; fairlearn agg="mean").

    Args:
      rate: [..., L, G] rates of positive decisions, NaN = empty cell.
      form: "max" or "mean".

    Returns:
      [...] in [0, 1]; 0 = equal rates in all groups; a label with fewer than two groups is left
        out; NaN if none is left.

    Raises:
      ValueError: unknown form.

    Reference:
      Hardt, Price and Srebro (2016); fairlearn `equalized_odds_difference`.
    """
    gap = spread(rate)
    known = jnp.isfinite(gap)
    some = jnp.any(known, -1)
    if form == "max":
        value = jnp.max(jnp.where(known, gap, -jnp.inf), -1)
    elif form == "mean":
        value = jnp.sum(jnp.where(known, gap, 0), -1) / jnp.maximum(jnp.sum(known, -1), 1)
    else:
        raise ValueError(f"form must be 'max' or 'mean', got {form!r}")
    return jnp.where(some, value, jnp.nan)


def eop(rate: Array) -> Array:
    """Equal-opportunity difference: the true-positive-rate gap, the last label's part of equalised
    odds.

    Args:
      rate: [..., L, G] rates, label 1 last.

    Returns:
      [...] in [0, 1]; 0 = equal true-positive rates; NaN with fewer than two groups.
    """
    return spread(rate[..., -1, :])


def skewed_error_ratio(score: Array) -> Array:
    """Skewed error ratio max_g (1 - s_g) / min_g (1 - s_g) of a score such as Dice.

    Args:
      score: [..., G] mean scores in [0, 1], NaN = empty group.

    Returns:
      [...] >= 1; 1 = equal errors; inf if only the best group is perfect; NaN with fewer than two
        groups or no error at all.
    """
    error = 1 - score
    known = jnp.isfinite(error)
    high = jnp.max(jnp.where(known, error, -jnp.inf), -1)
    low = jnp.min(jnp.where(known, error, jnp.inf), -1)
    return jnp.where(jnp.sum(known, -1) >= 2, high / low, jnp.nan)


@jax.jit
def decision_gaps(images: Array, positives: Array) -> dict[str, Array]:
    """All gaps of one version of the decisions.

    Args:
      images: [..., L, G] number of images.
      positives: [..., L, G] number of positive decisions.

    Returns:
      "eodd" [...], "eodd_mean" [...], "eop" [...] (of the last label) and "rates" [..., L, G].
    """
    rate = rates(images, positives)
    return {"eodd": eodd(rate), "eodd_mean": eodd(rate, "mean"), "eop": eop(rate), "rates": rate}


@jax.jit
def mean_gaps(weight: Array, total: Array) -> dict[str, Array]:
    """Group means and their gaps.

    Args:
      weight: [..., G] number of units (patients or images).
      total: [..., G] sums of the value.

    Returns:
      "mean" [..., G], "delta" [...] (largest minus smallest mean) and "ser" [...] (skewed error
        ratio).
    """
    mean = rates(weight, total)
    return {"mean": mean, "delta": spread(mean), "ser": skewed_error_ratio(mean)}
