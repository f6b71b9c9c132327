"""Made-up assessment tables in the exact columns of the real ones: an X-ray study with many
findings and a brain study with three tasks.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.physics import describe
from fairrecon_jax.report import ExamplePanel
from fairrecon_jax.report.select import NUMBERS, TEXT
from fairrecon_jax.types import Attribute, CohortSpec, Task

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion", "Lung Opacity",
    "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Emphysema", "Hernia", "Infiltration",
)  # fmt: skip
SEX = Attribute(
    "sex", ("Female", "Male"), "Sex as recorded; patients with two different entries are unknown."
)
RACES = ("White", "Asian", "Black", "Hispanic", "Native American", "Other")
RACE = Attribute("race", RACES, "Primary race in six groups.")


def xray_spec(tasks: int = 15) -> CohortSpec:
    age = Attribute(
        "age",
        ("under 62", "62 or older"),
        "Age at the time of the image, cut at 62 years.",
        per="image",
    )
    found = tuple(
        Task(t.lower().replace(" ", "_"), "classification", "none", t) for t in FINDINGS[:tasks]
    )
    degradation = describe("xray_low_dose", (1e5, 1e4, 3e3), 1e4)
    return CohortSpec(
        "chexpert",
        "CheXpert phantoms",
        "xray",
        found,
        (SEX, age, RACE),
        degradation,
        "Irvin et al. 2019; research use only.",
    )


def mri_spec() -> CohortSpec:
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


def _row(**given: Any) -> dict[str, Any]:
    unknown = set(given) - set(TEXT) - set(NUMBERS)
    assert not unknown, unknown
    return {**dict.fromkeys(TEXT, ""), **dict.fromkeys(NUMBERS, np.nan), **given}


def _versions(
    base: dict[str, Any], original: float, reconstructed: float, half: float, **change: Any
) -> list[dict[str, Any]]:
    delta = reconstructed - original
    rows = [
        _row(
            **base,
            version="original",
            value=original,
            ci_low=original - half,
            ci_high=original + half,
        ),
        _row(
            **base,
            version="reconstructed",
            value=reconstructed,
            ci_low=reconstructed - half,
            ci_high=reconstructed + half,
        ),
    ]
    both = {
        "original": original,
        "reconstructed": reconstructed,
        "change": delta,
        "percent": 100 * delta / original,
    }
    around = {"std_error": half / 3, "ci_low": delta - 0.6 * half, "ci_high": delta + 0.6 * half}
    return [
        *rows,
        _row(**{**base, "version": "change", "value": delta, **both, **around, **change}),
    ]


def _share(name: str, groups: tuple[str, ...]) -> list[float]:
    return (
        [0.56, 0.14, 0.08, 0.16, 0.008, 0.052]
        if name == "race"
        else [1 / len(groups)] * len(groups)
    )


def performance(
    spec: CohortSpec, cells: list[tuple[str, float, str]], seed: int = 0, intersections: bool = True
) -> pd.DataFrame:
    """Performance rows for cells of (reconstructor, level, mitigation)."""
    rng = np.random.default_rng(seed)
    levels = list(spec.degradation.levels)
    base_score = {t.name: rng.uniform(0.72, 0.92) for t in spec.tasks}
    offset = {
        (t.name, a.name, g): rng.normal(0, 0.02)
        for t in spec.tasks
        for a in spec.attributes
        for g in a.groups
    }
    rows: list[dict[str, Any]] = []
    for recon, level, mitigation in cells:
        step = levels.index(level)
        cell: dict[str, Any] = {
            "cohort": spec.name,
            "reconstructor": recon,
            "level": level,
            "mitigation": mitigation,
            "seed": 0,
        }
        drop = {"unet": 0.006, "pix2pix": 0.012, "irsde": 0.004, "identity": 0.03}.get(recon, 0.01)
        quality = {
            "psnr": 32 - 2 * step - 90 * drop,
            "ssim": 0.93 - 0.05 * step - drop,
            "nrmse": 0.05 + 0.02 * step,
        }
        for name, value in quality.items():
            half = 0.01 * value
            common = {
                **cell,
                "metric": name,
                "unit": "image",
                "version": "reconstructed",
                "n": 3900.0,
                "n_patients": 1300.0,
            }
            rows.append(_row(**common, value=value, ci_low=value - half, ci_high=value + half))
        for a in spec.attributes:
            for g, share in zip(a.groups, _share(a.name, a.groups), strict=True):
                common = {
                    **cell,
                    "attribute": a.name,
                    "group": g,
                    "metric": "psnr",
                    "unit": "image",
                    "version": "reconstructed",
                }
                value = quality["psnr"] + rng.normal(0, 0.2)
                rows.append(
                    _row(
                        **common,
                        value=value,
                        ci_low=value - 0.3,
                        ci_high=value + 0.3,
                        n=round(3900 * share),
                    )
                )
        rows.append(
            _row(
                **cell,
                metric="lpips",
                unit="image",
                version="reconstructed",
                reason="LPIPS weights cannot be imported yet",
            )
        )
        for task in spec.tasks:
            rows += _task_rows(
                rng,
                spec,
                task,
                cell,
                base_score[task.name],
                drop * (1 + 2 * step),
                offset,
                intersections,
            )
    return pd.DataFrame(rows)[[*TEXT, *NUMBERS]]


def _task_rows(
    rng: np.random.Generator,
    spec: CohortSpec,
    task: Task,
    cell: dict[str, Any],
    score: float,
    drop: float,
    offset: dict[tuple[str, str, str], float],
    intersections: bool,
) -> list[dict[str, Any]]:
    unit = "image" if task.aggregation == "none" else "patient"
    metrics = ("auroc", "sensitivity", "specificity", "brier", "calibration_error", "threshold")
    metrics = metrics if task.kind == "classification" else ("dice",)
    total = 3900 if spec.modality == "xray" else 100
    rows: list[dict[str, Any]] = []
    where: list[tuple[str, str, float, float]] = [("", "", 1.0, 0.0)]
    for a in spec.attributes:
        where += [
            (a.name, g, s, offset[task.name, a.name, g])
            for g, s in zip(a.groups, _share(a.name, a.groups), strict=True)
        ]
    if intersections and len(spec.attributes) > 1:
        first, last = spec.attributes[0], spec.attributes[-1]
        for g, h in itertools.product(first.groups, last.groups):
            share = 0.5 * _share(last.name, last.groups)[last.groups.index(h)]
            where.append(
                (
                    f"{first.name} x {last.name}",
                    f"{g} x {h}",
                    share,
                    offset[task.name, last.name, h],
                )
            )
    for (attribute, group, share, shift), metric in itertools.product(where, metrics):
        n = round(total * share)
        base = {
            **cell,
            "task": task.name,
            "attribute": attribute,
            "group": group,
            "metric": metric,
            "unit": unit,
            "convention": "worst_case_estimable",
        }
        base |= {
            "n": n,
            "n_patients": max(n // 3, 1),
            "n_pos": n // 5,
            "n_neg": n - n // 5,
            "threshold_rule": "balanced on validation originals",
        }
        if metric == "threshold":
            rows.append(_row(**base, version="original", value=0.41))
            continue
        if n // 5 < 20 and task.kind == "classification" and attribute:
            reason = f"{n // 5} positive patients, fewer than 20"
            rows += [
                _row(**{**base, "version": v, "reason": reason})
                for v in ("original", "reconstructed")
            ]
            rows.append(
                _row(**{**base, "version": "change", "reason": reason, "verdict": "not estimable"})
            )
            continue
        value = {"brier": 0.12, "calibration_error": 0.04}.get(
            metric, score - 0.05 * (metric != "auroc") + shift
        )
        half = 1.0 / np.sqrt(max(n, 4))
        delta = -drop + rng.normal(0, 0.2 * half)
        p = float(np.clip(rng.beta(0.6, 1.5), 1e-4, 1))
        verdict = ("lower" if delta < 0 else "higher") if p < 0.05 else "within chance"
        test = {
            "method": "wild sign flip",
            "family": "performance",
            "p_value": p,
            "p_adjusted": min(1.0, 3 * p),
            "verdict": verdict,
        }
        rows += _versions(base, value, value + delta, half, mde=0.6 * half, **test)
    return rows


def fairness(spec: CohortSpec, cells: list[tuple[str, float, str]], seed: int = 1) -> pd.DataFrame:
    """Fairness rows for cells of (reconstructor, level, mitigation) under both conventions."""
    rng = np.random.default_rng(seed)
    gaps = {
        (t.name, a.name): abs(rng.normal(0.04, 0.06)) + 0.02
        for t in spec.tasks
        for a in spec.attributes
    }
    rows: list[dict[str, Any]] = []
    for (recon, level, mitigation), task, attribute in itertools.product(
        cells, spec.tasks, spec.attributes
    ):
        cell = {
            "cohort": spec.name,
            "reconstructor": recon,
            "level": level,
            "mitigation": mitigation,
            "seed": 0,
            "task": task.name,
        }
        cell |= {
            "attribute": attribute.name,
            "unit": "image" if task.aggregation == "none" else "patient",
        }
        for metric in ("eodd", "eop") if task.kind == "classification" else ("ser", "delta_dice"):
            gap = gaps[task.name, attribute.name] * {"eop": 0.8, "delta_dice": 0.5}.get(
                metric, 1.0
            ) + (metric == "ser")
            rows += _gap_rows(rng, {**cell, "metric": metric}, gap, attribute, spec)
        stem = "sensitivity" if task.kind == "classification" else "dice"
        for group in attribute.groups:
            delta = rng.normal(0, 0.02)
            moved = {
                "change": delta,
                "ci_low": delta - 0.03,
                "ci_high": delta + 0.03,
                "p_adjusted": 0.4,
                "method": "max-T sign flip",
            }
            named = {
                "metric": f"gap_{stem}",
                "group": group,
                "reference_group": "all groups",
                "version": "change",
                "convention": "worst_case_estimable",
            }
            stratum = "positive" if stem == "sensitivity" else ""
            rows.append(
                _row(
                    **cell,
                    **named,
                    label_stratum=stratum,
                    value=delta,
                    n=500.0,
                    n_pos=100.0,
                    verdict="within chance",
                    **moved,
                )
            )
    for (recon, level, mitigation), attribute in itertools.product(cells, spec.attributes):
        cell = {
            "cohort": spec.name,
            "reconstructor": recon,
            "level": level,
            "mitigation": mitigation,
            "seed": 0,
            "unit": "image",
        }
        measured = {
            "value": 0.2,
            "ci_low": 0.1,
            "ci_high": 0.3,
            "permutation_null": 0.06,
            "p_value": 0.2,
            "method": "permuted groups",
        }
        named = {
            "attribute": attribute.name,
            "metric": "gap_psnr",
            "version": "reconstructed",
            "convention": "worst_case_estimable",
        }
        rows.append(_row(**cell, **named, **measured))
    return pd.DataFrame(rows)[[*TEXT, *NUMBERS]]


def _gap_rows(
    rng: np.random.Generator,
    base: dict[str, Any],
    gap: float,
    attribute: Attribute,
    spec: CohortSpec,
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    worst = attribute.groups[-1]
    for convention in ("worst_case_estimable", "mean"):
        here: dict[str, Any] = {
            **base,
            "convention": convention,
            "n": 3900.0,
            "n_patients": 1300.0,
            "n_pos": 700.0,
            "n_neg": 3200.0,
        }
        here["n_changed"] = float(rng.integers(20, 200))
        here["permutation_null"] = (0.03 if len(attribute.groups) == 2 else 0.11) * (
            1 if spec.modality == "xray" else 2
        ) + (base["metric"] == "ser")
        if convention == "worst_case_estimable" and rng.random() < 0.06:
            reason = "fewer than 20 patients with the finding in every group but one"
            rows.append(
                _row(**{**here, "version": "change", "verdict": "not estimable", "reason": reason})
            )
            continue
        half = 0.03 if spec.modality == "xray" else 0.09
        delta = float(
            np.clip(
                rng.normal(0.004, 0.4 * half) + (rng.random() < 0.12) * 2 * half, -0.9 * gap, None
            )
        )
        p = float(np.clip(2 * np.exp(-abs(delta) / (0.4 * half)) * rng.uniform(0.2, 1), 1e-4, 1))
        verdict = ("widened" if delta > 0 else "narrowed") if p < 0.02 else "within chance"
        tested = {
            "method": "difference in differences, sign flip",
            "family": f"{base['metric']} at all levels",
            "p_value": p,
        }
        tested |= {
            "p_adjusted": min(1.0, 2.5 * p),
            "verdict": verdict,
            "mde": 2 * half,
            "group": worst,
            "label_stratum": "positive",
        }
        if convention == "mean":
            tested = {"method": "paired bootstrap", "p_value": p}
        rows += _versions(here, gap, gap + delta, half, **tested)
    return rows


def cells(
    spec: CohortSpec,
    reconstructors: tuple[str, ...] = ("unet", "pix2pix", "irsde"),
    mitigations: tuple[str, ...] = ("none",),
):
    return [
        (r, level, m)
        for r in reconstructors
        for level in spec.degradation.levels
        for m in mitigations
    ]


def cohort_table(spec: CohortSpec, patients: int = 300, seed: int = 2) -> pd.DataFrame:
    """One row per example, one to three examples per patient, some attributes and labels unknown."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    split = np.array(["train_reconstruction", "train_diagnosis", "val", "test"])[
        rng.choice(4, patients, p=[0.5, 0.2, 0.1, 0.2])
    ]
    table = pd.DataFrame(
        {"patient_id": [f"SECRET{i:05d}" for i in patient], "split": split[patient]}
    )
    for a in spec.attributes:
        group = np.array([*a.groups, None], dtype=object)
        share = np.array([*_share(a.name, a.groups), 0.03])
        table[a.name] = group[rng.choice(len(group), patients, p=share / share.sum())[patient]]
    for t in spec.tasks:
        values = rng.choice([0.0, 1.0, np.nan], len(table), p=[0.75, 0.2, 0.05])
        table[t.name] = (
            values if t.kind == "classification" else np.where(values == 1.0, 400.0, 0.0)
        )
    return table


