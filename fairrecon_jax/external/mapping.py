"""What a mapping holds, how it is read, and the mapping of the published code's CSV.

A mapping is a dictionary or a YAML file:

    name: my_cohort                      # optional, the file's name otherwise; also title, modality, citation
    example: image_id                    # column; may be left out where every row is its own image
    patient: patient_id                  # column; without it every row counts as a patient of its own
    split: {column: fold, val: [dev], test: [test]}        # or just a column; without it all rows are test rows
    level: {value: 4.0}                  # a column name, or {value: constant}; likewise reconstructor, mitigation, seed
    reconstructor: model
    tasks:
      effusion: {label: y, original: p_full, reconstructed: p_recon}          # aggregation, title, kind: segmentation (Dice)
    attributes: {sex: {column: Sex, groups: {Female: F, Male: M}}, age: {column: Age, cut: 62}}    # or just {sex: Sex}: its values
    options: {threshold_rule: fixed, threshold_value: 0.5} # AssessOptions of `assess_table`

The published code's CSV (`<Finding>`, `<Finding>_class`, `<Finding>_recon`) needs no mapping.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from fairrecon_jax.assessment import AssessOptions

KEYS = frozenset(
    "name title modality citation example patient split level reconstructor mitigation seed tasks attributes image_metrics options".split()
)
KNOWN_ATTRIBUTES = {"sex": ("sex", "gender"), "age": ("age", "age_at_cxr"), "race": ("race", "primary_race")}
KNOWN_PATIENTS = ("patient_id", "patientid", "patient", "patient id")
PUBLISHED_LEVEL, PUBLISHED_AGE_CUT = 1e4, 62.0


def load(mapping: Mapping[str, Any] | str | os.PathLike[str] | None) -> dict[str, Any]:
    """The mapping as a dictionary.

    Args:
      mapping: dictionary, path of a YAML file, or None for an empty mapping.

    Returns:
      A dictionary of its own.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not YAML, or holds no keys.
    """
    if mapping is None:
        return {}
    if isinstance(mapping, Mapping):
        return dict(mapping)
    source = Path(mapping)
    if not source.is_file():
        raise FileNotFoundError(f"no mapping at {source}")
    try:
        loaded = yaml.safe_load(source.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{source} is not YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise ValueError(f"{source} must hold keys and values, got {type(loaded).__name__}")
    return loaded


def published(frame: pd.DataFrame, source: Path) -> dict[str, Any]:
    """The mapping of the published code's CSV, recognised by its columns."""
    findings = [c for c in frame.columns if f"{c}_recon" in frame.columns]
    if not findings:
        raise ValueError(
            f"{source} is not the published code's CSV (no columns <Finding>, <Finding>_class, <Finding>_recon) and no mapping with "
            f"'tasks' was given; its columns are {list(frame.columns)[:20]}"
        )
    lower = {str(c).lower(): c for c in frame.columns}
    tasks: dict[str, Any] = {}
    for finding in findings:
        name = re.sub(r"\W+", "_", finding.strip().lower())
        tasks[name] = {"label": finding, "reconstructed": f"{finding}_recon", "title": finding}
        if f"{finding}_class" in frame.columns:
            tasks[name]["original"] = f"{finding}_class"
    attributes: dict[str, Any] = {}
    for name, spellings in KNOWN_ATTRIBUTES.items():
        column = next((lower[s] for s in spellings if s in lower), None)
        if column is not None:
            attributes[name] = {"column": column, "cut": PUBLISHED_AGE_CUT, "per": "image"} if name == "age" else {"column": column}
    found: dict[str, Any] = {"name": source.stem, "modality": "xray", "tasks": tasks, "attributes": attributes}
    patient = next((lower[s] for s in KNOWN_PATIENTS if s in lower), None)
    found |= {"patient": patient} if patient is not None else {}
    found |= {"split": lower["split"]} if "split" in lower else {}
    return found | {"level": {"value": PUBLISHED_LEVEL}, "reconstructor": {"value": source.stem}}


def options_of(mapping: Mapping[str, Any]) -> AssessOptions:
    """The mapping's `options` as `AssessOptions`.

    Raises:
      ValueError: an option is unknown or out of range; the message names it.
    """
    given = dict(mapping.get("options") or {})
    lists = {k: tuple(tuple(v) if isinstance(v, list) else v for v in value) for k, value in given.items() if isinstance(value, list)}
    try:
        return AssessOptions(**{**given, **lists})
    except TypeError as error:
        raise ValueError(f"mapping 'options': {error}; the options are those of AssessOptions") from error


def check_keys(where: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    """Refuses keys that nothing reads."""
    unknown = sorted(set(given) - known, key=str)
    if unknown:
        raise ValueError(f"{where} has unknown keys {unknown}; known are {sorted(known)}")


def fields_of(where: str, entry: Any, known: frozenset[str]) -> dict[str, Any]:
    """An entry of the mapping with checked keys."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where} must hold keys among {sorted(known)}, got {entry!r}")
    check_keys(where, entry, known)
    return dict(entry)
