"""The statistic of a difference in differences from sums per group, and what about a cohort no draw
changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from fairrecon_jax.inference.group_draws import Sums, observed_sums
from fairrecon_jax.inference.group_tables import PatientTables

LABEL_WEIGHTS = (0.5, 1.0)
"""Weights of false alarms (label 0) and missed findings (label 1), which count twice."""

SHRINKAGE = 3.0  # patients of the pooled variance; the kurtosis of a normal law
ONE_SIDED = 0.15  # share of the smaller side below which there are no signs to flip
RESOLUTION = 1e-6  # of the changes' scale; a smaller standard error is rounding


class Contrasts(NamedTuple):
    """Statistics of B draws.

    Attributes:
      change: [B, K, L, G] D_g.
      variance: [B, K, L, G] v_g.
      pooled: [B, K, L] Dbar.
      deviation: [B, K, L, G] D_g - Dbar.
      std_error: [B, K, L, G] of the deviation.
      quadratic: [B, K, L] Q = sum over groups of (D_g - Dbar)^2 / v_g.
      largest: [B, K, L] largest |deviation| / std_error over groups.
    """

    change: np.ndarray
    variance: np.ndarray
    pooled: np.ndarray
    deviation: np.ndarray
    std_error: np.ndarray
    quadratic: np.ndarray
    largest: np.ndarray


class Frame(NamedTuple):
    """What no draw changes.

    Attributes:
      judged: [K, L, G] bool, the groups that take part.
      patients: [K, L, G].
      kurtosis: [K, L] weight of the pooled variance, in patients.
      one_sided: [K, L] bool, changes have one sign, so that signs cannot be flipped.
      scale: [K, L] root mean square change of an image.
      weights: [L] w_y.
    """

    judged: np.ndarray
    patients: np.ndarray
    kurtosis: np.ndarray
    scale: np.ndarray
    one_sided: np.ndarray
    weights: np.ndarray


def contrasts(sums: Sums, frame: Frame) -> Contrasts:
    """The statistic T of sums per group.

    D_g = S / N; e = S - D_g N; v_g = P_g (sum e^2 + kappa m sum N^2 / P_g) / (P_g + kappa) / N^2
    with m = sum over groups of sum e^2 / sum N^2, so that kappa patients of the pooled variance
    join the P_g own ones; Dbar the mean of D_g weighted by 1 / v_g;
    T = sum over labels y of w_y sum over groups g of (D_g - Dbar)^2 / v_g.

    Args:
      sums: [B, K, L, G].
      frame: what no draw changes.

    Returns:
      `Contrasts`.
    """
    judged, patients = frame.judged, np.maximum(frame.patients, 1)
    # 1, because groups that take no part are divided by it too
    n = np.where(judged, sums.n, 1)
    change = np.where(judged, sums.s, 0) / n
    # sum (S - D N)^2 from sums alone: of a draw nothing else is known
    energy = np.where(judged, sums.ss - 2 * change * sums.sn + change**2 * sums.nn, 0)
    # a difference of large sums: rounding may bring it below 0
    energy = np.maximum(energy, 0)
    squares = np.where(judged, sums.nn, 0)
    pooled = energy.sum(-1, keepdims=True) / np.maximum(squares.sum(-1, keepdims=True), 1e-300)
    # the larger kappa where the pooled variance lifts the own one, the smaller where it lowers it
    variance = np.max(
        [
            (patients * energy + kappa * pooled * squares) / (patients + kappa) / n**2
            for kappa in (SHRINKAGE, frame.kurtosis[..., None])
        ],
        0,
    )
    # nobody changed: no division by 0, and T stays 0 because deviations do
    floor = np.maximum((RESOLUTION * frame.scale) ** 2, 1e-300)[..., None]
    variance = np.maximum(variance, floor)
    weight = np.where(judged, 1 / variance, 0)
    mass = np.maximum(weight.sum(-1, keepdims=True), 1e-300)
    centre = np.sum(weight * change, -1, keepdims=True) / mass
    deviation = np.where(judged, change - centre, 0)
    # equal changes differ by rounding, which a variance at its floor would make a finding
    deviation[np.abs(deviation) <= 1e-9 * frame.scale[..., None]] = 0
    # var(D_g - Dbar) = v_g - 1 / mass: a part of Dbar is D_g itself
    error = np.sqrt(variance * np.maximum(1 - weight / mass, 1e-15))
    quadratic = np.sum(weight * deviation**2, -1)
    largest = np.max(np.abs(deviation) / error, -1)
    return Contrasts(change, variance, centre[..., 0], deviation, error, quadratic, largest)


def add_pseudo_patients(sums: Sums, frame: Frame) -> tuple[Sums, Frame]:
    """One gained and one lost pseudo-patient in each stratum, with as many images as its patients
    have on average: where few decisions changed, no interval collapses onto the point.

    Args:
      sums: [B, K, L, G] of decisions.
      frame: what no draw changes.

    Returns:
      Sums and frame with two more patients per stratum.

    Reference:
      Agresti and Min (2005), Statistics in Medicine 24.
    """
    size = sums.n / np.maximum(frame.patients, 1)
    # a gain and a loss cancel out in S and in S N
    more = Sums(sums.s, sums.n + 2 * size, sums.ss + 2 * size**2, sums.sn, sums.nn + 2 * size**2)
    # the scale bounds rounding only; two changed patients raise it where nothing changed
    scale = np.maximum(frame.scale, 1e-3)
    return more, frame._replace(patients=frame.patients + 2, scale=scale)


def mask_and_centre(tables: PatientTables, judged: np.ndarray) -> tuple[PatientTables, np.ndarray]:
    """Leaves out what is not judged, and centres changes that are not whole numbers; the centre
    [K, L].
    """
    inside = np.moveaxis(judged, -1, 0)[tables.group]  # [U, K, L]
    n = np.where(inside, tables.images, 0)
    s = np.where(n > 0, tables.change, 0)
    # T does not change when a multiple of N is subtracted; rounding errors do.
    # whole numbers stay whole: their sums are exact, in single precision too
    broken = np.any(s != np.rint(s), 0)
    if not broken.any():
        return tables._replace(change=s, images=n), np.zeros(broken.shape)
    mean = np.where(broken, s.sum(0) / np.maximum(n.sum(0), 1e-300), 0)
    largest = np.abs(s).max(0, initial=0)
    s = s - mean * n
    # who changed like everyone has no residual, where subtracting leaves a trace of rounding
    s[np.abs(s) <= 1e-12 * largest] = 0
    return tables._replace(change=s, images=n), mean


def _smaller_side(up: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Share of the smaller side in a sum of squares."""
    return np.minimum(up, total - up) / np.where(total > 0, total, 1)


