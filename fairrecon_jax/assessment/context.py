"""What every part of an assessment is given: arrays, options, bootstrap draws and random keys."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import jax
import numpy as np

from fairrecon_jax.assessment.arrays import JudgedUnits, Study
from fairrecon_jax.assessment.deferred import Deferred
from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.assessment.rows import Interval, Row
from fairrecon_jax.assessment.separation import Separation
from fairrecon_jax.inference.resampling import draws

FLIP_STREAM = 1
"""Folded into the seed's key: sign flips are independent of whatever else the seed draws."""


@dataclasses.dataclass
class Context:
    """One seed's assessment in progress.

    Attributes:
      study: arrays.
      options: choices.
      modality: of the cohort, "xray" or "mri".
      reference_aurocs: by task the AUROC on the original images, which says whether the diagnosis
        is at chance; None where the columns `<task>__original` hold those images.
      performance: rows collected so far.
      fairness: rows collected so far.
      deferred: tests that wait for their family.
    """

    study: Study
    options: AssessOptions
    modality: str
    reference_aurocs: Mapping[str, Interval] | None = None
    performance: list[Row] = dataclasses.field(default_factory=list)
    fairness: list[Row] = dataclasses.field(default_factory=list)
    deferred: list[Deferred] = dataclasses.field(default_factory=list)

    @functools.cached_property
    def flip_key(self) -> jax.Array:
        """Key of the sign flips: a patient has one sign in all tasks, attributes and cells."""
        return jax.random.fold_in(jax.random.key(self.options.seed), FLIP_STREAM)

    @functools.cached_property
    def test_patients(self) -> np.ndarray:
        """Numbers of the patients with evaluated examples, ascending."""
        return np.unique(self.study.patient[self.study.test])

    @functools.cached_property
    def patient_draws(self) -> np.ndarray:
        """[R, evaluated patients] bootstrap draws."""
        return draws(len(self.test_patients), self.options.replicates, self.options.seed)

    @functools.cached_property
    def image_draws(self) -> np.ndarray:
        """[R, evaluated examples] bootstrap draws."""
        return draws(int(self.study.test.sum()), self.options.replicates, self.options.seed)

    def resampled(self, units: JudgedUnits) -> tuple[np.ndarray, np.ndarray]:
        """What a bootstrap replicate draws.

        Args:
          units: evaluated units.

        Returns:
          (number of the drawn patient or image of each unit [U], draws [R, P]).
        """
        if self.options.resample == "image" and units.unit == "image":
            return np.arange(len(units.label)), self.image_draws
        # every patient with an evaluated example can be drawn, judged in this task or not: all
        # tasks see the same replicate
        return np.searchsorted(self.test_patients, units.patient), self.patient_draws

    @property
    def empty_rate(self) -> float:
        """The rate that the published code takes for an empty stratum: 1 in its X-ray part, 0 in
        its brain part.
        """
        return 1.0 if self.modality == "xray" else 0.0

    def reference_auroc(self, task: str, separated: Separation, cell: int) -> Interval:
        """The AUROC of everyone on the original images, with its interval; NaN where the table has
        none.

        Args:
          task: name of a classification task.
          separated: of everyone.
          cell: number of the study's cell.
        """
        if self.reference_aurocs is None:
            return separated.paired(cell, 0, self.options.alpha).original
        return self.reference_aurocs.get(task, Interval(float("nan")))

    def method(self, units: JudgedUnits) -> str:
        """How bootstrap intervals were made, in words."""
        drawn = "image" if self.options.resample == "image" and units.unit == "image" else "patient"
        return f"paired bootstrap by {drawn}, {self.options.replicates} replicates, BCa"
