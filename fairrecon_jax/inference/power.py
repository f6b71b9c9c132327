"""What a cohort could have shown: minimum detectable change of one group, and equivalence to less
than a margin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from fairrecon_jax.inference.did_result import DidResult

MARGIN = 0.05
POWER = 0.8


class Detectable(NamedTuple):
    """Minimum detectable changes.

    Attributes:
      stratum: [..., L, G] smallest additional change of this group's rate that the simultaneous
        interval finds with the given power; NaN where not estimable; inf where even a change of 1
        would not be detected.
      smallest: [...] the smallest over strata.
      largest: [...] the largest over strata: what could be hidden in the worst group.
    """

    stratum: np.ndarray
    smallest: np.ndarray
    largest: np.ndarray


def minimum_detectable_change(
    result: DidResult, power: float = POWER, is_rate: bool = True
) -> Detectable:
    """Smallest change in one group beyond the others' that is detected with probability `power`.

    Solves d (1 - s) = (c + z) sqrt(V(d) (1 - s)) with c the critical value of the simultaneous
    intervals, z the normal quantile of the power, s the group's share of the weight, V(d) = v_g + d
    (1 - d) / n_eff: a loss of d flips decisions, and so brings variance of its own.

    Args:
      result: of `did_test`, `did_test_continuous` or `did_test_auroc`.
      power: in (0.5, 1).
      is_rate: False for continuous values and AUROC, where V(d) = v_g.

    Returns:
      A `Detectable` in the unit of the result's change.

    Raises:
      ValueError: `power` is outside (0.5, 1).
    """
    if not 0.5 < power < 1:
        raise ValueError(f"power must lie in (0.5, 1), got {power}")
    inside = result.estimable
    variance = np.where(inside, result.variance, 1.0)
    # 1 - s: the group's own part of the common change hides as much of its own.
    others = np.clip(np.where(inside, result.std_error, 1.0) ** 2 / variance, 1e-12, 1.0)
    reach = (result.critical[..., None, None] + norm.ppf(power)) ** 2 / others
    extra = 1 / np.maximum(result.n_effective, 1) if is_rate else np.zeros_like(variance)
    # d^2 = reach (v + d (1 - d) extra) is a quadratic in d.
    a, b, c = 1 + reach * extra, -reach * extra, -reach * variance
    change = (-b + np.sqrt(b * b - 4 * a * c)) / (2 * a)
    change = np.where(inside, np.where(is_rate & (change > 1), np.inf, change), np.nan)
    blank = ~inside.any((-2, -1))
    low = np.where(blank, np.nan, np.min(np.where(inside, change, np.inf), (-2, -1)))
    high = np.where(blank, np.nan, np.max(np.where(inside, change, -np.inf), (-2, -1)))
    return Detectable(change, low, high)


def equivalent(result: DidResult, margin: float = MARGIN) -> np.ndarray:
    """Whether every group's change is shown to differ from the common one by less than a margin.

    All simultaneous intervals of D_g - Dbar lie inside (-margin, margin). At `alpha` = 0.05 this is
    a two one-sided test with family-wise error below 0.025; pass a result made with `alpha` = 0.1
    for the usual 0.05.

    Args:
      result: of one of the tests.
      margin: largest difference that does not matter, > 0, in the unit of the result's change.

    Returns:
      [...] bool; False where a group with images is not estimable: nothing is known about it.

    Raises:
      ValueError: `margin` is not positive.

    Reference:
      Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15.
    """
    if not margin > 0:
        raise ValueError(f"margin must be positive, got {margin}")
    inside = (result.ci_low > -margin) & (result.ci_high < margin) & result.estimable
    return np.all(inside | (result.n_images == 0), (-2, -1)) & result.estimable.any((-2, -1))
