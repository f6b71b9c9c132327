"""Gaps between groups: equalised odds, equal opportunity, Dice gaps, and the gap of any value per
group.

Everything about decisions starts from one array of counts [..., G, 2, 2] = group x label x decision
(`group_counts`), so that leading axes can be resampling replicates, tasks or reconstructors. Groups
of index -1 (unknown) and NaN labels are masked. Every result is a `Gap` that carries its
convention, its direction and the counts behind it.

`decision_gaps` and `mean_gaps` give the gaps of thousands of replicates as bare arrays, from sums.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from fairrecon_jax.metrics.classification import divide
from fairrecon_jax.types import Array

Convention = Literal["worst_case", "mean", "worst_case_estimable"]
"""How rate gaps become one number and which groups take part.

worst_case            worst case over labels, all groups with an example (the paper's formula;
                      fairlearn agg="worst_case")
mean                  mean over labels, all groups with an example (the published code; fairlearn
                      agg="mean")
worst_case_estimable  worst case over labels, only strata with enough patients (see `estimable`)
"""

CONVENTIONS: tuple[Convention, ...] = ("worst_case", "mean", "worst_case_estimable")
ALIASES: dict[str, Convention] = {
    "paper": "worst_case",
    "published": "mean",
    "estimable": "worst_case_estimable",
}
"""Earlier names of the conventions, accepted wherever a convention is."""


def canonical(convention: str) -> Convention:
    """The name of a convention, whatever alias it was given by.

    Args:
      convention: one of `CONVENTIONS` or of `ALIASES`.

    Returns:
      One of `CONVENTIONS`.

    Raises:
      ValueError: neither.
    """
    name = ALIASES.get(convention, convention)
    if name not in CONVENTIONS:
        raise ValueError(f"convention must be one of {CONVENTIONS}, got {convention!r}")
    return name  # type: ignore[return-value]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gap:
    """A gap between groups with what is needed to read it.

    Attributes:
      value: [...] the gap; NaN where fewer than two groups can be compared.
      high: [...] int32 index of the group with the highest rate or value, -1 if none.
      low: [...] int32 index of the group with the lowest, -1 if none.
      label: [...] int32 label (0 or 1) whose gap is the largest; -1 where labels play no part.
      included: [..., G] or [..., G, 2] bool, the groups (x labels) that took part.
      counts: same shape, the number of examples (weights) behind each.
      convention: one of `CONVENTIONS`.
      direction: "lower is fairer", with the value that means no gap.
    """

    value: jnp.ndarray
    high: jnp.ndarray
    low: jnp.ndarray
    label: jnp.ndarray
    included: jnp.ndarray
    counts: jnp.ndarray
    convention: str = dataclasses.field(metadata={"static": True}, default="worst_case")
    direction: str = dataclasses.field(
        metadata={"static": True}, default="lower is fairer, 0 is no gap"
    )


def rates(counts: Array) -> jnp.ndarray:
    """Share of positive decisions per group and label: rate[g, y] = P(decision = 1 | group g, label
    y).

    [..., 0] is the false-positive rate, [..., 1] the true-positive rate; an empty stratum is NaN.

    Args:
      counts: [..., G, 2, 2] from `group_counts`.

    Returns:
      [..., G, 2] in [0, 1].
    """
    counts = jnp.asarray(counts)
    return divide(counts[..., 1], counts.sum(-1))


def eodd(counts: Array, convention: Convention = "worst_case", mask: Array | None = None) -> Gap:
    """Equalised-odds difference from counts.

    With d_y = max_g rate[g, y] - min_g rate[g, y]: worst case max(d_0, d_1), mean (d_0 + d_1) / 2.
    0 means every group has the same true- and false-positive rate. A label with fewer than two
    included groups leaves the maximum; the mean needs both labels. Without any label left the gap
    is NaN.

    Args:
      counts: [..., G, 2, 2] from `group_counts`.
      convention: see `Convention`.
      mask: [..., G, 2] bool strata that take part (needed for "worst_case_estimable"); empty
        strata never do.

    Returns:
      `Gap` with leading shape [...].

    Raises:
      ValueError: unknown convention, or "worst_case_estimable" without a mask.

    Reference: Hardt, Price, Srebro 2016 (arXiv 1610.02413); fairlearn `equalized_odds_difference`
    (parity is tested).
    """
    return _rate_gap(counts, convention, mask, (0, 1))


def eop(counts: Array, convention: Convention = "worst_case", mask: Array | None = None) -> Gap:
    """Equal-opportunity difference: max_g TPR_g - min_g TPR_g. 0 means every group's positives are
    found equally often.

    Arguments, empty-stratum rule, errors and reference as in `eodd`; of a single label, the worst
    case and the mean agree.
    """
    return _rate_gap(counts, convention, mask, (1,))


def gap(
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
    """
    convention = canonical(convention)
    values, included, counts = _included(values, counts, mask, convention)
    high, low, value = _extremes(values, included)
    return Gap(value, high, low, jnp.full(value.shape, -1, jnp.int32), included, counts, convention)


