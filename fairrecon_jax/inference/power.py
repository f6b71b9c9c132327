"""What a cohort could have shown: the minimum detectable change of one group, and equivalence to
less than a margin. Both belong to the test that decides: its critical value, its family.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from fairrecon_jax.inference.group_result import GroupTest
from fairrecon_jax.types import Array

MARGIN = 0.05
POWER = 0.8
NO_SPREAD = 1e-100
"""Standard error below which a value did not change in anyone."""


class Detectable(NamedTuple):
    """Minimum detectable changes.

    Attributes:
      stratum: [..., L, G] smallest further change of this group that is found with the given power;
        NaN where not judged, or of values of which none changed; inf where even a change of 1
        would not be found.
      smallest: [...] the smallest over strata.
      largest: [...] the largest over strata: what could be hidden in the worst group.
    """

    stratum: np.ndarray
    smallest: np.ndarray
    largest: np.ndarray


def minimum_detectable_change(
    test: GroupTest,
    *,
    level: float = 0.05,
    alpha: float = 0.05,
    power: float = POWER,
    decisions: bool = True,
) -> Detectable:
    """Smallest change of one group beyond the others' that is found with probability `power`.

    Solves d^2 = (c z_level / z_alpha + z_power)^2 (se^2 + d (1 - d) / n) with c the critical value
    of the cell, se the standard error of the group's extra change and n its effective patients: a
    loss of d flips decisions, and so brings variance of its own.

    Args:
      test: of one cell or of K cells.
      level: two-sided level at which one cell is tested after the adjustment for its family (see
        `group_family.family_level`); `alpha` for a single comparison.
      alpha: level of the test.
      power: in (0.5, 1).
      decisions: False for values, scores and AUROC, where a change brings no variance.

    Returns:
      A `Detectable` in the unit of the change.

    Raises:
      ValueError: a level or the power is out of range.

    Example:
      >>> minimum_detectable_change(test, level=0.05 / 12).largest > (
      ...     minimum_detectable_change(test).largest)
      True
    """
    if not 0.5 < power < 1:
        raise ValueError(f"power must lie in (0.5, 1), got {power}")
    for name, value in (("level", level), ("alpha", alpha)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie in (0, 1), got {value}")
    judged = test.reason == 0
    # values of which none changed: nothing is known of the spread that a change would have
    judged &= decisions | ~(np.nan_to_num(test.extra_error) < NO_SPREAD)
    error = np.where(judged, test.extra_error, 1.0)
    stricter = norm.isf(level / 2) / norm.isf(alpha / 2)
    critical = np.where(np.isfinite(test.critical), test.critical, 0)[..., None, None]
    reach = (critical * stricter + norm.ppf(power)) ** 2
    own = 1 / np.maximum(test.effective, 1) if decisions else np.zeros_like(error)
    # d^2 = reach (se^2 + d (1 - d) own) is a quadratic in d
    a, b, c = 1 + reach * own, -reach * own, -reach * error**2
    change = (-b + np.sqrt(b * b - 4 * a * c)) / (2 * a)
    change = np.where(judged, np.where(decisions & (change > 1), np.inf, change), np.nan)
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
      [...] bool.

    Raises:
      ValueError: `margin` is not positive.

    Reference:
      Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15; Hanley and
      Lippman-Hand (1983), JAMA 249 (rule of three).
    """
    if not margin > 0:
        raise ValueError(f"margin must be positive, got {margin}")
    judged = test.reason == 0
    with np.errstate(invalid="ignore"):
        inside = (test.extra_low > -margin) & (test.extra_high < margin)
    enough = test.effective >= 3 / margin
    empty = np.asarray(images) == 0
    return np.all((inside & enough & judged) | empty, (-2, -1)) & judged.any((-2, -1))
