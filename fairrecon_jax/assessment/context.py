"""What every part of an assessment is given: arrays, options, digested patients and the number of
draws.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fairrecon_jax.assessment.arrays import Cell, Grouping, Study
from fairrecon_jax.assessment.deferred import Deferred
from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.assessment.rows import Interval, Row
from fairrecon_jax.assessment.units import JudgedUnits
from fairrecon_jax.inference.changes import Changes
from fairrecon_jax.inference.group_tables import Patients, patient_digests
from fairrecon_jax.types import NO_MITIGATION

DRAWN = 1e7
FEWEST = 999
"""Draws times patients that a test makes at most, and the fewest draws of a large cohort."""


class Problem(NamedTuple):
    """What a test of one study cell is about.

    Attributes:
      metric: a key of `verdicts.KINDS`.
      task: its name.
      attribute: whose groups are compared.
      groups: their names.
      family: of the network's own test.
    """

    metric: str
    task: str
    attribute: str
    groups: tuple[str, ...]
    family: str


class Kept(NamedTuple):
    """What one training leaves of a problem for the verdict on its method.

    Attributes:
      changes: of K problems.
      k: which of them.
      common: columns that its rows share.
      auroc: limits of the AUROC on originals; None where the task has none.
    """

    changes: Changes
    k: int
    common: Row
    auroc: tuple[float, float] | None


@dataclasses.dataclass
class Context:
    """One seed's assessment in progress.

    Attributes:
      study: arrays.
      options: choices.
      modality: of the cohort, "xray" or "mri".
      headline: the level whose gaps are primary.
      reference_aurocs: by task the AUROC on the original images, which says whether the diagnosis
        is at chance; None where the columns `<task>__original` hold those images.
      mitigation: a mitigation is judged: the columns `<task>__original` hold the unmitigated
        reconstruction.
      performance: rows collected so far.
      fairness: rows collected so far.
      deferred: tests that wait for their family.
      kept: what is behind the tests, for verdicts over several trainings.
      keeps: whether they are kept: there are several seeds.
    """

    study: Study
    options: AssessOptions
    modality: str
    headline: float
    reference_aurocs: Mapping[str, Interval] | None = None
    mitigation: bool = False
    performance: list[Row] = dataclasses.field(default_factory=list)
    fairness: list[Row] = dataclasses.field(default_factory=list)
    deferred: list[Deferred] = dataclasses.field(default_factory=list)
    kept: dict[tuple[Problem, Cell], Kept] = dataclasses.field(default_factory=dict)
    keeps: bool = False

    @functools.cached_property
    def _digests(self) -> np.ndarray:
        """[P] digests of the study's patients."""
        # names are sorted and distinct, so that codes are the study's patient numbers
        return patient_digests(self.study.patient_names).digests

    def patients(self, units: JudgedUnits) -> Patients:
        """The patients of judged units, as tests take them."""
        return Patients(units.patient.astype(int), self._digests)

    def stratum(self, units: JudgedUnits) -> np.ndarray | None:
        """The stratum of each judged unit, None where there is one for all."""
        strata = self.study.strata
        return None if strata is None else strata[units.patient]

    @functools.cached_property
    def permutations(self) -> int:
        """Draws behind the tests: fewer where patients are many, for p-values of the same use."""
        # by the whole cohort, not by task: draws of a family are compared number by number
        count = len(np.unique(self.study.patient[self.study.test]))
        return min(self.options.permutations, max(FEWEST, int(DRAWN / max(count, 1))))

    @property
    def empty_rate(self) -> float:
        """The rate that the published code takes for an empty stratum: 1 in its X-ray part, 0 in
        its brain part.
        """
        return 1.0 if self.modality == "xray" else 0.0

    def reference_auroc(self, task: str, auroc: Interval) -> Interval:
        """The AUROC of everyone on the original images, with its interval.

        Args:
          task: name of a classification task.
          auroc: of everyone, on the columns `<task>__original`.

        Returns:
          `auroc`, or that of `reference_aurocs` (NaN where it lacks the task).
        """
        if self.reference_aurocs is None:
            return auroc
        return self.reference_aurocs.get(task, Interval(float("nan")))

    def is_primary(self, level: float, mitigation: str, grouping: Grouping) -> bool:
        """Whether headline gaps of this cell and attribute belong to the primary family."""
        plain = mitigation == NO_MITIGATION and not self.mitigation
        return plain and level == self.headline and not grouping.crossed