def _residuals(tables: PatientTables) -> np.ndarray:
    """[U, K, L] S less the overall mean of the images."""
    n = tables.images
    return tables.change - tables.change.sum(0) / np.maximum(n.sum(0), 1e-300) * n


def _kurtosis(e: np.ndarray, images: np.ndarray) -> np.ndarray:
    """[K, L] kurtosis of residuals, at least 3, which no permutation changes."""
    square, size = e * e, images * images
    total = square.sum(0)
    # over N^2 and N^4: clusters of unequal size make no kurtosis by themselves
    second = total / np.maximum(size.sum(0), 1e-300)
    fourth = (square * square).sum(0) / np.maximum((size * size).sum(0), 1e-300)
    some = total > 0
    kurtosis = np.where(some, fourth / np.where(some, second, 1) ** 2, SHRINKAGE)
    return np.maximum(kurtosis, SHRINKAGE)


def _share(e: np.ndarray, tables: PatientTables, judged: np.ndarray) -> np.ndarray:
    """[K, L] share of the smaller side in the sum of squared residuals, of all or of a judged
    group, whichever is largest.
    """
    square = e * e
    above = np.where(e > 0, square, 0)
    total = square.sum(0)
    # one group with changes both ways has signs to flip, even if the cohort as a whole has not
    share = _smaller_side(above.sum(0), total)
    for g in range(tables.groups):
        rows = tables.group == g
        own = _smaller_side(above[rows].sum(0), square[rows].sum(0))
        share = np.where(judged[..., g], np.maximum(share, own), share)
    return share


def weights_of(labels: int, weights: Sequence[float] | None) -> np.ndarray:
    """The weight of each label in T.

    Args:
      labels: L.
      weights: w_y > 0; (1/2, 1) for two labels if None.

    Returns:
      [L].

    Raises:
      ValueError: not one positive number per label.
    """
    default = LABEL_WEIGHTS if labels == 2 else (1.0,) * labels
    given = np.asarray(default if weights is None else weights, float)
    if given.shape != (labels,) or not np.all((given > 0) & np.isfinite(given)):
        raise ValueError(f"label_weights must hold {labels} positive numbers, got {weights}")
    return given


def frame_of(
    tables: PatientTables,
    judged: np.ndarray,
    patients: np.ndarray,
    weights: Sequence[float] | None,
    one_sided: float,
) -> Frame:
    """What no draw changes, from masked tables; with `one_sided` 0 signs are flipped everywhere."""
    given = weights_of(tables.change.shape[2], weights)
    squares = np.maximum((tables.images**2).sum(0), 1e-300)
    scale = np.sqrt((tables.change**2).sum(0) / squares)
    e = _residuals(tables)
    kurtosis = _kurtosis(e, tables.images)
    # nobody asks for the share where it cannot matter
    few = _share(e, tables, judged) < one_sided if one_sided > 0 else np.zeros(scale.shape, bool)
    return Frame(judged, patients, kurtosis, scale, few, given)


def extra_change(found: Contrasts) -> tuple[np.ndarray, np.ndarray]:
    """Each group's change minus the others', and its standard error.

    With s_g the group's share of the weights, D_g - Dbar = (1 - s_g) (D_g - common change of the
    others), and both sides studentise to the same value.

    Args:
      found: statistics of B draws.

    Returns:
      Two arrays [B, K, L, G].
    """
    share = found.variance / found.std_error**2  # 1 / (1 - s_g)
    return found.deviation * share, found.std_error * share


def simultaneous_limits(
    tables: PatientTables, frame: Frame, critical: np.ndarray, decisions: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standard error and simultaneous limits of each group's extra change.

    Args:
      tables: masked patient tables.
      frame: what no draw changes.
      critical: [K] quantile of the largest |studentised|.
      decisions: add pseudo-patients.

    Returns:
      Standard error, lower and upper limits [K, L, G].
    """
    sums = observed_sums(tables)
    if decisions:
        sums, frame = add_pseudo_patients(sums, frame)
    found = contrasts(sums, frame)
    extra, error = extra_change(found)
    width = critical[:, None, None] * error[0]
    return error[0], extra[0] - width, extra[0] + width


def normal_critical(frame: Frame, alpha: float) -> np.ndarray:
    """Critical value [K] of the largest of as many independent normal contrasts as a cell has: the
    draws of rare changes are discrete, and their quantile may lie below it.
    """
    groups = frame.judged.sum(-1)
    # of two groups one contrast is the other with its sign turned
    count = np.where(groups == 2, 1, groups).sum(-1)
    # Sidak: exact for independent contrasts, cautious for correlated ones
    return norm.ppf((1 + (1 - alpha) ** (1 / np.maximum(count, 1))) / 2)
