"""Reads a foreign table into the form that `assess` takes."""

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
from fairrecon_jax.external.cells import check, column_of, numbers, parsed, texts
from fairrecon_jax.external.checks import (
    Log,
    one_group,
    one_split,
    usable_attributes,
    usable_rows,
    usable_tasks,
)
from fairrecon_jax.external.columns import read_attribute, read_split, read_task
from fairrecon_jax.external.mapping import (
    KEYS,
    METRICS,
    check_keys,
    check_names,
    entries,
    load,
    one_of,
    published,
)
from fairrecon_jax.physics import DEGRADATIONS, describe
from fairrecon_jax.types import Attribute, CohortSpec, DegradationSpec, InputError, Task


def read_table(
    path: str | os.PathLike[str], mapping: Mapping[str, Any] | str | os.PathLike[str] | None = None
) -> tuple[pd.DataFrame, CohortSpec]:
    """Reads a table of predictions made elsewhere into the form that `assess` takes.

    What cannot be used is either an error or a counted exclusion in `table.attrs["exclusions"]`
    (records of reason and count, also given as one warning). Entries such as `tensor(68.,
    dtype=torch.float64)` are read as numbers; nothing is evaluated.

    Args:
      path: CSV or parquet file. A parquet file written by `write_predictions` needs no mapping.
      mapping: dictionary or path of a YAML file, see `fairrecon_jax.external.mapping`; None for the
        published code's CSV.

    Returns:
      (table, spec).

    Raises:
      FileNotFoundError: the table or the mapping does not exist.
      InputError: the mapping or the table cannot be used; the message names the file, the column,
        the row and what to do.

    Example:
      >>> from tempfile import mkdtemp
      >>> rows = [{"y": 0, "p": 0.2, "q": 0.3, "id": 7}, {"y": 1, "p": 0.9, "q": 0.7, "id": 8}]
      >>> pd.DataFrame(rows).to_csv(path := Path(mkdtemp(), "scores.csv"), index=False)
      >>> tasks = {"effusion": {"label": "y", "original": "p", "reconstructed": "q"}}
      >>> table, spec = read_table(path, {"patient": "id", "tasks": tasks})
      >>> table["effusion__reconstructed"].tolist(), spec.tasks[0].name
      ([0.3, 0.7], 'effusion')
    """
    source = Path(path)
    chosen = load(mapping)
    # known before the file is read, which decides the types of its columns
    names = [chosen.get(key) for key in ("example", "patient")]
    frame, has_spec = _read(source, [name for name in names if isinstance(name, str)])
    # with a mapping the file is a table like any other
    if has_spec and mapping is None:
        return read_predictions(source)
    log = Log()
    try:
        table, spec = _as_predictions(frame, chosen, source, log)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    return log.attach(table), spec


def _as_predictions(
    frame: pd.DataFrame, chosen: dict[str, Any], source: Path, log: Log
) -> tuple[pd.DataFrame, CohortSpec]:
    """The frame as a predictions table, with its specification."""
    # a key that YAML leaves empty counts as not given
    chosen = {k: v for k, v in chosen.items() if v is not None}
    if "tasks" not in chosen:
        # the given keys win: a name or a level may be set for the published CSV
        chosen = {**published(frame, source), **chosen}
    check_keys("mapping", chosen, KEYS)
    task_entries = entries("mapping 'tasks'", chosen["tasks"])
    attribute_entries = entries("mapping 'attributes'", chosen.get("attributes"))
    check_names(task_entries, attribute_entries)
    images = entries("mapping 'image_metrics'", chosen.get("image_metrics"))
    check_keys("mapping 'image_metrics'", images, METRICS)
    table = _identified(frame, chosen, source, log)
    tasks = [read_task(frame, table, name, entry, log) for name, entry in task_entries.items()]
    attributes = [
        read_attribute(frame, table, name, entry) for name, entry in attribute_entries.items()
    ]
    for metric in sorted(METRICS):
        column = images.get(metric, metric)
        if metric in images or metric in frame:
            table[metric] = numbers(frame, column)
    _carry(frame, table, chosen)
    # in this order: rows that are left out contradict nobody, and are counted in no group
    table = one_group(usable_rows(table, log), attributes, log)
    kept = usable_tasks(table, tasks, log)
    groups = usable_attributes(table, attributes, log)
    return table.reset_index(drop=True), _spec(chosen, source, table, kept, groups)


def _carry(frame: pd.DataFrame, table: pd.DataFrame, chosen: dict[str, Any]) -> None:
    """Takes over the columns that the options name: strata as text, continuous ones as numbers."""
    options = entries("mapping 'options'", chosen.get("options"))
    strata, along = options.get("strata"), options.get("continuous")
    if strata and strata not in table:
        table[strata] = texts(column_of(frame, strata, "options.strata"))
    for column in along if isinstance(along, list | tuple) else ():
        if column in table:
            raise InputError(
                f"mapping 'options' 'continuous' names {column!r}, which is a group; name the "
                "column of numbers behind it"
            )
        table[column] = numbers(frame, column, "options.continuous")


