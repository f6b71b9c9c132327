"""From the rows of a table to records: names, patients, files, and what the words mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fairrecon_jax.data.columns import TableColumns
from fairrecon_jax.data.files import Finder, stem
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.records import SourceRecord
from fairrecon_jax.data.sheets import read_sheet
from fairrecon_jax.data.tables import require_columns, rows_of
from fairrecon_jax.data.words import GROUP_HINT, LABEL_HINT, NUMBER_HINT, SPLIT_HINT
from fairrecon_jax.runtime.progress import track
from fairrecon_jax.runtime.text import look_alikes, normal

IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".nii", ".nii.gz", ".bmp")
Finders = Callable[[str], Finder]


def scan_rows(
    root: Path, columns: TableColumns, notes: Notes, progress: bool
) -> list[SourceRecord]:
    """One record per row whose image, mask and reconstructions are there; `files` holds them in
    this order.

    Raises:
      FileNotFoundError: there is no table.
      InputError: a column is missing, or a word has no meaning.
    """
    path = root / columns.table
    table = read_sheet(path, columns.delimiter, columns.sheet)
    require_columns(path, table, columns.needed)
    check_words(columns, table, notes)
    finders: dict[str, Finder] = {}

    def finder(folder: str) -> Finder:
        if folder not in finders:
            finders[folder] = Finder(root, folder)
        return finders[folder]

    records, named = [], set()
    rows = track(rows_of(table), f"rows of {path.name}", "row", shown=progress)
    for line, row in enumerate(rows, start=2):
        record, image = _record(row, f"{path.name}#{line}", columns, finder, notes)
        named.add(image)
        if record is not None:
            records.append(record)
    _note_names(path.name, records, columns, notes)
    if columns.images:
        stray = [
            file
            for file in finder(columns.images).files()
            if file not in named and file.lower().endswith(IMAGES)
        ]
        if stray:
            notes.skip(
                columns.images, "no_row", f"{len(stray)} images without a row, e.g. {stray[0]}"
            )
    return records


def check_words(columns: TableColumns, table: pd.DataFrame, notes: Notes) -> None:
    """Refuses words without a meaning, and counts numbers out of range.

    Raises:
      InputError: the message names the field, the column and the words.
    """
    cells: dict[str, list[str]] = {name: table[name].tolist() for name in columns.recorded}
    for name, label in columns.labels:
        _, strange = label.read(cells[label.column])
        columns.refuse(f"labels.{name}", label.column, strange, LABEL_HINT)
        blank = sum(not normal(cell) for cell in cells[label.column])
        if blank:
            notes.keep(columns.table, "missing_label", f"{blank} rows without {name}")
    for name, one in columns.attributes:
        where, given = f"attributes.{name}", cells[one.column]
        if one.is_number:
            _, strange, outside = one.read_numbers(given, columns.decimal)
            columns.refuse(where, one.column, strange, NUMBER_HINT)
            if outside:
                notes.keep(columns.table, "out_of_range", f"{outside} rows of {one.column}")
            continue
        _, strange = one.read_words(given)
        columns.refuse(where, one.column, strange, GROUP_HINT)
        if not one.groups:
            for same in look_alikes(normal(cell) for cell in given if normal(cell)):
                notes.keep(columns.table, "alike", f"{one.column}: {' and '.join(map(repr, same))}")
    if columns.split is not None:
        _, strange = columns.split.read(cells[columns.split.column])
        columns.refuse("split", columns.split.column, strange, SPLIT_HINT)


def _record(
    row: dict[str, str], place: str, columns: TableColumns, finder: Finders, notes: Notes
) -> tuple[SourceRecord | None, str]:
    """(record, image file) of one row; no record where something is missing, which is noted."""
    written = row[columns.image]
    image, problem = finder(columns.images).find(written)
    if problem:
        kind = "outside_root" if "leaves the data folder" in problem else "missing_file"
        notes.skip(place, kind, problem)
        return None, ""
    path = _path(written)
    # of a name written without its ending, such as a DICOM identifier, the last part is none
    bare = stem(image).endswith(path) and not image.endswith(path)
    name = normal(row[columns.id]) if columns.id else normal(path if bare else stem(path))
    patient = name if columns.patient is None else columns.patient.read(row[columns.patient.column])
    if not name or not patient:
        notes.skip(place, "unknown_name", f"{written} has no {'patient' if name else 'name'}")
        return None, image
    files = [image]
    for what, one, kind in columns.beside:
        file, problem = finder(one.folder).find(row[one.column] if one.column else _path(written))
        if problem and not one.column:
            # by the image's own path, or as `fairrecon reconstruct` writes its name
            inner = image.removeprefix(f"{columns.images}/") if columns.images else image
            for again in (inner, stem(_path(written)).replace("/", "__")):
                found, still = finder(one.folder).find(again)
                file, problem = (file, problem) if still else (found, "")
        if problem or file == image:
            notes.skip(image, kind, f"{what}: {problem or 'it is the image itself'}")
            return None, image
        files.append(file)
    cells = {column: row[column] for column in columns.recorded}
    recorded = {"cells": json.dumps(cells, ensure_ascii=False, sort_keys=True)}
    return SourceRecord(name, patient, tuple(files), recorded), image


def _path(written: str) -> str:
    return written.strip().replace("\\", "/").removeprefix("./")


def _note_names(
    table: str, records: list[SourceRecord], columns: TableColumns, notes: Notes
) -> None:
    """Notes names that look alike: they may be one, and then leak from training to test."""
    groups = [("images", {record.name for record in records})]
    if columns.patient is not None:
        groups.append(("patients", {record.patient_id for record in records}))
    for what, names in groups:
        for same in look_alikes(names):
            notes.keep(table, "alike", f"{what} {' and '.join(map(repr, same))}")
