"""Overlap of a predicted and a true region: Dice, with the rule for empty masks in every call."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fairrecon_jax.metrics.backend import array_module
from fairrecon_jax.types import Array

EmptyMask = Literal["undefined", "one", "zero"]
"""What Dice is where both masks are empty: undefined (NaN), 1 (rightly nothing predicted) or 0. An
assessment has rules of its own for images whose true region is empty, see
`assessment.options.EmptyTruth`.
"""


def dice_from_counts(
    overlap: Array, predicted: Array, truth: Array, empty: EmptyMask = "undefined"
) -> Array:
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

    Example:
      >>> dice_from_counts([2, 0], [4, 0], [4, 0]).tolist()
      [0.5, nan]

    Reference: Dice 1945, doi:10.2307/1932409.
    """
    xp = array_module(overlap, predicted, truth)
    total = xp.asarray(predicted) + xp.asarray(truth)
    return xp.where(
        total > 0, 2 * xp.asarray(overlap) / xp.where(total > 0, total, 1), _empty_value(empty)
    )


def dice(
    predicted: Array, truth: Array, threshold: float = 0.5, empty: EmptyMask = "undefined"
) -> Array:
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

    Example:
      >>> predicted, truth = np.zeros((2, 4, 4, 1))
      >>> predicted[0], truth[:, 0] = 0.9, 1.0  # a row and a column of four pixels share one
      >>> dice(predicted, truth).tolist()
      [0.25]
    """
    if np.shape(predicted) != np.shape(truth) or np.ndim(truth) < 3:
        raise ValueError(
            "prediction and truth must be [..., H, W, S] of one shape, got "
            f"{np.shape(predicted)} and {np.shape(truth)}"
        )
    xp = array_module(predicted, truth)
    inside, real = xp.asarray(predicted) >= threshold, xp.asarray(truth) >= 0.5
    return dice_from_counts(
        xp.sum(inside & real, (-3, -2)), xp.sum(inside, (-3, -2)), xp.sum(real, (-3, -2)), empty
    )


def masked_mean(value: Array, weight: Array | None = None, axis: int = -1) -> Array:
    """Mean over the defined (not NaN) values: sum w v / sum w. NaN where nothing is defined.

    Args:
      value: [...] float, NaN = undefined.
      weight: same shape, >= 0; ones if None.
      axis: the axis that is averaged.

    Returns:
      `value`'s shape without `axis`.

    Example:
      >>> float(masked_mean([0.5, np.nan, 1.0])), float(masked_mean([0.5, 1.0], [3, 1]))
      (0.75, 0.625)
    """
    xp = array_module(value, weight)
    value = xp.asarray(value)
    weight = xp.ones_like(value) if weight is None else xp.asarray(weight)
    weight = xp.where(xp.isnan(value), 0, weight)
    total = xp.sum(weight, axis)
    # NaN times a weight of 0 would be NaN.
    mean = xp.sum(xp.where(weight > 0, value, 0) * weight, axis) / xp.where(total > 0, total, 1)
    return xp.where(total > 0, mean, np.nan)


def _empty_value(rule: EmptyMask) -> float:
    values = {"undefined": float("nan"), "one": 1.0, "zero": 0.0}
    if rule not in values:
        raise ValueError(f"empty-mask rule must be one of {sorted(values)}, got {rule!r}")
    return values[rule]
