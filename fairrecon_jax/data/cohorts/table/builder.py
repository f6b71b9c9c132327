"""The cohort "table": a CSV or Excel file and images, by the columns that a configuration names."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from fairrecon_jax.data.builder import (
    MRI_LEVELS,
    XRAY_LEVELS,
    CohortBuilder,
    Sample,
    task_columns,
)
from fairrecon_jax.data.cohort import GIVEN_SPLIT, CohortConfig
from fairrecon_jax.data.cohorts.table.reading import load_examples
from fairrecon_jax.data.cohorts.table.scanning import scan_rows, table_of
from fairrecon_jax.data.columns import TableColumns
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.policies import (
    cut_column,
    evaluated,
    one_per_patient,
    quantile_cuts,
    quantile_origin,
)
from fairrecon_jax.data.records import SourceRecord
from fairrecon_jax.data.words import LABEL_HINT, SPLIT_HINT, AttributeColumn
from fairrecon_jax.types import Attribute, CohortSpec, InputError, Task

ELSEWHERE = {
    "views": ("frontal",),
    "uncertainty": "ignore",
    "race": "six",
    "age_cut": "default",
    "age_cut_side": "over",
    "mask_values": (),
}
"""Fields of `CohortConfig` that the columns say better, with their defaults."""


class Table(CohortBuilder):
    """Base of the builders that `of` makes, one for each choice of columns."""

    cohort: ClassVar[str] = "table"
    title: ClassVar[str] = "Table and images"
    modality: ClassVar[Any] = "xray"
    degradation = XRAY_LEVELS
    dtype: ClassVar[type] = np.uint8
    citation: ClassVar[str] = ""
    columns: ClassVar[dict[str, type]] = {"cells": str}
    tasks: ClassVar[tuple[Task, ...]] = ()
    attribute_names: ClassVar[tuple[str, ...]] = ()
    meanings: ClassVar[TableColumns]

    @classmethod
    def of(cls, config: CohortConfig) -> type[CohortBuilder]:
        """The builder of the columns of a configuration.

        Raises:
          InputError: it has none.
        """
        columns = config.columns
        if columns is None:
            raise InputError(
                "the cohort 'table' needs the block columns, or a file of them in the field "
                "mapping; `fairrecon init` writes a first one"
            )
        mri, mask = columns.modality == "mri", columns.mask
        pooled = "median" if columns.volumes else "none"
        tasks = [
            Task(name, "classification", one.aggregation or pooled, one.title or _words(name))  # type: ignore[arg-type]
            for name, one in columns.labels
        ]
        recorded: dict[str, type] = {"cells": str}
        if columns.volumes:
            recorded |= {"slice": int, "slices": int}
        if mask is not None:
            over = "mean" if columns.volumes else "none"
            tasks.append(Task(mask.task, "segmentation", over, mask.title or _words(mask.task)))  # type: ignore[arg-type]
            recorded[f"{mask.task}_pixels"] = int
        bits = columns.bits or (16 if mri or columns.pairs else 8)
        fields = {
            "meanings": columns,
            "title": columns.title or cls.title,
            "citation": columns.citation,
            "modality": columns.modality,
            "degradation": MRI_LEVELS if mri else XRAY_LEVELS,
            "dtype": np.uint8 if bits == 8 else np.uint16,
            "columns": recorded,
            "tasks": tuple(tasks),
            "attribute_names": tuple(name for name, _ in columns.attributes),
            "stored": tuple(name for name, _ in columns.pairs),
            "inside": None if mask is None else () if isinstance(mask.inside, str) else mask.inside,
            "__module__": cls.__module__,
        }
        return type(cls.__name__, (cls,), fields)

    @classmethod
    def check(cls, config: CohortConfig) -> None:
        """Raises InputError where the configuration asks for what the columns do not have."""
        for field, default in ELSEWHERE.items():
            if getattr(config, field) != default:
                raise InputError(f"{field} is no choice of the cohort 'table': its columns say it")
        if not cls.meanings.volumes and config.slices != "all":
            raise InputError("slices is for volumes: set columns.volumes")
        super().check(config)

    @classmethod
    def tables(cls, root: Path) -> list[Path]:
        """The table, where it lies outside of the tree."""
        path = root / cls.meanings.table
        return [] if path.resolve().is_relative_to(root.resolve()) else [path]

    @classmethod
    def lists(cls, root: Path) -> dict[str, set[str]]:
        """Patients of each part that the table names; empty where it names none."""
        columns, parts = cls.meanings, dict[str, set[str]]()
        if columns.split is None or columns.patient is None:
            return parts
        table = table_of(root, columns).frame
        patients = map(columns.patient.read, table[columns.patient.column])
        for patient, part in zip(
            patients, columns.split.read(table[columns.split.column])[0], strict=True
        ):
            if patient and part:
                parts.setdefault(part, set()).add(patient)
        return parts

    @classmethod
    def scan(
        cls, root: Path, config: CohortConfig, notes: Notes, progress: bool = False
    ) -> list[SourceRecord]:
        """One record per row whose files are there."""
        return scan_rows(root, cls.meanings, notes, progress)

    @classmethod
    def note(cls, records: list[SourceRecord], notes: Notes) -> None:
        """Notes missing attributes once per patient, or per image where they belong to it, and
        patients whose rows disagree.
        """
        columns = cls.meanings
        cells = [json.loads(record.columns["cells"]) for record in records]
        for name, one in columns.attributes:
            given = [row[one.column] for row in cells]
            groups, _ = read_attribute(one, given, columns.decimal)
            seen: dict[str, Any] = {}
            per_image = _per(one) == "image"
            known = {r.patient_id for r, group in zip(records, groups, strict=True) if group}
            for record, group, cell in zip(records, groups, given, strict=True):
                who, file = record.patient_id, record.files[0]
                if group is None and (per_image or (who not in known and who not in seen)):
                    notes.keep(file, "missing_attribute", f"patient {who}: {name} is {cell!r}")
                    seen[who] = None
                elif group is not None and not per_image and seen.setdefault(who, group) != group:
                    notes.keep(
                        file,
                        "conflict",
                        f"patient {who}: {name} is {group!r} here and {seen[who]!r} elsewhere; it "
                        "counts as unknown",
                    )

    @classmethod
    def load(
        cls, root: Path, record: SourceRecord, config: CohortConfig, notes: Notes
    ) -> list[Sample]:
        """The example of one file, or those of a volume's slices."""
        return load_examples(root, record, cls.meanings, cls.dtype, config, notes)

    @classmethod
    def labels(cls, raw: pd.DataFrame, config: CohortConfig) -> dict[str, np.ndarray]:
        """The labels of the cells, by the words of the configuration."""
        cells = _cells(raw)
        found = {}
        for name, one in cls.meanings.labels:
            meant = one.read(cells[one.column])
            cls.meanings.refuse(f"labels.{name}", one.column, meant.strange, LABEL_HINT)
            found[name] = meant.values
        return found

    @classmethod
    def describe(
        cls, raw: pd.DataFrame, config: CohortConfig, train_rows: np.ndarray | None
    ) -> tuple[pd.DataFrame, CohortSpec]:
        """The cohort's table under the meanings of the configuration, see `CohortBuilder`."""
        columns, outline, cells = cls.meanings, cls.outline(config), _cells(raw)
        labels = cls.labels(raw, config)
        table = raw[["example_id", "patient_id"]].copy()
        attributes, numbers = [], {}
        chosen = dict(columns.attributes)
        for name in config.attributes or chosen:
            one = chosen[name]
            groups, values = read_attribute(one, cells[one.column], columns.decimal)
            if values is not None:
                column = f"{name}_{one.unit or 'value'}"
                numbers[column] = values
                table[name], attribute = _cut(
                    name, one, raw.assign(**{column: values}), column, train_rows
                )
            else:
                table[name], attribute = _grouped(name, one, raw, groups)
            attributes.append(attribute)
        table = table.assign(**task_columns(outline, labels, raw))
        table["evaluate"] = evaluated(raw, config, cls.default_slices)
        for name, given in numbers.items():
            table[name] = given
        for name in ("slice", "slices"):
            if name in raw:
                table[name] = raw[name]
        if columns.split is not None:
            parts, strange = columns.split.read(cells[columns.split.column])
            columns.refuse("split", columns.split.column, strange, SPLIT_HINT)
            table[GIVEN_SPLIT] = parts
        return table, dataclasses.replace(outline, attributes=tuple(attributes))


