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
from fairrecon_jax.external.cells import check, column_of, numbers, parsed, text, words
from fairrecon_jax.external.checks import (
    Log,
    one_group,
    one_split,
    usable_attributes,
    usable_rows,
    usable_tasks,
)
from fairrecon_jax.external.mapping import (
    KEYS,
    METRICS,
    check_keys,
    check_names,
    entries,
    fields_of,
    one_of,
)
from fairrecon_jax.physics import DEGRADATIONS, describe
from fairrecon_jax.types import Attribute, CohortSpec, DegradationSpec, InputError, Task

TASK_KEYS = frozenset(
    "label original reconstructed aggregation title kind original_pixels "
    "reconstructed_pixels".split()
)
ATTRIBUTE_KEYS = frozenset("column groups cut reference derivation per".split())
SPLITS = {"val": ("val", "valid", "validation", "dev"), "test": ("test",)}


def read_table(
    path: str | os.PathLike[str], mapping: Mapping[str, Any] | str | os.PathLike[str] | None = None
) -> tuple[pd.DataFrame, CohortSpec]:
    """Reads a table of predictions made elsewhere into the form that `assess` takes.

    What cannot be used is either one error or a counted exclusion in `table.attrs["exclusions"]`
    (records of reason and count, also given as one warning). Cells such as `tensor(68.,
    dtype=torch.float64)` are read as numbers; nothing is evaluated.

    Args:
      path: CSV or parquet file. A parquet file of our own (with a specification in its metadata)
        needs no mapping.
      mapping: dictionary or path of a YAML file, see the module's text; None for the published
        code's CSV.

    Returns:
      (table, spec).

    Raises:
      FileNotFoundError: the table or the mapping is not there.
      InputError: the mapping or the table cannot be used; the message names the file, the column,
        the row and what to do.
    """
    source = Path(path)
    chosen = mapping_.load(mapping)
    frame, own = _read(
        source, [c for c in (chosen.get("example"), chosen.get("patient")) if isinstance(c, str)]
    )
    if own and mapping is None:
        return read_predictions(source)
    log = Log()
    try:
        table, spec = _ours(frame, chosen, source, log)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    return log.attach(table), spec


def _ours(
    frame: pd.DataFrame, chosen: dict[str, Any], source: Path, log: Log
) -> tuple[pd.DataFrame, CohortSpec]:
    """The frame in our form, with its specification."""
    chosen = {k: v for k, v in chosen.items() if v is not None}
    if "tasks" not in chosen:
        chosen = {**mapping_.published(frame, source), **chosen}
    check_keys("mapping", chosen, KEYS)
    wanted, described = (
        entries("mapping 'tasks'", chosen["tasks"]),
        entries("mapping 'attributes'", chosen.get("attributes")),
    )
    check_names(wanted, described)
    images = entries("mapping 'image_metrics'", chosen.get("image_metrics"))
    check_keys("mapping 'image_metrics'", images, METRICS)
    table = _places(frame, chosen, source, log)
    tasks = [
        _task(frame, table, name, fields_of(f"tasks.{name}", entry, TASK_KEYS), log)
        for name, entry in wanted.items()
    ]
    attributes = [_attribute(frame, table, name, entry) for name, entry in described.items()]
    for metric in sorted(METRICS):
        column = images.get(metric, metric)
        if metric in images or metric in frame:
            table[metric] = numbers(frame, column)
    table = one_group(usable_rows(table, log), attributes, log)
    kept = usable_tasks(table, tasks, log)
    groups = usable_attributes(table, attributes, log)
    return table.reset_index(drop=True), _spec(chosen, source, table, kept, groups)


def _read(source: Path, names: list[str]) -> tuple[pd.DataFrame, bool]:
    """The file as a frame, columns of names kept as they are written, and whether it is a parquet
    file with our specification.
    """
    if not source.is_file():
        raise FileNotFoundError(f"no predictions table at {source}")
    parquet, own = source.suffix.lower() in (".parquet", ".pq"), False
    try:
        if parquet:
            own = SPEC_KEY in (pq.read_schema(source).metadata or {})
            frame = pq.read_table(source).to_pandas(ignore_metadata=True)
        else:
            frame = pd.read_csv(source, low_memory=False, dtype=dict.fromkeys(names, str))
    except (
        pa.ArrowInvalid,
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
    ) as error:
        raise InputError(
            f"{source} cannot be read as {'parquet' if parquet else 'CSV'}: "
            f"{' '.join(str(error).split())}"
        ) from error
    if frame.empty:
        raise InputError(f"{source} holds no rows")
    return frame, own


