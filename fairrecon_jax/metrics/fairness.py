"""Gaps between groups: equalised odds, equal opportunity, Dice gaps, and the gap of any value per
group.

Everything about decisions starts from one array of counts [..., G, 2, 2] = group x label x decision
(`group_counts`), so that leading axes can be resampling replicates, tasks or reconstructors. Groups
of index -1 (unknown) and NaN labels are masked. Every result is a `Gap` that carries its
convention, its direction and the counts behind it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from fairrecon_jax.types import Array

Convention = Literal["worst_case", "mean", "worst_case_estimable"]
"""How rate gaps become one number and which groups take part.

worst_case            worst case over labels, all groups with an example (the paper's formula; fairlearn agg="worst_case")
mean                  mean over labels, all groups with an example (the published code; fairlearn agg="mean")
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


class Intersection(NamedTuple):
    """Groups of several attributes at once.

    Attributes:
      group: [N] int32 index into `names`, -1 where any attribute is unknown.
      names: "Female x White"-like names, the last attribute varying fastest.
    """

    group: jnp.ndarray
    names: tuple[str, ...]


def group_counts(
    label: Array, decision: Array, group: Array, groups: int, weight: Array | None = None
) -> jnp.ndarray:
    """Counts of examples per group, label and decision.

    Args:
      label: [N] float in {0, 1, NaN}; NaN is masked.
      decision: [N] bool or {0, 1}.
      group: [N] int group index, -1 (unknown) is masked.
      groups: number of groups G.
      weight: [N] float >= 0; ones if None.

    Returns:
      [G, 2, 2] float counts: group x label (0, 1) x decision (no, yes).
    """
    label, group = jnp.asarray(label), jnp.asarray(group)
    kind = jnp.promote_types(label.dtype, jnp.float32)
    weight = jnp.ones(label.shape, kind) if weight is None else jnp.asarray(weight, kind)
    known = ((label == 0) | (label == 1)) & (group >= 0) & (group < groups)
    cell = (group.astype(jnp.int32) * 2 + (label == 1)) * 2 + jnp.asarray(decision).astype(bool)
    flat = (
        jnp.zeros(groups * 4, kind).at[jnp.where(known, cell, 0)].add(jnp.where(known, weight, 0))
    )
    return flat.reshape(groups, 2, 2)


def rates(counts: Array) -> jnp.ndarray:
    """Share of positive decisions per group and label: rate[g, y] = P(decision = 1 | group g, label
    y).

    [..., 0] is the false-positive rate, [..., 1] the true-positive rate; an empty cell is NaN.

    Args:
      counts: [..., G, 2, 2] from `group_counts`.

    Returns:
      [..., G, 2] in [0, 1].
    """
    counts = jnp.asarray(counts)
    total = counts.sum(-1)
    return jnp.where(total > 0, counts[..., 1] / jnp.where(total > 0, total, 1), jnp.nan)


def estimable(patients: Array, min_patients: int) -> jnp.ndarray:
    """Which group x label cells hold enough patients: patients >= min_patients.

    Args:
      patients: [..., G, 2] (or [..., G]) number of patients.
      min_patients: smallest number that is judged.

    Returns:
      Bool of the same shape.
    """
    return jnp.asarray(patients) >= min_patients


def eodd(counts: Array, convention: Convention = "worst_case", mask: Array | None = None) -> Gap:
    """Equalised-odds difference from counts.

    With d_y = max_g rate[g, y] - min_g rate[g, y]: paper and estimable max(d_0, d_1); published
    (d_0 + d_1) / 2. 0 means every group has the same true- and false-positive rate. A label with
    fewer than two included groups leaves the maximum; the mean needs both labels. Without any label
    left the gap is NaN.

    Args:
      counts: [..., G, 2, 2] from `group_counts`.
      convention: see `Convention`.
      mask: [..., G, 2] bool cells that take part (needed for "worst_case_estimable"); empty cells
        never do.

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

    Arguments, empty-cell rule, errors and reference as in `eodd`; paper and published agree here.
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

    NaN where fewer than two groups are left or the best group is perfect (division by 0). `high`
    and `low` name the groups with the highest and lowest Dice.

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
    high, low, spread = _extremes(values, included)
    best = 1 - jnp.max(jnp.where(included, values, -jnp.inf), -1)
    worst = 1 - jnp.min(jnp.where(included, values, jnp.inf), -1)
    fine = ~jnp.isnan(spread) & (best > 0)
    ratio = jnp.where(fine, jnp.where(fine, worst, 1) / jnp.where(fine, best, 1), jnp.nan)
    direction = "lower is fairer, 1 is no gap"
    return Gap(
        ratio,
        high,
        low,
        jnp.full(ratio.shape, -1, jnp.int32),
        included,
        counts,
        convention,
        direction,
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
    return jnp.where(included.any(-1), jnp.argmin(cost, -1), -1).astype(jnp.int32)


def signed_difference(values: Array, reference: int) -> jnp.ndarray:
    """Difference of each group to the reference group: v_g - v_reference. 0 means as the reference;
    NaN where either is NaN.

    Args:
      values: [..., G].
      reference: index of the reference group.

    Returns:
      [..., G].
    """
    values = jnp.asarray(values)
    return values - values[..., reference : reference + 1]


def intersect(groups: Sequence[Array], names: Sequence[Sequence[str]]) -> Intersection:
    """Crosses attributes into one: every combination of groups is a group; unknown in any attribute
    is unknown.

    Args:
      groups: per attribute [N] int32 group index, -1 unknown.
      names: per attribute the names of its groups.

    Returns:
      `Intersection`.
    """
    index = jnp.zeros_like(jnp.asarray(groups[0], jnp.int32))
    known = jnp.ones(index.shape, bool)
    titles: tuple[str, ...] = ("",)
    for group, titles_of in zip(groups, names, strict=True):
        group = jnp.asarray(group, jnp.int32)
        index = index * len(titles_of) + group
        known = known & (group >= 0)
        titles = tuple(f"{a} x {b}" if a else b for a in titles for b in titles_of)
    return Intersection(jnp.where(known, index, -1), titles)


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
    place = jnp.argmax(jnp.where(jnp.isnan(each), -jnp.inf, each), -1)[..., None]
    largest, top, bottom = (
        jnp.take_along_axis(part, place, -1)[..., 0] for part in (each, high, low)
    )
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
    spread = jnp.where(
        enough, jnp.where(enough, upper.max(-1), 0) - jnp.where(enough, lower.min(-1), 0), jnp.nan
    )
    high, low = (
        jnp.where(enough, index, -1).astype(jnp.int32)
        for index in (upper.argmax(-1), lower.argmin(-1))
    )
    return high, low, spread
