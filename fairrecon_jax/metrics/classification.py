"""How well scores separate and decide: AUROC, thresholds, sensitivity, specificity, Brier score,
calibration error.

Every function works on one vector of N examples and is pure, so `jax.vmap` runs it over tasks,
reconstructors or replicates. An example counts with its weight; a NaN label or a weight of 0 masks
it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from fairrecon_jax.types import Array


class Confusion(NamedTuple):
    """Weighted counts of decisions: scalars (or any common shape).

    Attributes:
      true_positive: positives decided positive.
      false_negative: positives decided negative.
      false_positive: negatives decided positive.
      true_negative: negatives decided negative.
    """

    true_positive: jnp.ndarray
    false_negative: jnp.ndarray
    false_positive: jnp.ndarray
    true_negative: jnp.ndarray

    @property
    def sensitivity(self) -> jnp.ndarray:
        """TP / (TP + FN); NaN without positives."""
        return divide(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> jnp.ndarray:
        """TN / (TN + FP); NaN without negatives."""
        return divide(self.true_negative, self.true_negative + self.false_positive)


class CalibrationError(NamedTuple):
    """Expected calibration error with what it was computed from.

    Attributes:
      value: scalar in [0, 1].
      score: [bins] mean score per bin, NaN where empty.
      frequency: [bins] share of positives per bin, NaN where empty.
      weight: [bins] total weight per bin.
    """

    value: jnp.ndarray
    score: jnp.ndarray
    frequency: jnp.ndarray
    weight: jnp.ndarray


def divide(numerator: Array, denominator: Array) -> jnp.ndarray:
    """Numerator / denominator, NaN (and finite gradients) where the denominator is 0."""
    # The inner `where` keeps 0 / 0 out of the gradient.
    some = jnp.asarray(denominator) != 0
    return jnp.where(some, numerator / jnp.where(some, denominator, 1), jnp.nan)


def class_weights(label: Array, weight: Array | None = None) -> tuple[jnp.ndarray, jnp.ndarray]:
    """Each example's weight as a positive and as a negative; both 0 where the label is NaN.

    Args:
      label: [N] float in {0, 1, NaN}.
      weight: [N] float >= 0, ones if None.

    Returns:
      (positive [N], negative [N]).
    """
    label = jnp.asarray(label)
    # Integer labels would make the weights integers.
    kind = jnp.promote_types(label.dtype, jnp.float32)
    weight = jnp.ones(label.shape, kind) if weight is None else jnp.asarray(weight, kind)
    return jnp.where(label == 1, weight, 0), jnp.where(label == 0, weight, 0)


def auroc(score: Array, label: Array, weight: Array | None = None) -> jnp.ndarray:
    """Area under the ROC curve: P(score of a positive > score of a negative) + P(tie) / 2.

    0.5 means no separation; without positives or without negatives it is NaN.

    Args:
      score: [N] float, higher means more likely positive.
      label: [N] float in {0, 1, NaN}; NaN is masked.
      weight: [N] float >= 0 (resampling counts, padding masks); ones if None.

    Returns:
      Scalar in [0, 1].

    Reference: Hanley and McNeil 1982; scikit-learn `roc_auc_score` (parity is tested).
    """
    positive, negative = class_weights(label, weight)
    # Masked examples sort last and have no weight.
    score = jnp.where(positive + negative > 0, jnp.asarray(score), jnp.inf)
    order = jnp.argsort(score)
    ordered = score[order]
    # [N + 1]: the weight of negatives before each place. Whole counts are exact up to 2^24.
    below = jnp.concatenate([jnp.zeros(1, negative.dtype), jnp.cumsum(negative[order])])
    left = below[jnp.searchsorted(ordered, ordered, side="left")]
    right = below[jnp.searchsorted(ordered, ordered, side="right")]
    # The mean of both ends of a run of ties counts half of its negatives.
    share = divide((left + right) / 2, jnp.sum(negative))
    return divide(
        jnp.sum(jnp.where(positive[order] > 0, positive[order] * share, 0)), jnp.sum(positive)
    )


def confusion(decision: Array, label: Array, weight: Array | None = None) -> Confusion:
    """Counts of decisions against labels.

    Args:
      decision: [N] bool or {0, 1}.
      label: [N] float in {0, 1, NaN}; NaN is masked.
      weight: [N] float >= 0; ones if None.

    Returns:
      `Confusion` of scalars.
    """
    positive, negative = class_weights(label, weight)
    yes = jnp.asarray(decision).astype(bool)
    parts = [
        jnp.sum(jnp.where(mask, side, 0))
        for side, mask in ((positive, yes), (positive, ~yes), (negative, yes), (negative, ~yes))
    ]
    return Confusion(*parts)


def decide(score: Array, threshold: Array | float) -> jnp.ndarray:
    """The decision rule of every table: score >= threshold."""
    return jnp.asarray(score) >= threshold


def threshold_curve(
    score: Array, label: Array, weight: Array | None = None
) -> tuple[jnp.ndarray, jnp.ndarray, jnp.ndarray]:
    """Sensitivity and specificity at every observed score, decisions being `score >= threshold`.

    Args:
      score: [N] float.
      label: [N] float in {0, 1, NaN}; NaN is masked.
      weight: [N] float >= 0; ones if None.

    Returns:
      (threshold [N] ascending with +inf for masked examples, sensitivity [N], specificity [N]); NaN
        rates where a class is absent.
    """
    positive, negative = class_weights(label, weight)
    score = jnp.where(positive + negative > 0, jnp.asarray(score), jnp.inf)
    order = jnp.argsort(score)
    ordered = score[order]
    # Of a run of ties the first: `score >= threshold` keeps all of them.
    first = jnp.searchsorted(ordered, ordered, side="left")
    lost = jnp.concatenate([jnp.zeros(1, positive.dtype), jnp.cumsum(positive[order])])[first]
    rejected = jnp.concatenate([jnp.zeros(1, negative.dtype), jnp.cumsum(negative[order])])[first]
    return ordered, 1 - divide(lost, jnp.sum(positive)), divide(rejected, jnp.sum(negative))


def balanced_threshold(score: Array, label: Array, weight: Array | None = None) -> jnp.ndarray:
    """The observed score at which sensitivity and specificity are closest: argmin over t of
    |specificity(t) - sensitivity(t)|.

    Decisions are `score >= threshold`; the smallest score wins ties. NaN without positives or
    negatives.

    Args:
      score: [N] float.
      label: [N] float in {0, 1, NaN}; NaN is masked.
      weight: [N] float >= 0; ones if None.

    Returns:
      Scalar threshold, one of the scores.
    """
    threshold, sensitivity, specificity = threshold_curve(score, label, weight)
    return _pick(
        threshold,
        jnp.abs(specificity - sensitivity),
        jnp.isfinite(sensitivity) & jnp.isfinite(specificity),
    )


def threshold_at_sensitivity(
    score: Array, label: Array, sensitivity: float, weight: Array | None = None
) -> jnp.ndarray:
    """The largest observed score whose sensitivity is at least the wanted one; NaN without
    positives.

    Args:
      score: [N] float.
      label: [N] float in {0, 1, NaN}.
      sensitivity: wanted sensitivity in [0, 1].
      weight: [N] float >= 0; ones if None.

    Returns:
      Scalar threshold.
    """
    threshold, reached, _ = threshold_curve(score, label, weight)
    # Cost -threshold: the largest one that is allowed.
    return _pick(threshold, -threshold, reached >= sensitivity)


def threshold_at_specificity(
    score: Array, label: Array, specificity: float, weight: Array | None = None
) -> jnp.ndarray:
    """The smallest observed score whose specificity is at least the wanted one; NaN without
    negatives or if no score reaches it.

    Args:
      score: [N] float.
      label: [N] float in {0, 1, NaN}.
      specificity: wanted specificity in [0, 1].
      weight: [N] float >= 0; ones if None.

    Returns:
      Scalar threshold.
    """
    threshold, _, reached = threshold_curve(score, label, weight)
    return _pick(threshold, threshold, reached >= specificity)


def brier(score: Array, label: Array, weight: Array | None = None) -> jnp.ndarray:
    """Brier score: mean of (score - label)^2. 0 means certain and right; NaN without examples.

    Args:
      score: [N] float in [0, 1].
      label: [N] float in {0, 1, NaN}; NaN is masked.
      weight: [N] float >= 0; ones if None.

    Returns:
      Scalar in [0, 1].

    Reference: Brier 1950; scikit-learn `brier_score_loss` (parity is tested).
    """
    positive, negative = class_weights(label, weight)
    # Masked scores may be NaN, which a weight of 0 would keep.
    score = jnp.where(positive + negative > 0, jnp.asarray(score), 0)
    return divide(
        jnp.sum(positive * (1 - score) ** 2 + negative * score**2), jnp.sum(positive + negative)
    )


def calibration_error(
    score: Array, label: Array, weight: Array | None = None, bins: int = 10
) -> CalibrationError:
    """Expected calibration error: sum over bins of (weight of bin / total) |mean score - share of
    positives|. 0 means calibrated.

    Bins are equally wide on [0, 1], closed on the left, the last one also on the right; empty bins
    count nothing. NaN without examples.

    Args:
      score: [N] float in [0, 1].
      label: [N] float in {0, 1, NaN}; NaN is masked.
      weight: [N] float >= 0; ones if None.
      bins: number of bins.

    Returns:
      `CalibrationError`.

    Reference: Naeini, Cooper, Hauskrecht 2015 (AAAI).
    """
    positive, negative = class_weights(label, weight)
    both = positive + negative
    score = jnp.where(both > 0, jnp.asarray(score), 0)
    # [bins, N]; the clip puts a score of exactly 1 into the last bin.
    member = (
        jnp.clip(jnp.floor(score * bins).astype(jnp.int32), 0, bins - 1)[None, :]
        == jnp.arange(bins)[:, None]
    )
    total, yes = (jnp.sum(jnp.where(member, part[None, :], 0), axis=1) for part in (both, positive))
    summed = jnp.sum(jnp.where(member, (both * score)[None, :], 0), axis=1)
    # weight |mean score - share| = |sum of scores - sum of positives|: no division per bin.
    error = divide(jnp.sum(jnp.abs(summed - yes)), jnp.sum(total))
    return CalibrationError(error, divide(summed, total), divide(yes, total), total)


def _pick(threshold: jnp.ndarray, cost: jnp.ndarray, allowed: jnp.ndarray) -> jnp.ndarray:
    """The first (smallest) finite threshold of least cost among the allowed ones, NaN if there is
    none.
    """
    # Masked examples stand at +inf in the curve.
    allowed = allowed & jnp.isfinite(threshold)
    # Of equal costs argmin takes the first: the curve ascends, so the smallest threshold.
    best = jnp.argmin(jnp.where(allowed, cost, jnp.inf))
    return jnp.where(jnp.any(allowed), threshold[best], jnp.nan)
