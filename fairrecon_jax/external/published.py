"""The mapping of the published code's CSV files, which need none of their user's: X-ray findings,
one row per image, and brains, one row per slice.

They hold test rows alone, so that thresholds are the published ones, fitted on what they judge: see
`OPTIONS`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from fairrecon_jax.types import InputError

KNOWN_ATTRIBUTES = {
    "sex": ("sex", "gender"),
    "age": ("age", "age_at_cxr"),
    "race": ("race", "primary_race"),
}
KNOWN_PATIENTS = ("patient_id", "patientid", "patient", "patient id")
PUBLISHED_LEVEL, BRAIN_LEVEL = 1e4, 8.0
"""Photon count and acceleration at which the published studies judge groups; no CSV states them."""
AGE_CUT = {"cut": 62.0, "cut_side": "under", "per": "image"}
BRAIN_AGE_CUT = 58.0
"""Ages up to the cut are young."""
OPTIONS = {"threshold_rule": "published", "roc_points": "thinned", "empty_mask": "published"}
"""The published conventions, of which no verdict on decisions follows."""
BRAIN_COLUMNS = ("patient_id", "cns", "diagnosis", "TGradeBCEClassifier", "TTypeBCEClassifier")
DICE = {
    "original": "UNet_dice",
    "reconstructed": "UNet_recon_dice",
    "original_pixels": "UNet_sum",
    "reconstructed_pixels": "UNet_recon_sum",
}


def published(frame: pd.DataFrame, source: Path) -> dict[str, Any]:
    """The mapping of the published code's CSV, recognised by its columns."""
    # by the pairs of columns: any list of findings will do
    present = [str(c) for c in frame.columns if c]
    if set(BRAIN_COLUMNS) <= set(present):
        return _brain(present, source)
    findings = [c for c in present if f"{c}_recon" in present]
    if not findings:
        raise InputError(
            "this is not the published code's CSV (no columns <Finding>, "
            "<Finding>_class, <Finding>_recon) and no mapping with "
            f"'tasks' was given (`fairrecon assess --init` writes one); its columns are "
            f"{present[:20]}"
        )
    # without case, in which copies of the file may differ
    lower = {c.lower(): c for c in present}
    tasks: dict[str, Any] = {}
    for finding in findings:
        # names become columns with "__" behind them, and files
        name = re.sub(r"\W+", "_", finding.strip().lower())
        if name in tasks:
            raise InputError(
                f"the columns {tasks[name]['label']!r} and {finding!r} are both called "
                f"{name!r}; rename one or give a mapping"
            )
        tasks[name] = {"label": finding, "reconstructed": f"{finding}_recon", "title": finding}
        if f"{finding}_class" in present:
            tasks[name]["original"] = f"{finding}_class"
    attributes: dict[str, Any] = {}
    for name, spellings in KNOWN_ATTRIBUTES.items():
        column = next((lower[s] for s in spellings if s in lower), None)
        if column is not None:
            attributes[name] = (
                {"column": column, **AGE_CUT} if name == "age" else {"column": column}
            )
    mapping: dict[str, Any] = {
        "name": source.stem,
        "modality": "xray",
        "tasks": tasks,
        "attributes": attributes,
        "level": {"value": PUBLISHED_LEVEL},
        "reconstructor": {"value": source.stem},
    }
    patient = next((lower[s] for s in KNOWN_PATIENTS if s in lower), None)
    if patient is not None:
        mapping["patient"] = patient
    if "split" in lower:
        # whoever added validation rows has what thresholds are fitted on
        return {**mapping, **_quality(present), "split": lower["split"]}
    return {**mapping, **_quality(present), "options": OPTIONS}


def _brain(present: list[str], source: Path) -> dict[str, Any]:
    """The mapping of the brain study's CSV, a row per slice."""
    tasks: dict[str, Any] = {
        name: {
            "label": label,
            "original": column,
            "reconstructed": f"{column}_recon",
            "aggregation": "median",
            "title": title,
        }
        for name, label, column, title in (
            ("grade", "cns", "TGradeBCEClassifier", "Grade IV (against II and III)"),
            ("type", "diagnosis", "TTypeBCEClassifier", "Glioblastoma (against other types)"),
        )
    }
    tasks["tumor"] = {"kind": "segmentation", "title": "Tumour"} | {
        key: column for key, column in DICE.items() if column in present
    }
    return {
        "name": source.stem,
        "modality": "mri",
        "patient": "patient_id",
        "tasks": tasks,
        "attributes": {
            # tensors of numbers: the code's own order of the sexes
            "sex": {"column": "sex", "groups": {"Male": ["0", "M"], "Female": ["1", "F"]}},
            "age": {"column": "age", **AGE_CUT, "cut": BRAIN_AGE_CUT},
        },
        "level": {"value": BRAIN_LEVEL},
        "reconstructor": {"value": source.stem},
        **_quality(present),
        "options": OPTIONS,
    }


def _quality(present: list[str]) -> dict[str, Any]:
    """The column called nrmse as the mean squared error that it holds."""
    return {"image_metrics": {"mse": "nrmse"}} if "nrmse" in present else {}