def _read(source: Path, names: list[str]) -> tuple[pd.DataFrame, bool]:
    """The file as a frame, and whether it is a parquet file that carries a specification.

    Columns of names are read as text: as numbers, "007" would lose its zeros and an identifier of
    20 digits its last ones.
    """
    if not source.is_file():
        raise FileNotFoundError(f"no predictions table at {source}")
    parquet, has_spec = source.suffix.lower() in (".parquet", ".pq"), False
    try:
        if parquet:
            has_spec = SPEC_KEY in (pq.read_schema(source).metadata or {})
            # an index stored by pandas would otherwise vanish from the columns
            frame = pq.read_table(source).to_pandas(ignore_metadata=True)
        else:
            # in one piece: read in chunks, a column may get mixed types
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
    return frame, has_spec


def _column_or_constant(
    frame: pd.DataFrame, chosen: dict[str, Any], what: str, default: Any
) -> tuple[pd.Series, str]:
    """A column by name, a constant or the default, and what an error is to call it."""
    entry = chosen.get(what, {"value": default})
    if not isinstance(entry, Mapping):
        return column_of(frame, entry, what), f"column {entry!r}"
    if set(entry) != {"value"}:
        raise InputError(
            f"mapping {what!r} must be a column name or {{value: constant}}, got {dict(entry)}"
        )
    return pd.Series([entry["value"]] * len(frame)), f"mapping {what!r}"


def _required_text(
    frame: pd.DataFrame, chosen: dict[str, Any], what: str, default: Any = None
) -> pd.Series:
    """A key of the mapping whose value is text in every row."""
    column, where = _column_or_constant(frame, chosen, what, default)
    values = texts(column)
    check(values.notna(), where, f"the entry is empty; give every row its {what}")
    return values


def _required_number(
    frame: pd.DataFrame, chosen: dict[str, Any], what: str, default: float
) -> pd.Series:
    """A key of the mapping whose value is a finite number in every row."""
    column, where = _column_or_constant(frame, chosen, what, default)
    values = parsed(column, where)
    check(np.isfinite(values), where, f"the entry is no finite number; give every row its {what}")
    if what == "seed":
        # a seed of 0.5 would become 0 below, and meet the rows of seed 0
        check(values == values.round(), where, "a seed is a whole number")
    return values


def _identified(
    frame: pd.DataFrame, chosen: dict[str, Any], source: Path, log: Log
) -> pd.DataFrame:
    """Example, patient, split and study cell of every row."""
    table = pd.DataFrame(index=frame.index)
    varying = [
        k
        for k in ("level", "reconstructor", "mitigation", "seed")
        if isinstance(chosen.get(k), str)
    ]
    if "example" in chosen:
        table["example_id"] = _required_text(frame, chosen, "example")
    elif varying:
        raise InputError(
            f"mapping needs 'example' (the image's name) because {varying} are columns: "
            "rows of one image must be matched"
        )
    else:
        # padded, so that sorting keeps the order of the file
        table["example_id"] = [f"row{i + 1:07d}" for i in range(len(frame))]
    if "patient" in chosen:
        table["patient_id"] = texts(column_of(frame, chosen["patient"], "patient"))
    else:
        log.add("no patient column: every image counts as a patient of its own; rows", len(frame))
        table["patient_id"] = table["example_id"]
    table["split"], named = read_split(frame, chosen.get("split"))
    one_split(table["patient_id"], table["split"], named)
    table["level"] = _required_number(frame, chosen, "level", 1.0)
    table["reconstructor"] = _required_text(frame, chosen, "reconstructor", source.stem)
    mitigation, _ = _column_or_constant(frame, chosen, "mitigation", "none")
    # None written by Python, or an empty cell: both mean without mitigation
    table["mitigation"] = texts(mitigation).fillna("none").replace("None", "none")
    table["seed"] = _required_number(frame, chosen, "seed", 0).astype(int)
    table["cohort"] = str(chosen.get("name") or source.stem)
    return table


def _spec(
    chosen: dict[str, Any],
    source: Path,
    table: pd.DataFrame,
    tasks: tuple[Task, ...],
    attributes: tuple[Attribute, ...],
) -> CohortSpec:
    """The specification of the table; a level that nobody named has a kind of its own."""
    modality = one_of("mapping 'modality'", chosen.get("modality", "xray"), CohortSpec, "modality")
    has_level = "level" in chosen
    if has_level and not {"modality", "degradation"} & set(chosen):
        raise InputError(
            "mapping has 'level' but no 'modality', which says what levels are: 'xray' "
            "(photon counts, lower is worse) or 'mri' (acceleration factors, higher is worse); for "
            f"other levels give 'degradation', one of {', '.join(sorted(DEGRADATIONS))}"
        )
    usual = {"xray": "xray_low_dose", "mri": "mri_radial"}[modality]
    kind = str(chosen.get("degradation", usual))
    if kind not in DEGRADATIONS:
        raise InputError(
            f"mapping 'degradation' must be one of {', '.join(sorted(DEGRADATIONS))}, got {kind!r}"
        )
    # mildest first, as the specification lists levels
    worst_last = DEGRADATIONS[kind].worse == "lower"
    levels = tuple(sorted((float(v) for v in table["level"].unique()), reverse=worst_last))
    name = str(chosen.get("name") or source.stem)
    # nobody named one: the middle level, or the worse of the two in the middle
    headline = levels[len(levels) // 2]
    unnamed = DegradationSpec("unnamed", levels, headline)
    degradation = describe(kind, levels, headline) if has_level else unnamed
    return CohortSpec(
        name,
        str(chosen.get("title") or name),
        modality,
        tasks,
        attributes,
        degradation,
        str(chosen.get("citation", "")),
    )
