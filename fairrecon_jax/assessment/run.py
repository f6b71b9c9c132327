"""`assess`: from a predictions table to the two long tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fairrecon_jax.assessment import (
    classification,
    continuous,
    gaps,
    image_quality,
    performance,
    thresholds,
)
from fairrecon_jax.assessment.arrays import Grouping, Study, studies, units
from fairrecon_jax.assessment.batch import Judged, batches, everyone, run_tests
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.deferred import adjust
from fairrecon_jax.assessment.options import SHARED_RULES, AssessOptions
from fairrecon_jax.assessment.rows import Interval, Row, as_table
from fairrecon_jax.assessment.separation import separation
from fairrecon_jax.types import CohortSpec, InputError, Task


def assess(
    table: pd.DataFrame, spec: CohortSpec, options: AssessOptions | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Assesses performance and group gaps of every task, attribute, reconstructor, level and
    mitigation.

    Args:
      table: predictions, one row per image or slice and study cell, of one cohort (see
        `write_predictions`).
      spec: the cohort's specification.
      options: choices; the defaults if None.

    Returns:
      (performance, fairness), long tables with the columns `rows.COLUMNS`.

    Raises:
      InputError: the table contradicts itself or the specification, or a threshold cannot be
        fitted; the message names the column or task.
    """
    options = options or AssessOptions()
    all_performance, all_fairness = [], []
    for study in studies(table, spec, options.intersections):
        context = Context(study, options, spec.modality)
        present = present_tasks(spec, study)
        if spec.tasks and not present:
            raise InputError(
                "the predictions table holds no column '<task>__reconstructed' for any "
                f"of {[t.name for t in spec.tasks]}"
            )
        fill(context, present)
        image_quality.add_image_quality(context)
        adjust(context.deferred)
        all_performance += context.performance
        all_fairness += context.fairness
    return as_table(all_performance), as_table(all_fairness)


def present_tasks(spec: CohortSpec, study: Study) -> list[Task]:
    """The tasks that the table holds; a table may leave tasks out."""
    return [task for task in spec.tasks if f"{task.name}__reconstructed" in study.columns]


def fill(context: Context, tasks: list[Task]) -> None:
    """Adds all rows and deferred tests of the given tasks; `deferred.adjust` completes them."""
    _classification(context, [task for task in tasks if task.kind == "classification"])
    for task in tasks:
        if task.kind == "segmentation":
            judged = units(context.study, task, context.study.test, context.options.empty_mask)
            continuous.add_segmentation(context, task, judged)


def _prepare(context: Context, task: Task) -> Judged:
    """Fits the threshold of a classification task and decides."""
    fitted = thresholds.fit(context.study, task, context.options)
    evaluated = units(context.study, task, context.study.test)
    return Judged(task, fitted, evaluated, classification.decide(evaluated, fitted))


def _classification(context: Context, tasks: list[Task]) -> None:
    """Adds all rows of the classification tasks, batch by batch."""
    for members in batches(_prepare(context, task) for task in tasks):
        judged = members[0].units.paired and context.options.threshold_rule in SHARED_RULES
        flips: list[tuple[np.ndarray, ...]] = (
            everyone(context, members) if judged else [()] * len(members)
        )
        aurocs, measured = zip(
            *(
                _add_task(context, member, p_values)
                for member, p_values in zip(members, flips, strict=True)
            ),
            strict=True,
        )
        for place, grouping in enumerate(members[0].units.groupings):
            if grouping.name and np.any(grouping.code >= 0):
                by_task = [per_grouping[place] for per_grouping in measured]
                tests = run_tests(context, members, place, judged, [m.strata for m in by_task])
                for member, resampled, test, auroc in zip(
                    members, by_task, tests, aurocs, strict=True
                ):
                    own_grouping = member.units.groupings[place]
                    gaps.add_gaps(
                        context,
                        _base(member),
                        member.units,
                        own_grouping,
                        resampled,
                        test,
                        auroc,
                    )


def _base(judged: Judged) -> Row:
    """The columns that all rows of a classification task share."""
    return {
        "task": judged.task.name,
        "unit": judged.units.unit,
        "threshold_rule": judged.thresholds.rule,
    }


def _measure(context: Context, judged: Judged, grouping: Grouping) -> classification.Measured:
    """Bootstrap of one task and grouping."""
    options, (resampled, weights) = context.options, context.resampled(judged.units)
    return classification.measure(
        judged.units,
        judged.decisions,
        grouping,
        resampled,
        weights,
        options.conventions,
        options.min_patients,
        options.alpha,
    )


def _add_task(
    context: Context, judged: Judged, flips: tuple[np.ndarray, ...]
) -> tuple[tuple[Interval, ...], tuple[classification.Measured, ...]]:
    """Adds thresholds and performance rows of one task; returns per study cell the AUROC on
    originals, and what was measured per grouping.
    """
    units_, decisions = judged.units, judged.decisions
    performance.add_thresholds(context, _base(judged), judged.thresholds)
    aurocs: tuple[Interval, ...] = ()
    measured = tuple(_measure(context, judged, grouping) for grouping in units_.groupings)
    for grouping, resampled in zip(units_.groupings, measured, strict=True):
        separated = separation(units_, decisions.known, decisions.shared, grouping)
        results = performance.TaskResults(
            units_, decisions, grouping, resampled, separated, () if grouping.name else flips
        )
        performance.add_performance(context, _base(judged), results)
        if grouping.name == "":
            aurocs = tuple(
                context.reference_auroc(judged.task.name, separated, k)
                for k in range(len(context.study.cells))
            )
    return aurocs, measured
