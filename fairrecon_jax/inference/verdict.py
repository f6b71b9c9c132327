"""Verdicts in words: whose diagnosis changed more than the others', which way, by how much, on what
evidence, and what that did to the gap.

Everything is oriented so that more is better: a change below 0 is a loss.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from fairrecon_jax.inference.group_result import GroupTest
from fairrecon_jax.inference.group_statistic import LABEL_WEIGHTS
from fairrecon_jax.inference.group_tables import REASONS
from fairrecon_jax.inference.words import amount, p_with_family

VERDICTS = {
    "harmed": "the change of the group named was worse than the other groups' by more than chance "
    "explains",
    "favoured": "the change of the group named was better than the other groups' by more than "
    "chance explains",
    "no difference shown": "the changes of the groups could not be told apart from chance; a "
    "difference smaller than the detectable one may exist",
    "not estimable": "fewer than two groups have enough patients to be compared",
    "at chance": "the diagnosis on the original images is not shown to be better than guessing",
}
"""Each verdict and what it says of every row that bears it."""

GAPS = {
    "widened": "the largest gap between the groups grew by more than its sampling error",
    "narrowed": "it shrank by more than its sampling error",
    "reversed": "its sides swapped, each beyond sampling error",
    "same": "it did not clearly change",
}
"""What a difference did to the largest gap."""


class Quantity(NamedTuple):
    """What is compared within one true label.

    Attributes:
      name: as a sentence calls it, "sensitivity".
      stratum: "positive", "negative" or "".
      unit: "points" for rates, which are told out of 100; else the unit of the change.
    """

    name: str
    stratum: str = ""
    unit: str = "points"


SENSITIVITY = Quantity("sensitivity", "positive")
SPECIFICITY = Quantity("specificity", "negative")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The numbers of one comparison: a task, an attribute, a reconstructor and a level.

    Attributes:
      test: of this cell.
      groups: names of the G groups.
      quantities: the L quantities.
      original: [L, G] rates or means on originals.
      reconstructed: [L, G] on reconstructions.
      own_low: [L, G] lower limit of each group's own change.
      own_high: [L, G] upper limit.
      changed: [L, G] images whose decision changed.
      label_weights: [L] of the test; its default where empty.
    """

    test: GroupTest
    groups: Sequence[str]
    quantities: Sequence[Quantity]
    original: np.ndarray
    reconstructed: np.ndarray
    own_low: np.ndarray
    own_high: np.ndarray
    changed: np.ndarray
    label_weights: Sequence[float] = ()

    def __post_init__(self) -> None:
        shape = (len(self.quantities), len(self.groups))
        if self.test.reason.shape != shape:
            raise ValueError(
                f"the test holds {self.test.reason.shape} labels x groups, but {shape[0]} x "
                f"{shape[1]} names were given"
            )

    @property
    def judged(self) -> np.ndarray:
        """[L, G] bool, who takes part."""
        return self.test.reason == 0


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict of one comparison.

    Attributes:
      word: one of `VERDICTS`.
      group: the group it is about, "" where nothing is claimed.
      stratum: "positive", "negative" or "".
      gap: one of `GAPS`, "" where nothing is claimed.
      label: number of the quantity, -1 where nothing is claimed.
      sentence: the numbers behind it.
      evidence: p-values, or what could have been found.
      unjudged: "group: quantity: reason" of every stratum that could not take part.
    """

    word: str
    group: str = ""
    stratum: str = ""
    gap: str = ""
    label: int = -1
    sentence: str = ""
    evidence: str = ""
    unjudged: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Sentence and evidence."""
        return ", ".join(part for part in (self.sentence, self.evidence) if part)


def gap_change(comparison: Comparison, alpha: float = 0.05) -> str:
    """What happened to the largest gap over judged groups, one of `GAPS`.

    The gap of the extreme pair before, (h, l), and after, (h', l'), bracket its change between two
    linear contrasts: D_h - D_l <= change <= D_h' - D_l'. The contrast on the side of the change
    gives its standard error.

    Args:
      comparison: numbers; at least one label has two judged groups.
      alpha: two-sided level.

    Returns:
      A key of `GAPS`.
    """
    z, judged = norm.ppf(1 - alpha / 2), comparison.judged
    before, after = (
        _widest(rate, judged) for rate in (comparison.original, comparison.reconstructed)
    )
    y, high, low = before[:3]
    swapped = comparison.reconstructed[y, high] - comparison.reconstructed[y, low]
    if swapped < 0 and comparison.quantities[y].unit == "points":
        errors = [
            _sampling_error(rate[y], comparison.test.effective[y], high, low)
            for rate in (comparison.original, comparison.reconstructed)
        ]
        # a gap near 0 changes sides by chance
        if before[3] > z * errors[0] and -swapped > z * errors[1]:
            return "reversed"
    change = after[3] - before[3]
    y, high, low = (after if change > 0 else before)[:3]
    error = np.sqrt(comparison.test.variance[y, high] + comparison.test.variance[y, low])
    return "same" if abs(change) <= z * error else "widened" if change > 0 else "narrowed"


