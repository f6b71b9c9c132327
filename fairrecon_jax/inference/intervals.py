"""Intervals and p-values from bootstrap replicates: standard error, percentile, bias-corrected and
accelerated (BCa).

Replicates are drawn and summarised on the host: NumPy sorts a row of replicates many times faster
than a compiled XLA sort on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr, ndtri

from fairrecon_jax.types import Array

Method = Literal["bca", "percentile"]


class Estimate(NamedTuple):
    """A value with its bootstrap uncertainty; all fields of one shape, NaN where undefined."""

    value: Array
    std_error: Array
    ci_low: Array
    ci_high: Array


class Bootstrap(NamedTuple):
    """A paired statistic.

    Attributes:
      original: on originals.
      reconstructed: on reconstructions.
      change: reconstructed minus original.
      p_two_sided: min(1, 2 min((1 + #{change* <= 0}), (1 + #{change* >= 0})) / (R + 1)).
      p_one_tailed: share of replicates whose change is 0 or on the other side of 0 than the
        observed one; 1 where the observed change is 0.
      replicates: number of replicates in which the change is defined.
    """

    original: Estimate
    reconstructed: Estimate
    change: Estimate
    p_two_sided: Array
    p_one_tailed: Array
    replicates: Array


def jackknife_moments(pair: tuple[Array, Array], weight: Array) -> tuple[Array, Array, Array]:
    """BCa acceleration of original, reconstructed and change from leave-one-out values, in JAX or
    NumPy as these are.

    a = sum w d^3 / (6 (sum w d^2)^1.5), d = mean - leave-one-out value.

    Args:
      pair: leave-one-out values [U, ...] of the two versions; NaN values are left out.
      weight: [U] number of units each row stands for.

    Returns:
      Accelerations [...] of original, reconstructed and change.
    """

    def acceleration(values: Array) -> Array:
        xp = jnp if isinstance(values, jax.Array) else np
        w = weight.reshape(-1, *([1] * (values.ndim - 1))) * xp.isfinite(values)
        v = xp.where(xp.isfinite(values), values, 0)
        d = xp.where(w > 0, xp.sum(w * v, 0)[None] / xp.maximum(xp.sum(w, 0), 1)[None] - v, 0)
        # The acceleration has no unit: scaled deviations do not underflow when cubed.
        largest = xp.max(xp.abs(d), 0)
        d = d / xp.where(largest > 0, largest, 1)[None]
        weighted = w * d * d
        square = xp.sum(weighted, 0)
        return xp.where(
            square > 0, xp.sum(weighted * d, 0) / (6 * xp.maximum(square, 1e-30) ** 1.5), 0
        )

    before, after = pair
    return acceleration(before), acceleration(after), acceleration(after - before)


def quantile(ranked: np.ndarray, level: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Linearly interpolated quantiles of sorted replicates.

    Args:
      ranked: [..., R] sorted values, those beyond `size` do not count.
      level: [...] in [0, 1].
      size: [...] number of values that count.

    Returns:
      [...]; NaN where none counts.
    """
    last = np.maximum(size - 1, 0)
    place = level * last
    low = np.floor(place).astype(int)
    below, above = (
        np.take_along_axis(ranked, i[..., None], -1)[..., 0]
        for i in (low, np.minimum(low + 1, last))
    )
    return np.where(size > 0, below + (place - low) * (above - below), np.nan)


def estimate(
    value: Array, drawn: Array, acceleration: Array | None, alpha: float, method: Method
) -> Estimate:
    """Standard error and interval of one statistic.

    BCa levels: Phi(z0 + (z0 + z) / (1 - a (z0 + z))), z0 = Phi^-1(share of replicates below the
    value, ties half). The correction matters for gaps, whose maximum minus minimum is larger in
    most replicates than observed.

    Args:
      value: [...] observed value.
      drawn: [R, ...] replicates; NaN and infinite replicates are left out.
      acceleration: [...] BCa acceleration; 0 if None; not used by "percentile".
      alpha: 1 - coverage.
      method: "bca" or "percentile".

    Returns:
      An `Estimate`; NaN where the value is undefined or fewer than half of the replicates are
        defined.

    Reference:
      Efron (1987), JASA 82.
    """
    value, ranked = np.asarray(value), np.array(np.moveaxis(np.asarray(drawn), 0, -1), order="C")
    # NaN sorts last, so that the first `size` entries are those that count.
    np.copyto(ranked, np.nan, where=~np.isfinite(ranked))
    ranked.sort(-1)
    known = ~np.isnan(ranked)
    size = known.sum(-1)
    some = np.maximum(size, 1)
    spread = ranked - (np.sum(ranked, -1, where=known) / some)[..., None]
    error = np.sqrt(np.sum(spread**2, -1, where=known) / np.maximum(size - 1, 1))
    levels = [np.full(value.shape, level) for level in (alpha / 2, 1 - alpha / 2)]
    if method == "bca":
        below = ((ranked < value[..., None]).sum(-1) + (ranked <= value[..., None]).sum(-1)) / 2
        # Half a replicate away from 0 and 1: the correction stays finite.
        bias = ndtri(np.clip(below / some, 0.5 / some, 1 - 0.5 / some))
        moved = [bias + ndtri(level) for level in levels]
        levels = [
            ndtr(bias + m / (1 - (0 if acceleration is None else acceleration) * m)) for m in moved
        ]
    defined = np.isfinite(value) & (size > 1) & (2 * size >= ranked.shape[-1])
    parts = (error, *(quantile(ranked, level, size) for level in levels))
    return Estimate(value, *(np.where(defined, part, np.nan) for part in parts))


def summarise(
    point: Sequence[Array],
    drawn: Sequence[Array],
    accelerations: Sequence[Array] | None,
    alpha: float,
    method: Method,
) -> Bootstrap:
    """Estimates of both versions and of their change, with p-values of the change.

    Args:
      point: observed values [...] on originals and reconstructions; they broadcast against each
        other.
      drawn: their replicates [R, ...].
      accelerations: of original, reconstructed and change; None: none (bias correction alone).
      alpha: 1 - coverage.
      method: "bca" or "percentile".

    Returns:
      A `Bootstrap`.
    """
    before, after = np.broadcast_arrays(*point)
    first, second = np.broadcast_arrays(*drawn)
    with np.errstate(invalid="ignore"):
        change, moved = after - before, second - first
    bca = accelerations or (None, None, None)
    original = estimate(before, first, bca[0], alpha, method)
    reconstructed = estimate(after, second, bca[1], alpha, method)
    difference = estimate(change, moved, bca[2], alpha, method)
    size, at_most, at_least = (part.sum(0) for part in (np.isfinite(moved), moved <= 0, moved >= 0))
    two = np.minimum(1.0, 2 * (1 + np.minimum(at_most, at_least)) / (size + 1))
    one = np.where(change == 0, 1.0, np.where(change > 0, at_most, at_least) / np.maximum(size, 1))
    defined = np.isfinite(difference.std_error)
    return Bootstrap(
        original,
        reconstructed,
        difference,
        np.where(defined, two, np.nan),
        np.where(defined, one, np.nan),
        size,
    )
