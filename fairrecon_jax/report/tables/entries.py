"""Entries of tables as text: numbers, intervals, p-values, counts, and what could not be
estimated.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any


@dataclasses.dataclass(frozen=True)
class Missing:
    """An entry that could not be estimated, with the reason; never shown as zero."""

    reason: str = ""

    def __str__(self) -> str:
        """How the entry reads in a CSV or LaTeX table."""
        return "n.e."


def number(value: Any, digits: int = 3) -> str:
    """An entry as text: numbers with `digits` decimals, whole numbers with thousands separators,
    nothing as an en dash.
    """
    if isinstance(value, str | Missing):
        return str(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    # a float such as 3900.0 is a count, but 0.0 may be a rate and keeps its decimals
    if isinstance(value, numbers.Integral) or (float(value).is_integer() and abs(value) >= 1):
        return f"{int(value):,}".replace("-", "−")
    return f"{value:.{digits}f}".replace("-", "−")


def fixed(value: float, digits: int, reason: str = "", sign: bool = False) -> str | Missing:
    """A number with exactly `digits` decimals; `Missing` where it is not finite."""
    if not math.isfinite(value):
        return Missing(reason)
    rounded = round(value, digits) + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{rounded:{'+' if sign and rounded else ''}.{digits}f}".replace("-", "−")


def count(value: float) -> int | str:
    """A count as a whole number, an en dash where it is unknown."""
    return int(value) if math.isfinite(value) else "–"


def p_value(p: float, reason: str = "") -> str | Missing:
    """A p-value, never shown as zero: "0.031", "< 0.001"; `Missing` where it is not finite."""
    # NaN is not below 0.001, and goes on to become `Missing`
    return "< 0.001" if p < 0.001 else fixed(p, 3 if p < 0.1 else 2, reason)


def with_interval(
    value: float, low: float, high: float, digits: int, reason: str = "", sign: bool = False
) -> str | Missing:
    """A number with its interval in brackets: "0.81 (0.79–0.83)", "+0.1 (−0.1 to +0.3)"; without
    the bracket where no interval is known.
    """
    # an interval without its value would have nothing to be about
    text = fixed(value, digits, reason, sign)
    if isinstance(text, Missing) or not (math.isfinite(low) and math.isfinite(high)):
        return text
    joint = " to " if sign or low < 0 else "–"  # "−0.6–−0.4" would be unreadable
    return f"{text} ({fixed(low, digits, sign=sign)}{joint}{fixed(high, digits, sign=sign)})"