def _widest(rate: np.ndarray, judged: np.ndarray) -> tuple[int, int, int, float]:
    """Label, highest and lowest group and size of the largest gap of rates [L, G]."""
    gaps = []
    for y in range(len(rate)):
        inside = np.flatnonzero(judged[y])
        if inside.size >= 2:
            high, low = inside[np.argmax(rate[y, inside])], inside[np.argmin(rate[y, inside])]
            gaps.append((y, int(high), int(low), float(rate[y, high] - rate[y, low])))
    return max(gaps, key=lambda gap: gap[3])


def _sampling_error(rate: np.ndarray, patients: np.ndarray, high: int, low: int) -> float:
    """Standard error of a difference of two rates, binomial in effective patients."""
    # a rate of 0 or 1 is not certain: at least the variance of half a patient in n
    parts = [max(rate[g] * (1 - rate[g]), 0.25 / patients[g]) / patients[g] for g in (high, low)]
    return float(np.sqrt(sum(parts)))


def standing_out(comparison: Comparison) -> tuple[str, int, int]:
    """Who stands out: "harmed" or "favoured", the label and the group.

    A group's part in the statistic T is sum over labels of w_y t_gy^2, t_gy its studentised
    deviation; its losses and its gains count apart. The group with the largest losing part is
    harmed, unless another's gaining part is larger. Two groups stand out alike: there the better
    one is favoured if its own gain is beyond chance and the other's loss is not.

    Args:
      comparison: numbers; at least one label has two judged groups.

    Returns:
      Word, label and group numbers; the label is the one with most of the group's part.
    """
    size = np.where(comparison.judged, np.nan_to_num(comparison.test.studentised), 0)
    default = LABEL_WEIGHTS if len(size) == 2 else (1.0,) * len(size)
    weights = np.asarray(comparison.label_weights or default)[:, None]
    parts = [weights * f(size, 0) ** 2 for f in (np.minimum, np.maximum)]
    groups = [int(np.argmax(part.sum(0))) for part in parts]
    worse, better = ((int(np.argmax(p[:, g])), g) for p, g in zip(parts, groups, strict=True))
    lost, gained = comparison.own_high[worse] < 0, comparison.own_low[better] > 0
    alike = parts[1].sum(0).max() <= parts[0].sum(0).max() * (1 + 1e-6)
    return ("harmed", *worse) if alike and (lost or not gained) else ("favoured", *better)


def judge(
    comparison: Comparison,
    *,
    p_adjusted: float | None = None,
    comparisons: int = 1,
    alpha: float = 0.05,
    detectable: float | None = None,
    equivalent: float | None = None,
    auroc_interval: tuple[float, float] | None = None,
) -> Verdict:
    """The verdict of one comparison.

    Args:
      comparison: numbers.
      p_adjusted: p-value adjusted for the family; the test's own if None.
      comparisons: size of the family.
      alpha: level.
      detectable: minimum detectable change, said where no difference is shown.
      equivalent: margin to which the changes are shown to be equal, None where they are not.
      auroc_interval: interval of the AUROC on originals; a diagnosis at chance gets no verdict.

    Returns:
      A `Verdict`.
    """
    test, unjudged = comparison.test, _unjudged(comparison)
    if auroc_interval is not None and auroc_interval[0] <= 0.5 <= auroc_interval[1]:
        text = (
            f"the AUROC on originals, {auroc_interval[0]:.3f} to {auroc_interval[1]:.3f}, includes "
            "0.5: the diagnosis itself is at chance"
        )
        return Verdict("at chance", sentence=text, unjudged=unjudged)
    if not comparison.judged.any():
        text = "no two groups have enough patients to be compared"
        return Verdict("not estimable", sentence=text, unjudged=unjudged)
    p = float(test.p_value) if p_adjusted is None else float(p_adjusted)
    if not p <= alpha:  # also where p is NaN
        text = _nothing_shown(comparison, p, comparisons, detectable)
        if equivalent is not None:
            size = amount(equivalent, comparison.quantities[0].unit)
            text += f"; no group changed by more than {size} beyond the others"
        return Verdict("no difference shown", evidence=text, unjudged=unjudged)
    word, y, g = standing_out(comparison)
    return Verdict(
        word,
        comparison.groups[g],
        comparison.quantities[y].stratum,
        gap_change(comparison, alpha),
        y,
        describe(comparison, y, g),
        p_with_family(float(test.p_value), p, comparisons),
        unjudged,
    )


MITIGATIONS = {
    "helped": "the group that was worse off without mitigation gained beyond chance, and more than "
    "the others",
    "levelled down": "the groups came closer, but no gain of the group that was worse off is shown",
    "harmed": "the group named fell behind the others by more than chance explains",
    "no difference shown": VERDICTS["no difference shown"],
    "not estimable": VERDICTS["not estimable"],
    "at chance": VERDICTS["at chance"],
}
"""Each verdict on a mitigation and what it says of every row that bears it."""


