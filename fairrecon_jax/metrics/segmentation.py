"""Overlap of a predicted and a true region: Dice, with the rule for empty masks in every call."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp

from fairrecon_jax.types import Array

EmptyMask = Literal["undefined", "one", "zero"]
"""What Dice is where both masks are empty: undefined (NaN), 1 (rightly nothing predicted) or 0."""


def dice_from_counts(
    overlap: Array, predicted: Array, truth: Array, empty: EmptyMask = "undefined"
) -> jnp.ndarray:
    """Dice from pixel counts: 2 |P and T| / (|P| + |T|). 1 means identical regions, 0 means no
    overlap.

    A true region that is empty while something is predicted gives 0. Where both are empty the rule
    `empty` decides.

    Args:
      overlap: [...] number of pixels in both regions.
      predicted: [...] number of predicted pixels.
      truth: [...] number of true pixels.
      empty: "undefined" (NaN, left out of every mean), "one" or "zero".

    Returns:
      [...] float in [0, 1] or NaN.

    Raises:
      ValueError: unknown rule.

    Reference: Dice 1945, doi:10.2307/1932409.
    """
    total = jnp.asarray(predicted) + jnp.asarray(truth)
    return jnp.where(
        total > 0, 2 * jnp.asarray(overlap) / jnp.where(total > 0, total, 1), _empty_value(empty)
    )


def dice(
    predicted: Array, truth: Array, threshold: float = 0.5, empty: EmptyMask = "undefined"
) -> jnp.ndarray:
    """Dice per example and region: 2 |P and T| / (|P| + |T|) with P = predicted >= threshold, T =
    truth >= 0.5.

    Args:
      predicted: [..., H, W, S] float, mask probability in [0, 1].
      truth: [..., H, W, S] float in {0, 1}.
      threshold: probability from which a pixel is taken as predicted.
      empty: rule where both masks are empty, see `dice_from_counts`.

    Returns:
      [..., S] float in [0, 1] or NaN.

    Raises:
      ValueError: the shapes differ, or the rule is unknown.
    """
    if predicted.shape != truth.shape:
        raise ValueError(
            "prediction and truth must be [..., H, W, S] of one shape, got "
            f"{predicted.shape} and {truth.shape}"
        )
    # The truth is 0 or 1 in float: half way is safe from any rounding.
    inside, real = jnp.asarray(predicted) >= threshold, jnp.asarray(truth) >= 0.5
    return dice_from_counts(
        jnp.sum(inside & real, (-3, -2)), jnp.sum(inside, (-3, -2)), jnp.sum(real, (-3, -2)), empty
    )


def masked_mean(value: Array, weight: Array | None = None, axis: int = -1) -> jnp.ndarray:
    """Mean over the defined (not NaN) values: sum w v / sum w. NaN where nothing is defined.

    Args:
      value: [...] float, NaN = undefined.
      weight: same shape, >= 0; ones if None.
      axis: the axis that is averaged.

    Returns:
      `value`'s shape without `axis`.
    """
    value = jnp.asarray(value)
    weight = jnp.ones_like(value) if weight is None else jnp.asarray(weight)
    weight = jnp.where(jnp.isnan(value), 0, weight)
    total = jnp.sum(weight, axis)
    # NaN times a weight of 0 would be NaN.
    mean = jnp.sum(jnp.where(weight > 0, value, 0) * weight, axis) / jnp.where(total > 0, total, 1)
    # Not 0, which would be a value like any other.
    return jnp.where(total > 0, mean, jnp.nan)


def _empty_value(rule: EmptyMask) -> float:
    values = {"undefined": float("nan"), "one": 1.0, "zero": 0.0}
    if rule not in values:
        raise ValueError(f"empty-mask rule must be one of {sorted(values)}, got {rule!r}")
    return values[rule]
