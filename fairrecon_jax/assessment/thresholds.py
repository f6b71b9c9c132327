"""Decision thresholds: fitted on the original images of validation patients, the same for every
version.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fairrecon_jax import metrics
from fairrecon_jax.assessment.arrays import Study
from fairrecon_jax.assessment.options import SHARED_RULES, AssessOptions
from fairrecon_jax.assessment.units import units
from fairrecon_jax.types import InputError, Task


class Thresholds(NamedTuple):
    """Thresholds of one task.

    Attributes:
      original: [K] used on scores of original images.
      reconstructed: [K] used on scores of reconstructions; equal to `original` under every shared
        rule.
      rule: text of the column `threshold_rule`.
      decided: whether the scores of originals, and of reconstructions, are decisions, 0 or 1, and
        nothing else is known of them.
    """

    original: np.ndarray
    reconstructed: np.ndarray
    rule: str
    decided: tuple[bool, bool] = (False, False)


def fit(study: Study, task: Task, options: AssessOptions) -> Thresholds:
    """The thresholds of a classification task under the options' rule.

    Args:
      study: arrays of one seed.
      task: a classification task.
      options: rule and, where it needs one, its value.

    Returns:
      `Thresholds`, one per study cell; NaN where the patients it is fitted on hold no positives or
        no negatives with a score.

    Raises:
      InputError: the rule needs validation patients (or their originals) and there are none.
    """
    decided = are_decisions(study, task)
    # anything in (0, 1] decides 0 and 1 as they are
    half = np.full(len(study.cells), 0.5)
    if all(decided):
        return Thresholds(half, half, "decisions as given", decided)
    found = _fit(study, task, options, decided)
    # whatever is fitted on scores, what is 0 or 1 stays so
    return found._replace(
        original=half if decided[0] else found.original,
        reconstructed=half if decided[1] else found.reconstructed,
        decided=decided,
    )


def _fit(
    study: Study, task: Task, options: AssessOptions, decided: tuple[bool, bool]
) -> Thresholds:
    """The thresholds of a task that has scores."""
    rule, cells = options.threshold_rule, len(study.cells)
    if rule == "fixed":
        value = np.full(cells, options.value_for(task.name))
        return Thresholds(value, value, "fixed")
    if decided[0] and rule in SHARED_RULES:
        raise InputError(
            f"task {task.name!r} has decisions, 0 or 1, on the original images and scores on the "
            f"reconstructions: threshold rule {rule!r} has no scores to be fitted on; give the "
            "threshold of these scores with 'fixed'"
        )
    rows = study.test if rule == "published" else study.validation
    if not rows.any():
        raise InputError(
            f"threshold rule {rule!r} needs validation patients, and no row has split "
            "'val'; test patients are not used for fitting. "
            "Give validation rows, or thresholds with threshold_rule='fixed'"
        )
    fitted_on = units(study, task, rows)
    if rule in SHARED_RULES:
        if not fitted_on.paired:
            raise InputError(
                f"task {task.name!r} has no predictions on original validation images; "
                "give a threshold with 'fixed'"
            )
        score = first_known(fitted_on.original)
        # one for all cells and versions: what changes a decision is the image
        value = np.full(cells, fit_one(score, fitted_on.label, options, task.name))
        return Thresholds(value, value, f"{rule} on validation originals")
    where = "the evaluated patients, per version" if rule == "published" else "validation patients"
    reconstructed = _per_cell(fitted_on.reconstructed, fitted_on.label, options, task.name)
    original = (
        _per_cell(fitted_on.original, fitted_on.label, options, task.name)
        if fitted_on.paired
        else reconstructed
    )
    return Thresholds(original, reconstructed, f"{rule}: balanced on {where}")


def are_decisions(study: Study, task: Task) -> tuple[bool, bool]:
    """Whether all scores of a task are 0 or 1, of originals and of reconstructions: a threshold
    between them changes nothing, and an AUROC would be that of one point. Means and medians over a
    patient's images are scores again; without originals the reconstructions stand for both.
    """

    def decided(version: str) -> bool:
        score = study.columns[f"{task.name}__{version}"]
        known = score[np.isfinite(score)]
        return task.aggregation == "none" and bool(len(known) and np.isin(known, (0, 1)).all())

    after = decided("reconstructed")
    return decided("original") if f"{task.name}__original" in study.columns else after, after


def first_known(original: np.ndarray) -> np.ndarray:
    """[K, U] -> [U]: originals are the same in every cell, each from the first cell that has it."""
    known = np.isfinite(original)
    first = np.take_along_axis(original, known.argmax(0)[None], 0)[0]
    return np.where(known.any(0), first, np.nan)


def _per_cell(
    scores: np.ndarray, label: np.ndarray, options: AssessOptions, task: str
) -> np.ndarray:
    """One threshold per study cell from scores [K, U]."""
    return np.array([fit_one(score, label, options, task) for score in scores])


def fit_one(score: np.ndarray, label: np.ndarray, options: AssessOptions, task: str) -> float:
    """One threshold, one of the scores."""
    # the curve of the metrics masks by label, not by score
    known = np.isfinite(score) & np.isfinite(label)
    args = np.where(known, label, np.nan), np.where(known, score, np.nan)
    if options.threshold_rule == "sensitivity":
        return float(metrics.threshold_at_sensitivity(*args, options.value_for(task)))
    if options.threshold_rule == "specificity":
        return float(metrics.threshold_at_specificity(*args, options.value_for(task)))
    if options.roc_points == "thinned":
        return float(metrics.thinned_balanced_threshold(*args))
    return float(metrics.balanced_threshold(*args))
