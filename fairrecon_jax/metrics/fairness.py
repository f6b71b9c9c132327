"""Gaps between groups: equalised odds, equal opportunity, Dice gaps, and the gap of any value per
group. The pure cores, on counts and on values per group; `array_gaps` has their doors for arrays.

Everything about decisions starts from one array of counts [..., G, 2, 2] = group x label x decision
(`group_counts`), so that leading axes can be resampling replicates, tasks or reconstructors. Every
result is a `Gap` that carries its convention, its direction and the counts behind it.

What a `Gap` is made of stands once and is public, for those who need bare numbers of thousands of
replicates: `spread` over groups, `over_labels`, `error_ratio`. All compute with NumPy unless they
are given JAX arrays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from fairrecon_jax.metrics.backend import array_module
from fairrecon_jax.metrics.classification import divide
from fairrecon_jax.metrics.conventions import Convention, canonical
from fairrecon_jax.types import Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gap:
    """A gap between groups with what is needed to read it.

    Attributes:
      value: [...] the gap; NaN where fewer than two groups can be compared; a ratio is inf where
        one group makes no error and another does.
      high: [...] int32 index of the group with the highest rate or value, -1 if none.
      low: [...] int32 index of the group with the lowest, -1 if none.
      label: [...] int32 label (0 or 1) whose gap is the largest; -1 where labels play no part.
      included: [..., G] or [..., G, 2] bool, the groups (x labels) that took part.
      counts: same shape, the number of examples (weights) behind each.
      convention: one of `CONVENTIONS`.
      direction: "lower is fairer", with the value that means no gap.

    Example:
      >>> found = gap_from_values([0.5, 0.75, 0.25], counts=[30, 20, 0])
      >>> float(found.value), found.included.tolist(), found.convention
      (0.25, [True, True, False], 'worst_case')
    """

    value: Array
    high: Array
    low: Array
    label: Array
    included: Array
    counts: Array
    convention: str = dataclasses.field(metadata={"static": True}, default="worst_case")
    direction: str = dataclasses.field(
        metadata={"static": True}, default="lower is fairer, 0 is no gap"
    )


def rates(counts: Array) -> Array:
    """Share of positive decisions per group and label: rate[g, y] = P(decision = 1 | group g, label
    y).

    [..., 0] is the false-positive rate, [..., 1] the true-positive rate; an empty stratum is NaN.

    Args:
      counts: [..., G, 2, 2] from `group_counts`.

    Returns:
      [..., G, 2] in [0, 1].

    Example:
      >>> counts = [[[9, 1], [5, 5]], [[8, 2], [0, 10]]]  # group x label x decision
      >>> rates(counts).tolist()
      [[0.1, 0.5], [0.2, 1.0]]
    """
    counts = array_module(counts).asarray(counts)
    return divide(counts[..., 1], counts.sum(-1))


def spread(values: Array, included: Array | None = None) -> Array:
    """Largest minus smallest value over groups, max_g x_g - min_g x_g.

    Args:
      values: [..., G].
      included: [..., G] bool, groups that take part; those with a finite value if None.

    Returns:
      [...] >= 0; 0 = no gap; NaN with fewer than two groups.

    Example:
      >>> float(spread([0.5, 0.75, np.nan])), float(spread([0.5, np.nan]))
      (0.25, nan)
    """
    xp = array_module(values, included)
    values = xp.asarray(values)
    included = xp.isfinite(values) if included is None else included
    enough = included.sum(-1) >= 2  # one group has no gap, not a gap of 0
    high = xp.where(included, values, -np.inf).max(-1)
    low = xp.where(included, values, np.inf).min(-1)
    # the inner zeros keep inf - inf, and its NaN gradient, out of gaps that are NaN anyway
    with np.errstate(invalid="ignore"):
        gap = xp.where(enough, high, 0) - xp.where(enough, low, 0)
    return xp.where(enough, gap, np.nan)


def over_labels(gaps: Array, convention: str = "worst_case") -> Array:
    """One number from the rate gaps d_y of each true label: max_y d_y, or their mean for "mean".

    A label without a gap (NaN) leaves the maximum; the mean needs a gap of every label.

    Args:
      gaps: [..., L] from `spread`, one per label.
      convention: see `Convention`.

    Returns:
      [...] in [0, 1]; 0 = equal rates; NaN where no label (mean: not every label) has a gap.

    Raises:
      ValueError: unknown convention.

    Example:
      >>> float(over_labels([0.25, 0.5])), float(over_labels([0.25, 0.5], "mean"))
      (0.5, 0.375)
    """
    xp = array_module(gaps)
    gaps = xp.asarray(gaps)
    # a NaN among the labels stays: the mean needs them all
    if canonical(convention) == "mean":
        return gaps.mean(-1)
    known = ~xp.isnan(gaps)
    largest = xp.where(known, gaps, -np.inf).max(-1)
    return xp.where(known.any(-1), largest, np.nan)


def error_ratio(score: Array, included: Array | None = None) -> Array:
    """Skewed error ratio, max_g (1 - s_g) / min_g (1 - s_g), of a score such as Dice.

    Args:
      score: [..., G] mean scores in [0, 1].
      included: [..., G] bool, groups that take part; those with a finite score if None.

    Returns:
      [...] >= 1; 1 = equal errors; inf where one group makes no error and another does; NaN with
        fewer than two groups or no error at all.

    Example:
      >>> float(error_ratio([0.75, 0.5])), float(error_ratio([1.0, 0.5]))
      (2.0, inf)
    """
    xp = array_module(score, included)
    error = 1 - xp.asarray(score)
    included = xp.isfinite(error) if included is None else included
    enough = included.sum(-1) >= 2
    # zeros where nothing is compared: no inf / inf, and no NaN in a gradient
    high = xp.where(enough, xp.where(included, error, -np.inf).max(-1), 0)
    low = xp.where(enough, xp.where(included, error, np.inf).min(-1), 0)
    perfect = xp.where(high > 0, np.inf, np.nan)  # 0 / 0 where no group errs
    return xp.where(low > 0, high / xp.where(low > 0, low, 1), perfect)


def eodd_from_counts(
    counts: Array, convention: Convention = "worst_case", mask: Array | None = None
) -> Gap:
    """Equalised-odds difference from counts.

    With d_y = max_g rate[g, y] - min_g rate[g, y]: worst case max(d_0, d_1), mean (d_0 + d_1) / 2.
    0 means every group has the same true- and false-positive rate. An empty stratum takes no part;
    a label with fewer than two included groups leaves the maximum; the mean needs both labels.
    Without any label left the gap is NaN. (fairlearn reads the rate of an empty stratum as 0, and a
    single group as no gap; where every stratum is filled the two agree.)

    Args:
      counts: [..., G, 2, 2] from `group_counts`.
      convention: see `Convention`.
      mask: [..., G, 2] bool strata that take part (needed for "worst_case_estimable"); empty
        strata never do.

    Returns:
      `Gap` with leading shape [...].

    Raises:
      ValueError: unknown convention, or "worst_case_estimable" without a mask.

    Example:
      >>> counts = [[[9, 1], [5, 5]], [[8, 2], [0, 10]]]  # group x label x decision
      >>> found = eodd_from_counts(counts)
      >>> float(found.value), int(found.label), int(found.low)
      (0.5, 1, 0)

    Reference: Hardt, Price, Srebro 2016 (arXiv 1610.02413); fairlearn `equalized_odds_difference`
    (parity is tested).
    """
    return _rate_gap(counts, convention, mask, (0, 1))


def eop_from_counts(
    counts: Array, convention: Convention = "worst_case", mask: Array | None = None
) -> Gap:
    """Equal-opportunity difference: max_g TPR_g - min_g TPR_g. 0 means every group's positives are
    found equally often.

    Arguments, empty-stratum rule, errors and reference as in `eodd_from_counts`; of a single label,
    the worst case and the mean agree.

    Example:
      >>> float(eop_from_counts([[[9, 1], [5, 5]], [[8, 2], [0, 10]]]).value)
      0.5
    """
    return _rate_gap(counts, convention, mask, (1,))


def gap_from_values(
    values: Array,
    counts: Array | None = None,
    mask: Array | None = None,
    convention: Convention = "worst_case",
) -> Gap:
    """Gap of any value per group: max_g v_g - min_g v_g. 0 means equal groups; NaN values and
    masked groups do not take part.

    Args:
      values: [..., G] value per group, NaN where the group has none.
      counts: [..., G] number of examples per group, for the reader; 0 excludes the group.
      mask: [..., G] bool groups that take part.
      convention: recorded in the result; "worst_case_estimable" needs a mask.

    Returns:
      `Gap`; value NaN where fewer than two groups are left.

    Raises:
      ValueError: unknown convention, or "worst_case_estimable" without a mask.

    Example:
      >>> found = gap_from_values([0.5, 0.75, np.nan])
      >>> float(found.value), int(found.high), found.included.tolist()
      (0.25, 1, [True, True, False])
    """
    return _value_gap(values, counts, mask, convention, spread, 0)


def delta_dice_from_means(
    dice: Array,
    counts: Array | None = None,
    mask: Array | None = None,
    convention: Convention = "worst_case",
) -> Gap:
    """Delta-Dice: max_g Dice_g - min_g Dice_g over the mean Dice of each group. 0 means equal
    groups. See `gap_from_values`.

    Example:
      >>> float(delta_dice_from_means([0.75, 0.5], mask=[True, True]).value)
      0.25
    """
    return gap_from_values(dice, counts, mask, convention)


def ser_from_means(
    dice: Array,
    counts: Array | None = None,
    mask: Array | None = None,
    convention: Convention = "worst_case",
) -> Gap:
    """Skewed error ratio: max_g (1 - Dice_g) / min_g (1 - Dice_g). 1 means equal groups.

    inf where one group is perfect and another is not: no ratio is larger. NaN where fewer than two
    groups are left or all are perfect (0 / 0). `high` and `low` name the groups with the highest
    and lowest Dice, also of an infinite ratio.

    Args:
      dice: [..., G] mean Dice per group, NaN where the group has none.
      counts: [..., G] number of examples per group; 0 excludes the group.
      mask: [..., G] bool groups that take part.
      convention: recorded in the result; "worst_case_estimable" needs a mask.

    Returns:
      `Gap` whose value is the ratio, >= 1.

    Raises:
      ValueError: unknown convention, or "worst_case_estimable" without a mask.

    Example:
      >>> found = ser_from_means([0.75, 0.5])
      >>> float(found.value), int(found.low), found.direction
      (2.0, 1, 'lower is fairer, 1 is no gap')

    Reference: Puyol-Anton et al. 2021 (MICCAI); fairmedfm `dice_skewness` (parity is tested; it is
    NaN where a group is perfect).
    """
    return _value_gap(dice, counts, mask, convention, error_ratio, 1)


def worst_group(values: Array, higher_is_better: bool = True, mask: Array | None = None) -> Array:
    """Index of the worst group: argmin of the values (argmax if lower is better); NaN and masked
    groups do not take part.

    Args:
      values: [..., G].
      higher_is_better: direction of the value.
      mask: [..., G] bool groups that take part.

    Returns:
      [...] int32, -1 where no group is left.

    Example:
      >>> dice = [0.75, np.nan, 0.5]
      >>> int(worst_group(dice)), int(worst_group(dice, higher_is_better=False))
      (2, 0)
    """
    xp = array_module(values, mask)
    values, included, _ = _included(values, None, mask, "worst_case")
    # turned, so that the worst is the least
    cost = xp.where(included, values if higher_is_better else -values, np.inf)
    # argmin of nothing but infinities would name group 0
    return xp.where(included.any(-1), xp.argmin(cost, -1), -1).astype(np.int32)


def _value_gap(
    values: Array,
    counts: Array | None,
    mask: Array | None,
    convention: Convention,
    measure: Callable[[Array, Array], Array],
    equal: int,
) -> Gap:
    """The gap that `measure` gives of the included values; `equal` is that of equal groups."""
    convention = canonical(convention)
    xp = array_module(values, counts, mask)
    values, included, counts = _included(values, counts, mask, convention)
    value, (high, low) = measure(values, included), _extremes(values, included)
    none = xp.full(value.shape, -1, np.int32)
    words = f"lower is fairer, {equal} is no gap"
    return Gap(value, high, low, none, included, counts, convention, words)


def _rate_gap(
    counts: Array, convention: Convention, mask: Array | None, labels: tuple[int, ...]
) -> Gap:
    """The gap over the given labels, see `eodd_from_counts`."""
    convention = canonical(convention)
    xp = array_module(counts, mask)
    totals = xp.asarray(counts).sum(-1)
    values, included, totals = _included(rates(counts), totals, mask, convention)
    chosen = np.asarray(labels, np.int32)
    # [..., G, 2] -> [..., labels, G]
    by_label = [xp.moveaxis(part, -1, -2)[..., chosen, :] for part in (values, included)]
    each, (high, low) = spread(*by_label), _extremes(*by_label)
    # the label with the largest gap; one without a gap never wins, unless none has any
    place = xp.argmax(xp.where(xp.isnan(each), -np.inf, each), -1)[..., None]
    top, bottom = (xp.take_along_axis(part, place, -1)[..., 0] for part in (high, low))
    label = xp.asarray(chosen)[place[..., 0]]
    value = over_labels(each, convention)
    return Gap(value, top, bottom, label, included, totals, convention)


def _included(
    values: Array, counts: Array | None, mask: Array | None, convention: Convention
) -> tuple[Array, Array, Array]:
    """Values, which of them take part, and counts (ones where none were given)."""
    if convention == "worst_case_estimable" and mask is None:
        raise ValueError(
            "the convention 'worst_case_estimable' needs `mask`, the groups with enough "
            "patients (see `estimable`)"
        )
    xp = array_module(values, counts, mask)
    values = xp.asarray(values)
    counts = (
        # 1 each: their number is not known, that there is a value is
        xp.where(xp.isnan(values), 0, 1)
        if counts is None
        else xp.broadcast_to(xp.asarray(counts), values.shape)
    )
    included = ~xp.isnan(values) & (counts > 0)
    if mask is not None:
        included = included & xp.broadcast_to(xp.asarray(mask, bool), values.shape)
    return values, included, counts


def _extremes(values: Array, included: Array) -> tuple[Array, Array]:
    """Index of the highest and of the lowest included value on the last axis; -1 for fewer than
    two.
    """
    xp = array_module(values, included)
    enough = included.sum(-1) >= 2
    high = xp.where(included, values, -np.inf).argmax(-1)  # of equal groups the first
    low = xp.where(included, values, np.inf).argmin(-1)
    named = [xp.where(enough, index, -1).astype(np.int32) for index in (high, low)]
    return named[0], named[1]
