"""Paired, seeded bootstrap by patient or image: one matrix of draws, shared by every task, attribute and study cell."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from fairrecon_jax.assessment.rows import Interval, Triple
from fairrecon_jax.inference.intervals import Bootstrap, Estimate


def draws(count: int, replicates: int, seed: int) -> np.ndarray:
    """How often each patient (or image) is drawn in each replicate.

    Args:
      count: number of patients P.
      replicates: number of replicates R.
      seed: of the draws; replicate r does not depend on how many follow it.

    Returns:
      [R, P] float32, rows sum to P.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    drawn = (generator.integers(0, count, count, dtype=np.int32) for _ in range(replicates))
    return np.stack([np.bincount(row, minlength=count) for row in drawn]).astype(np.float32)


def resum(weights: np.ndarray | None, parts: list[np.ndarray]) -> list[np.ndarray]:
    """Sums tables per patient over patients, once (observed) or per replicate: weights @ table, all tables in one product.

    Args:
      weights: [R, P] float32, or None for the observed sums.
      parts: tables [P, ...].

    Returns:
      Tables [R, ...] float64 (R = 1 for the observed ones); counts are exact below 2^24.
    """
    if weights is None:
        return [part.sum(0, dtype=np.float64)[None] for part in parts]
    flat = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1).astype(np.float32, copy=False)
    product = (weights @ flat).astype(np.float64)
    edges = np.cumsum([int(np.prod(part.shape[1:])) for part in parts])[:-1]
    return [piece.reshape(len(weights), *part.shape[1:]) for piece, part in zip(np.split(product, edges, axis=1), parts, strict=True)]


def estimate(value: np.ndarray, drawn: np.ndarray, alpha: float) -> Estimate:
    """Standard error and bias-corrected percentile interval (BCa without acceleration).

    Levels Phi(2 z0 + z), z0 = Phi^-1(share of replicates below the value, ties half); the correction matters for gaps, whose maximum minus
    minimum is larger in most replicates than observed. Replicates that are not finite are left out.

    Args:
      value: [...] observed.
      drawn: [R, ...] replicates.
      alpha: intervals have level 1 - alpha.

    Returns:
      `Estimate` [...]; NaN where the value is undefined or fewer than half of the replicates are.

    Reference:
      Efron 1987, JASA 82.
    """
    known = np.isfinite(drawn)
    size = known.sum(0)
    enough = np.isfinite(value) & (2 * size >= len(drawn)) & (size > 1)
    filled, some = np.where(known, drawn, 0.0), np.maximum(size, 1)
    centred = np.where(known, filled - filled.sum(0) / some, 0.0)
    error = np.sqrt((centred**2).sum(0) / np.maximum(size - 1, 1))
    below = (known & (drawn < value)).sum(0) + 0.5 * (known & (drawn == value)).sum(0)
    bias = norm.ppf(np.clip(below / some, 0.5 / some, 1 - 0.5 / some))
    ranked = np.where(enough, np.sort(np.where(known, drawn, np.inf), axis=0), 0.0)
    limits = []
    for level in (alpha / 2, 1 - alpha / 2):
        place = norm.cdf(2 * bias + norm.ppf(level)) * np.maximum(size - 1, 0)
        first = np.floor(place).astype(int)
        low, high = (np.take_along_axis(ranked, i[None], 0)[0] for i in (first, np.minimum(first + 1, np.maximum(size - 1, 0))))
        limits.append(np.where(enough, low + (place - first) * (high - low), np.nan))
    return Estimate(value, np.where(enough, error, np.nan), limits[0], limits[1])


def paired(observed: tuple[np.ndarray, np.ndarray], replicates: tuple[np.ndarray, np.ndarray], alpha: float) -> Bootstrap:
    """Original, reconstructed and change with intervals and p-values from the same draws.

    Args:
      observed: (original, reconstructed), [...] each, broadcast against each other.
      replicates: the same with a leading axis R.
      alpha: intervals have level 1 - alpha.

    Returns:
      `Bootstrap` [...].
    """
    before, after = np.broadcast_arrays(*observed)
    first, second = np.broadcast_arrays(*replicates)
    change, moved = after - before, second - first
    found = estimate(change, moved, alpha)
    size = np.isfinite(moved).sum(0)
    at_most, at_least = (moved <= 0).sum(0), (moved >= 0).sum(0)
    two = np.minimum(1.0, 2 * (1 + np.minimum(at_most, at_least)) / (size + 1))
    one = np.where(change == 0, 1.0, np.where(change > 0, at_most, at_least) / np.maximum(size, 1))
    defined = np.isfinite(found.std_error)
    two, one = (np.where(defined, p, np.nan) for p in (two, one))
    return Bootstrap(estimate(before, first, alpha), estimate(after, second, alpha), found, two, one, size)


def triple(found: Bootstrap, place: tuple[int, ...]) -> Triple:
    """One entry of a `Bootstrap` as a `Triple` of Python floats."""

    def one(estimate: Estimate) -> Interval:
        return Interval(*(float(part[place]) for part in estimate))

    return Triple(one(found.original), one(found.reconstructed), one(found.change))