def delta_dice(
    dice: Array,
    counts: Array | None = None,
    mask: Array | None = None,
    convention: Convention = "worst_case",
) -> Gap:
    """Delta-Dice: max_g Dice_g - min_g Dice_g over the mean Dice of each group. 0 means equal
    groups. See `gap`.
    """
    return gap(dice, counts, mask, convention)


def ser(
    dice: Array,
    counts: Array | None = None,
    mask: Array | None = None,
    convention: Convention = "worst_case",
) -> Gap:
    """Skewed error ratio: max_g (1 - Dice_g) / min_g (1 - Dice_g). 1 means equal groups.

    NaN where fewer than two groups are left or the best group is perfect (division by 0; there
    `skewed_error_ratio` is infinite). `high` and `low` name the groups with the highest and lowest
    Dice.

    Args:
      dice: [..., G] mean Dice per group, NaN where the group has none.
      counts: [..., G] number of examples per group; 0 excludes the group.
      mask: [..., G] bool groups that take part.
      convention: recorded in the result; "worst_case_estimable" needs a mask.

    Returns:
      `Gap` whose value is the ratio, >= 1.

    Raises:
      ValueError: unknown convention, or "worst_case_estimable" without a mask.

    Reference: Puyol-Anton et al. 2021 (MICCAI); fairmedfm `dice_skewness` (parity is tested).
    """
    convention = canonical(convention)
    values, included, counts = _included(dice, counts, mask, convention)
    high, low, _ = _extremes(values, included)
    ratio = skewed_error_ratio(jnp.where(included, values, jnp.nan))
    return Gap(
        jnp.where(jnp.isfinite(ratio), ratio, jnp.nan),
        high,
        low,
        jnp.full(ratio.shape, -1, jnp.int32),
        included,
        counts,
        convention,
        "lower is fairer, 1 is no gap",
    )


def worst_group(
    values: Array, higher_is_better: bool = True, mask: Array | None = None
) -> jnp.ndarray:
    """Index of the worst group: argmin of the values (argmax if lower is better); NaN and masked
    groups do not take part.

    Args:
      values: [..., G].
      higher_is_better: direction of the value.
      mask: [..., G] bool groups that take part.

    Returns:
      [...] int32, -1 where no group is left.
    """
    values, included, _ = _included(values, None, mask, "worst_case")
    cost = jnp.where(included, values if higher_is_better else -values, jnp.inf)
    # argmin of nothing but infinities would name group 0
    return jnp.where(included.any(-1), jnp.argmin(cost, -1), -1).astype(jnp.int32)


def _rate_gap(
    counts: Array, convention: Convention, mask: Array | None, labels: tuple[int, ...]
) -> Gap:
    """The gap over the given labels, see `eodd`."""
    convention = canonical(convention)
    counts = jnp.asarray(counts)
    totals = counts.sum(-1)
    values, included, totals = _included(rates(counts), totals, mask, convention)
    high, low, each = _extremes(jnp.moveaxis(values, -1, -2), jnp.moveaxis(included, -1, -2))
    chosen = jnp.asarray(labels)
    each, high, low = each[..., chosen], high[..., chosen], low[..., chosen]
    # the label with the largest gap; one without a gap never wins, unless none has any
    place = jnp.argmax(jnp.where(jnp.isnan(each), -jnp.inf, each), -1)[..., None]
    largest, top, bottom = (
        jnp.take_along_axis(part, place, -1)[..., 0] for part in (each, high, low)
    )
    # NaN of one label passes into the mean, which needs both
    value = each.mean(-1) if convention == "mean" else largest
    return Gap(
        value, top, bottom, chosen[place[..., 0]].astype(jnp.int32), included, totals, convention
    )


def _included(
    values: Array, counts: Array | None, mask: Array | None, convention: Convention
) -> tuple[jnp.ndarray, jnp.ndarray, jnp.ndarray]:
    """Values, which of them take part, and counts (ones where none were given)."""
    if convention == "worst_case_estimable" and mask is None:
        raise ValueError(
            "the convention 'worst_case_estimable' needs `mask`, the groups with enough "
            "patients (see `estimable`)"
        )
    values = jnp.asarray(values)
    counts = (
        jnp.where(jnp.isnan(values), 0, 1)
        if counts is None
        else jnp.broadcast_to(jnp.asarray(counts), values.shape)
    )
    included = ~jnp.isnan(values) & (counts > 0)
    if mask is not None:
        included = included & jnp.broadcast_to(jnp.asarray(mask, bool), values.shape)
    return values, included, counts


