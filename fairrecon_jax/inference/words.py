"""Numbers as sentences say them."""

from __future__ import annotations


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
