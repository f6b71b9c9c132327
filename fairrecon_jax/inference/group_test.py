"""Did a value change equally in every group? A studentised permutation test and a sign-flip test of
one statistic, on patient tables; the claim needs both.

Either null fails where the other holds. Sign flips assume symmetric residuals: where changes are
rare and of one sign, a small group that by chance has none looks far too certain. Permutations
assume that patients can be exchanged: a group whose changes are merely noisier is not quite that.
p = max of the two keeps its size in both places and costs little power, for both are right, and
nearly equal, where changes are many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fairrecon_jax.inference.group_draws import Sums, flipped_sums, observed_sums, permuted_sums
from fairrecon_jax.inference.group_tables import MIN_PATIENTS, PatientTables, judge_cells

PERMUTATIONS = 9999
FIRST = 999
LABEL_WEIGHTS = (0.5, 1.0)
RESOLUTION = 1e-6
NULLS = ("permutation", "sign")


class Contrasts(NamedTuple):
    """Statistics of B draws.

    Attributes:
      change: [B, K, L, G] D_g.
      variance: [B, K, L, G] v_g.
      pooled: [B, K, L] Dbar.
      deviation: [B, K, L, G] D_g - Dbar.
      std_error: [B, K, L, G] of the deviation.
      statistic: [B, K] T.
      largest: [B, K] largest |deviation| / std_error over labels and groups.
    """

    change: np.ndarray
    variance: np.ndarray
    pooled: np.ndarray
    deviation: np.ndarray
    std_error: np.ndarray
    statistic: np.ndarray
    largest: np.ndarray


class Frame(NamedTuple):
    """What no draw changes.

    Attributes:
      judged: [K, L, G] bool, the groups that take part.
      patients: [K, L, G].
      kurtosis: [K, L] weight of the pooled variance, in patients.
      scale: [K, L] root mean square change of an image.
      weights: [L] w_y.
    """

    judged: np.ndarray
    patients: np.ndarray
    kurtosis: np.ndarray
    scale: np.ndarray
    weights: np.ndarray


class GroupTest(NamedTuple):
    """Result for K cells, L labels and G groups.

    Attributes:
      statistic: [K] T; NaN where nothing is judged.
      p_value: [K] max(p_permutation, p_sign).
      p_permutation: [K].
      p_sign: [K].
      change: [K, L, G] D_g; NaN without images.
      pooled: [K, L] Dbar, the precision-weighted common change; NaN where nothing is judged.
      deviation: [K, L, G] D_g - Dbar; NaN where not judged.
      variance: [K, L, G] v_g.
      std_error: [K, L, G] of the deviation.
      studentised: [K, L, G] deviation / std_error: whose change stands out, and which way.
      group_p: [K, L, G] p of that, adjusted (max-T) for the labels and groups of the cell.
      critical: [K] the larger of the two nulls' (1 - alpha) quantiles of the largest |studentised|.
      reason: [K, L, G] codes into `group_tables.REASONS`; 0 = takes part.
      patients: [K, L, G].
      effective: [K, L, G] effective patients.
      unchanged: [K] bool, nothing changed in any group that takes part (then p = 1).
      permutations: [K] draws behind the p-values.
      draws: {"permutation", "sign"} -> (T* [B, K], largest* [B, K]) float32, NaN where a cell was
        not drawn.
    """

    statistic: np.ndarray
    p_value: np.ndarray
    p_permutation: np.ndarray
    p_sign: np.ndarray
    change: np.ndarray
    pooled: np.ndarray
    deviation: np.ndarray
    variance: np.ndarray
    std_error: np.ndarray
    studentised: np.ndarray
    group_p: np.ndarray
    critical: np.ndarray
    reason: np.ndarray
    patients: np.ndarray
    effective: np.ndarray
    unchanged: np.ndarray
    permutations: np.ndarray
    draws: dict[str, tuple[np.ndarray, np.ndarray]]


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
    n = np.where(judged, sums.n, 1)
    change = np.where(judged, sums.s, 0) / n
    energy = np.where(judged, sums.ss - 2 * change * sums.sn + change**2 * sums.nn, 0)
    energy = np.maximum(energy, 0)
    squares = np.where(judged, sums.nn, 0)
    pooled = energy.sum(-1, keepdims=True) / np.maximum(squares.sum(-1, keepdims=True), 1e-300)
    kappa = frame.kurtosis[..., None]
    variance = (patients * energy + kappa * pooled * squares) / (patients + kappa) / n**2
    floor = np.maximum((RESOLUTION * frame.scale) ** 2, 1e-300)[..., None]
    variance = np.maximum(variance, floor)
    weight = np.where(judged, 1 / variance, 0)
    mass = np.maximum(weight.sum(-1, keepdims=True), 1e-300)
    centre = np.sum(weight * change, -1, keepdims=True) / mass
    deviation = np.where(judged, change - centre, 0)
    deviation[np.abs(deviation) <= 1e-9 * frame.scale[..., None]] = 0
    error = np.sqrt(variance * np.maximum(1 - weight / mass, 1e-15))
    statistic = np.sum(weight * deviation**2, -1) @ frame.weights
    largest = np.max(np.abs(deviation) / error, (-2, -1))
    return Contrasts(change, variance, centre[..., 0], deviation, error, statistic, largest)


def _masked(tables: PatientTables, judged: np.ndarray) -> tuple[PatientTables, np.ndarray]:
    """Leaves out what is not judged, and centres changes that are not whole numbers; the centre
    [K, L].
    """
    inside = np.moveaxis(judged, -1, 0)[tables.group]
    n = np.where(inside, tables.images, 0)
    s = np.where(n > 0, tables.change, 0)
    mean = np.zeros(s.shape[1:])
    if np.any(s != np.rint(s)):
        # T does not change when a multiple of N is subtracted; rounding errors do.
        mean = s.sum(0) / np.maximum(n.sum(0), 1e-300)
        largest = np.abs(s).max(0)
        s = s - mean * n
        s[np.abs(s) <= 1e-12 * largest] = 0
    return tables._replace(change=s, images=n), mean


def _kurtosis(tables: PatientTables, minimum: float) -> np.ndarray:
    """Kurtosis of the residuals from the overall mean, relative to cluster size, at least
    `minimum`: [K, L].

    It weighs the pooled variance: a variance estimated from P values has relative variance
    (kurtosis - 1) / P. Rare one-sided changes have kurtosis 1 / q, and a group without any is
    then given the variance of all.
    """
    n = tables.images
    e = tables.change - tables.change.sum(0) / np.maximum(n.sum(0), 1e-300) * n
    second = (e**2).sum(0) / np.maximum((n**2).sum(0), 1e-300)
    fourth = (e**4).sum(0) / np.maximum((n**4).sum(0), 1e-300)
    return np.maximum(fourth / np.where(second > 0, second, np.inf) ** 2, minimum)


def _frame(
    tables: PatientTables,
    judged: np.ndarray,
    patients: np.ndarray,
    weights: Sequence[float] | None,
    shrinkage: float | None,
) -> Frame:
    """What no draw changes, from masked tables."""
    labels = tables.change.shape[2]
    default = LABEL_WEIGHTS if labels == 2 else (1.0,) * labels
    given = np.asarray(default if weights is None else weights, float)
    if given.shape != (labels,) or not np.all((given > 0) & np.isfinite(given)):
        raise ValueError(f"label_weights must hold {labels} positive numbers, got {weights}")
    squares = np.maximum((tables.images**2).sum(0), 1e-300)
    scale = np.sqrt((tables.change**2).sum(0) / squares)
    kurtosis = (
        _kurtosis(tables, 3.0) if shrinkage is None else np.full(squares.shape, float(shrinkage))
    )
    return Frame(judged, patients, kurtosis, scale, given)


def _draws(
    tables: PatientTables,
    frame: Frame,
    centre: np.ndarray,
    seed: int,
    salt: str,
    start: int,
    stop: int,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """T* and the largest studentised deviation of draws start..stop-1 under both nulls."""
    cells = frame.judged.shape[0]

    def collect(parts: Iterator[tuple[int, Sums]]) -> tuple[np.ndarray, np.ndarray]:
        statistic = np.empty((stop - start, cells), np.float32)
        largest = np.empty_like(statistic)
        for first, sums in parts:
            found = contrasts(sums, frame)
            rows = slice(first - start, first - start + len(found.statistic))
            statistic[rows], largest[rows] = found.statistic, found.largest
        return statistic, largest

    return {
        "permutation": collect(permuted_sums(tables, seed, salt, start, stop)),
        "sign": collect(flipped_sums(tables, centre, seed, start, stop)),
    }


def exceedance(drawn: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p = (1 + #{draws >= value}) / (B + 1).

    Args:
      drawn: [B, K] draws, NaN = not drawn.
      value: [K, ...] observed.

    Returns:
      p [K, ...] and B [K].
    """
    count = np.sum(~np.isnan(drawn), 0)
    ranked = np.sort(drawn, 0)
    p = np.empty(value.shape)
    for k in range(len(value)):
        below = np.searchsorted(ranked[: count[k], k], value[k].astype(np.float32), side="left")
        p[k] = (1 + count[k] - below) / (count[k] + 1)
    return p, count


