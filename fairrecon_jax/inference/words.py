"""Numbers and comparisons as sentences say them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from fairrecon_jax.inference.comparison import Comparison, apart
from fairrecon_jax.inference.group_tables import REASONS
from fairrecon_jax.types import plural

MANY = 6
"""Strata without a verdict that are named one by one; more are counted."""


def p_words(p: float) -> str:
    """A p-value as a sentence says it: "p = 0.03", "p < 0.0001"."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.1g}" if p < 1e-3 else f"p = {p:.2g}"


def p_with_family(raw: float, adjusted: float, comparisons: int) -> str:
    """Raw and adjusted p in words."""
    if comparisons <= 1:
        return p_words(raw)
    after = "< 0.0001" if adjusted < 1e-4 else f"{adjusted:.2g}"
    return f"{p_words(raw)} ({after} over {comparisons} comparisons)"


def amount(value: float, unit: str) -> str:
    """A size with its unit: "37 points", "0.04 Dice"."""
    if unit == "points":
        points = 100 * abs(value)
        return f"{points:.0f} points" if points >= 9.5 else f"{points:.1f} points"
    return f"{abs(value):.3f} {unit}".strip()


def nothing_shown(
    comparison: Comparison, p: float, comparisons: int, detectable: float | None
) -> str:
    """Why nothing is claimed, and what would have been.

    Args:
      comparison: numbers.
      p: adjusted for the family.
      comparisons: size of the family.
      detectable: minimum detectable change, None or NaN to say nothing of it.
    """
    judged = comparison.judged
    changed, raw = int(comparison.changed[judged].sum()), float(comparison.test.p_value)
    points = comparison.quantities[0].unit == "points"
    if changed == 0:
        others = int(comparison.changed[~judged].sum())
        text = "no decision changed" if points else "no value changed"
        return text + (f" in the groups that are judged ({others} in others)" if others else "")
    text = p_with_family(raw, p, comparisons)
    if points:
        text += f"; {changed} decision{'s' if changed > 1 else ''} changed"
    if detectable is None or np.isnan(detectable):
        return text
    if not np.isfinite(detectable):
        return f"{text}; in the smallest group no loss could have been found 4 times in 5"
    size = amount(detectable, comparison.quantities[0].unit)
    return f"{text}; a further change of one group by {size} would be found 4 times in 5"


def sentence(comparison: Comparison, y: int, g: int, alpha: float = 0.05) -> str:
    """`describe`, with what else must be known: that the interval is more cautious than the test,
    and who stands out the other way.

    Args:
      comparison: numbers.
      y: label.
      g: group.
      alpha: level.

    Returns:
      "sensitivity: ...; but specificity: women 65 to 90 of 100, ...".
    """
    test, said = comparison.test, [describe(comparison, y, g)]
    if test.extra_low[y, g] <= 0 <= test.extra_high[y, g]:
        said.append("the interval, for all groups and labels together, includes 0 where p does not")
    against = apart(comparison, alpha) * -np.sign(test.extra[y, g])
    if comparison.judged[y].sum() == 2:
        against[y] = 0  # the second group mirrors the first
    if np.any(against > 0):
        size = np.where(against > 0, np.abs(test.studentised), 0)
        other = np.unravel_index(np.argmax(size), size.shape)
        said.append(f"but {describe(comparison, int(other[0]), int(other[1]))}")
    return "; ".join(said)


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


def unjudged_strata(comparison: Comparison) -> tuple[str, ...]:
    """Strata that could not take part, in words; where they are many, counted per reason.

    Args:
      comparison: numbers.

    Returns:
      "men: sensitivity: too few patients (5 patients)", or "12 groups and labels: ...".
    """
    test, places = comparison.test, list(zip(*np.nonzero(~comparison.judged)))
    reasons = [REASONS[int(test.reason[at])] for at in places]
    if len(places) > MANY:
        counted = Counter(reasons).most_common()
        return tuple(f"{n} groups and labels: {reason}" for reason, n in counted)
    return tuple(
        f"{comparison.groups[g]}: {comparison.quantities[y].name}: {reason} "
        f"({plural(int(test.patients[y, g]), 'patient')})"
        for (y, g), reason in zip(places, reasons, strict=True)
    )
