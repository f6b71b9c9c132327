"""Tests whose verdict waits for the p-values of their family: Holm within one metric, level and
mitigation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import jax
import numpy as np

from fairrecon_jax.assessment.rows import Row
from fairrecon_jax.inference.multiplicity import holm


@dataclasses.dataclass(frozen=True)
class Deferred:
    """A test that is to be adjusted.

    Attributes:
      family: name of the family.
      p_value: unadjusted p, NaN if not tested.
      rows: rows that take `adjust`'s columns.
      adjust: from the adjusted p and a row to the row's columns (verdict, reason and the like).
    """

    family: str
    p_value: float
    rows: tuple[Row, ...]
    adjust: Callable[[float, Row], Row]


_holm = jax.jit(jax.vmap(holm))


def family_name(metric: str, level: float, mitigation: str, crossed: bool = False) -> str:
    """The name of a test's family: one metric, level and mitigation, over tasks, attributes and
    reconstructors.
    """
    return f"{metric}, level {level:g}, mitigation {mitigation}" + (
        ", intersections" if crossed else ""
    )


def adjust(deferred: Iterable[Deferred]) -> None:
    """Adjusts every family by Holm and completes the rows in place.

    Args:
      deferred: tests; those with p = NaN do not count in their family.
    """
    families: dict[str, list[Deferred]] = {}
    for item in deferred:
        families.setdefault(item.family, []).append(item)
    if not families:
        return
    # padded with NaN, which `holm` does not count: families of all sizes are one program
    table = np.full((len(families), max(len(members) for members in families.values())), np.nan)
    for p_values, members in zip(table, families.values(), strict=True):
        p_values[: len(members)] = [m.p_value for m in members]
    with jax.enable_x64(True):
        adjusted = np.asarray(_holm(table))
    for (family, members), p_values in zip(families.items(), adjusted, strict=True):
        for member, p in zip(members, p_values, strict=False):
            for row in member.rows:
                row |= {
                    "family": family,
                    "p_value": member.p_value,
                    "p_adjusted": float(p),
                    **member.adjust(float(p), row),
                }
