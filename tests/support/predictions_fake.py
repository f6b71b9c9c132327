"""Made-up predictions with known harm: one X-ray-like cohort with image units, one brain-like
cohort with patient units.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fairrecon_jax.physics import describe
from fairrecon_jax.types import Attribute, CohortSpec, Task

SEX = Attribute("sex", ("Female", "Male"))
AGE = Attribute("age_group", ("young", "old"), per="image")
XRAY = CohortSpec(
    "chest",
    "Chest",
    "xray",
    (Task("effusion", "classification"), Task("edema", "classification")),
    (SEX, AGE),
    describe("xray_low_dose", (1e5, 1e4), 1e4),
)
BRAIN = CohortSpec(
    "brain",
    "Brain",
    "mri",
    (
        Task("grade", "classification", "median"),
        Task("type", "classification", "median"),
        Task("tumour", "segmentation", "mean"),
    ),
    (SEX, AGE),
    describe("mri_radial", (4.0, 8.0), 8.0),
)


def people(patients: int, images: int, seed: int, unknown: float = 0.02) -> pd.DataFrame:
    """One row per image with patient, split and attributes."""
    r = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), images)
    sex = r.choice(["Female", "Male"], patients).astype(object)
    sex[r.random(patients) < unknown] = None
    split = np.where(np.arange(patients) < patients // 3, "val", "test")
    frame = pd.DataFrame(
        {
            "example_id": [f"p{p:05d}/{i}" for i, p in enumerate(patient)],
            "patient_id": [f"p{p:05d}" for p in patient],
        }
    )
    frame["split"] = split[patient]
    frame["sex"] = sex[patient]
    frame["age_group"] = np.where(r.random(patients) < 0.5, "young", "old")[patient]
    return frame


def xray(
    patients: int = 450,
    images: int = 1,
    harm: float = 0.0,
    loss: float = 0.0,
    seed: int = 0,
    cells=None,
) -> pd.DataFrame:
    """Predictions of two findings; `harm` lowers the reconstructed scores of women's positives
    only, `loss` those of all positives.
    """
    base = people(patients, images, seed)
    r = np.random.default_rng(seed + 1)
    parts = []
    truth = {t.name: (r.random(len(base)) < 0.4).astype(float) for t in XRAY.tasks}
    skill = {t: 1.5 * y + r.normal(0, 1, len(base)) for t, y in truth.items()}
    for level, reconstructor in cells or [(1e5, "unet"), (1e4, "unet")]:
        frame = base.assign(
            level=level, reconstructor=reconstructor, mitigation="none", seed=0, cohort="chest"
        )
        for name, y in truth.items():
            moved = 0.9 * skill[name] + 0.075 * y + r.normal(0, 0.3, len(base))
            moved = moved - loss * y - harm * y * (base["sex"] == "Female").to_numpy()
            frame[f"{name}__label"] = y
            frame[f"{name}__original"] = 1 / (1 + np.exp(-skill[name]))
            frame[f"{name}__reconstructed"] = 1 / (1 + np.exp(-moved))
        frame["psnr"], frame["ssim"], frame["nrmse"] = 30 + r.normal(0, 1, len(base)), 0.9, 0.1
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def brain(patients: int = 450, slices: int = 3, harm: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Patient-level grade and slice Dice; `harm` lowers women's Dice on reconstructions."""
    base = people(patients, slices, seed)
    r = np.random.default_rng(seed + 1)
    patient = pd.factorize(base["patient_id"])[0]
    grade = (r.random(patients) < 0.5).astype(float)[patient]
    skill = 1.2 * grade + r.normal(0, 0.7, patients)[patient] + r.normal(0, 0.5, len(base))
    pixels = np.where(r.random(len(base)) < 0.3, 0, 200.0)
    dice = np.clip(0.8 + r.normal(0, 0.05, patients)[patient] + r.normal(0, 0.05, len(base)), 0, 1)
    parts = []
    for level in (4.0, 8.0):
        frame = base.assign(
            level=level, reconstructor="unet", mitigation="none", seed=0, cohort="brain"
        )
        frame["grade__label"] = grade
        frame["grade__original"] = 1 / (1 + np.exp(-skill))
        frame["grade__reconstructed"] = 1 / (1 + np.exp(-skill - r.normal(0, 0.2, len(base))))
        for part in ("label", "original", "reconstructed"):
            frame[f"type__{part}"] = frame[f"grade__{part}"]
        frame["tumour__label"] = pixels
        frame["tumour__original"] = np.where(pixels > 0, dice, np.nan)
        lower = harm * (base["sex"] == "Female").to_numpy() * (level / 8)
        frame["tumour__reconstructed"] = np.where(
            pixels > 0, np.clip(dice - 0.02 - lower + r.normal(0, 0.02, len(base)), 0, 1), np.nan
        )
        frame["psnr"], frame["ssim"], frame["nrmse"] = 30 + r.normal(0, 1, len(base)), 0.9, 0.1
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)
