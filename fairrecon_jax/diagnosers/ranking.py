"""How well a classifier in training tells the labels of its tasks apart."""

from __future__ import annotations

import numpy as np

from fairrecon_jax.metrics.classification import auroc


def mean_auroc(label: np.ndarray, score: np.ndarray, weight: np.ndarray) -> float | None:
    """The mean over tasks of the AUROC of all examples, as TorchXRayVision validates.

    Args:
      label: [N, T] in {0, 1, NaN}, NaN = unknown.
      score: [N, T], higher for 1.
      weight: [N] at least 0.

    Returns:
      A number in [0, 1] of the tasks that have both labels, or None where none has; NaN where a
        score with a label is NaN.

    Example:
      >>> label = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 1.0]])  # all have the second finding
      >>> score = np.array([[0.1, 0.2], [0.4, 0.1], [0.7, 0.3]])
      >>> mean_auroc(label, score, np.ones(3))
      0.5
    """
    label, score, weight = (np.asarray(part, float) for part in (label, score, weight))
    known = ~np.isnan(label) & (weight[:, None] > 0)
    # NaN would be sorted, and get a rank
    if np.isnan(score[known]).any():
        return float("nan")
    values = [auroc(*task, weight) for task in zip(np.where(known, label, np.nan).T, score.T)]
    there = [float(value) for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else None
