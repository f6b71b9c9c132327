"""Point estimates among the validation or the test patients, without intervals or tests: what a
choice on validation patients is based on.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax import metrics
from fairrecon_jax.assessment import thresholds
from fairrecon_jax.assessment.arrays import Study, studies
from fairrecon_jax.assessment.classification import decide
from fairrecon_jax.assessment.gaps import decision_gaps
from fairrecon_jax.assessment.options import SHARED_RULES, AssessOptions
from fairrecon_jax.assessment.precision import nan_is_an_answer
from fairrecon_jax.assessment.units import JudgedUnits, units
from fairrecon_jax.inference.changes import decision_changes
from fairrecon_jax.inference.delong import placements
from fairrecon_jax.types import CohortSpec, Task

Estimates = list[tuple[str, str, str, np.ndarray]]
"""(metric, task, attribute, values [K])."""


@nan_is_an_answer
def points(
    table: pd.DataFrame, spec: CohortSpec, options: AssessOptions, part: str
) -> pd.DataFrame:
    """Image quality, task scores and gaps (the paper's convention) of reconstructions among the
    validation or test patients.

    Decisions use the study's threshold, from the original images of the validation patients,
    whatever the part.

    Args:
      table: predictions of one cohort, validation and test rows.
      spec: its specification.
      options: threshold rule ("balanced" where the options ask for thresholds per version) and Dice
        of empty masks.
      part: "val" or "test".

    Returns:
      Columns reconstructor, level, mitigation, seed, part, metric (psnr, auroc, dice, eodd, ser),
        task, attribute, value; task and attribute are "" where they play no part.

    Raises:
      ValueError: the part is unknown, or the table contradicts itself.

    Example:
      >>> from fairrecon_jax.assessment.on_arrays import predictions
      >>> y, before, after = [0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], [0.1, 0.9, 0.8, 0.7]
      >>> table, spec = predictions(label=y, original=before, reconstructed=after, groups={"g": y})
      >>> options = AssessOptions(threshold_rule="fixed", threshold_value=0.5)
      >>> found = points(table, spec, options, "test").set_index("metric")["value"]
      >>> float(found["auroc"])  # of four pairs two are right
      0.5
    """
    if part not in ("val", "test"):
        raise ValueError(f"part must be 'val' or 'test', got {part!r}")
    options = (
        options
        if options.threshold_rule in SHARED_RULES
        else dataclasses.replace(options, threshold_rule="balanced")
    )
    records: list[dict[str, Any]] = []
    for study in studies(table, spec):
        rows = study.validation if part == "val" else study.test
        values: Estimates = []
        if "psnr" in study.columns:
            psnr = study.columns["psnr"][:, rows]
            # identical images have an infinite PSNR, which would swallow the mean
            mean = np.nanmean(np.where(np.isfinite(psnr), psnr, np.nan), 1)
            values.append(("psnr", "", "", mean))
        for task in spec.tasks:
            if f"{task.name}__reconstructed" in study.columns:
                judged = units(study, task, rows, options.empty_mask)
                values += (
                    _classification(study, task, judged, options)
                    if task.kind == "classification"
                    else _segmentation(task, judged)
                )
        for k, cell in enumerate(study.cells):
            place = {**cell._asdict(), "seed": study.seed, "part": part}
            records += [
                {**place, "metric": m, "task": t, "attribute": a, "value": float(v[k])}
                for m, t, a, v in values
            ]
    return pd.DataFrame(records)


def _classification(
    study: Study, task: Task, judged: JudgedUnits, options: AssessOptions
) -> Estimates:
    """AUROC and EODD per attribute, [K] each."""
    decisions = decide(judged, thresholds.fit(study, task, options))
    aurocs = [
        placements(judged.label[known], judged.reconstructed[k, known])[0]
        for k, known in enumerate(decisions.known)
    ]
    values = [("auroc", task.name, "", np.array(aurocs))]
    alone = np.arange(len(judged.label))  # a point estimate does not ask who an image is of
    for grouping in judged.groupings[1:]:  # everyone has no gap
        changes = decision_changes(
            # reconstructions in both places: only their own gap is read below
            decisions.reconstructed,
            decisions.reconstructed,
            decisions.label,
            grouping.code,
            alone,
            groups=len(grouping.groups),
        )
        eodd = decision_gaps(changes, "eodd", "worst_case")[1]
        values.append(("eodd", task.name, grouping.name, eodd))
    return values


def _segmentation(task: Task, judged: JudgedUnits) -> Estimates:
    """Mean Dice and SER per attribute, [K] each."""
    dice = judged.reconstructed

    def mean(inside: np.ndarray) -> np.ndarray:
        known = np.isfinite(dice) & inside
        total = np.where(known, np.nan_to_num(dice), 0).sum(1)
        return np.divide(total, known.sum(1), out=np.full(len(known), np.nan), where=known.any(1))

    values = [("dice", task.name, "", mean(np.ones(dice.shape[1], bool)))]
    for grouping in judged.groupings[1:]:
        groups = np.stack([mean(grouping.code == g) for g in range(len(grouping.groups))], 1)
        ratio = np.asarray(metrics.ser_from_means(groups).value)
        values.append(("ser", task.name, grouping.name, ratio))
    return values
