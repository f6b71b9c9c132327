"""`assess`: from a predictions table to the two long tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fairrecon_jax.assessment import (
    classification,
    continuous,
    image_quality,
    performance,
    thresholds,
)
from fairrecon_jax.assessment.arrays import Study, studies
from fairrecon_jax.assessment.batch import (
    Batch,
    Judged,
    batches,
    everyone,
    join,
    measured,
    run_tests,
)
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.deferred import adjust
from fairrecon_jax.assessment.gaps import TaskGaps
from fairrecon_jax.assessment.methods import add_methods
from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.assessment.precision import nan_is_an_answer
from fairrecon_jax.assessment.rows import Interval, Row, as_table
from fairrecon_jax.assessment.stability import Redraws
from fairrecon_jax.assessment.units import units
from fairrecon_jax.runtime.progress import Progress, Silence, progress
from fairrecon_jax.types import CohortSpec, InputError, Task


@nan_is_an_answer
def assess(
    table: pd.DataFrame,
    spec: CohortSpec,
    options: AssessOptions | None = None,
    shown: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Assesses performance and group gaps of every task, attribute, reconstructor, level and
    mitigation.

    Args:
      table: predictions, one row per image or slice and study cell, of one cohort (see
        `write_predictions`).
      spec: the cohort's specification.
      options: choices; the defaults if None.
      shown: whether progress is shown.

    Returns:
      (performance, fairness), long tables with the columns `rows.COLUMNS`.

    Raises:
      InputError: the table contradicts itself or the specification, or a threshold cannot be
        fitted; the message names the column or task.

    Example:
      >>> from fairrecon_jax.assessment.on_arrays import predictions
      >>> y, sex = np.arange(80) % 2, np.repeat(["f", "m"], 40)
      >>> after = np.where(sex == "f", 0.4 * y, 0.9 * y)  # no woman is found any more
      >>> table, spec = predictions(label=y, original=y, reconstructed=after, groups={"sex": sex})
      >>> rows = assess(table, spec, AssessOptions(threshold_rule="fixed", threshold_value=0.5))[1]
      >>> rows.query("metric == 'eop' and verdict != ''")[["group", "verdict"]].values.tolist()[0]
      ['f', 'harmed']
    """
    options = options or AssessOptions()
    arranged = studies(table, spec, options.intersections, options.strata)
    contexts = []
    for study in arranged:
        headline = float(spec.degradation.headline_level)
        context = Context(study, options, spec.modality, headline, keeps=len(arranged) > 1)
        present = present_tasks(spec, study)
        if spec.tasks and not present:
            raise InputError(
                "the predictions table holds no column '<task>__reconstructed' for any "
                f"of {[t.name for t in spec.tasks]}"
            )
        bar = _progress(study, present, len(arranged), shown)
        fill(context, present, bar)
        # not where a table is refused: its message stands alone
        bar.close()
        image_quality.add_image_quality(context)
        # per seed: a family is what one network could be blamed for
        adjust(context.deferred, options.alpha, options.adjustment)
        contexts.append(context)
    if len(contexts) > 1:
        add_methods(contexts)  # in families of their own, hence behind `adjust`
    return (
        as_table(row for context in contexts for row in context.performance),
        as_table(row for context in contexts for row in context.fairness),
    )


def present_tasks(spec: CohortSpec, study: Study) -> list[Task]:
    """The tasks that the table holds; a table may leave tasks out."""
    return [task for task in spec.tasks if f"{task.name}__reconstructed" in study.columns]


def _progress(study: Study, tasks: list[Task], seeds: int, shown: bool) -> Progress:
    """What shows how many tasks of how many attributes are assessed."""
    if not shown:
        return Silence()
    title = "assess" if seeds == 1 else f"assess seed {study.seed}"
    return progress(title, len(tasks) * len(study.groupings), unit="comparison")


def fill(context: Context, tasks: list[Task], bar: Progress) -> None:
    """Adds all rows and deferred tests of the given tasks; `deferred.adjust` completes them.

    Args:
      context: takes the rows.
      tasks: to assess.
      bar: advances by one for each task and attribute, everyone together included.
    """
    _classification(context, [task for task in tasks if task.kind == "classification"], bar)
    for task in tasks:
        if task.kind == "segmentation":
            judged = units(context.study, task, context.study.test, context.options.empty_mask)
            continuous.add_segmentation(context, task, judged)
            bar.advance(len(judged.groupings))


def _prepare(context: Context, task: Task) -> Judged:
    """Fits the threshold of a classification task and decides."""
    fitted = thresholds.fit(context.study, task, context.options)
    evaluated = units(context.study, task, context.study.test)
    return Judged(task, fitted, evaluated, classification.decide(evaluated, fitted))


def _classification(context: Context, tasks: list[Task], bar: Progress) -> None:
    """Adds all rows of the classification tasks, batch by batch."""
    redraws = Redraws(context)
    # a generator: what is prepared for a task goes with its batch
    for members in batches(_prepare(context, task) for task in tasks):
        batch = join(context, members)
        bases = [_base(member) for member in members]
        for base, member in zip(bases, members, strict=True):
            performance.add_thresholds(context, base, member.thresholds)
        aurocs: list[tuple[Interval, ...]] = []
        # everyone comes first: its AUROCs say to every attribute whether the diagnosis is at chance
        for grouping in batch.units.groupings:
            found = measured(context, batch, grouping)
            # only everyone together is tested for any change
            paired = grouping.name == "" and batch.units.paired
            tests = everyone(context, found) if paired else {}
            for task, base in enumerate(bases):
                results = performance.TaskResults(batch, task, grouping, found, tests)
                performance.add_performance(context, base, results)
            if grouping.name == "":
                aurocs = [_originals(context, batch, task, found) for task in range(len(members))]
            elif np.any(grouping.code >= 0):
                compared = run_tests(context, batch, grouping, found)
                rows = TaskGaps(context, batch, grouping, found, compared, redraws)
                for task, base in enumerate(bases):
                    rows.add(task, base, aurocs[task])
            bar.advance(len(members))


def _originals(
    context: Context, batch: Batch, task: int, found: classification.Measured
) -> tuple[Interval, ...]:
    """Per study cell the AUROC of everyone on originals."""
    name = batch.members[task].task.name
    return tuple(
        context.reference_auroc(name, found.auroc_values.at(batch.place(task, k), 0, 0).original)
        for k in range(batch.cells)
    )


def _base(judged: Judged) -> Row:
    """The columns that all rows of a classification task share."""
    return {
        "task": judged.task.name,
        "unit": judged.units.unit,
        "threshold_rule": judged.thresholds.rule,
    }
