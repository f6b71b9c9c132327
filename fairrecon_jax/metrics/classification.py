"""How well scores separate and decide: AUROC, thresholds, sensitivity, specificity, Brier score,
calibration error.

Every function works on one vector of N examples and is pure, so `jax.vmap` runs it over tasks,
reconstructors or replicates; NumPy arrays are computed by NumPy. An example counts with its weight;
a NaN label or a weight of 0 masks it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fairrecon_jax.metrics.backend import array_module
from fairrecon_jax.types import Array


class Confusion(NamedTuple):
    """Weighted counts of decisions: scalars (or any common shape).

    Attributes:
      true_positive: positives decided positive.
      false_negative: positives decided negative.
      false_positive: negatives decided positive.
      true_negative: negatives decided negative.

    Example:
      >>> found = Confusion(true_positive=3, false_negative=1, false_positive=2, true_negative=8)
      >>> float(found.sensitivity), float(found.specificity)
      (0.75, 0.8)
    """

    true_positive: Array
    false_negative: Array
    false_positive: Array
    true_negative: Array

    @property
    def sensitivity(self) -> Array:
        """TP / (TP + FN); NaN without positives."""
        return divide(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> Array:
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

    value: Array
    score: Array
    frequency: Array
    weight: Array


def divide(numerator: Array, denominator: Array) -> Array:
    """Numerator / denominator, NaN (and finite gradients) where the denominator is 0."""
    xp = array_module(numerator, denominator)
    # The inner `where` keeps 0 / 0 out of the gradient.
    some = xp.asarray(denominator) != 0
    return xp.where(some, numerator / xp.where(some, denominator, 1), np.nan)


def class_weights(label: Array, weight: Array | None = None) -> tuple[Array, Array]:
    """Each example's weight as a positive and as a negative; both 0 where the label is NaN.

    Args:
      label: [N] float in {0, 1, NaN}.
      weight: [N] float >= 0, ones if None.

    Returns:
      (positive [N], negative [N]).
    """
    xp = array_module(label, weight)
    label = xp.asarray(label)
    # Integer labels would make the weights integers.
    kind = xp.promote_types(label.dtype, np.float32)
    weight = xp.ones(label.shape, kind) if weight is None else xp.asarray(weight, kind)
    return xp.where(label == 1, weight, 0), xp.where(label == 0, weight, 0)


def together(label: Array, other: Array, what: str) -> tuple[Array, Array]:
    """Labels and scores that belong together, None on the host as NaN; swapped ones are refused.

    Raises:
      ValueError: the shapes differ, or a label or score on the host is none; the message names the
        argument.
    """
    label, other = _plain(label, "label"), _plain(other, what)
    if np.shape(label) != np.shape(other) or not np.ndim(label):
        raise ValueError(
            f"label and {what} must have one entry per example each, got shapes "
            f"{np.shape(label)} and {np.shape(other)}"
        )
    # values of a traced program are not known here
    if array_module(label) is np:
        known = label[~np.isnan(label)]
        if wrong := known[(known != 0) & (known != 1)].ravel()[:3].tolist():
            raise ValueError(
                f"label must hold 0, 1 or NaN (unknown), got {wrong}: the label comes first, then "
                f"the {what}"
            )
    return label, other


def _plain(values: Array, what: str) -> Array:
    """A column as an array, on the host one of numbers.

    Raises:
      ValueError: an entry is no number; the message names the argument.
    """
    if array_module(values) is not np:
        return values
    column = np.asarray(values)
    if column.dtype.kind in "fiub":
        return column
    try:
        return column.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must hold numbers: {error}") from error


def auroc(label: Array, score: Array, weight: Array | None = None) -> Array:
    """Area under the ROC curve: P(score of a positive > score of a negative) + P(tie) / 2.

    0.5 means no separation; without positives or without negatives it is NaN.

    Args:
      label: [N] float in {0, 1, NaN}; NaN is masked.
      score: [N] float, higher means more likely positive.
      weight: [N] float >= 0 (resampling counts, padding masks); ones if None.

    Returns:
      Scalar in [0, 1].

    Raises:
      ValueError: the shapes differ, or a label is not 0, 1 or NaN.

    Example:
      >>> float(auroc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.9]))  # 3 of 4 pairs right, one tie
      0.875

    Reference: Hanley and McNeil 1982; scikit-learn `roc_auc_score` (parity is tested).
    """
    label, score = together(label, score, "score")
    xp = array_module(score, label, weight)
    positive, negative = class_weights(label, weight)
    # Masked examples sort last and have no weight.
    score = xp.where(positive + negative > 0, xp.asarray(score), np.inf)
    order = xp.argsort(score)
    ordered = score[order]
    # below[i]: weight of the negatives before place i; N + 1 entries, as "right" may be N
    below = xp.concatenate([xp.zeros(1, negative.dtype), xp.cumsum(negative[order])])
    left = below[xp.searchsorted(ordered, ordered, side="left")]
    right = below[xp.searchsorted(ordered, ordered, side="right")]
    # The mean of both ends of a run of ties counts half of its negatives.
    share = divide((left + right) / 2, xp.sum(negative))
    return divide(
        xp.sum(xp.where(positive[order] > 0, positive[order] * share, 0)), xp.sum(positive)
    )


def confusion(label: Array, decision: Array, weight: Array | None = None) -> Confusion:
    """Counts of decisions against labels.

    Args:
      label: [N] float in {0, 1, NaN}; NaN is masked.
      decision: [N] bool or {0, 1}.
      weight: [N] float >= 0; ones if None.

    Returns:
      `Confusion` of scalars.

    Raises:
      ValueError: the shapes differ, or a label is not 0, 1 or NaN.

    Example:
      >>> found = confusion([1, 1, 0, np.nan], [1, 0, 1, 0])
      >>> [float(count) for count in found]  # TP, FN, FP, TN
      [1.0, 1.0, 1.0, 0.0]
    """
    label, decision = together(label, decision, "decision")
    xp = array_module(decision, label, weight)
    positive, negative = class_weights(label, weight)
    yes = xp.asarray(decision).astype(bool)
    parts = [
        xp.sum(xp.where(mask, side, 0))
        for side, mask in ((positive, yes), (positive, ~yes), (negative, yes), (negative, ~yes))
    ]
    return Confusion(*parts)


def decide(score: Array, threshold: Array | float) -> Array:
    """The decision rule of every table: score >= threshold.

    Example:
      >>> decide([0.4, 0.5, 0.6], 0.5).tolist()
      [False, True, True]
    """
    return array_module(score, threshold).asarray(score) >= threshold


def brier(label: Array, score: Array, weight: Array | None = None) -> Array:
    """Brier score: mean of (score - label)^2. 0 means certain and right; NaN without examples.

    Args:
      label: [N] float in {0, 1, NaN}; NaN is masked.
      score: [N] float in [0, 1].
      weight: [N] float >= 0; ones if None.

    Returns:
      Scalar in [0, 1].

    Raises:
      ValueError: the shapes differ, a label is not 0, 1 or NaN, or a score not in [0, 1].

    Example:
      >>> float(brier([1, 1, 0], [1.0, 0.5, 0.0])) * 12
      1.0

    Reference: Brier 1950; scikit-learn `brier_score_loss` (parity is tested).
    """
    label, score = together(label, score, "score")
    xp = array_module(score, label, weight)
    # of traced arrays nothing is known
    if xp is np and (np.nanmin(score, initial=0) < 0 or np.nanmax(score, initial=0) > 1):
        raise ValueError("score must be a probability in [0, 1]: turn percent or logits into one")
    positive, negative = class_weights(label, weight)
    # 0 * NaN of a masked example would be NaN
    score = xp.where(positive + negative > 0, xp.asarray(score), 0)
    return divide(
        xp.sum(positive * (1 - score) ** 2 + negative * score**2), xp.sum(positive + negative)
    )


def calibration_error(
    label: Array, score: Array, weight: Array | None = None, bins: int = 10
) -> CalibrationError:
    """Expected calibration error: sum over bins of (weight of bin / total) |mean score - share of
    positives|. 0 means calibrated.

    Bins are equally wide on [0, 1], closed on the left, the last one also on the right; empty bins
    count nothing. NaN without examples.

    Args:
      label: [N] float in {0, 1, NaN}; NaN is masked.
      score: [N] float in [0, 1].
      weight: [N] float >= 0; ones if None.
      bins: number of bins.

    Returns:
      `CalibrationError`.

    Raises:
      ValueError: the shapes differ, or a label is not 0, 1 or NaN.

    Example:
      >>> score, label = [0.25, 0.25, 0.75, 0.75], [0, 0, 1, 0]
      >>> found = calibration_error(label, score, bins=2)
      >>> found.frequency.tolist(), float(found.value)
      ([0.0, 0.5], 0.25)

    Reference: Naeini, Cooper, Hauskrecht 2015 (AAAI).
    """
    label, score = together(label, score, "score")
    xp = array_module(score, label, weight)
    positive, negative = class_weights(label, weight)
    both = positive + negative
    score = xp.where(both > 0, xp.asarray(score), 0)
    # [bins, N], not a scatter: vmaps over replicates, and the bins are few
    member = calibration_bin(score, bins)[None, :] == xp.arange(bins)[:, None]
    sums = (
        xp.sum(xp.where(member, part[None, :], 0), axis=1)
        for part in (both, both * score, positive)
    )
    return calibration_error_from_sums(*sums)


def calibration_bin(score: Array, bins: int) -> Array:
    """The bin of each score: bins are equally wide on [0, 1], closed on the left, the last one also
    on the right.

    Args:
      score: [...] float in [0, 1].
      bins: number of bins.

    Returns:
      [...] int32 in 0..bins-1.

    Example:
      >>> calibration_bin([0.0, 0.5, 0.99, 1.0], 4).tolist()
      [0, 2, 3, 3]
    """
    xp = array_module(score)
    # a score of 1 joins the last bin
    return xp.clip(xp.floor(xp.asarray(score) * bins).astype(np.int32), 0, bins - 1)


def calibration_error_from_sums(weight: Array, score: Array, positive: Array) -> CalibrationError:
    """Expected calibration error from sums per bin: sum over bins of |sum of scores - positives|
    over the total weight. 0 means calibrated; NaN without examples.

    Args:
      weight: [..., bins] weight of the examples of each bin, 0 where empty.
      score: [..., bins] weighted sum of their scores.
      positive: [..., bins] weight of the positives.

    Returns:
      `CalibrationError` with leading shape [...].

    Example:
      >>> weight, score, positive = np.array([2, 2]), np.array([0.5, 1.5]), np.array([0, 1])
      >>> float(calibration_error_from_sums(weight, score, positive).value)
      0.25
    """
    xp = array_module(weight, score, positive)
    # weight of a bin times its |mean score - share of positives| is the |difference of the sums|
    error = divide(xp.sum(xp.abs(score - positive), axis=-1), xp.sum(weight, axis=-1))
    return CalibrationError(error, divide(score, weight), divide(positive, weight), weight)
