"""AUROC of groups with DeLong standard errors clustered by patient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from fairrecon_jax.assessment.arrays import Grouping, JudgedUnits
from fairrecon_jax.assessment.rows import Interval, Triple


class Separation(NamedTuple):
    """AUROC of K cells and G groups.

    Attributes:
      value: [2, K, G] on originals and on reconstructions, NaN where a class is absent.
      std_error: [3, K, G] of original, reconstructed and change.
    """

    value: np.ndarray
    std_error: np.ndarray

    def paired(self, k: int, group: int, alpha: float) -> Triple:
        """One cell and group with normal intervals, those of the two areas cut to [0, 1]."""
        before, after = (float(v) for v in self.value[:, k, group])
        errors = [float(e) for e in self.std_error[:, k, group]]
        reach = float(norm.ppf(1 - alpha / 2))
        areas = [
            Interval(v, e, max(v - reach * e, 0.0), min(v + reach * e, 1.0))
            for v, e in zip((before, after), errors[:2], strict=True)
        ]
        areas = [a if np.isfinite(a.std_error) else Interval(a.value) for a in areas]
        change, e = after - before, errors[2]
        moved = (
            Interval(change, e, change - reach * e, change + reach * e)
            if np.isfinite(e)
            else Interval(change)
        )
        return Triple(areas[0], areas[1], moved)

    def p_value(self, k: int, group: int) -> float:
        """Two-sided p of "the AUROC did not change", normal approximation; 1 where no score moved
        the order.
        """
        change, e = (
            float(self.value[1, k, group] - self.value[0, k, group]),
            float(self.std_error[2, k, group]),
        )
        if not np.isfinite(change) or not np.isfinite(e):
            return float("nan")
        return float(2 * norm.sf(abs(change) / e)) if e > 0 else 1.0


def placements(score: np.ndarray, label: np.ndarray) -> tuple[float, np.ndarray]:
    """AUROC and DeLong influences: (V10 - A) / n+ for positives, (V01 - A) / n- for negatives; they
    sum to 0.

    Args:
      score: [n] scores.
      label: [n] truth in {0, 1}.

    Returns:
      (A, influences [n]); NaN and zeros where a class is absent.

    Reference:
      DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44.
    """
    positive = label == 1
    up, down = np.sort(score[positive]), np.sort(score[~positive])
    influence = np.zeros(len(score))
    if not len(up) or not len(down):
        return float("nan"), influence
    below = (
        np.searchsorted(down, score[positive])
        + np.searchsorted(down, score[positive], side="right")
    ) / (2 * len(down))
    above = 1 - (
        np.searchsorted(up, score[~positive]) + np.searchsorted(up, score[~positive], side="right")
    ) / (2 * len(up))
    area = float(below.mean())
    influence[positive], influence[~positive] = (below - area) / len(up), (above - area) / len(down)
    return area, influence


def separation(
    units: JudgedUnits, known: np.ndarray, shared: bool, grouping: Grouping
) -> Separation:
    """AUROC and its DeLong standard error per cell and group; influences are summed per patient
    before squaring.

    se^2 = P / (P - 1) sum over patients (sum over the patient's units of the influence)^2, P
    patients in the group.

    Args:
      units: scores and labels.
      known: [K, U] bool, complete units.
      shared: originals and `known` are the same in all cells.
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
            error[1, k, g] = _clustered(after, patient, value[1, k, g])
            if not units.paired:
                continue
            if shared and k:
                value[0, k, g], error[0, k, g] = value[0, 0, g], error[0, 0, g]
            else:
                value[0, k, g], before = placements(units.original[k, rows], label)
                error[0, k, g] = _clustered(before, patient, value[0, k, g])
            error[2, k, g] = _clustered(after - before, patient, value[1, k, g])
    return Separation(value, error)


def _clustered(influence: np.ndarray, patient: np.ndarray, area: float) -> float:
    """Standard error from influences summed per patient; NaN for an absent class or a single
    patient.
    """
    if not np.isfinite(area):
        return float("nan")
    summed = np.bincount(np.unique(patient, return_inverse=True)[1], weights=influence)
    return (
        float(np.sqrt(len(summed) / (len(summed) - 1) * np.sum(summed**2)))
        if len(summed) > 1
        else float("nan")
    )
