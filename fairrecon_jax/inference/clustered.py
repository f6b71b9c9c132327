"""Closed-form confidence intervals clustered by patient: rates, changes of decisions, means of
values, AUROC, and the extra change of one group against the others.

A patient is a cluster: whatever comes in is summed per patient first, so that images of a patient
may depend on each other in any way. Two devices carry the module. Rates, changes of decisions and
AUROC lie between bounds: they get Wilson's interval at an effective sample size, to which one
pseudo-patient is added whose images all err alike, so that a stratum in which nothing happened
still has an interval. Means of values have no such variance function: they get a t interval whose
limits move outwards with the skewness (Hall's transformation). A difference puts together the
limits of its parts (`difference_interval`), and so agrees with the intervals of the groups.

Means and AUROC stand in `clustered_values`. Everything is vectorised over trailing axes. `COVERS`
says what each interval covers, as measured by `experiments.calibration.coverage`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincinv, ndtri, stdtrit

from fairrecon_jax.inference.group_tables import effective_patients
from fairrecon_jax.types import Array

FEW = 3.5
"""Largest effective number of events that `rate_interval(rare=True)` calls few."""

EDGE = 1e-9
"""Distance from 0 and 1 below which a proportion lies on the bound."""

COVERS: dict[str, str] = {
    "rate_interval": "one image a patient: 92 to 97% from 5 expected events on both sides on; with "
    "fewer up to 99%, but 91% at half an event or one and 84% at .17 (`rare`: at least 92%); many "
    "images a patient: 93 to 99%, above 97% with 20 patients or a low correlation",
    "change_interval": "at least 93%: 93 to 97% from 20 expected flips on (98% in clusters), up to "
    "100% with fewer",
    "difference_interval": "at least 93%: 93 to 97% from 15 expected flips in the small group on, "
    "up to 100% with fewer",
    "mean_interval": "93 to 97% from 12 patients on, tails up to a lognormal of sigma 1; 97 to "
    "99.7% where most values are equal and fewer than 25 others are expected; NOT drops in a "
    "share q of patients beside small changes in all with fewer than 5 / q patients (64% at 20 "
    "patients, q 5%)",
    "auroc_interval": "93 to 97% up to .9 with classes of a size; at least 93%, up to 99.8%, above "
    ".9 or where one class has ten times the other",
    "auroc_change_interval": "93 to 97%; above 97% with 20 patients in a class and few changed "
    "ranks",
}
"""What the interval of each function covers, at a nominal 95%."""


class Interval(NamedTuple):
    """Estimates with intervals; all fields of one shape, NaN where undefined.

    Attributes:
      value: the estimate.
      std_error: its clustered standard error (without pseudo-patients: 0 where nothing changed).
      low: lower limit.
      high: upper limit.
    """

    value: np.ndarray
    std_error: np.ndarray
    low: np.ndarray
    high: np.ndarray


def interval_of(*fields: np.ndarray) -> Interval:
    """Fields as arrays, scalars too."""
    return Interval(*(np.asarray(field) for field in fields))


class Clusters(NamedTuple):
    """A ratio of sums over patients.

    Attributes:
      value: [...] sum S / sum N; NaN without images.
      influence: [U, ...] (S - value N) / sum N; sums to 0.
      images: [...] sum N.
      patients: [...] number of patients with images.
      effective: [...] Kish's effective number of patients.
      std_error: [...] sqrt(P / (P - 1) sum influence^2); NaN for fewer than two patients.
    """

    value: np.ndarray
    influence: np.ndarray
    images: np.ndarray
    patients: np.ndarray
    effective: np.ndarray
    std_error: np.ndarray


def check_alpha(alpha: float) -> None:
    """Refuses a level outside (0, 1)."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha}")


