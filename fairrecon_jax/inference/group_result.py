"""What a test of equal changes gives back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Counted = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Reason codes, patients and effective patients, [K, L, G] each, as `judge_cells` gives them."""


class GroupTest(NamedTuple):
    """Result for K cells, L labels and G groups.

    Attributes:
      statistic: [K] T = sum over labels of w_y Q_y; NaN where nothing is judged.
      p_value: [K] max(p_permutation, p_robust).
      p_permutation: [K].
      p_robust: [K].
      change: [K, L, G] D_g; NaN without images.
      pooled: [K, L] Dbar, the precision-weighted common change; NaN where nothing is judged.
      deviation: [K, L, G] D_g - Dbar; NaN where not judged.
      variance: [K, L, G] v_g.
      std_error: [K, L, G] of the deviation.
      studentised: [K, L, G] deviation / std_error: whose change stands out, and which way.
      group_p: [K, L, G] p of that, adjusted (max-T) for the labels and groups of the cell.
      critical: [K] the largest of the two nulls' (1 - alpha) quantiles of the largest |studentised|
        and of the normal one for as many contrasts.
      extra: [K, L, G] D_g minus the others' common change; of two groups the difference D_a - D_b.
      extra_error: [K, L, G] its standard error, of decisions with one gained and one lost
        pseudo-patient per stratum.
      extra_low: [K, L, G] lower limit from that error, simultaneous over labels and groups of the
        cell at 1 - alpha.
      extra_high: [K, L, G] upper limit.
      one_sided: [K, L] bool, changes have one sign: the robust null permutes.
      stratified: [K] bool, groups were permuted within more than one stratum.
      unchanged: [K] bool, nothing changed in any group that takes part (then p = 1).
      reason: [K, L, G] codes into `group_tables.REASONS`; 0 = takes part.
      patients: [K, L, G].
      effective: [K, L, G] effective patients.
      permutations: [K] draws behind the p-values.
      smallest: {null: [B + 1, K]} the p-like statistic of the observed cohort (row 0) and of each
        draw, for the adjustment over a family; NaN where not drawn.
      drawn: {null: [B + 1, K]} T of the same.
    """

    statistic: np.ndarray
    p_value: np.ndarray
    p_permutation: np.ndarray
    p_robust: np.ndarray
    change: np.ndarray
    pooled: np.ndarray
    deviation: np.ndarray
    variance: np.ndarray
    std_error: np.ndarray
    studentised: np.ndarray
    group_p: np.ndarray
    critical: np.ndarray
    extra: np.ndarray
    extra_error: np.ndarray
    extra_low: np.ndarray
    extra_high: np.ndarray
    one_sided: np.ndarray
    stratified: np.ndarray
    unchanged: np.ndarray
    reason: np.ndarray
    patients: np.ndarray
    effective: np.ndarray
    permutations: np.ndarray
    smallest: dict[str, np.ndarray]
    drawn: dict[str, np.ndarray]


def one_cell(test: GroupTest, k: int) -> GroupTest:
    """One cell of a result.

    Args:
      test: of K cells.
      k: which.

    Returns:
      The result without its axis K; `smallest` and `drawn` keep the draws.

    Example:
      >>> change, sex = np.zeros((3, 40)), [0, 1] * 20  # three cells
      >>> tables = fr.inference.patient_tables(change, None, sex, range(40), groups=2)
      >>> test = fr.inference.group_test(tables, seed=0, permutations=99)
      >>> test.change.shape, one_cell(test, 2).change.shape
      ((3, 1, 2), (1, 2))
    """
    plain = {name: part[k] for name, part in test._asdict().items() if not isinstance(part, dict)}
    smallest, drawn = (
        {null: v[:, k] for null, v in part.items()} for part in (test.smallest, test.drawn)
    )
    return GroupTest(**plain, smallest=smallest, drawn=drawn)


def critical_statistic(test: GroupTest, level: float) -> float:
    """The T above which one cell is rejected at a level, under both nulls.

    p = (1 + #{draws >= T}) / (B + 1) <= level just where T exceeds the floor(level (B + 1))th
    largest draw; ties, as where nothing changed, are no rejection.

    Args:
      test: of one cell (see `one_cell`).
      level: in (0, 1).

    Returns:
      Scalar; NaN where nothing is judged.
    """
    ranked = [np.sort(v[1:][np.isfinite(v[1:])]) for v in test.drawn.values()]
    if not all(v.size for v in ranked):
        return float("nan")
    # 1e-9, as 0.05 * 20 may fall short of 1; no bound lies above the largest draw
    rank = [max(int(level * (len(v) + 1) + 1e-9), 1) for v in ranked]
    return max(float(v[-min(r, len(v))]) for v, r in zip(ranked, rank, strict=True))
