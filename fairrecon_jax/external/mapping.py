"""The mapping of a foreign table's columns: its keys, how it is read, and the one of the published
code's CSV.

A mapping is a dictionary or a YAML file:

    name: my_cohort        # optional, the file's name otherwise; also title, citation
    example: image_id      # column; may be left out where every row is an image of its own
    patient: patient_id    # column; without it every row counts as a patient of its own
    split: {column: fold, val: [dev], test: [test]}
                           # or just a column; without it all rows are test rows
    modality: mri          # or xray; needed with a level: acceleration factors (mri) or photon
                           # counts (xray)
    level: {value: 4.0}    # a column name, or {value: constant}; likewise reconstructor,
                           # mitigation, seed
    reconstructor: model
    tasks:                 # each also takes aggregation, title, kind: segmentation (Dice)
      effusion: {label: y, original: p_full, reconstructed: p_recon}
    attributes:            # one value per patient (two are unknown) unless per: image
      sex: {column: Sex, groups: {Female: F, Male: M}}     # or just Sex: its values are the groups
      age: {column: Age, cut: 62, per: image}
    options: {threshold_rule: fixed, threshold_value: 0.5} # AssessOptions of `assess_table`

The published code's CSV (`<Finding>`, `<Finding>_class`, `<Finding>_recon`) needs no mapping.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pandas as pd
import yaml

from fairrecon_jax.assessment import AssessOptions
from fairrecon_jax.metrics import IMAGE_METRICS
from fairrecon_jax.types import InputError

KEYS = frozenset(
    "name title modality degradation citation example patient split level reconstructor mitigation "
    "seed tasks attributes image_metrics options".split()
)
METRICS = frozenset(IMAGE_METRICS)
RESERVED = METRICS | frozenset(
    "example_id patient_id split level reconstructor mitigation seed cohort".split()
)
KNOWN_ATTRIBUTES = {
    "sex": ("sex", "gender"),
    "age": ("age", "age_at_cxr"),
    "race": ("race", "primary_race"),
}
KNOWN_PATIENTS = ("patient_id", "patientid", "patient", "patient id")
PUBLISHED_LEVEL, PUBLISHED_AGE_CUT = 1e4, 62.0
"""Photon count and age cut of the published chest X-ray study, which its CSV does not state."""


def load(mapping: Mapping[str, Any] | str | os.PathLike[str] | None) -> dict[str, Any]:
    """The mapping as a dictionary.

    Args:
      mapping: dictionary, path of a YAML file, or None for an empty mapping.

    Returns:
      A new dictionary.

    Raises:
      FileNotFoundError: there is no such file.
      InputError: the file is not YAML, or holds no keys.
    """
    if mapping is None:
        return {}
    if isinstance(mapping, Mapping):
        return dict(mapping)
    if not isinstance(mapping, str | os.PathLike):
        raise InputError(
            f"a mapping is a dictionary or the path of a YAML file, got {type(mapping).__name__}"
        )
    source = Path(mapping)
    if not source.is_file():
        raise FileNotFoundError(f"no mapping at {source}")
    try:
        # safe: a mapping that came with a table must not run code
        loaded = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{source} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(loaded, dict):
        raise InputError(f"{source} must hold keys and values, got {type(loaded).__name__}")
    return loaded


def published(frame: pd.DataFrame, source: Path) -> dict[str, Any]:
    """The mapping of the published code's CSV, recognised by its columns."""
    # by the pairs of columns: any list of findings will do
    findings = [c for c in frame.columns if f"{c}_recon" in frame.columns]
    if not findings:
        raise InputError(
            "this is not the published code's CSV (no columns <Finding>, "
            "<Finding>_class, <Finding>_recon) and no mapping with "
            f"'tasks' was given; its columns are {list(frame.columns)[:20]}"
        )
    # without case, in which copies of the file may differ
    lower = {str(c).lower(): c for c in frame.columns}
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
        if f"{finding}_class" in frame.columns:
            tasks[name]["original"] = f"{finding}_class"
    attributes: dict[str, Any] = {}
    for name, spellings in KNOWN_ATTRIBUTES.items():
        column = next((lower[s] for s in spellings if s in lower), None)
        if column is not None:
            attributes[name] = (
                {"column": column, "cut": PUBLISHED_AGE_CUT, "per": "image"}
                if name == "age"
                else {"column": column}
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
        mapping["split"] = lower["split"]
    return mapping


def options_of(mapping: Mapping[str, Any]) -> AssessOptions:
    """The mapping's `options` as `AssessOptions`.

    Raises:
      InputError: an option is unknown or out of range; the message names it.

    Example:
      >>> given = {"threshold_rule": "fixed", "threshold_value": 0.5}
      >>> options_of({"tasks": {}, "options": given}).threshold_value
      0.5
    """
    given = entries("mapping 'options'", mapping.get("options"))
    lists = {
        # YAML has lists only, the options are frozen and take tuples
        k: tuple(tuple(v) if isinstance(v, list) else v for v in value)
        for k, value in given.items()
        if isinstance(value, list)
    }
    try:
        return AssessOptions(**{**given, **lists})
    except (TypeError, ValueError) as error:
        raise InputError(
            f"mapping 'options': {error}; the options are those of AssessOptions"
        ) from error


def check_keys(where: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raises for keys that nothing reads."""
    # key=str: YAML reads names such as 1 or no as other types
    unknown = sorted(set(given) - known, key=str)
    if unknown:
        raise InputError(f"{where} has unknown keys {unknown}; known are {sorted(known)}")


def fields_of(where: str, entry: Any, known: frozenset[str]) -> dict[str, Any]:
    """An entry of the mapping with checked keys."""
    if not isinstance(entry, Mapping):
        raise InputError(f"{where} must hold keys among {sorted(known)}, got {entry!r}")
    check_keys(where, entry, known)
    return dict(entry)


def entries(where: str, given: Any) -> dict[str, Any]:
    """A part of the mapping that holds entries by name; empty where it is missing."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InputError(f"{where} must hold 'name: entry' pairs, got {given!r}")
    unnamed = [name for name in given if not isinstance(name, str) or not name.strip()]
    if unnamed:
        raise InputError(
            f"{where} has the name {unnamed[0]!r}; names are text, in quotes where YAML "
            "reads something else"
        )
    return dict(given)


def check_names(tasks: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
    """Raises for names of tasks and attributes that would overwrite a column of the table."""
    for kind, names, taken in (
        ("tasks", tasks, RESERVED),
        ("attributes", attributes, RESERVED | set(tasks)),
    ):
        for name in names:
            # "__" stands between a task and the version of its score
            if name in taken or (kind == "attributes" and "__" in name):
                raise InputError(
                    f"{kind}.{name}: this name is taken; choose one without '__' that is "
                    f"not among {sorted(taken)}"
                )


def one_of(where: str, value: Any, owner: type, field: str) -> Any:
    """The value, if it is among those that a field of the specification's class allows.

    Raises:
      ValueError: it is not; the message lists them.
    """
    known = get_args(get_type_hints(owner)[field])
    if value not in known:
        raise InputError(f"{where} must be {' or '.join(map(repr, known))}, got {value!r}")
    return value
