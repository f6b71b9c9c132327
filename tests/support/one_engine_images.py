"""What is judged in a made-up cohort, arranged without anything of `fairrecon_jax.assessment`."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
import pandas as pd

from fairrecon_jax import inference, metrics
from fairrecon_jax.inference import Changes, PatientTables
from fairrecon_jax.physics import describe
from fairrecon_jax.types import Attribute, CohortSpec, Task

LEVEL, TAU, SEED = 1e4, 0.5, 3
LABELS = (("specificity", "negative"), ("sensitivity", "positive"))
DRAWS = 19
"""Permutations behind a null."""
CONVENTIONS = ("worst_case", "mean", "worst_case_estimable")
NAN = float("nan")
SPEC = CohortSpec(
    "made",
    "Made",
    "xray",
    (
        Task("edema", "classification"),
        Task("nodule", "classification"),
        Task("region", "segmentation", "mean"),
    ),
    (
        Attribute("sex", ("Female", "Male")),
        Attribute("age", ("young", "middle", "old"), per="image"),
    ),
    describe("xray_low_dose", (LEVEL,), LEVEL),
)
Key = tuple[str, ...]
"""Reconstructor, task, attribute, metric, convention, group, label, version."""
Row = dict[str, float]


class Options(NamedTuple):
    """What an assessment and the direct calculation share."""

    permutations: int = 99
    alpha: float = 0.05
    min_patients: int = 8
    label_weights: tuple[float, float] = (0.5, 1.0)
    adjustment: str = "westfall_young"


class Images(NamedTuple):
    """What is judged of one task in one study cell, one entry per image (or patient).

    Attributes:
      original: score or Dice.
      reconstructed: score or Dice.
      label: {0, 1}; None for segmentation.
      patient: names.
      code: by attribute the number of the group.
    """

    original: np.ndarray
    reconstructed: np.ndarray
    label: np.ndarray | None
    patient: np.ndarray
    code: dict[str, np.ndarray]


def codes(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """The number of each row's group, -1 unknown; "" is everyone."""
    found = {
        a.name: frame[a.name].map({g: i for i, g in enumerate(a.groups)}).fillna(-1).to_numpy(int)
        for a in SPEC.attributes
    }
    return {"": np.zeros(len(frame), int), **found}


def group_number(attribute: str) -> int:
    """How many groups an attribute has; everyone is one."""
    return next((len(a.groups) for a in SPEC.attributes if a.name == attribute), 1)


def images_of(frame: pd.DataFrame, task: str) -> Images:
    """Complete pairs of a classification task."""
    o, r, y = (
        frame[f"{task}__{part}"].to_numpy(float) for part in ("original", "reconstructed", "label")
    )
    known = np.isfinite(o) & np.isfinite(r) & np.isfinite(y)
    o, r, y = (np.where(known, v, np.nan) for v in (o, r, y))
    return Images(o, r, y, frame["patient_id"].to_numpy(str), codes(frame))


def patients_of(frame: pd.DataFrame, task: str) -> Images:
    """Patients' means over complete pairs; a group on which images disagree is unknown."""
    o, r = (frame[f"{task}__{part}"].to_numpy(float) for part in ("original", "reconstructed"))
    o, r = np.where(np.isnan(r), np.nan, o), np.where(np.isnan(o), np.nan, r)
    names, place = np.unique(frame["patient_id"], return_inverse=True)
    o, r = metrics.aggregate_rows(np.stack([o, r]), place, len(names), "mean")
    grouped = frame.groupby("patient_id")[[a.name for a in SPEC.attributes]]
    lone = grouped.first().where(grouped.nunique() == 1, None).sort_index()
    return Images(o, r, None, names.astype(str), codes(lone))


def column(interval: inference.Interval, *place: int) -> Row:
    """An interval as the columns of a row."""
    names = ("value", "std_error", "ci_low", "ci_high")
    return {n: float(np.asarray(v)[place]) for n, v in zip(names, interval, strict=True)}


def versions(key: Key, before: Row, after: Row, change: Row) -> dict[Key, Row]:
    """The three rows of a number."""
    pair = {"original": before["value"], "reconstructed": after["value"]}
    pair["change"] = change["value"]
    return {
        (*key, "original"): before,
        (*key, "reconstructed"): after,
        (*key, "change"): {**change, **pair},
    }


def lone(value: float) -> Row:
    return {"value": float(value), "std_error": NAN, "ci_low": NAN, "ci_high": NAN}


def group_numbers(
    images: Images,
    inside: np.ndarray,
    g: int,
    changes: tuple[Changes, Changes],
    errors: tuple[PatientTables, ...],
    alpha: float,
) -> dict[str, list[Row]]:
    """Rates, area, Brier score and calibration error of one group: both versions and the change.

    Args:
      images: of a classification task.
      inside: whose group it is.
      g: number of the group.
      changes: of decisions and of AUROCs.
      errors: squared errors of both versions and their change.
      alpha: 1 - coverage.

    Returns:
      Three rows by metric.
    """
    decisions, aurocs = changes
    tables, found = decisions.tables, {}
    unit, own = tables.group == g, aurocs.tables.group == g
    for y, (metric, _) in enumerate(LABELS):
        n = tables.images[unit, 0, y]
        found[metric] = [
            column(inference.rate_interval(v[unit, 0, y], n, alpha, rare=True))
            for v in (decisions.before, decisions.after)
        ]
        change = inference.change_interval(tables.change[unit, 0, y], n, alpha)
        found[metric].append(column(change))
    sides = [aurocs.classes[label][0, 0, g] for label in (1, 0)]
    before, after = (v[own, 0, 0] for v in (aurocs.before, aurocs.after))
    a, b = aurocs.original[0, 0, g], aurocs.reconstructed[0, 0, g]
    found["auroc"] = [
        column(inference.auroc_interval(a, before, *sides, alpha)),
        column(inference.auroc_interval(b, after, *sides, alpha)),
        column(inference.auroc_change_interval(b - a, after - before, *sides, alpha)),
    ]
    of_group = [(t.change[t.group == g, 0, 0], t.images[t.group == g, 0, 0]) for t in errors]
    found["brier"] = [column(inference.mean_interval(*sums, alpha)) for sums in of_group]
    y = np.where(inside, images.label, np.nan)
    with jax.enable_x64(True):
        off = [
            float(metrics.calibration_error(y, np.nan_to_num(v)).value)
            for v in (images.original, images.reconstructed)
        ]
    found["calibration_error"] = [lone(v) for v in (*off, off[1] - off[0])]
    return found


def null_name(gap: str, convention: str) -> str:
    """How `permutation_null_means` calls a null."""
    suffix = "_estimable" if convention == "worst_case_estimable" else ""
    return ("ser" if gap == "ser" else "delta") + suffix


def decision_null(metric: str, convention: str) -> str:
    """How `permutation_null` calls a null."""
    if convention == "worst_case_estimable":
        return f"{metric}_estimable"
    return "eodd_mean" if (metric, convention) == ("eodd", "mean") else metric
