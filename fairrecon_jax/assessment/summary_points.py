"""Point estimates of one part of the patients, without intervals or tests: what a choice on
validation patients is made from.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from fairrecon_jax import metrics
from fairrecon_jax.assessment import thresholds
from fairrecon_jax.assessment.arrays import JudgedUnits, Study, studies, units
from fairrecon_jax.assessment.classification import count, decide, gap_values, tables
from fairrecon_jax.assessment.options import SHARED_RULES, AssessOptions
from fairrecon_jax.assessment.resample import weighted_sums
from fairrecon_jax.assessment.separation import placements
from fairrecon_jax.types import CohortSpec, Task


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
        task, attribute, value; task and
      attribute are "" where they play no part.

    Raises:
      ValueError: the part is unknown, or the table contradicts itself.
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
        values: list[tuple[str, str, str, np.ndarray]] = []
        if "psnr" in study.columns:
            finite = np.where(np.isfinite(study.columns["psnr"]), study.columns["psnr"], np.nan)[
                :, rows
            ]
            values.append(("psnr", "", "", np.nanmean(finite, 1)))
        for task in spec.tasks:
            if f"{task.name}__reconstructed" in study.columns:
                found = units(study, task, rows, options.empty_mask)
                values += (
                    _classification(study, task, found, options)
                    if task.kind == "classification"
                    else _segmentation(task, found)
                )
        for k, cell in enumerate(study.cells):
            place = {**cell._asdict(), "seed": study.seed, "part": part}
            records += [
                {**place, "metric": m, "task": t, "attribute": a, "value": float(v[k])}
                for m, t, a, v in values
            ]
    return pd.DataFrame(records)


def _classification(
    study: Study, task: Task, found: JudgedUnits, options: AssessOptions
) -> list[tuple[str, str, str, np.ndarray]]:
    """AUROC and EODD per attribute, [K] each."""
    decisions = decide(found, thresholds.fit(study, task, options))
    areas = [
        placements(found.reconstructed[k, known], found.label[known])[0]
        for k, known in enumerate(decisions.known)
    ]
    values = [("auroc", task.name, "", np.array(areas))]
    together = np.zeros(len(found.label), np.int64)
    for grouping in found.groupings[1:]:
        sums = weighted_sums(None, tables(found, decisions, grouping, together, 1))
        _, cells = count(found, decisions, grouping)
        values.append(
            (
                "eodd",
                task.name,
                grouping.name,
                gap_values(sums[:3], ("worst_case",), cells > 0)["eodd", "worst_case"][1][0],
            )
        )
    return values


def _segmentation(task: Task, found: JudgedUnits) -> list[tuple[str, str, str, np.ndarray]]:
    """Mean Dice and SER per attribute, [K] each."""

    def mean(inside: np.ndarray) -> np.ndarray:
        known = np.isfinite(found.reconstructed) & inside
        total = np.where(known, np.nan_to_num(found.reconstructed), 0).sum(1)
        return np.divide(total, known.sum(1), out=np.full(len(known), np.nan), where=known.any(1))

    values = [("dice", task.name, "", mean(np.ones(found.reconstructed.shape[1], bool)))]
    for grouping in found.groupings[1:]:
        groups = np.stack([mean(grouping.code == g) for g in range(len(grouping.groups))], 1)
        with jax.enable_x64(True):
            values.append(
                (
                    "ser",
                    task.name,
                    grouping.name,
                    np.asarray(metrics.ser(jnp.asarray(groups)).value),
                )
            )
    return values
