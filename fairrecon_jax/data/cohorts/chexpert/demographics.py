"""Race from `CHEXPERT DEMO.xlsx`, which is a separate download."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from fairrecon_jax.data import policies
from fairrecon_jax.data.files import in_folder
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.tables import require_columns, rows_of
from fairrecon_jax.types import InputError

FILE = "CHEXPERT DEMO.xlsx"
GROUPS: dict[str, Callable[[str], str | None]] = {
    "sex": policies.sex_group,
    "race": policies.race_group,
}
NEEDED = ("PATIENT", "GENDER", "AGE_AT_CXR", "PRIMARY_RACE", "ETHNICITY")


def read_demographics(folders: Iterable[Path], notes: Notes) -> dict[str, tuple[str, str]]:
    """Recorded sex and race by patient; of several rows, spellings of one group agree and what is
    known beats what is not.

    Args:
      folders: where the file may lie, first match wins.
      notes: an absent file, races that are not understood and rows of one patient that contradict
        each other are noted.

    Returns:
      patient -> (GENDER, PRIMARY_RACE); empty where the file is absent.

    Raises:
      InputError: the file is not a workbook or lacks a column.
    """
    path = next((found for folder in folders for found in in_folder(folder, FILE)), None)
    if path is None:
        notes.keep(FILE, "missing_table", "absent: race of every patient is unknown")
        return {}
    try:
        table = pd.read_excel(path, sheet_name=0, dtype=str, keep_default_na=False)
    # openpyxl and zipfile raise whatever they stumble on
    except Exception as error:
        raise InputError(
            f"{path}: not a readable workbook: {type(error).__name__}: {error}"
        ) from error
    require_columns(path, table, NEEDED)
    entries: dict[str, dict[int, tuple[str, str]]] = defaultdict(dict)
    for line, row in enumerate(rows_of(table), start=2):
        patient, sex, race = (row[name].strip() for name in ("PATIENT", "GENDER", "PRIMARY_RACE"))
        if policies.race_group(race) is None and not policies.race_is_refusal(race):
            notes.keep(
                f"{FILE}#{line}",
                "unknown_label",
                f"{patient}: race {race!r} is not understood and counts as unknown",
            )
        # by line, so that a conflict can name the row
        entries[patient][line] = sex, race
    return {
        patient: (_agreed(patient, "sex", 0, rows, notes), _agreed(patient, "race", 1, rows, notes))
        for patient, rows in entries.items()
    }


def _agreed(
    patient: str, name: str, place: int, rows: dict[int, tuple[str, str]], notes: Notes
) -> str:
    """The first known value of a patient's rows (by line), "" with a note where they name several
    groups.
    """
    known: dict[str, tuple[int, str]] = {}
    for line, values in rows.items():
        group = GROUPS[name](values[place])
        if group:
            # by group: "White" and "White, non-Hispanic" agree
            known.setdefault(group, (line, values[place]))
    if len(known) > 1:
        (_, first), (line, other), *_ = known.values()
        notes.keep(
            f"{FILE}#{line}",
            "conflict",
            f"{patient}: {name} is {other!r} here and {first!r} before; neither counts",
        )
        return ""
    # where nothing is known the recorded words stay, so that notes can quote them
    return next((value for _, value in known.values()), next(iter(rows.values()))[place])
