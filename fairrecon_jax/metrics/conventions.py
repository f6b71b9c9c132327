"""The conventions by which gaps of rates become one number, and their names."""

from __future__ import annotations

from typing import Literal

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
