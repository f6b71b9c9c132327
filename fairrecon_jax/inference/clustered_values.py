"""Closed-form confidence intervals clustered by patient for means of values (Dice, Brier, PSNR and
their paired changes) and for AUROC, vectorised over trailing axes.

A mean of values has no variance function, as a rate has: it gets a t interval whose limits move
outwards with the skewness. AUROC gets the interval of a rate, from DeLong's influences.
"""

from __future__ import annotations

import numpy as np

from fairrecon_jax.inference.clustered import (
    Interval,
    check_alpha,
    cluster_sums,
    clustered_error,
    effective_size,
    interval_of,
    paired_tables,
    t_factor,
    t_quantile,
    wilson_limits,
)
from fairrecon_jax.inference.group_tables import MIN_PATIENTS
from fairrecon_jax.types import Array

MIN_CHANGED = 5
"""Fewest patients whose value differs from the usual one, for an interval of a mean."""

MAX_SKEWNESS = 0.92
"""Largest skewness of a mean that is corrected for, times the t quantile; from 1 on Hall's limit
runs away.
"""

SKEWNESS_BIAS = 10.0
"""Patients in whose proportion the skewness of a sample falls short of the population's: few
patients seldom hold one from the tail.
"""


def _skewed(
    value: np.ndarray,
    influence: np.ndarray,
    error: np.ndarray,
    freedom: np.ndarray,
    patients: np.ndarray,
    alpha: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The wider of the t limit and Hall's limit at each end."""
    spread = np.sqrt(np.sum(influence**2, 0))
    # of unit length: the skewness is a plain sum of cubes
    unit = influence / np.where(spread > 0, spread, 1)
    skewness = np.sum(unit**3, 0) * (1 + SKEWNESS_BIAS / np.maximum(patients, 1))
    quantile = t_quantile(freedom, alpha)
    skewness = np.clip(skewness, -MAX_SKEWNESS / quantile, MAX_SKEWNESS / quantile)
    # 0 / 0 in Hall's formula, whose limit there is the t limit
    flat = np.abs(skewness) < 1e-6
    a = np.where(flat, 1, skewness)

    def limit(sign: int) -> np.ndarray:
        """Standard errors from the value to the limit on this side, >= the t quantile."""
        hall = -3 / a * (np.cbrt(1 - a * (sign * quantile + a / 6)) - 1)
        return np.maximum(np.where(flat, quantile, sign * hall), quantile)

    return value - error * limit(-1), value + error * limit(1)


def mean_interval(
    total: Array, weight: Array, alpha: float = 0.05, min_patients: float = MIN_PATIENTS
) -> Interval:
    """Mean of a value, or of its paired change, with a skewness correction.

    m = sum T / sum W; e = T - m W; a = (1 + 10 / K) sum e^3 / (sum e^2)^1.5 the skewness of the
    mean, cut to +-`MAX_SKEWNESS` / t. Hall's limits invert x + a x^2 / 3 + a^2 x^3 / 27 + a / 6 at
    the t quantiles with K - 1 degrees of freedom, K Kish's effective number of patients; at each
    end the wider of Hall's and the t limit counts, since the skewness of a heavy-tailed sample is
    mostly noise.

    There is no interval (limits NaN) with fewer than `min_patients` effective patients, or fewer
    than `MIN_CHANGED` patients whose mean differs from the median patient's: of rare drops such a
    sample may hold none, and its spread says nothing about them. Where everyone changes a little
    the data cannot tell: for drops of a share q of patients ask for min_patients of at least 5 / q.

    Args:
      total: [U, ...] T per patient, sum over images of a value or change.
      weight: [U, ...] W per patient, number (or weight) of images; 0 = not in the stratum.
      alpha: 1 - coverage.
      min_patients: fewest effective patients, >= 2.

    Returns:
      `Interval` [...]; value NaN without images, limits NaN where not estimable.

    Raises:
      ValueError: shapes differ, a value with weight is not finite, a weight is negative,
        min_patients is below 2, or alpha is outside (0, 1).

    Example:
      >>> total, images = np.arange(12.0), np.ones(12)  # one value a patient: 0, 1, ..., 11
      >>> found = mean_interval(total, images)
      >>> float(found.value), bool(found.low < 5.5 < found.high)
      (5.5, True)

    Reference:
      Hall (1992), Journal of the Royal Statistical Society B 54, 221; Zhou and Gao (2000), The
        American Statistician 54 (with the t quantile).
    """
    check_alpha(alpha)
    if not min_patients >= 2:
        raise ValueError(f"min_patients must be at least 2, got {min_patients}")
    s, n = paired_tables(total, weight, ("total", "weight"))
    c = cluster_sums(s, n)
    # absent patients go to the end of the order
    mean = np.where(n > 0, s / np.where(n > 0, n, 1), np.inf)
    ordered = np.sort(mean, 0)
    # the lower median, a value that occurs: "equal to most" must be exact
    middle = np.maximum(c.patients - 1, 0)[None] // 2
    median = np.take_along_axis(ordered, middle, 0)[0] if len(s) else np.full(s.shape[1:], np.nan)
    scale = np.max(np.abs(np.where(n > 0, mean, 0)), 0, initial=0)
    moved = np.sum((n > 0) & (np.abs(np.where(n > 0, mean, 0) - median) > 1e-12 * scale), 0)
    enough = (moved >= MIN_CHANGED) & (c.effective >= min_patients * (1 - 1e-9))
    low, high = _skewed(c.value, c.influence, c.std_error, c.effective - 1, c.effective, alpha)
    return interval_of(
        c.value, c.std_error, np.where(enough, low, np.nan), np.where(enough, high, np.nan)
    )


def _auroc_parts(
    value: Array, influence: Array, positives: Array, negatives: Array
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Value, influences, standard error, patients of both classes and of the smaller one."""
    v, h = np.asarray(value, float), np.asarray(influence, float)
    if h.ndim == 0 or h.shape[1:] != v.shape:
        raise ValueError(
            f"influence must be [U, ...] with the trailing shape of value, got {h.shape} for "
            f"{v.shape}"
        )
    up, down = (np.broadcast_to(np.asarray(n, float), v.shape) for n in (positives, negatives))
    if np.any(up < 0) or np.any(down < 0):
        raise ValueError("positives and negatives must be at least 0")
    both = np.isfinite(v) & (up > 0) & (down > 0)
    v, h = np.where(both, v, np.nan), np.where(both & np.isfinite(h), h, 0)
    smaller = np.where(both, np.minimum(up, down), 0)
    # a patient with images of both classes counts in each, but is one row
    patients = np.where(both, np.minimum(up + down, len(h)), 0)
    return v, h, clustered_error(h, patients), up + down, smaller


def auroc_interval(
    value: Array, influence: Array, positives: Array, negatives: Array, alpha: float = 0.05
) -> Interval:
    """AUROC with Wilson's interval at an effective sample size.

    The AUROC A is the mean of placements in [0, 1]. 1 / n = (C v / (A (1 - A)) + 1 / m) / (C + 1)
    with v the sum of squared influences, C the effective number of patients that carry it and m
    the number of patients of the smaller class, times the squared ratio of t quantiles at
    positives + negatives - 2 and m - 1 degrees of freedom. Near 1 a few misplaced patients make up
    v, and a logit interval at v covers as little as 70%; the pseudo-patient mends it. At an
    AUROC of 0 or 1: Wilson's interval of m patients. The standard error is
    sqrt(P / (P - 1) v), P the number of rows, at most positives + negatives.

    Args:
      value: [...] AUROC in [0, 1], NaN where a class is absent.
      influence: [U, ...] DeLong influences summed per patient, 0 for patients without images in
        the stratum.
      positives: [...] (effective) number of patients with positives.
      negatives: [...] (effective) number of patients with negatives.
      alpha: 1 - coverage.

    Returns:
      `Interval` [...] in [0, 1]; NaN where a class is absent.

    Raises:
      ValueError: shapes disagree, a number of patients is negative, an AUROC lies outside [0, 1],
        or alpha is outside (0, 1).

    Example:
      >>> score, label = np.arange(40.0), np.arange(40) >= 20  # every pair is right
      >>> area, influence = fr.inference.placements(label, score)
      >>> found = auroc_interval(area, influence, positives=20, negatives=20)
      >>> float(found.high), round(float(found.low), 2)
      (1.0, 0.83)

    Reference:
      DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44; Obuchowski (1997), Biometrics 53
        (clusters); Kottas, Kuss and Zapf (2014), BMC Medical Research Methodology 14 (Wilson's
        interval of an AUROC).
    """
    check_alpha(alpha)
    v, h, error, total, smaller = _auroc_parts(value, influence, positives, negatives)
    if np.any((v < -1e-9) | (v > 1 + 1e-9)):
        raise ValueError("value must lie in [0, 1]")
    v = np.clip(v, 0, 1)
    size = effective_size(v, h, smaller) * t_factor(total - 2, smaller - 1, alpha)
    return interval_of(v, error, *wilson_limits(v, size, alpha))


def auroc_change_interval(
    change: Array, influence: Array, positives: Array, negatives: Array, alpha: float = 0.05
) -> Interval:
    """Paired change of AUROC with a t interval, corrected for skewness.

    As `mean_interval`, with the influences in the place of residuals and m - 1 degrees of freedom,
    m the number of patients of the smaller class. No interval (limits NaN) with fewer than
    `MIN_PATIENTS` patients in a class or fewer than `MIN_CHANGED` patients with an influence.

    Args:
      change: [...] AUROC on reconstructions minus on originals, NaN where a class is absent.
      influence: [U, ...] difference of the DeLong influences, summed per patient.
      positives: [...] (effective) number of patients with positives.
      negatives: [...] (effective) number of patients with negatives.
      alpha: 1 - coverage.

    Returns:
      `Interval` [...] in [-1, 1]; NaN where a class is absent.

    Raises:
      ValueError: shapes disagree, a number of patients is negative, or alpha is outside (0, 1).

    Example:
      >>> label, noise = np.arange(200) % 2, np.random.default_rng(0).normal(size=200)
      >>> sharp, noisy = (fr.inference.placements(label, label + sd * noise) for sd in (0.5, 3))
      >>> found = auroc_change_interval(noisy[0] - sharp[0], noisy[1] - sharp[1], 100, 100)
      >>> bool(found.high < 0)
      True

    Reference:
      DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44; Obuchowski (1997), Biometrics 53.
    """
    check_alpha(alpha)
    v, h, error, _, smaller = _auroc_parts(change, influence, positives, negatives)
    low, high = _skewed(v, h, error, smaller - 1, smaller, alpha)
    enough = (smaller >= MIN_PATIENTS) & (np.sum(h != 0, 0) >= MIN_CHANGED)
    low, high = np.maximum(low, -1), np.minimum(high, 1)
    return interval_of(v, error, np.where(enough, low, np.nan), np.where(enough, high, np.nan))
