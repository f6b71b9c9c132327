"""AUROC of groups with DeLong standard errors clustered by patient."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

from fairrecon_jax.assessment.rows import Interval, Triple
from fairrecon_jax.assessment.study import Grouping, Units
from fairrecon_jax.inference.delong import influences


class Separation(NamedTuple):
    """AUROC of K cells and G groups.

    Attributes:
      value: [2, K, G] on originals and on reconstructions, NaN where a class is absent.
      std_error: [3, K, G] of original, reconstructed and change.
    """

    value: np.ndarray
    std_error: np.ndarray

    def triple(self, k: int, group: int, alpha: float) -> Triple:
        """One cell and group with normal intervals, those of the two areas cut to [0, 1]."""
        before, after = (float(v) for v in self.value[:, k, group])
        errors = [float(e) for e in self.std_error[:, k, group]]
        reach = float(norm.ppf(1 - alpha / 2))
        areas = [Interval(v, e, max(v - reach * e, 0.0), min(v + reach * e, 1.0)) for v, e in zip((before, after), errors[:2], strict=True)]
        areas = [a if np.isfinite(a.std_error) else Interval(a.value) for a in areas]
        change, e = after - before, errors[2]
        moved = Interval(change, e, change - reach * e, change + reach * e) if np.isfinite(e) else Interval(change)
        return Triple(areas[0], areas[1], moved)

    def p_value(self, k: int, group: int) -> float:
        """Two-sided p of "the AUROC did not change", normal approximation; 1 where no score moved the order."""
        change, e = float(self.value[1, k, group] - self.value[0, k, group]), float(self.std_error[2, k, group])
        if not np.isfinite(change) or not np.isfinite(e):
            return float("nan")
        return float(2 * norm.sf(abs(change) / e)) if e > 0 else 1.0


@jax.jit
def _areas(score: jax.Array, label: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """AUROC [S] and influences [S, U] of S score vectors."""
    return jax.lax.map(lambda row: influences(row[0], label, row[1]), (score, mask))


def separation(units: Units, known: np.ndarray, shared: bool, grouping: Grouping, patients: int) -> Separation:
    """AUROC and its DeLong standard error per cell and group; influences are summed per patient before squaring.

    se^2 = P / (P - 1) sum over patients (sum over the patient's units of the influence)^2, P patients in the group.

    Args:
      units: scores and labels.
      known: [K, U] bool, complete units.
      shared: originals and `known` are the same in all cells.
      grouping: groups of the units.
      patients: number of patients of the study.

    Returns:
      `Separation`.

    Reference:
      DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44; Obuchowski 1997 (clustered data).
    """
    cells, groups = len(known), len(grouping.groups)
    value, error = np.full((2, cells, groups), np.nan), np.full((3, cells, groups), np.nan)
    first = 1 if shared else cells
    score = np.concatenate([units.original[:first], units.reconstructed]) if units.paired else units.reconstructed
    for g in range(groups):
        member = known & (grouping.code == g)[None]
        mask = np.concatenate([member[:first], member]) if units.paired else member
        with jax.enable_x64(True):
            area, influence = (
                np.asarray(a) for a in _areas(*(jnp.asarray(np.nan_to_num(a)) for a in (score, units.label)), jnp.asarray(mask))
            )
        if units.paired:
            value[0, :, g], value[1, :, g] = area[:first], area[first:]
            parts = (influence[:first], influence[first:], influence[first:] - influence[:first])
        else:
            value[1, :, g] = area
            parts = (influence[:0], influence, influence[:0])
        for version, part in enumerate(parts):
            if len(part):
                error[version, :, g] = _clustered(part, mask[-len(part) :], units.patient, patients)
    return Separation(value, error)


def _clustered(influence: np.ndarray, mask: np.ndarray, patient: np.ndarray, patients: int) -> np.ndarray:
    """Standard errors [S] from influences [S, U] summed per patient; NaN for an absent class or a single patient."""
    out = np.full(len(influence), np.nan)
    for s, (row, rows) in enumerate(zip(influence, mask, strict=True)):
        count = len(np.unique(patient[rows]))
        if count > 1 and np.isfinite(row[rows]).all():
            summed = np.bincount(patient[rows], weights=row[rows], minlength=patients)
            out[s] = np.sqrt(count / (count - 1) * np.sum(summed**2))
    return out