def examples(spec: CohortSpec, count: int = 2, size: int = 96) -> list[ExamplePanel]:
    """Discs in noise with a lesion; the reconstructions blur it."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:size, :size] / size - 0.5
    panels = []
    for i in range(count):
        body = ((x / 0.4) ** 2 + (y / 0.46) ** 2 < 1) * (
            0.45 + 0.2 * np.cos(14 * x) * np.cos(11 * y)
        )
        lesion = (x - 0.12) ** 2 + (y + 0.05 * i) ** 2 < 0.008
        image = np.clip(body + 0.35 * lesion, 0, 1)
        soft = np.clip(image + rng.normal(0, 0.02, image.shape) - 0.1 * lesion, 0, 1)
        names = {"unet": soft, "irsde": np.clip(image + rng.normal(0, 0.05, image.shape), 0, 1)}
        task, *rest = spec.tasks
        segments = any(t.kind == "segmentation" for t in spec.tasks)
        scores = {t.name: float(rng.uniform(0.2, 0.9)) for t in (task, *rest)}
        panels.append(
            ExamplePanel(
                level=spec.degradation.headline_level,
                original=image,
                degraded=np.clip(image + rng.normal(0, 0.15, image.shape), 0, 1),
                reconstructions=names,
                truth=lesion if segments else None,
                mask_original=np.roll(lesion, 2, 0) if segments else None,
                masks_reconstructed={n: np.roll(lesion, 6, 1) for n in names} if segments else {},
                scores_original=scores,
                scores_reconstructed={
                    n: {k: min(1.0, v + 0.1) for k, v in scores.items()} for n in names
                },
                labels={t.name: float(rng.integers(0, 2)) for t in spec.classification_tasks},
                thresholds={t.name: 0.5 for t in spec.classification_tasks},
                attention_task=task.name,
                attention_original=np.exp(-60 * ((x - 0.12) ** 2 + y**2)),
                attention_reconstructed={
                    n: 0.4 * np.exp(-30 * (x**2 + (y - 0.2) ** 2)) for n in names
                },
                degraded_levels={
                    level: np.clip(image + rng.normal(0, 0.05 * (k + 1), image.shape), 0, 1)
                    for k, level in enumerate(spec.degradation.levels)
                },
                caption="woman, 62 or older",
                identifier=f"SECRET{i:05d}/study1",
            )
        )
    return panels


def provenance(spec: CohortSpec) -> dict[str, Any]:
    return {
        "config": f"cohort:\n  name: {spec.name}\nlevels: {list(spec.degradation.levels)}\n",
        "seeds": {"splits": 0, "training": 0, "noise": 17},
        "versions": {"fairrecon_jax": "0.1.0", "jax": "0.10.1", "python": "3.11.2"},
        "split_hash": "sha256:0123abcd" * 4,
        "run_times": {"prepare": 12.3, "train unet": 512.0, "predict": 41.0, "assess": 9.5},
        "exclusions": [
            {"file": "SECRET00007/study1/view1.jpg", "reason": "lateral view"},
            {"file": "SECRET00011/x.jpg", "reason": "lateral view"},
        ],
        "conventions": {
            "threshold": "balanced, from the originals of the validation patients",
            "PSNR range": "1",
        },
        "warnings": ["Only one seed was trained per reconstructor."],
    }
