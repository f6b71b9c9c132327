"""A foreign table in the form that `assess` takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fairrecon_jax.assessment import read_predictions
from fairrecon_jax.assessment.predictions import SPEC_KEY
from fairrecon_jax.external import mapping as mapping_
from fairrecon_jax.external.cells import column_of, numbers, text
from fairrecon_jax.external.checks import Log, usable_attributes, usable_rows, usable_tasks
from fairrecon_jax.external.mapping import KEYS, check_keys, fields_of
from fairrecon_jax.types import Attribute, CohortSpec, DegradationSpec, Task

TASK_KEYS = frozenset("label original reconstructed aggregation title kind original_pixels reconstructed_pixels".split())
ATTRIBUTE_KEYS = frozenset("column groups cut reference derivation per".split())
SPLITS = {"val": ("val", "valid", "validation", "dev"), "test": ("test",)}


def read_table(
    path: str | os.PathLike[str], mapping: Mapping[str, Any] | str | os.PathLike[str] | None = None
) -> tuple[pd.DataFrame, CohortSpec]:
    """Reads a table of predictions made elsewhere into the form that `assess` takes.

    What cannot be used is either one error or a counted exclusion in `table.attrs["exclusions"]` (records of reason and count, also given
    as one warning). Cells such as `tensor(68., dtype=torch.float64)` are read as numbers; nothing is evaluated.

    Args:
      path: CSV or parquet file. A parquet file of our own (with a specification in its metadata) needs no mapping.
      mapping: dictionary or path of a YAML file, see the module's text; None for the published code's CSV.

    Returns:
      (table, spec).

    Raises:
      FileNotFoundError: the table or the mapping is not there.
      ValueError: the mapping or the table cannot be used; the message names the column, the row and what to do.
    """
    source = Path(path)
    frame, own = _read(source)
    if own and mapping is None:
        return read_predictions(source)
    chosen = mapping_.load(mapping)
    if "tasks" not in chosen:
        chosen = {**mapping_.published(frame, source), **chosen}
    check_keys("mapping", chosen, KEYS)
    log = Log()
    frame = frame.reset_index(drop=True)
    table = _places(frame, chosen, source, log)
    tasks = [_task(frame, table, name, fields_of(f"tasks.{name}", entry, TASK_KEYS), log) for name, entry in chosen["tasks"].items()]
    wanted = chosen.get("attributes") or {}
    attributes = [_attribute(frame, table, name, entry) for name, entry in wanted.items()]
    for metric in ("psnr", "ssim", "nrmse", "lpips"):
        column = (chosen.get("image_metrics") or {}).get(metric, metric)
        if column in frame or column != metric:
            table[metric] = numbers(frame, column)
    table = usable_rows(table, log)
    kept = usable_tasks(table, tasks, log)
    groups = usable_attributes(table, attributes, log)
    return log.attach(table.reset_index(drop=True)), _spec(chosen, source, table, kept, groups)


def _read(source: Path) -> tuple[pd.DataFrame, bool]:
    """The file as a frame, and whether it is a parquet file with our specification."""
    if not source.is_file():
        raise FileNotFoundError(f"no predictions table at {source}")
    try:
        if source.suffix.lower() in (".parquet", ".pq"):
            schema = pq.read_schema(source)
            return pq.read_table(source).to_pandas(), SPEC_KEY in (schema.metadata or {})
        frame = pd.read_csv(source, low_memory=False)
    except (pa.ArrowInvalid, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{source} cannot be read as {'parquet' if source.suffix != '.csv' else 'CSV'}: {error}") from error
    if frame.empty:
        raise ValueError(f"{source} holds no rows")
    return frame, False


def _place(frame: pd.DataFrame, entry: Any, what: str, default: Any) -> pd.Series:
    """A column by name, or a constant."""
    if entry is None:
        return pd.Series([default] * len(frame))
    if isinstance(entry, Mapping):
        if set(entry) != {"value"}:
            raise ValueError(f"mapping {what!r} must be a column name or {{value: constant}}, got {dict(entry)}")
        return pd.Series([entry["value"]] * len(frame))
    return column_of(frame, entry, what)


def _places(frame: pd.DataFrame, chosen: dict[str, Any], source: Path, log: Log) -> pd.DataFrame:
    """Example, patient, split and study cell of every row."""
    table = pd.DataFrame(index=frame.index)
    varying = [k for k in ("level", "reconstructor", "mitigation", "seed") if isinstance(chosen.get(k), str)]
    if "example" in chosen:
        table["example_id"] = column_of(frame, chosen["example"], "example").astype(str)
    elif varying:
        raise ValueError(f"mapping needs 'example' (the image's name) because {varying} are columns: rows of one image must be found again")
    else:
        table["example_id"] = [f"row{i + 1:07d}" for i in range(len(frame))]
    if chosen.get("patient") is not None:
        patients = column_of(frame, chosen["patient"], "patient")
        table["patient_id"] = patients.astype(str).where(patients.notna(), None)
    else:
        log.add("no patient column: every image counts as a patient of its own; rows", len(frame))
        table["patient_id"] = table["example_id"]
    table["split"] = _split(frame, chosen.get("split"))
    level = chosen.get("level")
    table["level"] = numbers(frame, level, "level") if isinstance(level, str) else _place(frame, level, "level", 1.0).astype(float)
    table["reconstructor"] = _place(frame, chosen.get("reconstructor"), "reconstructor", source.stem).astype(str)
    table["mitigation"] = _place(frame, chosen.get("mitigation"), "mitigation", "none").astype(str)
    table["seed"] = _place(frame, chosen.get("seed"), "seed", 0).astype(int)
    table["cohort"] = str(chosen.get("name") or source.stem)
    return table


def _split(frame: pd.DataFrame, entry: Any) -> pd.Series:
    """val, test, or None for rows of other splits."""
    if entry is None:
        return pd.Series(["test"] * len(frame))
    fields = dict(entry) if isinstance(entry, Mapping) else {"column": entry}
    check_keys("mapping 'split'", fields, frozenset(("column", "val", "test")))
    if "column" not in fields:
        raise ValueError(f"mapping 'split' needs 'column', got {fields}")
    values = column_of(frame, fields["column"], "split").astype(str).str.strip()
    out = pd.Series([None] * len(frame), dtype=object)
    for name, usual in SPLITS.items():
        wanted = fields.get(name, usual)
        wanted = [wanted] if isinstance(wanted, str) else [str(w) for w in wanted]
        known = values.isin(wanted) if name in fields else values.str.lower().isin(wanted)
        out[known.to_numpy()] = name
    return out


def _task(frame: pd.DataFrame, table: pd.DataFrame, name: str, entry: dict[str, Any], log: Log) -> Task:
    """Adds a task's columns and checks their values."""
    kind = entry.get("kind", "classification")
    if kind not in ("classification", "segmentation"):
        raise ValueError(f"tasks.{name}.kind must be 'classification' or 'segmentation', got {kind!r}")
    missing = [k for k in ("label", "reconstructed") if k not in entry and not (k == "label" and kind == "segmentation")]
    if missing:
        raise ValueError(f"tasks.{name} lacks {missing}: name the columns that hold them")
    label = numbers(frame, entry["label"], f"tasks.{name}.label") if "label" in entry else pd.Series(1.0, index=frame.index)
    if kind == "classification":
        uncertain = label == -1
        log.add(f"uncertain labels (-1) of {name} count as unknown", int(uncertain.sum()))
        label = label.where(~uncertain)
        strange = label.notna() & ~label.isin([0, 1])
        if strange.any():
            row = int(np.flatnonzero(strange)[0])
            raise ValueError(
                f"column {entry['label']!r}, row {row + 1}: label {label.iloc[row]:g} of task {name!r} is not 0, 1, -1 or blank"
            )
    table[f"{name}__label"] = label
    for version in ("original", "reconstructed", "original_pixels", "reconstructed_pixels"):
        if version in entry:
            values = numbers(frame, entry[version], f"tasks.{name}.{version}")
            outside = values.notna() & ((values < 0) | (values > 1)) & (not version.endswith("pixels"))
            if outside.any():
                row = int(np.flatnonzero(outside)[0])
                raise ValueError(
                    f"column {entry[version]!r} holds {int(outside.sum())} scores outside [0, 1] (row {row + 1}: {values.iloc[row]:g}); "
                    "give probabilities (of logits, their sigmoid)"
                )
            table[f"{name}__{version}"] = values
    return Task(name, kind, entry.get("aggregation", "mean" if kind == "segmentation" else "none"), str(entry.get("title", name)))


