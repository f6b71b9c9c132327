"""Tests whose verdict waits for the p-values of their family."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from fairrecon_jax.assessment.rows import Row
from fairrecon_jax.inference.group_family import adjust_cells
from fairrecon_jax.inference.multiplicity import holm
from fairrecon_jax.types import PRIMARY


@dataclasses.dataclass(frozen=True)
class Family:
    """What the adjustment of a family tells its members.

    Attributes:
      p_adjusted: of the member, NaN if not tested.
      level: level at which one comparison of the family is tested.
      size: number of comparisons tested.
      least: smallest adjusted p that so few draws allow.
    """

    p_adjusted: float
    level: float
    size: int
    least: float = 0.0

    def too_few_draws(self, alpha: float) -> str:
        """Why nothing can be claimed at a level: the draws are too few. "" where they are not."""
        if not self.least > alpha:
            return ""
        return (
            f"too few permutations: over {self.size} comparisons no p can fall below "
            f"{self.least:.2g}, and none can show a difference at {alpha:g}"
        )


@dataclasses.dataclass(frozen=True)
class Deferred:
    """A test that is to be adjusted.

    Attributes:
      family: name of the family.
      p_value: unadjusted p, NaN if not tested.
      draws: p-like values [B + 1] under each null, for the adjustment by Westfall and Young; None
        where the test has no draws: its family is adjusted by Holm.
      rows: rows that take `adjust`'s columns.
      adjust: from what the family says and a row to the row's columns (verdict, reason and others).
    """

    family: str
    p_value: float
    draws: Mapping[str, np.ndarray] | None
    rows: tuple[Row, ...]
    adjust: Callable[[Family, Row], Row]


def family_name(
    metric: str, level: float, mitigation: str, *, primary: bool = False, crossed: bool = False
) -> str:
    """The name of a test's family: one metric, level and mitigation, over tasks, attributes and
    reconstructors.

    One family of a study is primary: the headline gaps (equalised odds of findings, skewed error
    ratio of regions) of unmitigated reconstructions at the headline level. A reader of all others
    together meets false claims more often than alpha.
    """
    if primary:
        return f"{PRIMARY}: headline gaps, level {level:g}"
    name = f"secondary: {metric}, level {level:g}, mitigation {mitigation}"
    return name + (", intersections" if crossed else "")


def adjust(deferred: Iterable[Deferred], alpha: float, method: str) -> None:
    """Adjusts every family and completes the rows in place.

    Args:
      deferred: tests; those with p = NaN do not count in their family.
      alpha: family-wise level.
      method: "westfall_young" or "holm".
    """
    families: dict[str, list[Deferred]] = {}
    for item in deferred:
        families.setdefault(item.family, []).append(item)
    for family, members in families.items():
        tested = [m for m in members if np.isfinite(m.p_value)]
        adjusted, level, least = _adjusted(tested, alpha, method)
        # by identity: what holds rows cannot be hashed
        found = {id(m): float(p) for m, p in zip(tested, adjusted, strict=True)}
        for member in members:
            told = Family(found.get(id(member), float("nan")), level, len(tested), least)
            for row in member.rows:
                row |= {"family": family, "p_value": member.p_value, "p_adjusted": told.p_adjusted}
                row |= member.adjust(told, row)


def _adjusted(
    members: list[Deferred], alpha: float, method: str
) -> tuple[np.ndarray, float, float]:
    """Adjusted p-values, the level of a single comparison and the smallest p that is possible."""
    if not members:
        return np.zeros(0), alpha, 0.0
    draws = [m.draws for m in members if m.draws is not None]
    # without draws any p is possible: count / inf is 0
    rows = min((len(v) for drawn in draws for v in drawn.values()), default=np.inf)
    # the step-down needs the draws of all, jointly; the observed row counts itself, hence 1 / rows
    if method == "westfall_young" and len(draws) == len(members):
        return *adjust_cells(draws, alpha), 1 / rows
    # Holm multiplies the smallest p by their number
    count = len(members)
    return holm(np.array([m.p_value for m in members])), alpha / count, count / rows
