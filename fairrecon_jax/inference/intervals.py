"""Intervals and p-values from bootstrap replicates: standard error, percentile, bias-corrected and accelerated (BCa)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fairrecon_jax.types import Array


class Estimate(NamedTuple):
    """A value with its bootstrap uncertainty; all fields have the same shape, NaN where undefined."""

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
      p_one_tailed: share of replicates whose change is 0 or on the other side of 0 than the observed one; 1 where the observed change is 0.
      replicates: number of replicates in which the change is defined.
    """

    original: Estimate
    reconstructed: Estimate
    change: Estimate
    p_two_sided: Array
    p_one_tailed: Array
    replicates: Array


def jackknife_moments(pair: tuple[Array, Array], weight: Array) -> tuple[Array, Array, Array]:
    """BCa acceleration of original, reconstructed and change from leave-one-out values.

    a = sum w d^3 / (6 (sum w d^2)^1.5), d = mean - leave-one-out value.

    Args:
      pair: leave-one-out values [U, ...] of the two versions; NaN values are left out.
      weight: [U] number of units each row stands for.

    Returns:
      Accelerations [...] of original, reconstructed and change.
    """

    def acceleration(values: Array) -> Array:
        w = weight.reshape(-1, *([1] * (values.ndim - 1))) * jnp.isfinite(values)
        v = jnp.where(jnp.isfinite(values), values, 0)
        d = jnp.where(w > 0, jnp.sum(w * v, 0)[None] / jnp.maximum(jnp.sum(w, 0), 1)[None] - v, 0)
        largest = jnp.max(jnp.abs(d), 0)
        d = d / jnp.where(largest > 0, largest, 1)[None]
        square = jnp.sum(w * d**2, 0)
        return jnp.where(square > 0, jnp.sum(w * d**3, 0) / (6 * jnp.maximum(square, 1e-30) ** 1.5), 0)

    before, after = pair
    return acceleration(before), acceleration(after), acceleration(after - before)


def quantile(ranked: Array, level: Array) -> Array:
    """Linearly interpolated quantiles of replicates sorted along axis 0 with NaN last.

    Args:
      ranked: [R, ...] sorted values.
      level: [...] in [0, 1].

    Returns:
      [...]; NaN where no replicate is finite.
    """
    finite = jnp.sum(jnp.isfinite(ranked), 0)
    place = level * jnp.maximum(finite - 1, 0)
    low = jnp.floor(place).astype(int)
    high = jnp.minimum(low + 1, jnp.maximum(finite - 1, 0))
    take = [jnp.take_along_axis(ranked, i[None], 0)[0] for i in (low, high)]
    part = place - low
    mixed = jnp.where(part > 0, take[0] * (1 - part) + take[1] * part, take[0])
    return jnp.where(finite > 0, mixed, jnp.nan)


def estimate(value: Array, drawn: Array, acceleration: Array | None, alpha: float, method: str) -> Estimate:
    """Standard error and interval of one statistic.

    BCa levels: Phi(z0 + (z0 + z) / (1 - a (z0 + z))), z0 = Phi^-1(share of replicates below the value, ties half).

    Args:
      value: [...] observed value.
      drawn: [R, ...] replicates; NaN and infinite replicates are left out.
      acceleration: [...] BCa acceleration; not used by "percentile".
      alpha: 1 - coverage.
      method: "bca" or "percentile".

    Returns:
      An `Estimate`; NaN where the value is undefined.

    Reference:
      Efron (1987), JASA 82.
    """
    known = jnp.isfinite(drawn)
    size = jnp.sum(known, 0)
    mean = jnp.sum(jnp.where(known, drawn, 0), 0) / jnp.maximum(size, 1)
    square = jnp.sum(jnp.where(known, drawn - mean[None], 0) ** 2, 0) / jnp.maximum(size - 1, 1)
    ranked = jnp.moveaxis(jnp.sort(jnp.moveaxis(jnp.where(known, drawn, jnp.nan), 0, -1), -1), -1, 0)
    tails = [jnp.full(value.shape, level, value.dtype) for level in (alpha / 2, 1 - alpha / 2)]
    if method == "bca" and acceleration is not None:
        below = jnp.sum(drawn < value[None], 0) + 0.5 * jnp.sum(drawn == value[None], 0)
        share = jnp.clip(below / jnp.maximum(size, 1), 0.5 / jnp.maximum(size, 1), 1 - 0.5 / jnp.maximum(size, 1))
        bias = jax.scipy.special.ndtri(share)
        moved = [bias + jax.scipy.special.ndtri(t) for t in tails]
        tails = [jax.scipy.special.ndtr(bias + m / (1 - acceleration * m)) for m in moved]
    defined = jnp.isfinite(value) & (size > 1)
    low, high = (jnp.where(defined, quantile(ranked, t), jnp.nan) for t in tails)
    return Estimate(value, jnp.where(defined, jnp.sqrt(square), jnp.nan), low, high)


def summarise(
    point: tuple[Array, Array],
    drawn: tuple[Array, Array],
    accelerations: tuple[Array, Array, Array] | None,
    alpha: float,
    method: str,
) -> Bootstrap:
    """Estimates of both versions and of their change, with p-values of the change.

    Args:
      point: observed values [...] on originals and reconstructions.
      drawn: their replicates [R, ...].
      accelerations: of original, reconstructed and change (BCa only).
      alpha: 1 - coverage.
      method: "bca" or "percentile".

    Returns:
      A `Bootstrap`.
    """
    a = accelerations or (None, None, None)
    change, moved = point[1] - point[0], drawn[1] - drawn[0]
    size = jnp.sum(jnp.isfinite(moved), 0)
    at_most, at_least = jnp.sum(moved <= 0, 0), jnp.sum(moved >= 0, 0)
    two = jnp.minimum(1.0, 2 * (1 + jnp.minimum(at_most, at_least)) / (size + 1))
    other = jnp.where(change > 0, at_most, at_least) / jnp.maximum(size, 1)
    one = jnp.where(change == 0, 1.0, other)
    defined = jnp.isfinite(change) & (size > 1)
    return Bootstrap(
        estimate(point[0], drawn[0], a[0], alpha, method),
        estimate(point[1], drawn[1], a[1], alpha, method),
        estimate(change, moved, a[2], alpha, method),
        jnp.where(defined, two, jnp.nan),
        jnp.where(defined, one, jnp.nan),
        size,
    )