def paired_tables(
    total: Array, weight: Array, names: tuple[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Both tables as floats; a total without images becomes 0."""
    s, n = np.asarray(total, float), np.asarray(weight, float)
    if s.ndim == 0 or s.shape != n.shape:
        raise ValueError(
            f"{names[0]} and {names[1]} must be of one shape [U, ...] with patients first, got "
            f"{s.shape} and {n.shape}"
        )
    if not np.all(np.isfinite(n)) or np.any(n < 0):
        raise ValueError(f"{names[1]} must be finite and at least 0")
    s = np.where(n > 0, s, 0)
    if not np.all(np.isfinite(s)):
        raise ValueError(
            f"{names[0]} holds {int(np.sum(~np.isfinite(s)))} values that are not finite; give "
            f"patients without a value {names[1]} 0"
        )
    return s, n


def _check_range(s: np.ndarray, n: np.ndarray, lowest: int, names: tuple[str, str]) -> None:
    """Refuses sums of decisions that the number of images does not allow."""
    slack = 1e-9 * (1 + n)  # weights add up to rounding
    if np.any(s > n + slack) or np.any(s < lowest * n - slack):
        raise ValueError(
            f"{names[0]} must lie between {lowest} and 1 times {names[1]} for every patient"
        )


def clustered_error(influence: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Clustered standard error of influences."""
    scale = np.where(patients > 1, patients / np.maximum(patients - 1, 1), np.nan)
    return np.sqrt(scale * np.sum(influence**2, 0))


def cluster_sums(s: np.ndarray, n: np.ndarray) -> Clusters:
    """The ratio of sums and its influences."""
    images = n.sum(0)
    some = np.where(images > 0, images, 1)
    value = s.sum(0) / some
    influence = (s - value * n) / some
    patients = np.sum(n > 0, 0)
    value = np.where(images > 0, value, np.nan)
    return Clusters(
        value,
        influence,
        images,
        patients,
        effective_patients(n),
        clustered_error(influence, patients),
    )


def t_quantile(freedom: np.ndarray, alpha: float) -> np.ndarray:
    """Two-sided t quantile at max(freedom, 1) degrees of freedom."""
    return stdtrit(np.maximum(freedom, 1.0), 1 - alpha / 2)


def effective_size(value: np.ndarray, influence: np.ndarray, fewest: np.ndarray) -> np.ndarray:
    """Effective sample size of a proportion-like value, before any t quantile.

    1 / n = (A v / (p (1 - p)) + 1 / fewest) / (A + 1) with v = sum of squared influences and
    A = v^2 / sum influence^4 the effective number of patients that carry it.
    """
    square = influence**2
    variance, fourth = square.sum(0), np.sum(square**2, 0)
    spread = value * (1 - value)
    known = (spread > EDGE) & (fourth > 0)  # at 0 and 1 nobody carries a variance
    carriers = np.where(known, variance**2 / np.where(known, fourth, 1), 0)
    inverse = np.where(known, variance / np.where(known, spread, 1), 0)
    return (carriers + 1) / (carriers * inverse + 1 / np.where(fewest > 0, fewest, np.nan))


def t_factor(alone: np.ndarray, clustered: np.ndarray, alpha: float) -> np.ndarray:
    """What the few degrees of freedom of clusters leave of a sample size: the squared ratio of the
    t quantiles at both degrees of freedom; 1 where they agree.
    """
    return (t_quantile(alone, alpha) / t_quantile(clustered, alpha)) ** 2


def wilson_limits(
    value: np.ndarray, size: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's limits for a proportion of `size` observations; exact at 0 and 1."""
    z2 = ndtri(1 - alpha / 2) ** 2
    centre = (value + z2 / (2 * size)) / (1 + z2 / size)
    half = np.sqrt(z2 * (value * (1 - value) / size + z2 / (4 * size**2))) / (1 + z2 / size)
    low = np.where(value <= EDGE, 0 * value, np.maximum(centre - half, 0))
    return low, np.where(value >= 1 - EDGE, value, np.minimum(centre + half, 1))


def _poisson_limit(value: np.ndarray, size: np.ndarray, alpha: float) -> np.ndarray:
    """Lower limit of a rate of few events; 1 where there are none, or more than `FEW`."""
    events = value * size
    few = (events > 0) & (events <= FEW)
    # gammaincinv(x, a) is chi^2(a; 2 x) / 2; alpha, not alpha / 2, as published
    return np.where(few, gammaincinv(np.where(few, events, 1), alpha) / size, 1)


def _proportion(
    c: Clusters, fewest: np.ndarray, alpha: float, rare: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Limits of the rate of clusters whose pseudo-patient brings 1 / fewest."""
    size = effective_size(c.value, c.influence, fewest)
    size = size * t_factor(c.images - 1, c.effective - 1, alpha)
    low, high = wilson_limits(c.value, size, alpha)
    if rare:
        low = np.minimum(low, _poisson_limit(c.value, size, alpha))
        high = np.maximum(high, 1 - _poisson_limit(1 - c.value, size, alpha))
    return low, high


def rate_interval(
    positives: Array, images: Array, alpha: float = 0.05, rare: bool = False
) -> Interval:
    """Rate of positive decisions with Wilson's interval at an effective sample size.

    p = sum S / sum N; 1 / n = (A v / (p (1 - p)) + 1 / K) / (A + 1) with v the clustered variance,
    A the effective number of patients that carry it and K Kish's effective number of patients: one
    pseudo-patient whose images all are decided alike joins those that were seen. n is multiplied
    by (t at sum N - 1 / t at K - 1 degrees of freedom)^2. Exactly Wilson's interval where every
    patient has one image; at rates 0 and 1, Wilson's interval of K patients.

    Wilson's limit on the side of a bound is too close where few events are expected (coverage .84
    at .17 events, .91 at half an event). `rare` mends that: with up to `FEW` effective
    events the limit is the Poisson one, chi^2(alpha; 2 x) / (2 n), where that is wider.

    Args:
      positives: [U, ...] S per patient, number of positive decisions in 0..N.
      images: [U, ...] N per patient, number (or weight) of images; 0 = not in the stratum.
      alpha: 1 - coverage.
      rare: whether few events get the Poisson limit.

    Returns:
      `Interval` [...] in [0, 1]; NaN without images.

    Raises:
      ValueError: shapes differ, a count is negative, not finite or larger than the number of
        images, or alpha is outside (0, 1).

    Reference:
      Wilson (1927), JASA 22; Korn and Graubard (1998), Survey Methodology 24 (effective sample
        size); Brown, Cai and DasGupta (2001), Statistical Science 16 (`rare`).

    Example:
      >>> rate_interval([1.0] * 43, [1.0] * 43).low  # 43 of 43
      array(0.9179...)
    """
    check_alpha(alpha)
    names = ("positives", "images")
    s, n = paired_tables(positives, images, names)
    _check_range(s, n, 0, names)
    c = cluster_sums(s, n)
    return interval_of(c.value, c.std_error, *_proportion(c, c.effective, alpha, rare))


def _hybrid(
    value: np.ndarray, first: tuple[np.ndarray, ...], second: tuple[np.ndarray, ...], r: Array
) -> tuple[np.ndarray, np.ndarray]:
    """Limits of first - second from (value, low, high) of both and their correlation: the
    variance at each limit is recovered from the distance of the limits.
    """
    down, up = first[0] - first[1], first[2] - first[0]
    down2, up2 = second[0] - second[1], second[2] - second[0]
    low = value - np.sqrt(np.maximum(down**2 + up2**2 - 2 * r * down * up2, 0))
    high = value + np.sqrt(np.maximum(up**2 + down2**2 - 2 * r * up * down2, 0))
    return low, high


def change_interval(change: Array, images: Array, alpha: float = 0.05) -> Interval:
    """Mean change of decisions, rate of patients' gains minus rate of their losses.

    D = sum S / sum N = g - l with g = sum max(S, 0) / sum N and l = sum max(-S, 0) / sum N. Both
    get the limits of `rate_interval`, except that the pseudo-patient learns from the other side
    how alike the images of a patient flip: 1 / K gives way to the mean of 1 / K and the other
    side's 1 / n. The limits of D put the distances of both together (square and add) with the
    clustered correlation of g and l. Where nothing flipped the interval is symmetric and as wide
    as that of a rate of 0. The upper limit of l bounds the losses that were not seen, so that one
    flip alone never makes a change.

    Args:
      change: [U, ...] S per patient, sum over images of r - o in {-1, 0, 1}.
      images: [U, ...] N per patient, number (or weight) of images; 0 = not in the stratum.
      alpha: 1 - coverage.

    Returns:
      `Interval` [...] in [-1, 1]; NaN without images.

    Raises:
      ValueError: shapes differ, |S| exceeds N, a value is not finite, or alpha is outside (0, 1).

    Reference:
      Newcombe (1998), Statistics in Medicine 17, 2635 (paired proportions); Zou and Donner (2008),
        Statistics in Medicine 27 (recovery of variances from limits).

    Example:
      >>> change_interval([-1.0] + [0.0] * 99, [1.0] * 100)[2:]  # one loss in 100 patients
      (array(-0.054...), array(0.027...))
    """
    check_alpha(alpha)
    names = ("change", "images")
    s, n = paired_tables(change, images, names)
    _check_range(s, n, -1, names)
    net = cluster_sums(s, n)
    gain, loss = cluster_sums(np.maximum(s, 0), n), cluster_sums(np.maximum(-s, 0), n)
    joint = np.sum(gain.influence * loss.influence, 0)
    scale = np.sqrt(np.sum(gain.influence**2, 0) * np.sum(loss.influence**2, 0))
    correlation = np.where(scale > 0, joint / np.where(scale > 0, scale, 1), 0)
    parts = []
    for own, other in ((gain, loss), (loss, gain)):
        seen = effective_size(other.value, other.influence, other.effective)
        fewest = 2 / (1 / seen + 1 / np.where(own.effective > 0, own.effective, np.nan))
        parts.append((own.value, *_proportion(own, fewest, alpha)))
    low, high = _hybrid(net.value, parts[0], parts[1], np.clip(correlation, -1, 1))
    return interval_of(net.value, net.std_error, np.maximum(low, -1), np.minimum(high, 1))


def difference_interval(
    first: Interval, second: Interval, correlation: Array | float = 0.0
) -> Interval:
    """Difference of two estimates, such as the change of a group minus that of the others, from
    their intervals.

    d = d1 - d2; low = d - sqrt((d1 - l1)^2 + (u2 - d2)^2 - 2 r (d1 - l1) (u2 - d2)), high
    likewise: each limit takes the spread that the parts have near their own limits. With a
    group of 20 patients of whom none changed beside one of 1000 it keeps the width of both, and it
    agrees by construction with the intervals of the two parts.

    Args:
      first: [...] estimates with intervals at one level.
      second: [...] the same of patients that first does not hold, at the same level.
      correlation: r in [-1, 1] of the two estimates; 0 for different patients.

    Returns:
      `Interval` [...]; NaN where a part is.

    Raises:
      ValueError: a correlation is outside [-1, 1].

    Example:
      >>> small = change_interval([-1.0] + [0.0] * 19, [1.0] * 20)  # one loss in 20 patients
      >>> large = change_interval([-1.0] + [0.0] * 999, [1.0] * 1000)
      >>> round(float(difference_interval(small, large).value), 3)
      -0.049

    Reference:
      Newcombe (1998), Statistics in Medicine 17, 873; Zou and Donner (2008), Statistics in
        Medicine 27.
    """
    r = np.asarray(correlation, float)
    if not np.all(np.abs(r) <= 1):
        raise ValueError(f"correlation must lie in [-1, 1], got {correlation}")
    a, b = (Interval(*(np.asarray(part, float) for part in i)) for i in (first, second))
    value = a.value - b.value
    square = a.std_error**2 + b.std_error**2 - 2 * r * a.std_error * b.std_error
    low, high = _hybrid(value, (a.value, a.low, a.high), (b.value, b.low, b.high), r)
    return interval_of(value, np.sqrt(np.maximum(square, 0)), low, high)  # < 0 by rounding only


def extra_change(
    change: Array,
    images: Array,
    group: Array,
    groups: int,
    alpha: float = 0.05,
    interval: Callable[[Array, Array, float], Interval] = change_interval,
) -> Interval:
    """Change of every group beyond that of all other groups together, D_g - D_rest.

    Args:
      change: [U, ...] sums per patient.
      images: [U, ...] number (or weight) of images per patient; 0 = not in the stratum.
      group: [U] int group of the patient; anything outside 0..G-1 = in no group.
      groups: number of groups G.
      alpha: 1 - coverage.
      interval: of one group: `change_interval`, `mean_interval` or `rate_interval`.

    Returns:
      `Interval` [..., G]; NaN where the group or the rest has none.

    Raises:
      ValueError: `group` does not hold one entry per patient; whatever `interval` refuses.
    """
    s, n, own = np.asarray(change, float), np.asarray(images, float), np.asarray(group)
    if own.shape != n.shape[:1]:
        raise ValueError(f"group must hold {n.shape[:1]} entries, got shape {own.shape}")
    known = (own >= 0) & (own < groups)
    parts = []
    for g in range(groups):
        inside, rest = own == g, known & (own != g)
        parts.append(
            difference_interval(
                interval(s[inside], n[inside], alpha), interval(s[rest], n[rest], alpha)
            )
        )
    return interval_of(*(np.stack(fields, -1) for fields in zip(*parts, strict=True)))