def judge_mitigation(comparison: Comparison, verdict: Verdict) -> Verdict:
    """The verdict on a mitigation from that of its comparison, with the unmitigated reconstruction
    in the place of the original.

    A gap that closes because the better-off lost is levelled down, not helped. Where the sides
    change and the gap is not clearly smaller than before, the group that lost is harmed.

    Args:
      comparison: unmitigated against mitigated.
      verdict: of `judge`.

    Returns:
      The verdict with a word of `MITIGATIONS` and the group it is about.
    """
    if verdict.word not in ("harmed", "favoured"):
        return verdict
    y = verdict.label
    inside = np.flatnonzero(comparison.judged[y])
    before, after = comparison.original[y], comparison.reconstructed[y]
    worst = int(inside[np.argmin(before[inside])])
    loser = int(inside[np.argmin(np.nan_to_num(comparison.test.studentised[y, inside]))])
    lost = comparison.own_high[y, loser] < 0 and after[loser] < after[worst]
    swapped = verdict.gap == "reversed" and not _smaller(comparison, y, worst, loser)
    if loser != worst and lost and (swapped or verdict.gap in ("widened", "same")):
        word, group = "harmed", loser
    elif comparison.test.extra[y, worst] <= 0:
        word, group = "harmed", worst
    elif comparison.own_low[y, worst] > 0:
        word, group = "helped", worst
    else:
        word, group = "levelled down", loser
    return dataclasses.replace(
        verdict,
        word=word,
        group=comparison.groups[group],
        sentence=describe(comparison, y, group),
    )


def _smaller(comparison: Comparison, y: int, worst: int, loser: int) -> bool:
    """Whether a gap whose sides swapped is smaller than before beyond sampling error (5%)."""
    rates = (comparison.original[y], comparison.reconstructed[y])
    patients = comparison.test.effective[y]
    shrunk = sum(rate[loser] - rate[worst] for rate in rates)
    # of the same patients: at most twice the variance of two unrelated gaps
    square = 2 * sum(_sampling_error(rate, patients, loser, worst) ** 2 for rate in rates)
    return bool(shrunk > norm.ppf(0.975) * np.sqrt(square))


def _nothing_shown(
    comparison: Comparison, p: float, comparisons: int, detectable: float | None
) -> str:
    """Why nothing is claimed, and what would have been."""
    judged = comparison.judged
    changed, raw = int(comparison.changed[judged].sum()), float(comparison.test.p_value)
    points = comparison.quantities[0].unit == "points"
    if changed == 0:
        return "no decision changed" if points else "no value changed"
    text = p_with_family(raw, p, comparisons)
    if points:
        text += f"; {changed} decision{'s' if changed > 1 else ''} changed"
    if detectable is None or np.isnan(detectable):
        return text
    if not np.isfinite(detectable):
        return f"{text}; in the smallest group no loss could have been found 4 times in 5"
    size = amount(detectable, comparison.quantities[0].unit)
    return f"{text}; a further change of one group by {size} would be found 4 times in 5"


def describe(comparison: Comparison, y: int, g: int) -> str:
    """What happened to a group, beside the others, as a clinician says it.

    Args:
      comparison: numbers.
      y: label.
      g: group.

    Returns:
      "sensitivity: women 95 to 52 of 100, men 85 to 79; women lost 37 points more than men (20 to
      53)".
    """
    quantity, test = comparison.quantities[y], comparison.test
    others = [int(h) for h in np.flatnonzero(comparison.judged[y]) if h != g]
    scale, digits = (100, 0) if quantity.unit == "points" else (1, 3)
    told = [_before_after(comparison, y, h, scale == 100, h == g) for h in (g, *others)]
    extra, low, high = (float(v[y, g]) for v in (test.extra, test.extra_low, test.extra_high))
    own = float(comparison.reconstructed[y, g] - comparison.original[y, g])
    verb, more = ("lost", "more") if own < 0 else ("gained", "less")
    if extra > 0:
        verb, more = ("gained", "more") if own > 0 else ("lost", "less")
    limits = sorted((low, high)) if extra > 0 else sorted((-low, -high))
    span = " to ".join(f"{scale * v:.{digits}f}" for v in limits)
    rival = comparison.groups[others[0]] if len(others) == 1 else "the other groups"
    size = amount(extra, quantity.unit)
    text = f"{comparison.groups[g]} {verb} {size} {more} than {rival} ({span})"
    return f"{quantity.name}: {', '.join(told)}; {text}"


def _before_after(comparison: Comparison, y: int, g: int, rate: bool, first: bool) -> str:
    """ "women 95 to 52 of 100"."""
    values = [float(v[y, g]) for v in (comparison.original, comparison.reconstructed)]
    shown = " to ".join(f"{100 * v:.0f}" if rate else f"{v:.3f}" for v in values)
    return f"{comparison.groups[g]} {shown}" + (" of 100" if rate and first else "")


def _unjudged(comparison: Comparison) -> tuple[str, ...]:
    """Strata that could not take part, in words."""
    test = comparison.test
    return tuple(
        f"{comparison.groups[g]}: {comparison.quantities[y].name}: "
        f"{REASONS[int(test.reason[y, g])]} ({int(test.patients[y, g])} patients)"
        for y, g in zip(*np.nonzero(~comparison.judged))
    )