def read_attribute(
    one: AttributeColumn, cells: Any, decimal: str
) -> tuple[list[Any], np.ndarray | None]:
    """The groups of an attribute of words; of a number its values, and as groups whether it is
    known.
    """
    if not one.is_number:
        return one.read_words(cells).values, None
    values = one.read_numbers(cells, decimal).values
    return [None if np.isnan(value) else "known" for value in values], values


def _per(one: AttributeColumn) -> Any:
    return one.per or ("image" if one.is_number else "patient")


def _cells(raw: pd.DataFrame) -> pd.DataFrame:
    """The recorded cells by column."""
    return pd.DataFrame(list(map(json.loads, raw["cells"])), index=raw.index)


def _grouped(
    name: str, one: AttributeColumn, raw: pd.DataFrame, groups: list[Any]
) -> tuple[pd.Series, Attribute]:
    """The group of each row of an attribute of words."""
    column = pd.Series(groups, index=raw.index, dtype=object)
    per = _per(one)
    if per == "patient":
        column = one_per_patient(raw["patient_id"], column)
    declared = [group for group, _ in one.groups]
    if one.rest and one.rest not in declared:
        declared.append(one.rest)
    present = set(column.dropna())
    names = tuple(g for g in declared if g in present) if declared else tuple(sorted(present))
    if not names:
        raise InputError(
            f"columns.attributes.{name}: no patient has a known value in {one.column!r}; leave it "
            "out of attributes"
        )
    if one.reference and one.reference not in names:
        raise InputError(
            f"columns.attributes.{name}: no patient is of the reference group {one.reference!r}"
        )
    text = f"{one.column} as recorded"
    if per == "patient":
        text += "; patients whose entries disagree are unknown"
    return column, Attribute(name, names, text, per, one.reference)


def _cut(
    name: str,
    one: AttributeColumn,
    raw: pd.DataFrame,
    column: str,
    train_rows: np.ndarray | None,
) -> tuple[pd.Series, Attribute]:
    """The group of each row of a number."""
    per = _per(one)
    values = raw[column]
    if per == "patient":
        # one number a patient, as splits and statistics are by patient
        values = raw.groupby("patient_id")[column].transform("median")
    cuts, origin = one.cuts, "given"
    if one.quantiles:
        cuts = quantile_cuts(raw, train_rows, one.quantiles, column)
        origin = quantile_origin(one.quantiles, train_rows)
    groups, names, words = cut_column(values, cuts, origin, one.unit, one.cut_side)
    return groups, Attribute(name, names, f"{one.column}, {words}", per, one.reference)


def _words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()
