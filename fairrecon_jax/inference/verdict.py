"""Verdicts in words: whose diagnosis changed more than the others', which way, by how much, on what
evidence, and what that did to the gap.

Everything is oriented so that more is better: a change below 0 is a loss.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.stats import norm

from fairrecon_jax.inference.comparison import Comparison, apart, sampling_error
from fairrecon_jax.inference.group_statistic import LABEL_WEIGHTS
from fairrecon_jax.inference.words import (
    amount,
    nothing_shown,
    p_with_family,
    sentence,
    unjudged_strata,
)

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
      unjudged: "group: quantity: reason" of every stratum that could not take part; how many per
        reason where they are more than `MANY`.

    Example:
      >>> Verdict("harmed", "women", sentence="lost 12 points", evidence="p = .003").reason
      'lost 12 points, p = .003'
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
            sampling_error(rate[y], comparison.test.effective[y], high, low)
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


def standing_out(comparison: Comparison, alpha: float = 0.05) -> tuple[str, int, int]:
    """Who stands out: "harmed" or "favoured", the label and the group.

    A group's part in the statistic T is sum over labels of w_y t_gy^2, t_gy its studentised
    deviation; its losses and its gains count apart. The group with the largest losing part is
    harmed, unless another's gaining part is larger. Two groups stand out alike: there the better
    one is favoured if its own gain is beyond chance and the other's loss is not. A loss that is
    beyond chance by itself comes before a gain in another label.

    Args:
      comparison: numbers; at least one label has two judged groups.
      alpha: two-sided level, for a loss by itself.

    Returns:
      Word, label and group numbers; the label is the one with most of the group's part.
    """
    size = np.where(comparison.judged, np.nan_to_num(comparison.test.studentised), 0)
    default = LABEL_WEIGHTS if len(size) == 2 else (1.0,) * len(size)
    weights = np.asarray(comparison.label_weights or default)[:, None]
    # losses and gains, [L, G] each
    parts = [weights * f(size, 0) ** 2 for f in (np.minimum, np.maximum)]
    groups = [int(np.argmax(part.sum(0))) for part in parts]
    worse, better = ((int(np.argmax(p[:, g])), g) for p, g in zip(parts, groups, strict=True))
    lost, gained = comparison.own_sign[worse] < 0, comparison.own_sign[better] > 0
    # two groups mirror one another but for rounding
    alike = parts[1].sum(0).max() <= parts[0].sum(0).max() * (1 + 1e-6)
    if alike and (lost or not gained):
        return ("harmed", *worse)
    losses = np.where(apart(comparison, alpha) < 0, parts[0], 0)
    # in the label of the gain the others' loss is its mirror image
    losses[better[0]] = 0
    if losses.any():
        y, g = np.unravel_index(np.argmax(losses), losses.shape)
        return ("harmed", int(y), int(g))
    return ("favoured", *better)


def at_chance(auroc: tuple[float, float]) -> str:
    """Why a diagnosis gets no verdict, from the interval of its AUROC on originals; "" if it does.

    Args:
      auroc: lower and upper limit; NaN says nothing.
    """
    low, high = auroc
    text = f"the AUROC on originals, {low:.3f} to {high:.3f}, "
    if high < 0.5:
        return text + "is below 0.5: the diagnosis is worse than guessing; are its scores inverted?"
    return text + "includes 0.5: the diagnosis itself is at chance" if low <= 0.5 <= high else ""


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

    Example:
      >>> fi, sex, lost = fr.inference, np.arange(80) % 2, -1.0 * (np.arange(80) % 4 == 0)
      >>> tables = fi.patient_tables(lost, None, sex, range(80), groups=2)  # half of the women
      >>> test = fi.one_cell(fi.group_test(tables, seed=0, permutations=99), 0)
      >>> numbers = [[0.9, 0.9]], [[0.4, 0.9]], [[-0.7, -0.1]], [[-0.3, 0.1]], [[20, 0]]
      >>> found = Comparison(test, "fm", [fi.comparison.SENSITIVITY], *map(np.array, numbers))
      >>> judge(found).word, judge(found).group, judge(found).gap
      ('harmed', 'f', 'widened')
    """
    test, unjudged = comparison.test, unjudged_strata(comparison)
    if auroc_interval is not None and (text := at_chance(auroc_interval)):
        return Verdict("at chance", sentence=text, unjudged=unjudged)
    if not comparison.judged.any():
        text = "no two groups have enough patients to be compared"
        return Verdict("not estimable", sentence=text, unjudged=unjudged)
    p = float(test.p_value) if p_adjusted is None else float(p_adjusted)
    if not p <= alpha:  # also where p is NaN
        text = nothing_shown(comparison, p, comparisons, detectable)
        if equivalent is not None:
            size = amount(equivalent, comparison.quantities[0].unit)
            text += f"; no group changed by more than {size} beyond the others"
        return Verdict("no difference shown", evidence=text, unjudged=unjudged)
    word, y, g = standing_out(comparison, alpha)
    return Verdict(
        word,
        comparison.groups[g],
        comparison.quantities[y].stratum,
        gap_change(comparison, alpha),
        y,
        sentence(comparison, y, g, alpha),
        p_with_family(float(test.p_value), p, comparisons),
        unjudged,
    )