def _place(
    frame: pd.DataFrame, chosen: dict[str, Any], what: str, default: Any
) -> tuple[pd.Series, str]:
    """A column by name, a constant or the default, and where it stands."""
    entry = chosen.get(what, {"value": default})
    if not isinstance(entry, Mapping):
        return column_of(frame, entry, what), f"column {entry!r}"
    if set(entry) != {"value"}:
        raise InputError(
            f"mapping {what!r} must be a column name or {{value: constant}}, got {dict(entry)}"
        )
    return pd.Series([entry["value"]] * len(frame)), f"mapping {what!r}"


def _names(
    frame: pd.DataFrame, chosen: dict[str, Any], what: str, default: Any = None
) -> pd.Series:
    """A place that is text; every row has one."""
    cells, where = _place(frame, chosen, what, default)
    cells = words(cells)
    check(cells.notna(), where, f"the cell is empty; give every row its {what}")
    return cells


def _numbers(frame: pd.DataFrame, chosen: dict[str, Any], what: str, default: float) -> pd.Series:
    """A place that is a finite number; every row has one."""
    cells, where = _place(frame, chosen, what, default)
    values = parsed(cells, where)
    check(np.isfinite(values), where, f"the cell holds no finite number; give every row its {what}")
    if what == "seed":
        check(values == values.round(), where, "a seed is a whole number")
    return values


def _places(frame: pd.DataFrame, chosen: dict[str, Any], source: Path, log: Log) -> pd.DataFrame:
    """Example, patient, split and study cell of every row."""
    table = pd.DataFrame(index=frame.index)
    varying = [
        k
        for k in ("level", "reconstructor", "mitigation", "seed")
        if isinstance(chosen.get(k), str)
    ]
    if "example" in chosen:
        table["example_id"] = _names(frame, chosen, "example")
    elif varying:
        raise InputError(
            f"mapping needs 'example' (the image's name) because {varying} are columns: "
            "rows of one image must be found again"
        )
    else:
        table["example_id"] = [f"row{i + 1:07d}" for i in range(len(frame))]
    if "patient" in chosen:
        table["patient_id"] = words(column_of(frame, chosen["patient"], "patient"))
    else:
        log.add("no patient column: every image counts as a patient of its own; rows", len(frame))
        table["patient_id"] = table["example_id"]
    table["split"], own = _split(frame, chosen.get("split"))
    one_split(table["patient_id"], table["split"], own)
    table["level"] = _numbers(frame, chosen, "level", 1.0)
    table["reconstructor"] = _names(frame, chosen, "reconstructor", source.stem)
    table["mitigation"] = (
        words(_place(frame, chosen, "mitigation", "none")[0]).fillna("none").replace("None", "none")
    )
    table["seed"] = _numbers(frame, chosen, "seed", 0).astype(int)
    table["cohort"] = str(chosen.get("name") or source.stem)
    return table


def _split(frame: pd.DataFrame, entry: Any) -> tuple[pd.Series, pd.Series]:
    """val, test, or None for rows of other splits, words of the mapping before the usual ones; and
    what the table itself calls them.
    """
    if entry is None:
        return pd.Series(["test"] * len(frame)), pd.Series(["test"] * len(frame))
    fields = dict(entry) if isinstance(entry, Mapping) else {"column": entry}
    check_keys("mapping 'split'", fields, frozenset(("column", "val", "test")))
    if "column" not in fields:
        raise InputError(f"mapping 'split' needs 'column', got {fields}")
    own = (
        column_of(frame, fields["column"], "split")
        .astype(object)
        .map(text, na_action="ignore")
        .astype(object)
    )
    out = pd.Series([None] * len(frame), dtype=object)
    for name in sorted(SPLITS, key=fields.__contains__):
        wanted = fields.get(name, SPLITS[name])
        wanted = [text(w) for w in (wanted if isinstance(wanted, list | tuple) else [wanted])]
        known = own.isin(wanted) if name in fields else own.str.lower().isin(wanted)
        if fields.keys() >= SPLITS.keys() and len(twice := own[known & out.notna()]):
            raise InputError(
                f"mapping 'split' takes {twice.iloc[0]!r} for val and for test; name it once"
            )
        out[known.to_numpy()] = name
    return out, own


