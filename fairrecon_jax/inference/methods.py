"""From networks to methods: is a difference between groups that of a method, or of one training?

Trainings are readers and patients are cases: every network of a method reads the same patients, and
the networks differ. The mean over trainings is judged with both kinds of error, so that a method
is not blamed for what one training did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from fairrecon_jax.inference.changes import Changes

FEWEST = 3
"""Fewest trainings of a verdict on a method; the size is right from 5 on, a little high with 3."""


class MethodTest(NamedTuple):
    """Results of K methods over S trainings, L labels and G groups.

    Attributes:
      extra: [K, L, G] mean over trainings of D_g - D_rest, rest = all other judged groups together.
      std_error: [K, L, G] from patients and trainings.
      between: [K, L, G] standard deviation between trainings.
      patients_error: [K, L, G] standard error from patients alone, for these trainings.
      freedom: [K, L, G] degrees of freedom.
      low: [K, L, G] lower limit of the extra change, simultaneous over groups and labels.
      high: [K, L, G] upper limit.
      group_p: [K, L, G] adjusted for the groups and labels of the cell.
      p_value: [K] the smallest of them.
      trainings: S.
    """

    extra: np.ndarray
    std_error: np.ndarray
    between: np.ndarray
    patients_error: np.ndarray
    freedom: np.ndarray
    low: np.ndarray
    high: np.ndarray
    group_p: np.ndarray
    p_value: np.ndarray
    trainings: int


def _contrasts(changes: Changes, judged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """D_g - D_rest [K, L, G] and its influence per unit [U, K, L, G], of one training."""
    tables = changes.tables
    inside = np.moveaxis(judged, -1, 0)[tables.group]  # [U, K, L]
    n = np.where(inside, tables.images, 0)
    s = np.where(inside, tables.change, 0)
    extra, influence = [], []
    for g in range(tables.groups):
        own = (tables.group == g)[:, None, None]
        value, moment = np.zeros(s.shape[1:]), np.zeros(s.shape)
        # the others are pooled over images, not averaged over groups
        for part, sign in ((own, 1.0), (~own, -1.0)):
            weight = np.where(part, n, 0)
            total = np.maximum(weight.sum(0), 1e-300)
            mean = np.where(part, s, 0).sum(0) / total
            value += sign * mean
            moment += sign * (np.where(part, s, 0) - mean * weight) / total
        extra.append(value)
        influence.append(moment)
    return np.stack(extra, -1), np.stack(influence, -1)


def method_test(trainings: Sequence[Changes], alpha: float = 0.05) -> MethodTest:
    """Tests whether a method's mean change was equal in every group, over its trainings.

    With x_s the extra change of a group under training s, MS the variance of x_s between trainings
    and C the covariance of two trainings' errors over patients, var(mean) = (MS + S max(C, 0)) / S
    and df = (MS + S max(C, 0))^2 / (MS^2 / (S - 1)).

    Args:
      trainings: changes of the same images under S >= 2 trainings, same cells, groups and units.
      alpha: 1 - coverage of the limits.

    Returns:
      A `MethodTest`; NaN where fewer than two groups are judged in every training.

    Raises:
      ValueError: fewer than two trainings, or trainings of different units.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> group, before = np.arange(200) % 2, np.ones(200)
      >>> after = rng.random((3, 200)) > np.where(group, 0.05, 0.4)  # three trainings
      >>> changes = [fr.inference.decision_changes(before, a, before, group, range(200), groups=2)
      ...     for a in after]
      >>> bool(method_test(changes).p_value < 0.01)
      True

    Reference:
      Obuchowski and Rockette (1995), Communications in Statistics 24; Hillis (2007), Statistics in
      Medicine 26.
    """
    count = len(trainings)
    if count < 2:
        raise ValueError(f"a method needs at least 2 trainings, got {count}")
    first = trainings[0].tables
    for one in trainings[1:]:
        if not np.array_equal(one.tables.unit, first.unit):
            raise ValueError("the trainings were not evaluated on the same patients")
    judged = np.all([t.counted[0] == 0 for t in trainings], 0)
    judged &= judged.sum(-1, keepdims=True) >= 2
    found = [_contrasts(one, judged) for one in trainings]
    each, influence = (np.stack(part) for part in zip(*found, strict=True))
    patients = np.maximum((first.images > 0).sum(0), 2)[..., None]
    scale = patients / (patients - 1)
    # (sum over s)^2 less the squares leaves the pairs s != t: the covariance of two trainings
    squares, total = (influence**2).sum((0, 1)), influence.sum(0)
    shared = ((total**2).sum(0) - squares) / (count * (count - 1)) * scale
    spread = each.var(0, ddof=1)
    both = spread + count * np.maximum(shared, 0)
    error = np.sqrt(both / count)
    freedom = np.where(spread > 0, both**2 / np.maximum(spread**2 / (count - 1), 1e-300), np.inf)
    # infinite where trainings do not differ: patients are few as well
    freedom = np.minimum(freedom, patients - 1)
    mean = each.mean(0)
    # of two groups one contrast is the other with its sign turned
    groups = judged.sum(-1)
    contrasts = np.maximum(np.where(groups == 2, 1, groups).sum(-1), 1)[:, None, None]
    ratio = np.abs(mean) / np.where(error > 0, error, 1)
    # no error at all: every patient of every training moved alike, or nobody did
    p = np.where(error > 0, 2 * student.sf(ratio, freedom), np.where(mean == 0, 1.0, 0.0))
    adjusted = np.where(judged, np.minimum(p * contrasts, 1), np.nan)
    width = student.isf(alpha / (2 * contrasts), freedom) * error
    tested = judged.any((-2, -1))
    smallest = np.where(tested, np.min(np.where(judged, adjusted, 1), (-2, -1)), np.nan)

    def keep(values: np.ndarray) -> np.ndarray:
        return np.where(judged, values, np.nan)

    return MethodTest(
        keep(mean),
        keep(error),
        keep(np.sqrt(spread)),
        keep(np.sqrt((total**2).sum(0) * scale) / count),
        keep(freedom),
        keep(mean - width),
        keep(mean + width),
        adjusted,
        smallest,
        count,
    )