def _extremes(
    values: jnp.ndarray, included: jnp.ndarray
) -> tuple[jnp.ndarray, jnp.ndarray, jnp.ndarray]:
    """Index of the highest and lowest included value on the last axis, and their difference; -1,
    -1, NaN for fewer than two.
    """
    enough = included.sum(-1) >= 2
    upper, lower = jnp.where(included, values, -jnp.inf), jnp.where(included, values, jnp.inf)
    high, low = (
        jnp.where(enough, index, -1).astype(jnp.int32)
        for index in (upper.argmax(-1), lower.argmin(-1))
    )
    return high, low, spread(values, included)


def spread(values: Array, included: Array | None = None) -> jnp.ndarray:
    """Largest minus smallest value over groups, max_g x_g - min_g x_g.

    Args:
      values: [..., G].
      included: [..., G] bool, groups that take part; the finite values if None.

    Returns:
      [...] >= 0; 0 = no gap; NaN with fewer than two groups.
    """
    values = jnp.asarray(values)
    included = jnp.isfinite(values) if included is None else included
    enough = included.sum(-1) >= 2  # one group has no gap, which is not a gap of 0
    high = jnp.where(included, values, -jnp.inf).max(-1)
    low = jnp.where(included, values, jnp.inf).min(-1)
    # the inner zeros keep inf - inf, and its NaN gradient, out of gaps that are NaN anyway
    return jnp.where(enough, jnp.where(enough, high, 0) - jnp.where(enough, low, 0), jnp.nan)


def eodd_of_rates(rate: Array, form: str = "max") -> jnp.ndarray:
    """Equalised-odds difference from rates: the rate gaps of each true label, combined.

    max: max_y (max_g P(d=1 | y, g) - min_g ...) (the paper; fairlearn agg="worst_case"); mean:
    their mean over the labels that have a gap (the published code; fairlearn agg="mean").

    Args:
      rate: [..., L, G] rates of positive decisions, NaN = empty stratum.
      form: "max" or "mean".

    Returns:
      [...] in [0, 1]; 0 = equal rates in all groups; a label with fewer than two groups is left
        out; NaN if none is left.

    Raises:
      ValueError: unknown form.

    Reference:
      Hardt, Price and Srebro (2016); fairlearn `equalized_odds_difference`.
    """
    gaps = spread(rate)
    known = jnp.isfinite(gaps)
    if form == "max":
        value = jnp.max(jnp.where(known, gaps, -jnp.inf), -1)
    elif form == "mean":
        value = jnp.sum(jnp.where(known, gaps, 0), -1) / jnp.maximum(jnp.sum(known, -1), 1)
    else:
        raise ValueError(f"form must be 'max' or 'mean', got {form!r}")
    return jnp.where(jnp.any(known, -1), value, jnp.nan)


def skewed_error_ratio(score: Array) -> jnp.ndarray:
    """Skewed error ratio max_g (1 - s_g) / min_g (1 - s_g) of a score such as Dice.

    Args:
      score: [..., G] mean scores in [0, 1], NaN = empty group.

    Returns:
      [...] >= 1; 1 = equal errors; inf if only the best group is perfect; NaN with fewer than two
        groups or no error at all.
    """
    error = 1 - jnp.asarray(score)
    known = jnp.isfinite(error)
    high = jnp.max(jnp.where(known, error, -jnp.inf), -1)
    low = jnp.min(jnp.where(known, error, jnp.inf), -1)
    return jnp.where(jnp.sum(known, -1) >= 2, high / low, jnp.nan)  # x / 0 is inf, 0 / 0 NaN


@jax.jit
def decision_gaps(images: Array, positives: Array) -> dict[str, Array]:
    """All gaps of one version of the decisions.

    Args:
      images: [..., L, G] number of images.
      positives: [..., L, G] number of positive decisions.

    Returns:
      "eodd" [...], "eodd_mean" [...], "eop" [...] (of the last label) and "rates" [..., L, G].
    """
    rate = divide(positives, images)  # [..., L, G]: labels before groups, unlike `rates`
    return {
        "eodd": eodd_of_rates(rate),
        "eodd_mean": eodd_of_rates(rate, "mean"),
        "eop": spread(rate[..., -1, :]),
        "rates": rate,
    }


@jax.jit
def mean_gaps(weight: Array, total: Array) -> dict[str, Array]:
    """Group means and their gaps.

    Args:
      weight: [..., G] number of units (patients or images).
      total: [..., G] sums of the value.

    Returns:
      "mean" [..., G], "delta" [...] (largest minus smallest mean) and "ser" [...] (skewed error
        ratio).
    """
    mean = divide(total, weight)
    return {"mean": mean, "delta": spread(mean), "ser": skewed_error_ratio(mean)}
