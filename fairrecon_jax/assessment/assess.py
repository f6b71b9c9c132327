"""`assess`: from a predictions table to the two long tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fairrecon_jax.assessment import classification, continuous, gaps, performance, thresholds
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.options import SHARED_RULES, AssessOptions
from fairrecon_jax.assessment.pending import settle
from fairrecon_jax.assessment.rows import Interval, as_table
from fairrecon_jax.assessment.separation import separation
from fairrecon_jax.assessment.study import Study, studies, units
from fairrecon_jax.types import CohortSpec, Task


def assess(table: pd.DataFrame, spec: CohortSpec, options: AssessOptions | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Assesses performance and group gaps of every task, attribute, reconstructor, level and mitigation.

    Args:
      table: predictions, one row per image or slice and study cell, of one cohort (see `write_predictions`).
      spec: the cohort's specification.
      options: choices; the defaults if None.

    Returns:
      (performance, fairness), long tables with the columns `rows.COLUMNS`.

    Raises:
      ValueError: the table contradicts itself or the specification, or a threshold cannot be fitted; the message names the column or task.
    """
    options = options or AssessOptions()
    all_performance, all_fairness = [], []
    for study in studies(table, spec, options.intersections):
        context = Context(study, options, spec.modality)
        for task in _present(spec, study):
            if task.kind == "classification":
                _classification(context, task)
            else:
                continuous.add_segmentation(context, task, units(study, task, study.test, options.empty_mask))
        continuous.add_image_quality(context)
        settle(context.pending)
        all_performance += context.performance
        all_fairness += context.fairness
    return as_table(all_performance), as_table(all_fairness)


def _present(spec: CohortSpec, study: Study) -> list[Task]:
    """The tasks that the table holds; a table may leave tasks out, but not all of them."""
    present = [task for task in spec.tasks if f"{task.name}__reconstructed" in study.columns]
    if spec.tasks and not present:
        raise ValueError(f"the predictions table holds no column '<task>__reconstructed' for any of {[t.name for t in spec.tasks]}")
    return present


def _classification(context: Context, task: Task) -> None:
    """Adds all rows of one classification task."""
    study, options = context.study, context.options
    fitted = thresholds.fit(study, task, options)
    judged_units = units(study, task, study.test)
    decisions = classification.decide(judged_units, fitted)
    base = {"task": task.name, "unit": judged_units.unit, "threshold_rule": fitted.rule}
    resampled, weights = context.resampled(judged_units)
    judged = judged_units.paired and options.threshold_rule in SHARED_RULES
    areas: tuple[Interval, ...] = ()
    performance.add_thresholds(context, base, fitted)
    for grouping in judged_units.groupings:
        measured = classification.measure(
            judged_units, decisions, grouping, resampled, weights, options.conventions, options.min_patients, options.alpha
        )
        separated = separation(judged_units, decisions.known, decisions.shared, grouping)
        flips = performance.everyone_tests(context, judged_units, decisions) if grouping.name == "" and judged else ()
        performance.add_performance(context, base, judged_units, decisions, grouping, measured, separated, flips)
        if grouping.name == "":
            areas = tuple(separated.triple(k, 0, options.alpha).original for k in range(len(study.cells)))
        elif np.any(grouping.code >= 0):
            tests = gaps.run_tests(context, judged_units, decisions, grouping, judged)
            gaps.add_gaps(context, base, judged_units, grouping, measured, tests, areas)
