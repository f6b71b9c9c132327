"""Race from `CHEXPERT DEMO.xlsx`, which is a separate download."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from fairrecon_jax.data import policies
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.tables import require_columns, rows_of

FILE = "CHEXPERT DEMO.xlsx"
NEEDED = ("PATIENT", "GENDER", "AGE_AT_CXR", "PRIMARY_RACE", "ETHNICITY")


def read_demographics(folders: Iterable[Path], notes: Notes) -> dict[str, tuple[str, str]]:
    """Recorded sex and race by patient.

    Args:
      folders: where the file may lie, first match wins.
      notes: an absent file and repeated patients are noted.

    Returns:
      patient -> (GENDER, PRIMARY_RACE); empty where the file is absent.

    Raises:
      ValueError: the file is not a workbook or lacks a column.
    """
    path = next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)
    if path is None:
        notes.keep(FILE, "missing_table", "not there: race of every patient is unknown")
        return {}
    try:
        table = pd.read_excel(path, sheet_name=0, dtype=str, keep_default_na=False)
    except (zipfile.BadZipFile, ValueError, KeyError, OSError) as error:
        raise ValueError(f"{path}: not a readable workbook: {error}") from error
    require_columns(path, table, NEEDED)
    people: dict[str, tuple[str, str]] = {}
    for line, row in enumerate(rows_of(table), start=2):
        patient, values = row["PATIENT"].strip(), (row["GENDER"].strip(), row["PRIMARY_RACE"].strip())
        if patient in people and people[patient] != values:
            notes.keep(
                f"{FILE}#{line}", "conflict", f"{patient}: {values} here, {people[patient]} before; sex or race that differs is unknown"
            )
            values = tuple(a if a == b else "" for a, b in zip(values, people[patient], strict=True))  # type: ignore[assignment]
        if values[1] and policies.race_group(values[1]) is None and not policies.race_is_refusal(values[1]):
            notes.keep(f"{FILE}#{line}", "unknown_label", f"{patient}: race {values[1]!r} is not understood and counts as unknown")
        people[patient] = values
    return people
