"""Where to cut scores: thresholds among the observed scores, by sensitivity and specificity."""

from __future__ import annotations

import numpy as np

from fairrecon_jax.metrics.backend import array_module
from fairrecon_jax.metrics.classification import class_weights, divide, together
from fairrecon_jax.types import Array


def threshold_curve(
    label: Array, score: Array, weight: Array | None = None
) -> tuple[Array, Array, Array]:
    """Sensitivity and specificity at every observed score, decisions being `score >= threshold`.

    Args:
      label: [N] float in {0, 1, NaN}; NaN is masked.
      score: [N] float.
      weight: [N] float >= 0; ones if None.

    Returns:
      (threshold [N] ascending with +inf for masked examples, sensitivity [N], specificity [N]); NaN
        rates where a class is absent.

    Raises:
      ValueError: the shapes differ, or a label is not 0, 1 or NaN.
    """
    label, score = together(label, score, "score")
    xp = array_module(score, label, weight)
    positive, negative = class_weights(label, weight)
    # as in `auroc`: masked examples sort last
    score = xp.where(positive + negative > 0, xp.asarray(score), np.inf)
    order = xp.argsort(score)
    ordered = score[order]
    # ">=" accepts all of a run of ties: what is lost lies before its first place
    first = xp.searchsorted(ordered, ordered, side="left")
    lost = xp.concatenate([xp.zeros(1, positive.dtype), xp.cumsum(positive[order])])[first]
    rejected = xp.concatenate([xp.zeros(1, negative.dtype), xp.cumsum(negative[order])])[first]
    return ordered, 1 - divide(lost, xp.sum(positive)), divide(rejected, xp.sum(negative))


def balanced_threshold(label: Array, score: Array, weight: Array | None = None) -> Array:
    """The observed score at which sensitivity and specificity are closest: argmin over t of
    |specificity(t) - sensitivity(t)|.

    Decisions are `score >= threshold`; the smallest score wins ties. NaN without positives or
    negatives.

    Args:
      label: [N] float in {0, 1, NaN}; NaN is masked.
      score: [N] float.
      weight: [N] float >= 0; ones if None.

    Returns:
      Scalar threshold, one of the scores.

    Raises:
      ValueError: the shapes differ, or a label is not 0, 1 or NaN.

    Example:
      >>> float(balanced_threshold([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.8]))
      0.6
    """
    threshold, sensitivity, specificity = threshold_curve(label, score, weight)
    xp = array_module(threshold)
    return _pick(
        threshold,
        xp.abs(specificity - sensitivity),
        xp.isfinite(sensitivity) & xp.isfinite(specificity),
    )


def thinned_balanced_threshold(label: np.ndarray, score: np.ndarray) -> float:
    """The balanced threshold among the corners of the ROC curve alone, as the published code finds
    it: `balanced_threshold` on the points that scikit-learn's `roc_curve` keeps by default
    (`drop_intermediate=True`), where the largest score wins ties.

    A point between two others on a straight line is dropped, and is often the balanced one.

    Args:
      label: [N] float in {0, 1, NaN}; NaN is masked.
      score: [N] float.

    Returns:
      The threshold, one of the scores; NaN without positives or negatives.

    Raises:
      ValueError: the shapes differ, or a label is not 0, 1 or NaN.

    Example:
      >>> label, score = np.array([0, 1, 1, 1, 0, 0.0]), np.array([6, 5, 4, 3, 2, 1.0])
      >>> thinned_balanced_threshold(label, score), float(balanced_threshold(label, score))
      (3.0, 4.0)

    Source: the behaviour of `sklearn.metrics.roc_curve`.
    """
    label, score = (np.asarray(part, float) for part in together(label, score, "score"))
    positive, negative = (np.asarray(part, float) for part in class_weights(label, None))
    kept = positive + negative > 0
    positive, negative, score = positive[kept], negative[kept], score[kept]
    if not positive.any() or not negative.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)  # of each run of ties
    threshold = score[order][last]
    found, alarmed = np.cumsum(positive[order])[last], np.cumsum(negative[order])[last]
    if len(threshold) > 2:
        bends = (np.diff(found, 2) != 0) | (np.diff(alarmed, 2) != 0)
        corner = np.concatenate([[True], bends, [True]])
        threshold, found, alarmed = threshold[corner], found[corner], alarmed[corner]
    cost = np.abs(1 - alarmed / alarmed[-1] - found / found[-1])
    return float(threshold[np.argmin(cost)])


def threshold_at_sensitivity(
    label: Array, score: Array, sensitivity: float, weight: Array | None = None
) -> Array:
    """The largest observed score whose sensitivity is at least the wanted one; NaN without
    positives.

    Args:
      label: [N] float in {0, 1, NaN}.
      score: [N] float.
      sensitivity: wanted sensitivity in [0, 1].
      weight: [N] float >= 0; ones if None.

    Returns:
      Scalar threshold.

    Raises:
      ValueError: the shapes differ, or a label is not 0, 1 or NaN.

    Example:
      >>> float(threshold_at_sensitivity([1, 1, 1, 1], [0.2, 0.4, 0.6, 0.8], 0.75))
      0.4
    """
    threshold, reached, _ = threshold_curve(label, score, weight)
    return _pick(threshold, -threshold, reached >= sensitivity)  # the largest one that will do


def threshold_at_specificity(
    label: Array, score: Array, specificity: float, weight: Array | None = None
) -> Array:
    """The smallest observed score whose specificity is at least the wanted one; NaN without
    negatives or if no score reaches it.

    Args:
      label: [N] float in {0, 1, NaN}.
      score: [N] float.
      specificity: wanted specificity in [0, 1].
      weight: [N] float >= 0; ones if None.

    Returns:
      Scalar threshold.

    Raises:
      ValueError: the shapes differ, or a label is not 0, 1 or NaN.

    Example:
      >>> float(threshold_at_specificity([0, 0, 0, 0], [0.2, 0.4, 0.6, 0.8], 0.75))
      0.8
    """
    threshold, _, reached = threshold_curve(label, score, weight)
    return _pick(threshold, threshold, reached >= specificity)


def _pick(threshold: Array, cost: Array, allowed: Array) -> Array:
    """The first (smallest) finite threshold of least cost among the allowed ones, NaN if there is
    none.
    """
    xp = array_module(threshold, cost, allowed)
    # Masked examples stand at +inf in the curve.
    allowed = allowed & xp.isfinite(threshold)
    best = xp.argmin(xp.where(allowed, cost, np.inf))
    return xp.where(xp.any(allowed), threshold[best], np.nan)
