"""How far the groups of a cohort are apart: the largest studentised difference between two groups,
and how likely as large a one is where groups do not differ.
"""

from __future__ import annotations

import functools
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from fairrecon_jax.inference.group_draws import Sums
from fairrecon_jax.inference.group_statistic import Contrasts

DEVIATES = np.linspace(0, 9, 361)
"""Where the distribution of the largest difference is tabulated."""

QUANTILES = 64
"""Quantiles that stand for the distribution of one label in the mean over labels."""


class Variances(NamedTuple):
    """Variances of rates or means, [B, K, L, G] each.

    Attributes:
      whole: the variance.
      estimated: the part of it that comes from the spread of the group's own patients.
    """

    whole: np.ndarray
    estimated: np.ndarray


def mean_variances(sums: Sums, found: Contrasts, patients: np.ndarray) -> Variances:
    """Cluster-robust variances of means.

    v_g is the larger of that of the group's own P_g patients, P_g / (P_g - 1) sum e^2 / N^2 with
    e = S - mean N, and of that of `contrasts`, which some patients of the pooled variance keep away
    from 0.

    Args:
      sums: [B, K, L, G].
      found: `contrasts` of them.
      patients: [K, L, G].

    Returns:
      `Variances`.
    """
    own = patients / np.maximum(patients - 1, 1) * _energy(sums, found.change)
    whole = np.maximum(found.variance, own / np.where(sums.n > 0, sums.n, 1) ** 2)
    return Variances(whole, whole)


def rate_variances(sums: Sums, patients: np.ndarray, judged: np.ndarray) -> Variances:
    """Variances of rates of decisions, of groups with one rate.

    v_g = r (1 - r) (N + c_g (sum N_p^2 - N)) / N^2 with the rate r of all groups together and c_g
    the correlation of two images of a patient. Rates that are equal leave groups no difference in
    variance but by c, which is the larger of that of all groups together and of the group's own
    patients. With one image a patient, v_g = r (1 - r) / N.

    Args:
      sums: [B, K, L, G] of decisions in {0, 1}.
      patients: [K, L, G].
      judged: [K, L, G] bool, groups that take part.

    Returns:
      `Variances`.
    """
    part = Sums(*(np.where(judged, field, 0) for field in sums))
    every = Sums(*(field.sum(-1, keepdims=True) for field in part))
    rate = every.s / np.maximum(every.n, 1)  # of all groups together, [B, K, L, 1]
    own = _correlation(part, patients / np.maximum(patients - 1, 1))
    alike = np.maximum(own, _correlation(every, np.ones(1)))
    scale = rate * (1 - rate) / np.maximum(part.n, 1) ** 2
    # nn - n: ordered pairs of images of one patient
    estimated = scale * alike * (part.nn - part.n)
    return Variances(scale * part.n + estimated, estimated)


def largest_distance(
    change: np.ndarray, variances: Variances, judged: np.ndarray, patients: np.ndarray
) -> np.ndarray:
    """The largest studentised difference between two groups, on the scale of a normal deviate.

    t = |r_g - r_h| / sqrt(v_g + v_h), turned into the normal deviate of the same tail under
    Satterthwaite's degrees of freedom: a small group, whose variance is known badly, is not taken
    for one that differs.

    Args:
      change: rates or means r, [B, K, L, G].
      variances: of them.
      judged: [K, L, G] bool, groups that take part.
      patients: [K, L, G].

    Returns:
      [B, K, L] >= 0; NaN with fewer than two groups.

    Reference:
      Satterthwaite (1946), Biometrics Bulletin 2; Wallace (1959), Annals of Mathematical
      Statistics 30.
    """
    largest = np.full(change.shape[:-1], np.nan)
    whole, freedom = np.maximum(variances.whole, 1e-300), np.maximum(patients - 1, 1)
    for g, h in combinations(range(judged.shape[-1]), 2):
        total = whole[..., g] + whole[..., h]
        t2 = (change[..., g] - change[..., h]) ** 2 / total
        # shares, because squares of the variances themselves may underflow
        unsure = sum((variances.estimated[..., i] / total) ** 2 / freedom[..., i] for i in (g, h))
        # nothing estimated: as good as normal
        df = 1 / np.maximum(unsure, 1e-9)
        # Wallace's approximation of the normal deviate with the tail of t
        z = (8 * df + 1) / (8 * df + 3) * np.sqrt(df * np.log1p(t2 / df))
        # fmax: NaN says that no pair came before
        largest = np.where(judged[..., g] & judged[..., h], np.fmax(largest, z), largest)
    return largest


