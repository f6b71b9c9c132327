"""How the change depends on continuous attributes: curves with bands, and whether there is a
dependence at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.assessment import thresholds
from fairrecon_jax.assessment.arrays import Study, studies
from fairrecon_jax.assessment.classification import decide
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.assessment.precision import nan_is_an_answer
from fairrecon_jax.assessment.units import JudgedUnits, units
from fairrecon_jax.inference.changes import Changes, decision_changes, value_changes
from fairrecon_jax.inference.group_family import adjust_cells
from fairrecon_jax.inference.group_tables import patient_units as number_units
from fairrecon_jax.inference.group_tables import tabulate
from fairrecon_jax.inference.trend import TrendTest, trend_test
from fairrecon_jax.types import CohortSpec, InputError, Task

COLUMNS = (
    "cohort", "task", "column", "reconstructor", "level", "mitigation", "seed", "metric",
    "label_stratum", "at", "change", "ci_low", "ci_high", "n_patients", "p_value", "p_adjusted",
    "verdict",
)  # fmt: skip
QUANTITIES = {
    "classification": (("specificity", "negative"), ("sensitivity", "positive")),
    "segmentation": (("dice", ""),),
}
WORDS = ("depends", "no dependence shown", "not estimable")
"""The change depends on the attribute by more than chance explains; it could not be told apart from
one that does not; fewer than 40 patients of every label.
"""


@nan_is_an_answer
def trends(
    table: pd.DataFrame, spec: CohortSpec, options: AssessOptions | None = None
) -> pd.DataFrame:
    """Curves of the change of sensitivity, specificity and Dice along `options.continuous`.

    Args:
      table: predictions, see `assess`, with the columns.
      spec: the cohort's specification.
      options: choices.

    Returns:
      Long table with the columns `COLUMNS`, a row per point of a curve; the p-value is that of the
        whole curve, adjusted over all tasks, cells and columns of a seed.

    Raises:
      InputError: a column is missing, is no number, or has too few values; the message names it.

    Example:
      >>> from fairrecon_jax.assessment.on_arrays import predictions
      >>> y, age = np.repeat([0, 1], 100), np.tile(np.linspace(20, 90, 100), 2)
      >>> after = np.where(age > 60, 0.4 * y, 0.9 * y)  # nobody over 60 is found any more
      >>> table, spec = predictions(label=y, original=0.9 * y, reconstructed=after)
      >>> options = AssessOptions(threshold_rule="fixed", threshold_value=0.5, continuous=("age",))
      >>> set(trends(table.assign(age=age), spec, options)["verdict"])
      {'depends'}
    """
    options = options or AssessOptions()
    rows: list[dict[str, Any]] = []
    for study in studies(table, spec):
        context = Context(study, options, spec.modality, float(spec.degradation.headline_level))
        tested = []
        for column in options.continuous:
            values = _values(table, column, study)
            for task in spec.tasks:
                if f"{task.name}__reconstructed" in study.columns:
                    tested += [
                        (column, task, test)
                        for test in [_test(context, task, column, values)]
                        if test is not None
                    ]
        for (column, task, test), adjusted in zip(tested, _adjusted(tested, options), strict=True):
            rows += list(_rows(study, task, column, test, adjusted, options.alpha))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _values(table: pd.DataFrame, column: str, study: Study) -> np.ndarray:
    """The value of each patient of a study [P]: the mean over its images."""
    if column not in table.columns:
        raise InputError(
            f"assess.continuous names the column {column!r}; the predictions have "
            f"{sorted(c for c in table.columns if pd.api.types.is_numeric_dtype(table[c]))}"
        )
    values = pd.to_numeric(table[column], errors="coerce")
    if values.notna().sum() == 0:
        raise InputError(f"assess.continuous: the column {column!r} holds no number")
    # an image has a row in every cell, which leaves its patient's mean where it is
    means = values.groupby(table["patient_id"].astype(str)).mean()
    return means.reindex(pd.Index(study.patient_names.astype(str))).to_numpy(float)


def _test(context: Context, task: Task, column: str, values: np.ndarray) -> TrendTest | None:
    """The test of one task, all cells; None where there is no pair."""
    study, options = context.study, context.options
    judged = units(study, task, study.test, options.empty_mask)
    if not judged.paired:
        return None
    changes = _changes(context, task, judged)
    # a unit here is a patient: everyone is one group
    numbered = number_units(np.zeros(len(judged.label), int), context.patients(judged), 1)
    of_image = values[judged.patient]
    # by way of the tables, whose order of units the changes have
    shared = tabulate(numbered, of_image, weigh="patients")
    value = np.where(shared.images[:, 0, 0] > 0, shared.change[:, 0, 0], np.nan)
    try:
        return trend_test(
            changes,
            value,
            seed=options.seed,
            attribute=column,
            # each draw inverts a matrix per cell and label
            permutations=min(context.permutations, 1999),
            label_weights=options.label_weights if task.kind == "classification" else None,
            alpha=options.alpha,
        )
    except ValueError as error:
        raise InputError(f"assess.continuous: {error}") from error


def _changes(context: Context, task: Task, judged: JudgedUnits) -> Changes:
    """Changes of everyone as one group."""
    code, patients = np.zeros(len(judged.label), int), context.patients(judged)
    if task.kind == "segmentation":
        return value_changes(judged.original, judged.reconstructed, code, patients, groups=1)
    decisions = decide(judged, thresholds.fit(context.study, task, context.options))
    return decision_changes(
        decisions.original, decisions.reconstructed, decisions.label, code, patients, groups=1
    )


def _adjusted(
    tested: list[tuple[str, Task, TrendTest]], options: AssessOptions
) -> list[np.ndarray]:
    """Adjusted p-values [K] of each test."""
    cells = [
        {"permutation": test.smallest["permutation"][:, k]}
        for _, _, test in tested
        for k in np.flatnonzero(np.isfinite(test.p_value))
    ]
    flat = iter(adjust_cells(cells, options.alpha)[0]) if cells else iter(())
    found = []
    for _, _, test in tested:
        p = np.full(len(test.p_value), np.nan)
        for k in np.flatnonzero(np.isfinite(test.p_value)):
            p[k] = next(flat)  # in the order of `cells`
        found.append(p)
    return found


def _rows(
    study: Study, task: Task, column: str, test: TrendTest, adjusted: np.ndarray, alpha: float
) -> Iterator[dict[str, Any]]:
    """The points of the curves of one task."""
    for k, cell in enumerate(study.cells):
        p = float(adjusted[k])
        word = WORDS[2] if not np.isfinite(p) else WORDS[0] if p <= alpha else WORDS[1]
        for y, (metric, stratum) in enumerate(QUANTITIES[task.kind]):
            for q, at in enumerate(test.at):
                yield {
                    "cohort": study.cohort,
                    "task": task.name,
                    "column": column,
                    "seed": study.seed,
                    **cell._asdict(),
                    "metric": metric,
                    "label_stratum": stratum,
                    "at": float(at),
                    "change": float(test.change[k, y, q]),
                    "ci_low": float(test.low[k, y, q]),
                    "ci_high": float(test.high[k, y, q]),
                    "n_patients": int(test.patients[k, y]),
                    "p_value": float(test.p_value[k]),
                    "p_adjusted": p,
                    "verdict": word,
                }
