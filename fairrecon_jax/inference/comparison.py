"""The numbers of one comparison that a verdict is made from, and which of them stand out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fairrecon_jax.inference.group_result import GroupTest


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

    Example:
      >>> sex, lost = np.arange(80) % 2, -1.0 * (np.arange(80) % 4 == 0)  # half of the women
      >>> tables = fr.inference.patient_tables(lost, None, sex, range(80), groups=2)
      >>> test = fr.inference.one_cell(fr.inference.group_test(tables, seed=0, permutations=99), 0)
      >>> numbers = [[0.9, 0.9]], [[0.4, 0.9]], [[-0.7, -0.1]], [[-0.3, 0.1]], [[20, 0]]
      >>> Comparison(test, ["f", "m"], [SENSITIVITY], *map(np.array, numbers)).judged
      array([[ True,  True]])
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

    @property
    def own_sign(self) -> np.ndarray:
        """[L, G] int, which way a group's own change goes beyond chance: -1, 1, 0 for not shown.

        Where all patients of a group change by the same amount there is no interval, and no doubt.
        """
        own = self.reconstructed - self.original
        # the bound is for rounding: equal changes have a variance of some 1e-33
        alike = np.where(np.isnan(self.own_low), self.test.variance <= 1e-12 * own**2, False)
        gained = (self.own_low > 0) | (alike & (own > 0))
        lost = (self.own_high < 0) | (alike & (own < 0))
        return gained.astype(int) - lost


def apart(comparison: Comparison, alpha: float = 0.05) -> np.ndarray:
    """Which strata stand out by themselves: the group's change differs from the others', and from
    no change, by more than chance explains.

    Args:
      comparison: numbers.
      alpha: level of the group's p, adjusted over groups and labels, and of its own interval.

    Returns:
      [L, G] int: -1 lost, 1 gained, 0 neither.
    """
    test = comparison.test
    # p of a group that is not judged is NaN: nothing is beyond chance there
    beyond = comparison.judged & (np.nan_to_num(test.group_p, nan=1) <= alpha)
    lost = beyond & (test.extra < 0) & (comparison.own_sign < 0)
    gained = beyond & (test.extra > 0) & (comparison.own_sign > 0)
    return gained.astype(int) - lost


def sampling_error(rate: np.ndarray, patients: np.ndarray, high: int, low: int) -> float:
    """Standard error of a difference of two rates, binomial in effective patients.

    Args:
      rate: [G] rates.
      patients: [G] effective patients.
      high: a group.
      low: another.
    """
    # a rate of 0 or 1 is not certain: at least the variance of half a patient in n
    parts = [max(rate[g] * (1 - rate[g]), 0.25 / patients[g]) / patients[g] for g in (high, low)]
    return float(np.sqrt(sum(parts)))
