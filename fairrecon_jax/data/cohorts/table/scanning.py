"""From the rows of a table to records: names, patients, files, and what the words mean."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fairrecon_jax.data.cells import CUT, cut_off
from fairrecon_jax.data.columns import TableColumns
from fairrecon_jax.data.files import Finder, stem
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.records import SourceRecord
from fairrecon_jax.data.sheets import Sheet
from fairrecon_jax.data.tables import require_columns, rows_of, text_sheet
from fairrecon_jax.data.words import (
    CODE_HINT,
    GROUP_HINT,
    LABEL_HINT,
    NUMBER_HINT,
    SPLIT_HINT,
    AttributeColumn,
    LabelColumn,
    Meant,
)
from fairrecon_jax.runtime.gathered import Gathered
from fairrecon_jax.runtime.nothing import in_words, no_value, nobody
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
    sheet = table_of(root, columns)
    table = sheet.frame
    errors = Gathered()
    with errors.gather():
        require_columns(path, table, columns.needed)
    for sentence in sheet.notes:
        notes.keep(path.name, "as_read", sentence)
    check_names(columns, table, errors)
    check_words(columns, table, notes, errors)
    errors.tell()
    finders: dict[str, Finder] = {}

    def finder(folder: str) -> Finder:
        if folder not in finders:
            finders[folder] = Finder(root, folder)
        return finders[folder]

    records, named = [], set()
    rows = track(rows_of(table), f"rows of {path.name}", "row", shown=progress)
    for line, row in zip(sheet.lines, rows, strict=True):
        record, image = _record(row, f"{path.name}#{line}", columns, finder, notes)
        named.add(image)
        if record is not None:
            records.append(record)
    _note_names(path.name, records, columns, notes)
    _note_parts(path.name, records, columns, notes)
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


def table_of(root: Path, columns: TableColumns) -> Sheet:
    """The table as text."""
    return text_sheet(root / columns.table, columns.delimiter, columns.encoding, columns.sheet)


def check_names(columns: TableColumns, table: pd.DataFrame, errors: Gathered) -> None:
    """Refuses names of patients and images that a spreadsheet has cut off.

    Args:
      columns: what they mean.
      table: the cells; a column that is missing is told elsewhere.
      errors: takes what is refused, with field, column and name.
    """
    patient = columns.patient.column if columns.patient else ""
    for field, column in (("patient", patient), ("id", columns.id), ("image", columns.image)):
        if column not in table:
            continue
        if cut := cut_off(map(normal, table[column])):
            errors.add(
                f"columns.{field}: the column {column!r} of {columns.table} has {cut!r}: {CUT}"
            )


def check_words(columns: TableColumns, table: pd.DataFrame, notes: Notes, errors: Gathered) -> None:
    """Refuses words without a meaning, and counts numbers out of range.

    Args:
      columns: what they mean.
      table: the cells; a column that is missing is told elsewhere.
      notes: takes the counts.
      errors: takes what is refused, with the field, the column and the words.
    """
    cells = {name: table[name].tolist() for name in columns.recorded if name in table}
    for name, label in columns.labels:
        if label.column in cells:
            with errors.gather():
                _check_label(name, label, cells[label.column], columns, notes)
    for name, one in columns.attributes:
        if one.column in cells:
            with errors.gather():
                _check_attribute(name, one, cells[one.column], columns, notes)
    if columns.split is not None and columns.split.column in cells:
        with errors.gather():
            _, strange = columns.split.read(cells[columns.split.column])
            columns.refuse("split", columns.split.column, strange, SPLIT_HINT)


def _check_label(
    name: str, label: LabelColumn, cells: list[str], columns: TableColumns, notes: Notes
) -> None:
    meant = label.read(cells)
    columns.refuse(f"labels.{name}", label.column, meant.strange, LABEL_HINT)
    blank = sum(not normal(cell) for cell in cells) + sum(meant.gone.values())
    if blank:
        words = f"{blank} rows without {name}{in_words(meant.gone)}"
        notes.keep(columns.table, "missing_label", words)
    _note_doubtful(f"labels.{name}", label.column, meant, columns, notes)


def _check_attribute(
    name: str, one: AttributeColumn, cells: list[str], columns: TableColumns, notes: Notes
) -> None:
    where = f"attributes.{name}"
    if one.is_number:
        meant = one.read_numbers(cells, columns.decimal)
        columns.refuse(where, one.column, meant.strange, NUMBER_HINT)
        codes = [f"{code:g}" for code in one.codes(meant.values)]
        columns.refuse(where, one.column, codes, CODE_HINT)
        if meant.outside:
            notes.keep(columns.table, "out_of_range", f"{meant.outside} rows of {one.column}")
    else:
        meant = one.read_words(cells)
        columns.refuse(where, one.column, meant.strange, GROUP_HINT)
    if meant.gone:
        notes.keep(columns.table, "nothing_said", f"{one.column}{in_words(meant.gone)}")
    _note_doubtful(where, one.column, meant, columns, notes)
    if not one.groups and not one.is_number:
        for same in look_alikes(normal(cell) for cell in cells if normal(cell)):
            notes.keep(columns.table, "alike", f"{one.column}: {' and '.join(map(repr, same))}")


def _note_doubtful(
    where: str, column: str, meant: Meant, columns: TableColumns, notes: Notes
) -> None:
    """Notes words that are taken for what they say although they may stand for nothing."""
    for word, count in meant.doubtful.items():
        notes.keep(
            columns.table,
            "doubtful",
            f"{word!r} of {column} in {count} rows: if it stands for nothing, name it among the "
            f"unknown of columns.{where}",
        )


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
    # a column of identifiers that says nothing; a file may well be called none.png
    name = "" if columns.id and no_value(name) else name
    patient = name if columns.patient is None else columns.patient.read(row[columns.patient.column])
    if not name or not patient:
        cell = row[columns.patient.column if name and columns.patient else columns.id]
        notes.skip(
            place,
            "unknown_name",
            f"{written} has no {'patient' if name else 'name'}" + (f": {cell!r}" if cell else ""),
        )
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
    for same in look_alikes(record.name for record in records):
        notes.keep(table, "alike", f"images {' and '.join(map(repr, same))}")
    if columns.patient is None:
        return
    images = Counter(record.patient_id for record in records)
    for same in look_alikes(images):
        notes.keep(
            table,
            "alike_patients",
            f"{' and '.join(map(repr, same))}: if they are one patient, give them one name; splits "
            "that are drawn here keep them in one part",
        )
    for name in nobody(images):
        notes.keep(
            table,
            "nobody",
            f"patient {name!r} has {images[name]} images: if nobody is called so, leave the cell "
            "empty, and these images are left out",
        )


def _note_parts(
    table: str, records: list[SourceRecord], columns: TableColumns, notes: Notes
) -> None:
    """Notes patients whom the table's split puts into no part."""
    if columns.split is None:
        return
    cells = [json.loads(record.columns["cells"])[columns.split.column] for record in records]
    parts: dict[str, set[str]] = {}
    for record, part in zip(records, columns.split.read(cells)[0], strict=True):
        parts.setdefault(record.patient_id, set()).add(part)
    for patient in (patient for patient, found in parts.items() if found == {""}):
        notes.keep(table, "no_part", f"patient {patient!r} in column {columns.split.column!r}")
