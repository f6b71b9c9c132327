"""Did a value change equally in every group? A studentised permutation null and a robust null of
one statistic, on patient tables; the claim needs both.

The permutation null takes patients to be exchangeable: exact under any common change, however rare
and one-sided, but too bold where a small group's changes are merely noisier. The robust null flips
the sign of each patient's residual: right for noise of unequal size, but wrong where changes are
rare and of one sign, for there is nothing to flip (a small group without any looks certain, one
with a few can never reach 5%). It therefore flips signs only in labels whose changes go both ways,
and permutes in the others. As the claim needs the permutation null anyway, its size under
exchangeability stays exact, whatever the robust null does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fairrecon_jax.inference.group_draws import (
    Sums,
    flipped_sums,
    observed_sums,
    one_thread,
    permuted_sums,
)
from fairrecon_jax.inference.group_result import Counted, GroupTest
from fairrecon_jax.inference.group_statistic import (
    ONE_SIDED,
    Contrasts,
    Frame,
    contrasts,
    extra_change,
    frame_of,
    mask_and_centre,
    normal_critical,
    simultaneous_limits,
    weights_of,
)
from fairrecon_jax.inference.group_tables import (
    MIN_PATIENTS,
    PatientTables,
    judge_cells,
    stratified,
)

PERMUTATIONS = 9999
TAIL = 0.05  # share of the rows whose tail is smoothed
NULLS = ("permutation", "robust")


class Draws(NamedTuple):
    """Draws of K cells and L labels under one null, NaN where a cell was not drawn.

    Attributes:
      quadratic: [B, K, L] float32, Q* = sum over groups of (D*_g - Dbar*)^2 / v*_g.
      largest: [B, K, L] float32, the largest studentised deviation.
    """

    quadratic: np.ndarray
    largest: np.ndarray


def tail_share(every: np.ndarray) -> np.ndarray:
    """Share of a column's entries that are at least as large as each entry, with a smooth tail.

    Among the largest 5% the share is p0 exp(-(x - t0) / s), s the mean excess over t0: a monotone
    function, common to all rows, that lets draws beyond the resolution 1 / R be compared between
    columns.

    Args:
      every: [R, K], the observed value and its draws.

    Returns:
      [R, K] in (0, 1]: p-like values of every row against all rows.
    """
    rows, found = len(every), np.empty(every.shape)
    for k, column in enumerate(every.T.astype(float)):
        ranked = np.sort(column)
        found[:, k] = 1 - np.searchsorted(ranked, column, side="left") / rows
        start = ranked[-max(int(TAIL * rows), 1) - 1]  # t0
        excess = ranked[ranked > start] - start
        if excess.size:
            beyond = column > start
            depth = (column[beyond] - start) / excess.mean()
            found[beyond, k] = excess.size / rows * np.exp(-np.minimum(depth, 600))  # never 0
    return found


def cell_statistic(every: Draws, frame: Frame, combine: bool) -> np.ndarray:
    """Each row's p-like statistic, [R, K]: small where groups differ.

    The share of rows with a T as large; where more than two groups take part, the smaller of this
    and the share with as large a weighted maximum sqrt(w_y) |studentised|: the sum finds groups
    that differ all alike, the maximum one group among many.
    """
    # single precision: draws that differ by rounding tie
    share = tail_share((every.quadratic @ frame.weights).astype(np.float32))
    many = combine & np.any(frame.judged.sum(-1) > 2, -1)
    if many.any():
        peak = np.max(every.largest[:, many] * np.sqrt(frame.weights), -1).astype(np.float32)
        share[:, many] = np.minimum(share[:, many], tail_share(peak))
        # the smaller of two shares is no share of rows: ranked anew
        share[:, many] = tail_share(-np.log(share[:, many]))
    return share


@one_thread
def _draws(
    tables: PatientTables, frame: Frame, centre: np.ndarray, seed: int, salt: str, span: range
) -> dict[str, Draws]:
    """Draws of a span of numbers under both nulls."""
    shape = (len(span), *frame.scale.shape)

    def collect(parts: Iterator[tuple[int, Sums]]) -> Draws:
        drawn = Draws(np.empty(shape, np.float32), np.empty(shape, np.float32))
        for first, sums in parts:
            found = contrasts(sums, frame)
            rows = slice(first - span.start, first - span.start + len(found.quadratic))
            drawn.quadratic[rows], drawn.largest[rows] = found.quadratic, found.largest
        return drawn

    permuted = collect(permuted_sums(tables, seed, salt, span.start, span.stop))
    if frame.one_sided.all():
        return {"permutation": permuted, "robust": permuted}
    flipped = collect(flipped_sums(tables, centre, seed, span.start, span.stop))
    robust = Draws(*(np.where(frame.one_sided, p, f) for p, f in zip(permuted, flipped)))
    return {"permutation": permuted, "robust": robust}


def _with_observed(observed: Contrasts, draws: Draws) -> Draws:
    """The observed values as row 0 above their draws."""
    return Draws(
        np.concatenate([observed.quadratic.astype(np.float32), draws.quadratic]),
        np.concatenate([observed.largest.astype(np.float32), draws.largest]),
    )


class Drawn(NamedTuple):
    """K cells with their draws, before they are weighed into a test.

    Attributes:
      tables: masked to the groups that take part.
      frame: what no draw changes.
      observed: statistics of the cohort, B = 1.
      mean: [K, L] what was subtracted from changes that are not whole numbers.
      change: [K, L, G] D_g of every group; NaN without images.
      counted: who takes part.
      draws: by null, row 0 observed.
    """

    tables: PatientTables
    frame: Frame
    observed: Contrasts
    mean: np.ndarray
    change: np.ndarray
    counted: Counted
    draws: dict[str, Draws]

    def of_labels(self, labels: Sequence[int]) -> Drawn:
        """Some of the labels, under the same draws."""
        some, frame = list(labels), self.frame
        tables = self.tables._replace(
            change=self.tables.change[:, :, some], images=self.tables.images[:, :, some]
        )
        parts = {
            name: getattr(frame, name)[:, some]
            for name in ("judged", "patients", "kurtosis", "scale", "one_sided")
        }
        reason, patients, effective = (part[:, some] for part in self.counted)
        return Drawn(
            tables,
            frame._replace(**parts, weights=frame.weights[some]),
            Contrasts(*(part[:, :, some] for part in self.observed)),
            self.mean[:, some],
            self.change[:, some],
            (reason, patients, effective),
            {null: Draws(*(v[:, :, some] for v in part)) for null, part in self.draws.items()},
        )


def draw(
    tables: PatientTables,
    *,
    seed: int,
    attribute: str = "group",
    permutations: int = PERMUTATIONS,
    counted: Counted | None = None,
    one_sided: float = ONE_SIDED,
) -> Drawn:
    """Draws K cells under both nulls; `evaluate` makes tests of them.

    Args:
      tables: patient tables.
      seed: a non-negative integer.
      attribute: name of the attribute.
      permutations: number of draws B, >= 19.
      counted: who takes part; `judge_cells` with its defaults if None.
      one_sided: as in `group_test`.

    Returns:
      `Drawn`.

    Raises:
      ValueError: too few draws.
    """
    if permutations < 19:
        raise ValueError(f"permutations = {permutations} cannot reach p = 0.05; use at least 19")
    counted = counted or judge_cells(tables)
    reason, patients = counted[:2]
    masked, mean = mask_and_centre(tables, reason == 0)
    frame = frame_of(masked, reason == 0, patients, None, one_sided)
    observed = contrasts(observed_sums(masked), frame)
    found = _draws(masked, frame, observed.pooled[0], seed, attribute, range(permutations))
    draws = {null: _with_observed(observed, found[null]) for null in NULLS}
    raw = observed_sums(tables)
    change = np.where(raw.n > 0, raw.s / np.maximum(raw.n, 1e-300), np.nan)[0]
    return Drawn(masked, frame, observed, mean, change, counted, draws)


def evaluate(
    drawn: Drawn,
    *,
    label_weights: Sequence[float] | None = None,
    combine: bool = True,
    alpha: float = 0.05,
    decisions: bool = False,
) -> GroupTest:
    """The test of drawn cells; arguments as in `group_test`."""
    frame = drawn.frame._replace(weights=weights_of(drawn.frame.judged.shape[1], label_weights))
    drawn = drawn._replace(frame=frame)
    smallest = {null: cell_statistic(drawn.draws[null], frame, combine) for null in NULLS}
    judgement = _judgement(drawn.observed, frame, drawn.draws, smallest, alpha)
    limits = simultaneous_limits(drawn.tables, frame, judgement[3], decisions)
    return _result(drawn, judgement, smallest, limits)


def group_test(
    tables: PatientTables,
    *,
    seed: int,
    attribute: str = "group",
    permutations: int = PERMUTATIONS,
    min_patients: int = MIN_PATIENTS,
    min_effective: float | None = None,
    label_weights: Sequence[float] | None = None,
    one_sided: float = ONE_SIDED,
    combine: bool = True,
    alpha: float = 0.05,
    counted: Counted | None = None,
    decisions: bool = False,
) -> GroupTest:
    """Tests whether the mean change was equal in every group, per cell, given the label.

    p = max(p_permutation, p_robust) over draws that all cells share.

    Args:
      tables: patient tables of K cells.
      seed: a non-negative integer; the same seed gives a patient the same draws in every call.
      attribute: name of the attribute; others get other permutations.
      permutations: number of draws B, >= 19.
      min_patients: fewest patients of a group and label that take part.
      min_effective: fewest effective patients; `min_patients` if None.
      label_weights: w_y > 0; (1/2, 1) for two labels if None: a missed finding counts twice.
      one_sided: labels in which less than this share of the squared changes is on the smaller side
        of the mean, over all and in every group, have no signs to flip; 0: flip everywhere, 1:
        permute everywhere.
      combine: with more than two groups, let one group that stands out count as well as T.
      alpha: level of `critical` and of the limits.
      counted: who takes part, as `judge_cells` counts; its own count with `min_patients` and
        `min_effective` if None.
      decisions: changes are of decisions, whose limits get pseudo-patients.

    Returns:
      A `GroupTest`; NaN where fewer than two groups can be judged, with `reason` saying why.

    Raises:
      ValueError: too few draws, or label weights that do not fit.

    Example:
      >>> lost = [-1] * 15 + [0] * 45  # by 15 of the 20 women, by no man
      >>> sex = [0] * 20 + [1] * 40
      >>> tables = fr.inference.patient_tables(lost, None, sex, range(60), groups=2)
      >>> test = group_test(tables, seed=0, permutations=999)
      >>> test.p_value.tolist(), test.change[0, 0].tolist()
      ([0.001], [-0.75, 0.0])

    Reference:
      Chung and Romano (2013), Annals of Statistics 41; Pauly, Brunner and Konietschke (2015), JRSS
      B 77; Wu (1986), Annals of Statistics 14.
    """
    drawn = draw(
        tables,
        seed=seed,
        attribute=attribute,
        permutations=permutations,
        counted=counted or judge_cells(tables, min_patients, min_effective),
        one_sided=one_sided,
    )
    return evaluate(
        drawn, label_weights=label_weights, combine=combine, alpha=alpha, decisions=decisions
    )


def statistics(tables: PatientTables, *, counted: Counted) -> tuple[np.ndarray, np.ndarray]:
    """The labels' parts of T and the studentised deviations of K cells, without a null.

    Args:
      tables: patient tables.
      counted: who takes part.

    Returns:
      Q [K, L], of which T is the weighted sum over labels, and (D_g - Dbar) / its standard error
        [K, L, G], 0 where not judged.
    """
    judged = counted[0] == 0
    masked, _ = mask_and_centre(tables, judged)
    # 0: no sign is flipped here
    found = contrasts(
        observed_sums(masked), frame_of(masked, judged, counted[1], None, one_sided=0.0)
    )
    return found.quadratic[0], found.deviation[0] / found.std_error[0]


def _judgement(
    observed: Contrasts,
    frame: Frame,
    draws: dict[str, Draws],
    smallest: dict[str, np.ndarray],
    alpha: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """p under both nulls [K], p of each group [K, L, G], critical value and draws [K]."""
    # Rows above the observed one are draws: p counts the observed row itself, hence the + 1.
    p = [np.mean(smallest[null] <= smallest[null][:1], 0) for null in NULLS]
    size = np.abs(observed.deviation[0] / observed.std_error[0]).astype(np.float32)
    total = len(smallest[NULLS[0]])
    # rounded first: the product may lie a trace above a whole number
    rank = min(int(np.ceil(np.round((1 - alpha) * total, 6))), total - 1)
    group_p, critical = np.zeros(size.shape), normal_critical(frame, alpha)
    for null in NULLS:
        ranked = np.sort(np.max(draws[null].largest[1:], -1), 0)  # [B, K]
        critical = np.maximum(critical, ranked[rank - 1])
        for k in range(len(size)):
            below = np.searchsorted(ranked[:, k], size[k], side="left")
            group_p[k] = np.maximum(group_p[k], (total - below) / total)  # with itself
    return p[0], p[1], group_p, critical, np.full(len(size), total - 1)


def _result(
    drawn: Drawn,
    judgement: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    smallest: dict[str, np.ndarray],
    limits: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> GroupTest:
    """The result, with NaN where nothing is judged."""
    observed, frame, counted = drawn.observed, drawn.frame, drawn.counted
    judged = frame.judged
    tested = judged.any((-2, -1))
    permuted, robust, group_p, critical, count = judgement
    extra = extra_change(observed)[0][0]

    def keep(values: Any, inside: Any) -> np.ndarray:
        return np.where(inside, values, np.nan)

    return GroupTest(
        statistic=keep(observed.quadratic[0] @ frame.weights, tested),
        p_value=keep(np.maximum(permuted, robust), tested),
        p_permutation=keep(permuted, tested),
        p_robust=keep(robust, tested),
        change=drawn.change,
        pooled=keep(observed.pooled[0] + drawn.mean, judged.any(-1)),  # what was centred comes back
        deviation=keep(observed.deviation[0], judged),
        variance=keep(observed.variance[0], judged),
        std_error=keep(observed.std_error[0], judged),
        studentised=keep(observed.deviation[0] / observed.std_error[0], judged),
        group_p=keep(group_p, judged),
        critical=keep(critical, tested),
        extra=keep(extra, judged),
        extra_error=keep(limits[0], judged),
        extra_low=keep(limits[1], judged),
        extra_high=keep(limits[2], judged),
        one_sided=frame.one_sided,
        stratified=stratified(drawn.tables),
        unchanged=tested & np.all(frame.scale == 0, -1),
        reason=counted[0],
        patients=counted[1].astype(int),
        effective=counted[2],
        permutations=np.where(tested, count, 0),
        smallest={null: keep(values, tested) for null, values in smallest.items()},
        drawn={
            null: keep(part.quadratic @ frame.weights, tested) for null, part in drawn.draws.items()
        },
    )
