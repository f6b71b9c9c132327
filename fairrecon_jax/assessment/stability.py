"""How much a verdict depends on the threshold: in how many redraws of the validation patients, each
with a threshold of its own, the verdict stays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fairrecon_jax.assessment.arrays import Grouping, Study
from fairrecon_jax.assessment.batch import Batch, only_positives
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.options import SHARED_RULES, AssessOptions
from fairrecon_jax.assessment.thresholds import first_known, fit_one
from fairrecon_jax.assessment.units import JudgedUnits, units
from fairrecon_jax.inference.changes import Changes, decision_changes
from fairrecon_jax.inference.equal_changes import statistics
from fairrecon_jax.types import Task

LARGE, FEWER = 20_000, 50
"""Above so many units at most so many redraws are made: each decides all of them anew."""
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
    generator = np.random.default_rng([options.seed, 3])
    code = np.unique(judged.patient[rows], return_inverse=True)[1]
    found = np.full(count, np.nan)
    for r in range(count):
        if not rows.size:
            break
        drawn = generator.integers(0, code.max() + 1, code.max() + 1)
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
        tau, where = np.unique(redrawn, return_inverse=True)
        decided = []
        for scores in batch.scores:
            decision = np.where(np.isfinite(scores[k]), scores[k] >= tau[:, None], np.nan)
            decided.append(decision)
        options = self.context.options
        changes = decision_changes(
            decided[0],
            decided[1],
            batch.label[k],
            grouping.code,
            batch.patients,
            groups=len(grouping.groups),
            min_patients=options.min_patients,
        )
        return {
            "eodd": _statistics(changes, where, options.label_weights),
            "eop": _statistics(only_positives(changes), where, None),
        }


def _statistics(
    changes: Changes, where: np.ndarray, weights: tuple[float, float] | None
) -> Redrawn:
    """T and studentised deviations of every redraw from those of the distinct thresholds."""
    statistic, studentised = statistics(
        changes.tables, counted=changes.counted, label_weights=weights
    )
    return Redrawn(statistic[where], studentised[where])
