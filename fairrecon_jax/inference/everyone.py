"""Did a value change at all, for everyone together? A studentised mean with one sign a patient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fairrecon_jax.inference.equal_changes import tail_share
from fairrecon_jax.inference.group_draws import one_thread, patient_signs
from fairrecon_jax.inference.group_tables import MIN_PATIENTS, PatientTables, effective_patients

ELEMENTS = 1 << 22
"""Signs drawn at once: a block stays within 32 MB."""


class EveryoneTest(NamedTuple):
    """Tests of K cells and L labels.

    Attributes:
      change: [K, L] D = sum S / sum N; NaN without images.
      std_error: [K, L] of D, clustered by patient.
      p_value: [K, L] of "D = 0"; NaN with too few patients, 1 where nothing changed.
      patients: [K, L].
      smallest: [B + 1, K, L] p-like values of the observed cohort (row 0) and of each draw, for the
        adjustment over a family.
    """

    change: np.ndarray
    std_error: np.ndarray
    p_value: np.ndarray
    patients: np.ndarray
    smallest: np.ndarray


def everyone_test(
    tables: PatientTables, *, seed: int, permutations: int = 9999, min_patients: int = MIN_PATIENTS
) -> EveryoneTest:
    """Tests whether the mean change is 0, per cell and label.

    t = D / se with D = sum S / sum N and se^2 = sum (S - D N)^2 / (sum N)^2; the null flips the
    sign of each patient's S. For one decision a patient this is the exact McNemar test; for values
    it allows for skewness as far as studentising does.

    Args:
      tables: patient tables; groups play no part.
      seed: a non-negative integer; a patient has the same signs in every call.
      permutations: number of draws B, >= 19.
      min_patients: fewest patients, and effective patients.

    Returns:
      An `EveryoneTest`.

    Raises:
      ValueError: too few draws.

    Example:
      >>> tables = fr.inference.patient_tables([-1.0] * 12, None, [0] * 12, range(12), groups=1)
      >>> everyone_test(tables, seed=0).p_value < 0.01
      array([[ True]])

    Reference:
      Durkalski et al. (2003), Statistics in Medicine 22 (clustered matched pairs).
    """
    if permutations < 19:
        raise ValueError(f"permutations = {permutations} cannot reach p = 0.05; use at least 19")
    s, n = tables.change, tables.images
    total = n.sum(0)
    some = np.maximum(total, 1e-300)
    square, weight = (s * s).sum(0), (n * n).sum(0)
    statistic = _drawn(tables, seed, permutations, square, weight, some)
    change = s.sum(0) / some
    error = np.sqrt(np.maximum(square - 2 * change * (s * n).sum(0) + change**2 * weight, 0)) / some
    patients = (n > 0).sum(0)
    known = (patients >= min_patients) & (effective_patients(n) >= min_patients * (1 - 1e-9))
    share = tail_share(statistic.reshape(len(statistic), -1)).reshape(statistic.shape)
    # row 0 counts itself
    p = np.mean(share <= share[:1], 0)
    return EveryoneTest(
        np.where(total > 0, change, np.nan),
        np.where(total > 0, error, np.nan),
        np.where(known, p, np.nan),
        patients,
        np.where(known, share, np.nan),
    )


@one_thread
def _drawn(
    tables: PatientTables,
    seed: int,
    permutations: int,
    square: np.ndarray,
    weight: np.ndarray,
    total: np.ndarray,
) -> np.ndarray:
    """|t| [B + 1, K, L] of the observed cohort and of each draw."""
    s, n = tables.change, tables.images
    # a patient without a change adds nothing to any draw
    # signs hang on digests, so that leaving patients out changes nobody else's
    moved = np.flatnonzero(s.any((1, 2)))
    columns = np.concatenate([s[moved], (s * n)[moved]], 1)
    columns = columns.reshape(len(moved), 2 * s[0].size)
    found = np.empty((permutations + 1, *s.shape[1:]), np.float32)

    def record(rows: slice, signs: np.ndarray) -> None:
        drawn = (signs @ columns).reshape(len(signs), 2, *s.shape[1:])
        change = drawn[:, 0] / total
        energy = square - 2 * change * drawn[:, 1] + change**2 * weight
        # all changes equal: no energy is left, and the statistic is as large as it can be
        error = np.sqrt(np.maximum(energy, 1e-12 * np.maximum(square, 1e-300))) / total
        found[rows] = np.abs(change) / error

    # the observed cohort is the draw without a flip
    record(slice(0, 1), np.ones((1, len(moved))))
    # whole words of 64 signs
    step = max(ELEMENTS // max(len(moved), 1) // 64 * 64, 64)
    for first in range(0, permutations, step):
        last = min(first + step, permutations)
        signs = patient_signs(tables.patient[moved], seed, first, last)
        record(slice(first + 1, last + 1), signs)
    return found
