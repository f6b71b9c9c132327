"""AUROC of groups with DeLong standard errors clustered by patient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from fairrecon_jax.assessment.arrays import Grouping, JudgedUnits
from fairrecon_jax.assessment.rows import Interval, Triple
from fairrecon_jax.inference.delong import clustered_error, placements


class Separation(NamedTuple):
    """AUROC of K study cells and G groups.

    Attributes:
      value: [2, K, G] on originals and on reconstructions, NaN where a class is absent.
      std_error: [3, K, G] of original, reconstructed and change.
    """

    value: np.ndarray
    std_error: np.ndarray

    def paired(self, k: int, group: int, alpha: float) -> Triple:
        """One study cell and group with normal intervals, those of the two AUROCs cut to [0, 1]."""
        before, after = (float(v) for v in self.value[:, k, group])
        errors = [float(e) for e in self.std_error[:, k, group]]
        z = float(norm.ppf(1 - alpha / 2))

        def interval(value: float, error: float, low: float, high: float) -> Interval:
            if not np.isfinite(error):
                return Interval(value)
            return Interval(value, error, max(value - z * error, low), min(value + z * error, high))

        return Triple(
            interval(before, errors[0], 0.0, 1.0),
            interval(after, errors[1], 0.0, 1.0),
            interval(after - before, errors[2], -np.inf, np.inf),
        )

    def p_value(self, k: int, group: int) -> float:
        """Two-sided p of "the AUROC did not change", normal approximation; 1 where no score moved
        the order.
        """
        change = float(self.value[1, k, group] - self.value[0, k, group])
        error = float(self.std_error[2, k, group])
        if not np.isfinite(change) or not np.isfinite(error):
            return float("nan")
        return float(2 * norm.sf(abs(change) / error)) if error > 0 else 1.0


def separation(
    units: JudgedUnits, known: np.ndarray, shared: bool, grouping: Grouping
) -> Separation:
    """AUROC and its DeLong standard error per study cell and group; influences are summed per
    patient before squaring.

    se^2 = P / (P - 1) sum over patients (sum over the patient's units of the influence)^2, P
    patients in the group.

    Args:
      units: scores and labels.
      known: [K, U] bool, complete units.
      shared: originals and `known` are the same in all study cells.
      grouping: groups of the units.

    Returns:
      `Separation`.

    Reference:
      DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44; Obuchowski 1997, Biometrics 53
        (clustered data).
    """
    cells, groups = len(known), len(grouping.groups)
    value, error = np.full((2, cells, groups), np.nan), np.full((3, cells, groups), np.nan)
    for g in range(groups):
        before = np.zeros(0)
        for k in range(cells):
            rows = np.flatnonzero(known[k] & (grouping.code == g))
            label, patient = units.label[rows], units.patient[rows]
            value[1, k, g], after = placements(units.reconstructed[k, rows], label)
            error[1, k, g] = clustered_error(after, patient, value[1, k, g])
            if not units.paired:
                continue
            if shared and k:  # `before` stays that of cell 0
                value[0, k, g], error[0, k, g] = value[0, 0, g], error[0, 0, g]
            else:
                value[0, k, g], before = placements(units.original[k, rows], label)
                error[0, k, g] = clustered_error(before, patient, value[0, k, g])
            error[2, k, g] = clustered_error(after - before, patient, value[1, k, g])
    return Separation(value, error)