def tail_of_largest(distance: np.ndarray, groups: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """How likely groups that do not differ are as far apart in any label, 1 - prod_y F_y(z / s_y).

    Args:
      distance: [K] the largest of s_y times the distance of two groups, over labels y and pairs.
      groups: [K, L] number of groups that are compared in each label.
      scale: [L] s_y > 0.

    Returns:
      [K] in [0, 1]; NaN where the distance is NaN. Exact for normal means of one variance, an upper
        bound for others.

    Reference:
      Tukey (1953); Hayter (1984), Annals of Statistics 12.
    """
    tail = np.full(distance.shape, np.nan)
    # cells with as many groups in each label share their distributions
    for numbers in np.unique(groups, axis=0):
        cells = np.all(groups == numbers, -1)
        inside = [
            # behind the last deviate the tail is 0, and the permutations decide
            np.interp(distance[cells] / s, DEVIATES, _distribution(int(number)))
            for number, s in zip(numbers, scale)
        ]
        tail[cells] = 1 - np.prod(inside, 0)
    return tail


def tail_of_mean(distance: np.ndarray, groups: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """How likely the mean over labels of s_y times the largest distance is as large where no groups
    differ.

    Args:
      distance: [K] mean over labels.
      groups: [K, L] number of groups that are compared in each label.
      scale: [L] s_y > 0.

    Returns:
      [K] in [0, 1]; NaN where the distance is NaN.
    """
    middle = (np.arange(QUANTILES) + 0.5) / QUANTILES
    tail = np.full(distance.shape, np.nan)
    for numbers in np.unique(groups, axis=0):
        cells = np.all(groups == numbers, -1)
        *others, last = (_distribution(int(number)) for number in numbers)
        sums = np.zeros(1)
        for table, s in zip(others, scale):
            # every combination of quantiles, 64^(L - 1) of them
            sums = np.add.outer(sums, s * np.interp(middle, table, DEVIATES)).ravel()
        # what the last label has to exceed
        rest = len(numbers) * distance[cells] - sums[:, None]
        tail[cells] = 1 - np.interp(rest / scale[-1], DEVIATES, last).mean(0)
    return np.where(np.isnan(distance), np.nan, tail)


@functools.cache
def _distribution(groups: int) -> np.ndarray:
    """P(largest |z_g - z_h| / sqrt 2 <= DEVIATES) of independent normal deviates z."""
    if groups < 2:
        return np.ones(len(DEVIATES))
    x, step = np.linspace(-8, 8, 641, retstep=True)
    # x is the largest deviate, all others lie within sqrt(2) z below it
    between = ndtr(x) - ndtr(x - np.sqrt(2) * DEVIATES[:, None])
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    # equal steps: the integrand is smooth and has died down at both ends
    return np.minimum(groups * step * (density * between ** (groups - 1)).sum(-1), 1)


def _energy(sums: Sums, rate: np.ndarray) -> np.ndarray:
    """Sum over patients of (S - rate N)^2."""
    return np.maximum(sums.ss - 2 * rate * sums.sn + rate**2 * sums.nn, 0)


def _correlation(sums: Sums, correction: np.ndarray) -> np.ndarray:
    """Correlation in [0, 1] of two images of a patient, from pairs of images; 0 where there are no
    pairs or all decisions are the same.
    """
    rate = sums.s / np.maximum(sums.n, 1)
    pairs = rate * (1 - rate) * (sums.nn - sums.n)
    # beyond what independent images of one rate give
    excess = correction * _energy(sums, rate) - rate * (1 - rate) * sums.n
    return np.clip(np.where(pairs > 0, excess / np.where(pairs > 0, pairs, 1), 0), 0, 1)
