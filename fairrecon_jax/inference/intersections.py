"""Changes of intersections, drawn towards the sum of their parts: a stratum of few patients borrows
from the groups that it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from fairrecon_jax.inference.changes import Changes
from fairrecon_jax.inference.group_draws import observed_sums
from fairrecon_jax.inference.group_statistic import contrasts, frame_of, mask_and_centre

ITERATIONS = 100


class Shrunk(NamedTuple):
    """Shrunken changes of K problems, L labels and G intersections.

    Attributes:
      additive: [K, L, G] sum of the parts: overall change and one effect per group of each
        attribute; also of intersections without patients.
      change: [K, L, G] between the intersection's own change and the additive one.
      low: [K, L, G] lower limit.
      high: [K, L, G] upper limit.
      own: [K, L, G] share of its own data in the change, in [0, 1].
      between: [K, L] standard deviation of intersections around the additive changes.
    """

    additive: np.ndarray
    change: np.ndarray
    low: np.ndarray
    high: np.ndarray
    own: np.ndarray
    between: np.ndarray


def additive_design(parts: np.ndarray) -> np.ndarray:
    """Columns of an additive model: a constant, and an indicator for each group of each attribute
    but its first.

    Args:
      parts: [G, A] group index of each attribute.

    Returns:
      [G, 1 + sum of (groups - 1)].
    """
    columns = [np.ones(len(parts))]
    for attribute in parts.T:
        columns += [1.0 * (attribute == level) for level in range(1, attribute.max() + 1)]
    return np.stack(columns, 1)


def shrink_intersections(
    changes: Changes, parts: Sequence[Sequence[int]], alpha: float = 0.05
) -> Shrunk:
    """Empirical Bayes changes of intersections.

    D_g ~ N(x_g' b + u_g, v_g) with u_g ~ N(0, tau^2): b by weighted least squares, tau^2 by the
    method of Paule and Mandel, and the change x'b + B (D - x'b) with B = tau^2 / (tau^2 + v). The
    limits hold the errors of D, of b and of u; tau^2 is taken as known, but never as less than its
    sampling error allows (half of the smallest v), or few intersections would look certain.

    Args:
      changes: of the crossed groups.
      parts: [G, A] index of each intersection's group in every attribute.
      alpha: 1 - coverage on average over the intersections.

    Returns:
      `Shrunk`; NaN where fewer intersections have patients than the additive model of the groups
        that have some has effects, and in intersections whose sum of the parts the others do not
        determine: one of a group without patients, or of groups that no chain of intersections
        joins.

    Raises:
      ValueError: `parts` does not hold one row per intersection.

    Reference:
      Morris (1983), Journal of the American Statistical Association 78; Paule and Mandel (1982),
      Journal of Research of the National Bureau of Standards 87.
    """
    codes = np.asarray(parts, int)
    shape = changes.original.shape
    if codes.shape[:1] != shape[-1:]:
        raise ValueError(f"parts must hold {shape[-1]} rows, got shape {codes.shape}")
    # too small to be judged alone is no reason to stay out: that is whom shrinking is for
    some = changes.images > 0
    masked, mean = mask_and_centre(changes.tables, some)
    found = contrasts(observed_sums(masked), frame_of(masked, some, changes.counted[1], None, 0.0))
    design = additive_design(codes)
    filled = [np.full(shape, np.nan) for _ in range(5)]
    between = np.full(shape[:2], np.nan)
    for k, y in np.ndindex(shape[:2]):
        use = some[k, y]
        # a group without patients has no effect, and takes none from the others
        effects = 1 + sum(len(np.unique(part)) - 1 for part in codes[use].T)
        if use.sum() < max(effects, 2):
            continue
        alone = found.change[0, k, y] + mean[k, y]  # uncentred
        parts_of = _shrink(alone, found.variance[0, k, y], use, design, alpha)
        known = _determined(design, use)
        for array, part in zip(filled, parts_of[:5], strict=True):
            array[k, y, known] = part[known]
        between[k, y] = parts_of[5]
    additive, change, low, high, own = filled
    return Shrunk(additive, change, low, high, own, between)


def _determined(design: np.ndarray, use: np.ndarray) -> np.ndarray:
    """[G] bool, the intersections whose additive change follows from those in use: their rows of
    the design are combinations of the others' rows.
    """
    inside = design[use]
    apart = design - design @ np.linalg.pinv(inside) @ inside
    # whole numbers, so that a remainder is rounding or about 1
    return np.abs(apart).max(1) < 1e-6


def _shrink(
    own: np.ndarray, variance: np.ndarray, use: np.ndarray, design: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """One problem and label: additive, change, limits, share of own data, tau."""
    x, d, v = design[use], own[use], variance[use]
    square = _between(x, d, v)
    square = max(square, float(v.min()) / 2)
    weight = 1 / (v + square)
    cover = np.linalg.pinv((x.T * weight) @ x)
    effects = cover @ (x.T @ (weight * d))
    additive = design @ effects
    error = np.einsum("gp,pq,gq->g", design, cover, design)
    share = np.where(use, square / (square + variance), 0.0)
    change = additive + share * (np.where(use, own, additive) - additive)
    spread = share * np.where(use, variance, 0) + (1 - share) ** 2 * error
    # Morris: the share itself is estimated, from as few deviations as there are
    freedom = max(len(d) - np.linalg.matrix_rank(x), 1)
    apart = np.where(use, own - additive, 0)
    spread = spread + 2 / (freedom + 1) * ((1 - share) * apart) ** 2
    # without own data the deviation from the sum of the parts is unknown in full
    spread = np.where(use, spread, error + square)
    # tau has as many observations as there are intersections
    width = student.isf(alpha / 2, len(d)) * np.sqrt(spread)
    return additive, change, change - width, change + width, share, float(np.sqrt(square))


def _between(x: np.ndarray, d: np.ndarray, v: np.ndarray) -> float:
    """tau^2 at which the weighted squares around the additive changes equal their degrees of
    freedom; 0 where they never exceed them.
    """
    freedom = len(d) - np.linalg.matrix_rank(x)
    if freedom <= 0:
        return 0.0

    def excess(square: float) -> float:
        weight = 1 / (v + square)
        effects = np.linalg.pinv((x.T * weight) @ x) @ (x.T @ (weight * d))
        return float(weight @ (d - x @ effects) ** 2 - freedom)

    if excess(0.0) <= 0:
        return 0.0
    # the excess falls as tau^2 grows: one root, bracketed by doubling
    low, high = 0.0, float(np.var(d) + v.max()) + 1e-12
    while excess(high) > 0:
        high *= 2
    for _ in range(ITERATIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return (low + high) / 2
