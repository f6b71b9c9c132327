"""Made-up assessment tables in the exact columns of the real ones: an X-ray study with many
findings and a brain study with three tasks.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from fairrecon_jax.physics import describe
from fairrecon_jax.report.long_tables import NUMBERS, TEXT
from fairrecon_jax.types import Attribute, CohortSpec, Task
from tests.support import report_gaps
from tests.support.report_rows import Record, bounds, row, versions

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum",
    "Fracture", "Lung Lesion", "Lung Opacity", "Pleural Effusion", "Pleural Other", "Pneumonia",
    "Pneumothorax", "Emphysema", "Hernia", "Infiltration",
)  # fmt: skip
SEX = Attribute(
    "sex", ("Female", "Male"), "Sex as recorded; patients with two different entries are unknown."
)
RACES = ("White", "Asian", "Black", "Hispanic", "Native American", "Other")
RACE = Attribute("race", RACES, "Primary race in six groups.")
DROPS = {"unet": 0.006, "pix2pix": 0.012, "irsde": 0.004, "identity": 0.03}
"""Loss of the task score by reconstructor, at the mildest level."""
CLASSIFICATION = ("auroc", "sensitivity", "specificity", "brier", "calibration_error", "threshold")
Cells = list[tuple[str, float, str]]
"""Study cells: (reconstructor, level, mitigation)."""


def xray_spec(tasks: int = 15) -> CohortSpec:
    """An X-ray cohort judged by image, with its first findings."""
    age = Attribute(
        "age",
        ("under 62", "62 or older"),
        "Age at the time of the image, cut at 62 years.",
        per="image",
    )
    findings = tuple(
        Task(t.lower().replace(" ", "_"), "classification", "none", t) for t in FINDINGS[:tasks]
    )
    degradation = describe("xray_low_dose", (1e5, 1e4, 3e3), 1e4)
    return CohortSpec(
        "chexpert",
        "CheXpert phantoms",
        "xray",
        findings,
        (SEX, age, RACE),
        degradation,
        "Irvin et al. 2019; research use only.",
    )


def mri_spec() -> CohortSpec:
    """A brain cohort judged by patient: two findings and a delineation."""
    age = Attribute(
        "age", ("under 58", "58 or older"), "Age at the examination, cut at 58 years.", per="image"
    )
    tasks = (
        Task("grade", "classification", "median", "WHO grade IV"),
        Task("type", "classification", "median", "Glioblastoma"),
        Task("tumour", "segmentation", "mean", "Tumour"),
    )
    return CohortSpec(
        "ucsf_pdgm",
        "UCSF-PDGM phantoms",
        "mri",
        tasks,
        (SEX, age),
        describe("mri_radial", (4.0, 8.0, 16.0), 8.0),
    )


def shares(name: str, groups: tuple[str, ...]) -> list[float]:
    """How many of all belong to each group of an attribute."""
    if name == "race":
        return [0.56, 0.14, 0.08, 0.16, 0.008, 0.052]
    return [1 / len(groups)] * len(groups)


def cell_fields(spec: CohortSpec, cell: tuple[str, float, str]) -> Record:
    """The columns that name a study cell."""
    reconstructor, level, mitigation = cell
    return {
        "cohort": spec.name,
        "reconstructor": reconstructor,
        "level": level,
        "mitigation": mitigation,
        "seed": 0,
    }


def performance(
    spec: CohortSpec, cells: Cells, seed: int = 0, intersections: bool = True
) -> pd.DataFrame:
    """Performance rows for cells of (reconstructor, level, mitigation)."""
    rng = np.random.default_rng(seed)
    scores = {t.name: rng.uniform(0.72, 0.92) for t in spec.tasks}
    shifts = {
        (t.name, a.name, g): rng.normal(0, 0.02)
        for t in spec.tasks
        for a in spec.attributes
        for g in a.groups
    }
    records: list[Record] = []
    for cell in cells:
        step = list(spec.degradation.levels).index(cell[1])
        drop = DROPS.get(cell[0], 0.01)
        fields = cell_fields(spec, cell)
        records += _quality_rows(rng, spec, fields, step, drop)
        for task in spec.tasks:
            after = scores[task.name], drop * (1 + 2 * step)
            parts = _parts(spec, task, shifts, intersections)
            records += _task_rows(rng, spec, task, fields, after, parts)
    return pd.DataFrame(records)[[*TEXT, *NUMBERS]]


def _quality_rows(
    rng: np.random.Generator, spec: CohortSpec, fields: Record, step: int, drop: float
) -> list[Record]:
    """Image metrics of everyone, PSNR per group, and LPIPS that is missing."""
    quality = {
        "psnr": 32 - 2 * step - 90 * drop,
        "ssim": 0.93 - 0.05 * step - drop,
        "nrmse": 0.05 + 0.02 * step,
    }
    fields = {**fields, "unit": "image", "version": "reconstructed"}
    records = [
        row(**fields, metric=name, n=3900.0, n_patients=1300.0, **bounds(value, 0.01 * value))
        for name, value in quality.items()
    ]
    for a in spec.attributes:
        for g, share in zip(a.groups, shares(a.name, a.groups), strict=True):
            named = {"attribute": a.name, "group": g, "metric": "psnr", "n": round(3900 * share)}
            records.append(
                row(**fields, **named, **bounds(quality["psnr"] + rng.normal(0, 0.2), 0.3))
            )
    lpips = row(**fields, metric="lpips", reason="LPIPS weights cannot be imported yet")
    return [*records, lpips]


def _parts(
    spec: CohortSpec, task: Task, shifts: dict[tuple[str, str, str], float], intersections: bool
) -> list[tuple[str, str, float, float]]:
    """(attribute, group, share of all, shift of the score) of everyone, groups, intersections."""
    parts: list[tuple[str, str, float, float]] = [("", "", 1.0, 0.0)]
    for a in spec.attributes:
        for g, share in zip(a.groups, shares(a.name, a.groups), strict=True):
            parts.append((a.name, g, share, shifts[task.name, a.name, g]))
    if intersections and len(spec.attributes) > 1:
        first, last = spec.attributes[0], spec.attributes[-1]
        by_group = dict(zip(last.groups, shares(last.name, last.groups), strict=True))
        for g, h in itertools.product(first.groups, last.groups):
            name, shift = f"{first.name} x {last.name}", shifts[task.name, last.name, h]
            parts.append((name, f"{g} x {h}", 0.5 * by_group[h], shift))
    return parts


def _task_rows(
    rng: np.random.Generator,
    spec: CohortSpec,
    task: Task,
    fields: Record,
    after: tuple[float, float],
    parts: list[tuple[str, str, float, float]],
) -> list[Record]:
    """Scores of one task in all its parts; (score on originals, mean loss) in `after`."""
    metrics = CLASSIFICATION if task.kind == "classification" else ("dice",)
    total = 3900 if spec.modality == "xray" else 100
    records: list[Record] = []
    for (attribute, group, share, shift), metric in itertools.product(parts, metrics):
        n = round(total * share)
        base = {
            **fields,
            "task": task.name,
            "attribute": attribute,
            "group": group,
            "metric": metric,
            "unit": "image" if task.aggregation == "none" else "patient",
            "convention": "worst_case_estimable",
            "threshold_rule": "balanced on validation originals",
            "n": n,
            "n_patients": max(n // 3, 1),
            "n_pos": n // 5,
            "n_neg": n - n // 5,
        }
        if metric == "threshold":
            records.append(row(**base, version="original", value=0.41))
        elif n // 5 < 20 and task.kind == "classification" and attribute:
            records += _not_estimable(base, f"{n // 5} positive patients, fewer than 20")
        else:
            value = after[0] - 0.05 * (metric != "auroc") + shift
            value = {"brier": 0.12, "calibration_error": 0.04}.get(metric, value)
            records += _tested_versions(rng, base, value, after[1], 1.0 / np.sqrt(max(n, 4)))
    return records


def _not_estimable(base: Record, reason: str) -> list[Record]:
    """The three versions of a number that has too few patients."""
    return [
        row(**base, version="original", reason=reason),
        row(**base, version="reconstructed", reason=reason),
        row(**base, version="change", reason=reason, verdict="not estimable"),
    ]


def _tested_versions(
    rng: np.random.Generator, base: Record, value: float, drop: float, half: float
) -> list[Record]:
    """The three versions of a score with a test of its change."""
    delta = -drop + rng.normal(0, 0.2 * half)
    p = float(np.clip(rng.beta(0.6, 1.5), 1e-4, 1))
    test = {
        "method": "studentised sign flips by patient",
        "family": "performance",
        "p_value": p,
        "p_adjusted": min(1.0, 3 * p),
        "verdict": ("lower" if delta < 0 else "higher") if p < 0.05 else "no difference shown",
        "mde": 0.6 * half,
    }
    return versions(base, value, value + delta, half, **test)


def fairness(spec: CohortSpec, cells: Cells, seed: int = 1) -> pd.DataFrame:
    """Fairness rows for cells of (reconstructor, level, mitigation) under two conventions."""
    rng = np.random.default_rng(seed)
    before = {
        (t.name, a.name, g): rng.uniform(0.7, 0.9)
        for t in spec.tasks
        for a in spec.attributes
        for g in a.groups
    }
    records: list[Record] = []
    for cell, task, attribute in itertools.product(cells, spec.tasks, spec.attributes):
        fields = {
            **cell_fields(spec, cell),
            "task": task.name,
            "attribute": attribute.name,
            "unit": "image" if task.aggregation == "none" else "patient",
        }
        rates = np.array([before[task.name, attribute.name, g] for g in attribute.groups])
        records += report_gaps.comparison_rows(rng, fields, task, attribute, rates, spec)
    for cell, attribute in itertools.product(cells, spec.attributes):
        records.append(
            row(
                **cell_fields(spec, cell),
                **bounds(0.2, 0.1),
                attribute=attribute.name,
                metric="gap_psnr",
                version="reconstructed",
                convention="worst_case_estimable",
                unit="image",
                permutation_null=0.06,
                p_value=0.2,
                method="permuted groups",
            )
        )
    return pd.DataFrame(records)[[*TEXT, *NUMBERS]]


def cells(
    spec: CohortSpec,
    reconstructors: tuple[str, ...] = ("unet", "pix2pix", "irsde"),
    mitigations: tuple[str, ...] = ("none",),
) -> Cells:
    """Every combination of reconstructor, level of the specification and mitigation."""
    return [
        (r, level, m)
        for r in reconstructors
        for level in spec.degradation.levels
        for m in mitigations
    ]
