"""How much a verdict depends on the threshold: in how many redraws of the validation patients, each
with a threshold of its own, the verdict stays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fairrecon_jax.assessment.arrays import Grouping, Study
from fairrecon_jax.assessment.batch import Batch
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.options import SHARED_RULES, AssessOptions
from fairrecon_jax.assessment.thresholds import first_known, fit_one
from fairrecon_jax.assessment.units import JudgedUnits, units
from fairrecon_jax.inference.equal_changes import statistics
from fairrecon_jax.inference.group_tables import judge_cells, patient_units, tabulate
from fairrecon_jax.types import Task

LARGE, FEWER = 20_000, 25
"""Above so many units at most so many redraws are made: each decides all of them again."""
STABLE = 0.8
"""A verdict that stays less often is called unstable."""


class Redrawn(NamedTuple):
    """One problem under R redrawn thresholds.

    Attributes:
      statistic: [R] T.
      studentised: [R, L, G] studentised deviations.
    """

    statistic: np.ndarray
    studentised: np.ndarray

    def stays(self, critical: float, label: int, group: int, sign: int) -> float:
        """The share of redraws with the same claim.

        Args:
          critical: T above which a difference is claimed.
          label: of the claim, -1 where nothing is claimed.
          group: of the claim.
          sign: -1 for harm, +1 for favour.

        Returns:
          Scalar in [0, 1]; NaN where nothing is judged.
        """
        if not np.isfinite(critical):
            return float("nan")
        # draws are kept in single precision: a tie is no rejection
        claimed = self.statistic > critical * (1 + 1e-6)
        if label < 0:
            return float(np.mean(~claimed))
        # [R, L G], turned so that the claim is the largest
        flat = (sign * np.nan_to_num(self.studentised)).reshape(len(claimed), -1)
        named = label * self.studentised.shape[-1] + group
        return float(np.mean(claimed & (flat.argmax(-1) == named)))


def thresholds_redrawn(study: Study, task: Task, options: AssessOptions, count: int) -> np.ndarray:
    """Thresholds fitted on bootstrap draws of the validation patients.

    Args:
      study: arrays.
      task: a classification task.
      options: a rule that fits on validation originals.
      count: number of redraws R.

    Returns:
      [R]; NaN where a redraw holds one label only.
    """
    judged = units(study, task, study.validation)
    score = first_known(judged.original)
    rows = np.flatnonzero(np.isfinite(score) & np.isfinite(judged.label))
    generator = np.random.default_rng([options.seed, 3])  # a stream of its own
    code = np.unique(judged.patient[rows], return_inverse=True)[1]
    found = np.full(count, np.nan)
    for r in range(count):
        if not rows.size:
            break
        drawn = generator.integers(0, code.max() + 1, code.max() + 1)  # patients with replacement
        # with all its images: the patient is what was sampled
        times = np.bincount(drawn, minlength=code.max() + 1)[code]
        chosen = np.repeat(rows, times)
        found[r] = fit_one(score[chosen], judged.label[chosen], options, task.name)
    return found


class Redraws:
    """Thresholds of every task, redrawn once for all attributes.

    Attributes:
      context: options and arrays.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._thresholds: dict[str, np.ndarray] = {}

    def wanted(self) -> bool:
        """Whether there is a threshold that was fitted on validation patients."""
        options = self.context.options
        fitted = options.threshold_rule in SHARED_RULES and options.threshold_rule != "fixed"
        return fitted and options.threshold_redraws > 0

    def thresholds(self, task: Task, judged: JudgedUnits) -> np.ndarray:
        """The redrawn thresholds [R] of a task."""
        if task.name not in self._thresholds:
            context = self.context
            count = context.options.threshold_redraws
            count = min(count, FEWER) if len(judged.label) > LARGE else count
            found = thresholds_redrawn(context.study, task, context.options, count)
            # a redraw of one label has no threshold: left out of the share, not counted against it
            self._thresholds[task.name] = found[np.isfinite(found)]
        return self._thresholds[task.name]

    def of(self, batch: Batch, task: int, cell: int, grouping: Grouping) -> dict[str, Redrawn]:
        """One problem under all redrawn thresholds, by metric; {} where nothing was redrawn.

        Args:
          batch: tasks.
          task: which of them.
          cell: which study cell.
          grouping: an attribute.
        """
        member, k = batch.members[task], batch.place(task, cell)
        redrawn = self.thresholds(member.task, member.units)
        if not redrawn.size:
            return {}
        # thresholds are scores of validation patients: they repeat, and each is decided once
        tau, where = np.unique(redrawn, return_inverse=True)
        before, after = (batch.scores[version][k] for version in (0, 1))
        known = np.isfinite(before) & np.isfinite(after)
        # of those without the finding a decision fewer is a gain
        sign = np.where(known, np.where(batch.label[k] == 1, 1.0, -1.0), np.nan)
        # [R, U]: thresholds stand in the place of the K problems
        moved = (after >= tau[:, None]).astype(np.int8) - (before >= tau[:, None])
        numbered = patient_units(grouping.code, batch.patients, len(grouping.groups))
        tables = tabulate(numbered, sign * moved, batch.label[k])
        counted = judge_cells(tables, self.context.options.min_patients)
        # of every redraw from those of the distinct thresholds
        parts, size = (part[where] for part in statistics(tables, counted=counted))
        weights = np.asarray(self.context.options.label_weights)
        # equal opportunity is the label 1 of the same tables
        return {
            "eodd": Redrawn(parts @ weights, size),
            "eop": Redrawn(parts[:, 1], size[:, 1:]),
        }
