"""Paired, seeded bootstrap by patient or image: one matrix of draws, shared by every task,
attribute and study cell.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np

from fairrecon_jax.assessment.rows import Interval, Triple
from fairrecon_jax.inference.intervals import (
    Bootstrap,
    Estimate,
    Method,
    jackknife_moments,
    summarise,
)
from fairrecon_jax.types import Array

ROWS = 1024
"""Replicates or units left out whose statistics are computed at once."""

Name = Hashable
Pair = tuple[np.ndarray, np.ndarray]
Statistics = Callable[[list[np.ndarray]], dict[Name, Pair]]


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


def weighted_sums(weights: np.ndarray | None, parts: list[np.ndarray]) -> list[np.ndarray]:
    """Sums tables per patient over patients, once (observed) or per replicate: weights @ table, all
    tables in one product.

    Args:
      weights: [R, P] float32, or None for the observed sums.
      parts: tables [P, ...].

    Returns:
      Tables [R, ...] float64 (R = 1 for the observed ones); counts are exact below 2^24.
    """
    if weights is None:
        return [part.sum(0, dtype=np.float64)[None] for part in parts]
    flat = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1).astype(
        np.float32, copy=False
    )
    product = (weights @ flat).astype(np.float64)
    edges = np.cumsum([int(np.prod(part.shape[1:])) for part in parts])[:-1]
    return [
        piece.reshape(len(weights), *part.shape[1:])
        for piece, part in zip(np.split(product, edges, axis=1), parts, strict=True)
    ]


def bootstrap(
    parts: list[np.ndarray],
    weights: np.ndarray,
    statistics: Statistics,
    alpha: float,
    method: Method = "bca",
) -> dict[Name, Bootstrap]:
    """Paired bootstrap of statistics of sums over resampled units, by default with BCa intervals
    from a jackknife over the same units.

    Args:
      parts: tables [P, ...] whose sums over the P units (patients or images) the statistics are
        made from.
      weights: [R, P] how often each unit is drawn.
      statistics: from sums [rows, ...], one row at a time, to named pairs (original,
        reconstructed), [rows, ...] each.
      alpha: intervals have level 1 - alpha.
      method: "bca" or "percentile".

    Returns:
      By name the statistic [...] with intervals and p-values.
    """
    total = weighted_sums(None, parts)
    sums = [np.concatenate(pair) for pair in zip(total, weighted_sums(weights, parts), strict=True)]
    values = _evaluate(lambda rows: [part[rows] for part in sums], len(sums[0]), statistics)
    accelerations: dict[Name, tuple[Array, ...]] = {}
    if method == "bca":
        left = _evaluate(
            lambda rows: [t - part[rows] for t, part in zip(total, parts, strict=True)],
            len(parts[0]),
            statistics,
        )
        accelerations = {name: _accelerations(*pair) for name, pair in left.items()}
    return {
        name: summarise(
            (before[0], after[0]), (before[1:], after[1:]), accelerations.get(name), alpha, method
        )
        for name, (before, after) in values.items()
    }


def _evaluate(
    take: Callable[[slice], list[np.ndarray]], count: int, statistics: Statistics
) -> dict[Name, Pair]:
    """Statistics of rows 0..count-1, in blocks of one size, so that whatever they compile is
    compiled once and memory is bounded.
    """
    blocks = []
    for first in range(0, count, ROWS):
        parts = take(slice(first, first + ROWS))
        here = len(parts[0])
        found = statistics(
            [
                np.pad(part, [(0, ROWS - here)] + [(0, 0)] * (part.ndim - 1), mode="edge")
                for part in parts
            ]
        )
        blocks.append({name: [version[:here] for version in pair] for name, pair in found.items()})
    return {
        name: (
            np.concatenate([b[name][0] for b in blocks]),
            np.concatenate([b[name][1] for b in blocks]),
        )
        for name in blocks[0]
    }


def _accelerations(before: np.ndarray, after: np.ndarray) -> tuple[Array, ...]:
    """BCa accelerations of both versions and of the change from leave-one-out values [P, ...]."""
    with np.errstate(invalid="ignore"):
        return jackknife_moments((before, after), np.ones(len(before)))


def paired(found: Bootstrap, place: tuple[int, ...]) -> Triple:
    """One entry of a `Bootstrap` as a `Triple` of Python floats."""

    def one(estimate: Estimate) -> Interval:
        return Interval(*(float(part[place]) for part in estimate))

    return Triple(one(found.original), one(found.reconstructed), one(found.change))
