"""The ROC curve at given false-positive rates."""

from __future__ import annotations

import numpy as np

from fairrecon_jax.metrics.classification import class_weights


def sensitivity_at(
    label: np.ndarray, score: np.ndarray, false_positive_rate: np.ndarray
) -> np.ndarray:
    """The ROC curve: the largest sensitivity whose false-positive rate is at most the given one,
    over all thresholds t of the decision score >= t.

    Args:
      label: [N] float in {0, 1, NaN}; NaN is masked.
      score: [N] float; NaN is masked.
      false_positive_rate: [M] in [0, 1].

    Returns:
      [M] float64 in [0, 1], not falling with the rate; NaN where a label has no example.

    Example:
      >>> label, score = [1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]
      >>> sensitivity_at(label, score, [0.0, 0.5, 1.0]).tolist()
      [0.5, 1.0, 1.0]

    Source: Fawcett 2006 (Pattern Recognition Letters 27).
    """
    score, wanted = np.asarray(score, float), np.asarray(false_positive_rate, float)
    positive, negative = (np.asarray(w, float) for w in class_weights(np.asarray(label, float)))
    positive, negative = (np.where(np.isnan(score), 0, w) for w in (positive, negative))
    if positive.sum() == 0 or negative.sum() == 0:
        return np.full(wanted.shape, np.nan)
    order = np.argsort(-np.nan_to_num(score), kind="stable")
    found, alarmed = np.cumsum(positive[order]), np.cumsum(negative[order])
    ranked = np.nan_to_num(score)[order]
    # equal scores cross the threshold together: only the last of them is a point of the curve
    last = np.append(ranked[1:] != ranked[:-1], True)
    rates = np.concatenate([[0.0], alarmed[last] / alarmed[-1]])
    sensitivity = np.concatenate([[0.0], found[last] / found[-1]])
    # a hair above, so that a rate of 1/3 that was rounded down still finds its point
    return sensitivity[np.searchsorted(rates, wanted + 1e-12, side="right") - 1]