def _task(
    frame: pd.DataFrame, table: pd.DataFrame, name: str, entry: dict[str, Any], log: Log
) -> Task:
    """Adds a task's columns and checks their values."""
    kind = one_of(f"tasks.{name}.kind", entry.get("kind", "classification"), Task, "kind")
    aggregation = entry.get("aggregation", "mean" if kind == "segmentation" else "none")
    one_of(f"tasks.{name}.aggregation", aggregation, Task, "aggregation")
    missing = [
        k
        for k in ("label", "reconstructed")
        if k not in entry and not (k == "label" and kind == "segmentation")
    ]
    if missing:
        raise InputError(f"tasks.{name} lacks {missing}: name the columns that hold them")
    label = (
        numbers(frame, entry["label"], f"tasks.{name}.label")
        if "label" in entry
        else pd.Series(1.0, index=frame.index)
    )
    if kind == "classification":
        uncertain = label == -1
        log.add(f"uncertain labels (-1) of {name} count as unknown", int(uncertain.sum()))
        label = label.where(~uncertain)
        strange = label.notna() & ~label.isin([0, 1])
        if strange.any():
            row = int(np.flatnonzero(strange)[0])
            raise InputError(
                f"column {entry['label']!r}, row {row + 1}: label {label.iloc[row]:g} of "
                f"task {name!r} is not 0, 1, -1 or blank"
            )
    table[f"{name}__label"] = label
    for version in ("original", "reconstructed", "original_pixels", "reconstructed_pixels"):
        if version in entry:
            values = numbers(frame, entry[version], f"tasks.{name}.{version}")
            outside = (
                values.notna() & ((values < 0) | (values > 1)) & (not version.endswith("pixels"))
            )
            if outside.any():
                row = int(np.flatnonzero(outside)[0])
                raise InputError(
                    f"column {entry[version]!r} holds {int(outside.sum())} scores outside "
                    f"[0, 1] (row {row + 1}: {values.iloc[row]:g}); "
                    "give probabilities (of logits, their sigmoid)"
                )
            table[f"{name}__{version}"] = values
    return Task(name, kind, aggregation, str(entry.get("title", name)))


def _attribute(frame: pd.DataFrame, table: pd.DataFrame, name: str, entry: Any) -> Attribute:
    """Adds an attribute's column of group names."""
    fields = (
        fields_of(f"attributes.{name}", entry, ATTRIBUTE_KEYS)
        if isinstance(entry, Mapping)
        else {"column": entry}
    )
    column, per = (
        fields.get("column", name),
        one_of(f"attributes.{name}.per", fields.get("per", "patient"), Attribute, "per"),
    )
    if "cut" in fields:
        if "groups" in fields or not isinstance(fields["cut"], int | float):
            raise InputError(
                f"attributes.{name}.cut must be a number, without 'groups'; got {fields}"
            )
        cut, age = float(fields["cut"]), numbers(frame, column, f"attributes.{name}")
        groups: tuple[str, ...] = (f"under {cut:g}", f"{cut:g} or older")
        table[name] = [None if np.isnan(a) else groups[int(a >= cut)] for a in age]
        derivation = f"{column}, cut at {cut:g}"
    else:
        values = column_of(frame, column, f"attributes.{name}")
        names = values.astype(object).map(text, na_action="ignore").astype(object)
        given = entries(f"attributes.{name}.groups", fields.get("groups"))
        pairs = {
            (text(v), g) for g, v in given.items() for v in (v if isinstance(v, list) else [v])
        }
        codes = dict(pairs)
        if len(codes) < len(pairs):
            raise InputError(f"attributes.{name}.groups puts one value into two groups: {given}")
        groups = tuple(given) if codes else tuple(sorted(names.dropna().unique()))
        table[name] = (
            (names.map(codes) if codes else names).astype(object).where(lambda s: s.notna(), None)
        )
        derivation = f"as in column {column}"
    reference = str(fields.get("reference", ""))
    if reference not in ("", *groups):
        raise InputError(
            f"attributes.{name}.reference must be among its groups {groups}, got {reference!r}"
        )
    return Attribute(name, groups, str(fields.get("derivation", derivation)), per, reference)


def _spec(
    chosen: dict[str, Any],
    source: Path,
    table: pd.DataFrame,
    tasks: tuple[Task, ...],
    attributes: tuple[Attribute, ...],
) -> CohortSpec:
    """The specification of the table."""
    modality = one_of("mapping 'modality'", chosen.get("modality", "xray"), CohortSpec, "modality")
    named = "level" in chosen
    if named and not {"modality", "degradation"} & set(chosen):
        raise InputError(
            "mapping has 'level' but no 'modality', which says what levels are: 'xray' "
            "(photon counts, lower is worse) or 'mri' (acceleration factors, higher is worse); for "
            f"other levels give 'degradation', one of {', '.join(sorted(DEGRADATIONS))}"
        )
    usual = {"xray": "xray_low_dose", "mri": "mri_radial"}[modality]
    kind = str(chosen.get("degradation", usual))
    if kind not in DEGRADATIONS:
        raise ValueError(
            f"mapping 'degradation' must be one of {', '.join(sorted(DEGRADATIONS))}, got {kind!r}"
        )
    worst_last = DEGRADATIONS[kind].worse == "lower"
    levels = tuple(sorted((float(v) for v in table["level"].unique()), reverse=worst_last))
    name = str(chosen.get("name") or source.stem)
    headline = levels[len(levels) // 2]
    unnamed = DegradationSpec("unnamed", levels, headline)
    degradation = describe(kind, levels, headline) if named else unnamed
    return CohortSpec(
        name,
        str(chosen.get("title") or name),
        modality,
        tasks,
        attributes,
        degradation,
        str(chosen.get("citation", "")),
    )