def _attribute(frame: pd.DataFrame, table: pd.DataFrame, name: str, entry: Any) -> Attribute:
    """Adds an attribute's column of group names."""
    fields = fields_of(f"attributes.{name}", entry, ATTRIBUTE_KEYS) if isinstance(entry, Mapping) else {"column": entry}
    column = fields.get("column", name)
    if "cut" in fields:
        cut, age = float(fields["cut"]), numbers(frame, column, f"attributes.{name}")
        groups: tuple[str, ...] = (f"under {cut:g}", f"{cut:g} or older")
        table[name] = [None if np.isnan(a) else groups[int(a >= cut)] for a in age]
        derivation = f"{column}, cut at {cut:g}"
    else:
        values = column_of(frame, column, f"attributes.{name}")
        names = values.map(text, na_action="ignore").astype(object)
        codes = {text(v): g for g, v in (fields.get("groups") or {}).items() for v in (v if isinstance(v, list) else [v])}
        groups = tuple(fields["groups"]) if codes else tuple(sorted(names.dropna().unique()))
        table[name] = (names.map(codes) if codes else names).astype(object).where(lambda s: s.notna(), None)
        derivation = f"as in column {column}"
    described = {"derivation": str(fields.get("derivation", derivation)), "reference": str(fields.get("reference", ""))}
    return Attribute(name, groups, per=fields.get("per", "patient"), **described)


def _spec(
    chosen: dict[str, Any], source: Path, table: pd.DataFrame, tasks: tuple[Task, ...], attributes: tuple[Attribute, ...]
) -> CohortSpec:
    """The specification of the table."""
    modality = chosen.get("modality", "xray")
    if modality not in ("xray", "mri"):
        raise ValueError(f"mapping 'modality' must be 'xray' or 'mri', got {modality!r}")
    kind: Any = {"xray": "xray_low_dose", "mri": "mri_radial"}[modality]
    levels = tuple(sorted((float(v) for v in table["level"].unique()), reverse=modality == "xray"))
    name = str(chosen.get("name") or source.stem)
    degradation = DegradationSpec(kind, levels, levels[len(levels) // 2])
    return CohortSpec(name, str(chosen.get("title") or name), modality, tasks, attributes, degradation, str(chosen.get("citation", "")))
