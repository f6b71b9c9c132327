"""What a cohort could have shown: the minimum detectable change of one group, and equivalence to
less than a margin. Both belong to the test that decides: its critical value, its family.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2, norm

from fairrecon_jax.inference.group_result import GroupTest
from fairrecon_jax.inference.group_statistic import LABEL_WEIGHTS
from fairrecon_jax.types import Array

MARGIN = 0.05
POWER = 0.8
FARTHEST = 100.0
"""Standard errors beyond which a change is called undetectable."""
NO_SPREAD = 1e-100
"""Standard error below which a value did not change in anyone."""


class Detectable(NamedTuple):
    """Minimum detectable changes.

    Attributes:
      stratum: [..., L, G] smallest further change of this group that is found with the given power;
        NaN where not judged, within strata, or of values of which none changed; inf where even a
        change of 1 would not be found.
      smallest: [...] the smallest over strata.
      largest: [...] the largest over strata: what could be hidden in the worst group.
    """

    stratum: np.ndarray
    smallest: np.ndarray
    largest: np.ndarray


# the roots take milliseconds, and most cells ask for the same ones
@lru_cache(maxsize=4096)
def _needed(
    level: float, power: float, weights: tuple[float, ...], groups: tuple[int, ...]
) -> float:
    """Noncentrality delta of the first label's harmed group at which T is found with `power`.

    T = sum over labels of w_y Q_y, Q_y chi-squared with groups - 1 degrees of freedom, that of the
    first label with noncentrality delta^2; the other labels' sum as one scaled chi-squared. With
    more than two groups the weighted maximum counts as well: the smaller delta of the two.
    """
    w, free = np.asarray(weights), np.asarray(groups) - 1
    # slices of the other labels' tail, equally wide in log share: a family's levels lie far out
    share = np.exp(-np.arange(0, 25, 0.05))
    rest, mass = np.zeros(1), np.ones(1)
    if len(w) > 1:
        mean, square = w[1:] @ free[1:], w[1:] ** 2 @ free[1:]
        # a weighted sum by its first two moments, at the middle of each slice
        rest = square / mean * chi2.isf(np.sqrt(share[1:] * share[:-1]), mean**2 / square)
        mass = -np.diff(share)

    def beyond(quantile: float, delta: float) -> float:
        # 1e-12: off the edge of the noncentral law's domain
        return float(mass @ ncx2.sf((quantile - rest) / w[0], free[0], delta**2 + 1e-12))

    quantile = brentq(lambda q: beyond(q, 0.0) - level, 0, 1e3)
    if beyond(quantile, FARTHEST) < power:
        return float("inf")  # the label weighs next to nothing
    found = brentq(lambda d: beyond(quantile, d) - power, 0, FARTHEST)
    if max(groups) == 2:
        return found
    count = np.where(np.asarray(groups) == 2, 1, groups)

    def largest(bound: float) -> float:
        # log1p and expm1, because tails of 1e-6 lose their digits beside 1
        return float(-np.expm1(count @ np.log1p(-2 * norm.sf(bound / np.sqrt(w)))))

    bound = brentq(lambda b: largest(b) - level, 1e-3, 1e2)
    return min(found, bound / np.sqrt(w[0]) + norm.ppf(power))


def _reach(judged: np.ndarray, level: float, power: float, w: np.ndarray) -> np.ndarray:
    """Standard errors [..., L] that a change of one group and label has to span."""
    groups = judged.sum(-1)
    found = np.ones(groups.shape)
    for at in np.ndindex(groups.shape[:-1]):
        labels = [y for y in range(len(w)) if groups[at][y] >= 2]
        for y in labels:
            # `_needed` takes the harmed label first
            order = [y, *(v for v in labels if v != y)]
            weights, sizes = (tuple(v.tolist()) for v in (w[order], groups[at][order]))
            found[(*at, y)] = _needed(level, power, weights, sizes)
    return found


def minimum_detectable_change(
    test: GroupTest,
    *,
    level: float | None = None,
    alpha: float = 0.05,
    power: float = POWER,
    decisions: bool = True,
    label_weights: Sequence[float] | None = None,
) -> Detectable:
    """Smallest change of one group beyond the others' that is found with probability `power`.

    Solves d^2 = delta^2 (se^2 + d (1 - d) / n) with delta the noncentrality that the statistic of
    the test, whose labels have weights, needs at `level`; se the standard error of the group's
    extra change and n its effective patients: a loss of d flips decisions, and so brings variance
    of its own.

    Args:
      test: of one cell or of K cells.
      level: two-sided level at which one cell is tested after the adjustment for its family (see
        `group_family.family_level`); `alpha` if None.
      alpha: level of a single comparison.
      power: in (0.5, 1).
      decisions: False for values, scores and AUROC, where a change brings no variance.
      label_weights: w_y of the test; its default if None.

    Returns:
      A `Detectable` in the unit of the change.

    Raises:
      ValueError: a level or the power is out of range.

    Example:
      >>> tables = fr.inference.patient_tables([0] * 200, None, [0, 1] * 100, range(200), groups=2)
      >>> test = fr.inference.group_test(tables, seed=0, permutations=99, decisions=True)
      >>> alone, of_twelve = (minimum_detectable_change(test, level=0.05 / n) for n in (1, 12))
      >>> bool(of_twelve.smallest[0] > alone.smallest[0])
      True
    """
    if not 0.5 < power < 1:
        raise ValueError(f"power must lie in (0.5, 1), got {power}")
    for name, value in (("level", level), ("alpha", alpha)):
        if value is not None and not 0 < value < 1:
            raise ValueError(f"{name} must lie in (0, 1), got {value}")
    # within strata only part of a change counts, how much depends on the other groups' patients
    judged = (test.reason == 0) & ~np.asarray(test.stratified)[..., None, None]
    # values of which none changed: nothing is known of the spread that a change would have
    judged &= decisions | ~(np.nan_to_num(test.extra_error) < NO_SPREAD)
    # 1: any number, blanked below
    error = np.where(judged, test.extra_error, 1.0)
    labels = judged.shape[-2]
    default = LABEL_WEIGHTS if labels == 2 else (1.0,) * labels
    weights = np.asarray(default if label_weights is None else label_weights, float)
    reach = _reach(judged, alpha if level is None else level, power, weights)[..., None] ** 2
    far, reach = np.isinf(reach), np.where(np.isinf(reach), 1.0, reach)
    own = 1 / np.maximum(test.effective, 1) if decisions else np.zeros_like(error)
    # d^2 = reach (se^2 + d (1 - d) own) is a quadratic in d
    a, b, c = 1 + reach * own, -reach * own, -reach * error**2
    change = (-b + np.sqrt(b * b - 4 * a * c)) / (2 * a)
    beyond = far | (decisions & (change > 1))
    change = np.where(judged, np.where(beyond, np.inf, change), np.nan)
    blank = ~judged.any((-2, -1))
    low = np.where(blank, np.nan, np.min(np.where(judged, change, np.inf), (-2, -1)))
    high = np.where(blank, np.nan, np.max(np.where(judged, change, -np.inf), (-2, -1)))
    return Detectable(change, low, high)


def equivalent(test: GroupTest, images: Array, margin: float = MARGIN) -> np.ndarray:
    """Whether every group's change is shown to differ from the others' by less than a margin.

    All simultaneous limits lie inside (-margin, margin), and every group has at least 3 / margin
    effective patients: with fewer, a loss of the margin leaves no trace too often (rule of three).

    Args:
      test: of one cell or of K cells, with alpha = 0.05: the error at a true difference of the
        margin is then below 2.5%.
      images: [..., L, G] images of each group: about a group with images that could not be judged
        nothing is known, and nothing is equivalent.
      margin: largest difference that does not matter, > 0, in the unit of the change.

    Returns:
      [...] bool; False of a test within strata, whose limits are those of the whole groups.

    Raises:
      ValueError: `margin` is not positive.

    Example:
      >>> nothing, sex, images = [0] * 2000, [0, 1] * 1000, [[1000, 1000]]
      >>> tables = fr.inference.patient_tables(nothing, None, sex, range(2000), groups=2)
      >>> test = fr.inference.group_test(tables, seed=0, permutations=99, decisions=True)
      >>> [bool(equivalent(test, images, margin)) for margin in (0.05, 0.001)]
      [True, False]

    Reference:
      Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15; Hanley and
      Lippman-Hand (1983), JAMA 249 (rule of three).
    """
    if not margin > 0:
        raise ValueError(f"margin must be positive, got {margin}")
    judged = test.reason == 0
    # limits are NaN where nothing is judged
    with np.errstate(invalid="ignore"):
        inside = (test.extra_low > -margin) & (test.extra_high < margin)
    enough = test.effective >= 3 / margin
    empty = np.asarray(images) == 0
    return (
        np.all((inside & enough & judged) | empty, (-2, -1))
        & judged.any((-2, -1))
        & ~np.asarray(test.stratified)
    )
