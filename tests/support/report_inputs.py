"""What a report takes besides the tables: a cohort's examples, panels to draw, the provenance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.report import ExamplePanel
from fairrecon_jax.types import CohortSpec
from tests.support.report_fake import shares


def cohort_table(spec: CohortSpec, patients: int = 300, seed: int = 2) -> pd.DataFrame:
    """One to three examples per patient, some attributes and labels unknown."""
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
        share = np.array([*shares(a.name, a.groups), 0.03])
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
    """All keys that a report has a place for."""
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