def _unresolved(p: np.ndarray, draws: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Whether more draws could move p across one of the levels (99.9% limits)."""
    width = 3.29 * np.sqrt(np.maximum(p * (1 - p), 1 / draws) / draws)
    return np.any([np.abs(p - level) <= width for level in levels], 0)


def _assemble(
    observed: Contrasts,
    frame: Frame,
    reason: np.ndarray,
    effective: np.ndarray,
    draws: dict[str, tuple[np.ndarray, np.ndarray]],
    alpha: float,
) -> GroupTest:
    """The result from observed contrasts and draws."""
    judged = frame.judged
    tested = judged.any((-2, -1))
    found = {null: exceedance(draws[null][0], observed.statistic[0]) for null in NULLS}
    size = np.where(judged, observed.deviation[0] / observed.std_error[0], 0)
    named = np.max([exceedance(draws[null][1], np.abs(size))[0] for null in NULLS], 0)
    count = found["sign"][1]
    rank = np.minimum(np.ceil(np.round((1 - alpha) * (count + 1), 6)), count).astype(int) - 1
    critical = np.max(
        [np.take_along_axis(np.sort(draws[null][1], 0), rank[None], 0)[0] for null in NULLS], 0
    )

    def keep(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
        return np.where(inside, values, np.nan)

    p = [keep(found[null][0], tested) for null in NULLS]
    return GroupTest(
        statistic=keep(observed.statistic[0], tested),
        p_value=np.maximum(*p),
        p_permutation=p[0],
        p_sign=p[1],
        change=observed.change[0],
        pooled=keep(observed.pooled[0], judged.any(-1)),
        deviation=keep(observed.deviation[0], judged),
        variance=keep(observed.variance[0], judged),
        std_error=keep(observed.std_error[0], judged),
        studentised=keep(size, judged),
        group_p=keep(named, judged),
        critical=keep(critical, tested),
        reason=reason,
        patients=frame.patients.astype(int),
        effective=effective,
        unchanged=tested & np.all(frame.scale == 0, -1),
        permutations=np.where(tested, count, 0),
        draws=draws,
    )


def group_test(
    tables: PatientTables,
    *,
    seed: int,
    attribute: str = "group",
    permutations: int = PERMUTATIONS,
    first: int = FIRST,
    levels: Sequence[float] = (0.05,),
    min_patients: int = MIN_PATIENTS,
    min_effective: float | None = None,
    label_weights: Sequence[float] | None = None,
    shrinkage: float | None = 3.0,
    alpha: float = 0.05,
) -> GroupTest:
    """Tests whether the mean change was equal in every group, per cell, given the label.

    p = max(p_permutation, p_sign), each (1 + #{T* >= T}) / (B + 1) of the T of `contrasts`. Draws
    are shared by all cells. A cell whose p is clearly away from all of `levels` after `first` draws
    stops there; the others get all `permutations`.

    Args:
      tables: patient tables of K cells.
      seed: a non-negative integer; the same seed gives a patient the same draws in every call.
      attribute: name of the attribute; others get other permutations.
      permutations: largest number of draws B, >= 19.
      first: draws of every cell.
      levels: p-values that matter, such as 0.05 and 0.05 over the size of the family.
      min_patients: fewest patients of a group and label that take part.
      min_effective: fewest effective patients; `min_patients` if None.
      label_weights: w_y > 0; (1/2, 1) for two labels if None: a missed finding counts twice.
      shrinkage: patients kappa of the pooled variance that join each group's own; None: the
        kurtosis of the changes, at least 3.
      alpha: level of `critical`.

    Returns:
      A `GroupTest`; NaN where fewer than two groups can be judged, with `reason` saying why.

    Raises:
      ValueError: too few draws, or label weights that do not fit.

    Reference:
      Chung and Romano (2013), Annals of Statistics 41; Pauly, Brunner and Konietschke (2015), JRSS
      B 77; Wu (1986), Annals of Statistics 14.

    Example:
      >>> tables = patient_tables(r - o, label, sex, patient, groups=2)  # doctest: +SKIP
      >>> group_test(tables, seed=0).p_value  # doctest: +SKIP
    """
    if permutations < 19:
        raise ValueError(f"permutations = {permutations} cannot reach p = 0.05; use at least 19")
    reason, patients, effective = judge_cells(tables, min_patients, min_effective)
    judged = reason == 0
    masked, mean = _masked(tables, judged)
    frame = _frame(masked, judged, patients, label_weights, shrinkage)
    observed = contrasts(observed_sums(masked), frame)
    draws = _adaptive(
        masked, frame, observed, seed, attribute, min(first, permutations), permutations, levels
    )
    sums = observed_sums(tables)
    raw = np.where(sums.n > 0, sums.s / np.maximum(sums.n, 1e-300), np.nan)
    shown = observed._replace(change=raw, pooled=observed.pooled + mean)
    return _assemble(shown, frame, reason, effective, draws, alpha)


def _adaptive(
    tables: PatientTables,
    frame: Frame,
    observed: Contrasts,
    seed: int,
    salt: str,
    first: int,
    permutations: int,
    levels: Sequence[float],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Draws of all cells: `first`, and all `permutations` where p is not clear by then."""
    centre = observed.pooled[0]
    draws = _draws(tables, frame, centre, seed, salt, 0, first)
    p = np.max([exceedance(draws[null][0], observed.statistic[0])[0] for null in NULLS], 0)
    more = np.flatnonzero(_unresolved(p, np.full(p.shape, first), levels))
    if permutations == first or not more.size:
        return draws
    part = tables._replace(change=tables.change[:, more], images=tables.images[:, more])
    inside = Frame(*(v[more] for v in frame[:4]), frame.weights)
    rest = _draws(part, inside, centre[more], seed, salt, first, permutations)

    def joined(head: np.ndarray, tail: np.ndarray) -> np.ndarray:
        full = np.full((permutations, head.shape[1]), np.nan, np.float32)
        full[:first] = head
        full[first:, more] = tail
        return full

    return {null: (joined(draws[null][0], rest[null][0]), joined(draws[null][1], rest[null][1]))
            for null in NULLS}
