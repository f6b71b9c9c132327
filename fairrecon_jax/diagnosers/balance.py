"""How often rows are drawn and how much tasks count in a diagnoser's training, by the frequency of
their labels; plain NumPy in float64.
"""

from __future__ import annotations

import numpy as np


def inverse_prevalence(labels: np.ndarray) -> tuple[float, ...]:
    """Positive weights n_negative / n_positive of each label column, 1 where either is missing.

    Args:
      labels: [N, T] in {0, 1, NaN}, of the training examples.

    Example:
      >>> inverse_prevalence(np.array([[1, 0], [0, 0], [0, np.nan], [0, 0]]))
      (3.0, 1.0)
    """
    # NaN equals neither 0 nor 1: unknown labels count for nobody.
    positive = np.nansum(labels == 1, axis=0)
    negative = np.nansum(labels == 0, axis=0)
    return tuple(float(n / p) if n and p else 1.0 for n, p in zip(negative, positive, strict=True))


def class_balance(labels: np.ndarray) -> np.ndarray:
    """Sampling weights with which the classes of a task are drawn equally often.

    For one task 1 / (K n_y), n_y rows of the row's class y and K classes that occur. For several,
    the mean of that over the tasks whose label is known. 0 where none is.

    Args:
      labels: [N, T] in {0, 1, NaN}, of the training examples.

    Returns:
      [N] float64, of sum 1; equal weights where no label is known.

    Example:
      >>> class_balance(np.array([[1], [0], [0], [0]])).round(3).tolist()
      [0.5, 0.167, 0.167, 0.167]
    """
    labels = np.asarray(labels, np.float64)
    total, known = np.zeros(len(labels)), np.zeros(len(labels))
    for column in labels.T:
        classes = [column == value for value in (0, 1) if (column == value).any()]
        for rows in classes:
            total[rows] += 1 / (len(classes) * rows.sum())
        known += ~np.isnan(column)
    weights = total / np.maximum(known, 1)
    if not weights.any():
        return np.full(len(labels), 1 / max(len(labels), 1))
    return weights / weights.sum()


def rarity(labels: np.ndarray) -> tuple[float, ...]:
    """Task weights (m - n_t + mean n) / (their largest), n_t positives of task t and m the largest.

    Args:
      labels: [N, T] in {0, 1, NaN}, of the training examples.

    Returns:
      T weights in (0, 1], 1 for the rarest finding; all 1 where nothing is found.

    Example:
      >>> rarity(np.array([[1, 0], [1, 0], [1, 1], [0, np.nan]]))
      (0.5, 1.0)

    Reference: the weights with which TorchXRayVision trains (Cohen et al., MIDL 2022).
    """
    count = np.nansum(np.asarray(labels) == 1, axis=0).astype(np.float64)
    weights = count.max(initial=0.0) - count + count.sum() / max(len(count), 1)
    return tuple((weights / weights.max()).tolist()) if count.any() else (1.0,) * len(count)
