"""AUROC with DeLong's influences in O(n log n)."""

from __future__ import annotations

import numpy as np


def placements(label: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray]:
    """AUROC and DeLong influences: (V10 - A) / n+ for positives, (V01 - A) / n- for negatives; they
    sum to 0.

    Args:
      label: [n] truth in {0, 1}.
      score: [n] scores.

    Returns:
      (A, influences [n]); NaN and zeros where a class is absent.

    Example:
      >>> area, influence = placements(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.9]))
      >>> area, influence.tolist()
      (0.875, [0.0625, -0.0625, -0.0625, 0.0625])

    Reference:
      DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44.
    """
    positive = label == 1
    up, down = score[positive], score[~positive]
    influence = np.zeros(len(score))
    if not len(up) or not len(down):
        return float("nan"), influence
    # of each positive its share of smaller negatives, of each negative that of larger positives
    below, above = _smaller(up, down), 1 - _smaller(down, up)
    area = float(below.mean())
    influence[positive], influence[~positive] = (below - area) / len(up), (above - area) / len(down)
    return area, influence


def _smaller(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each value its share of smaller ones among the others; ties count half."""
    # sorted values are looked up in memory that is near
    order, ranked = np.argsort(own), np.sort(others)
    sought = own[order]
    share = np.empty(len(own))
    # left and right insertion points average to "ties count half"
    share[order] = (
        np.searchsorted(ranked, sought) + np.searchsorted(ranked, sought, side="right")
    ) / (2 * len(others))
    return share
