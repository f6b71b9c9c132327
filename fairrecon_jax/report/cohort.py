"""Tables about the patients: counts per split and group, prevalence of the findings (paper: tables
5 and 6).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.report.balance import differing
from fairrecon_jax.report.small_cells import shown
from fairrecon_jax.report.tables.entries import Missing, fixed
from fairrecon_jax.report.tables.table import Table
from fairrecon_jax.types import CohortSpec, Task

SPLITS = {
    "train_reconstruction": "train (reconstruction)",
    "train_diagnosis": "train (diagnosis)",
    "train": "train",
    "val": "validation",
    "test": "test",
}
"""Names of the splits in the order they are shown."""


def splits_of(table: pd.DataFrame) -> list[str]:
    """Splits that occur, in the order train, validation, test, then others."""
    present = [str(s) for s in table["split"].dropna().unique()]
    return [s for s in SPLITS if s in present] + sorted(s for s in present if s not in SPLITS)


def tables(spec: CohortSpec, table: pd.DataFrame, least: int = 0) -> list[Table]:
    """Counts per split and group, and prevalence per split and group.

    Args:
      spec: attributes and tasks.
      table: one row per example: patient_id, split, attributes and tasks by name.
      least: smaller counts of patients are withheld.

    Returns:
      The tables; none for an empty table.

    Raises:
      ValueError: the columns patient_id or split are missing.
    """
    # an empty frame without columns means that no table was handed over, which is no error
    if table.empty and not len(table.columns):
        return []
    missing = [c for c in ("patient_id", "split") if c not in table.columns]
    if missing:
        raise ValueError(
            f"the cohort table lacks the columns {missing}; give one row per example with "
            "patient_id and split"
        )
    if table.empty:
        return []
    balance = differing(spec, table, least)
    return [
        counts(spec, table, least),
        prevalence(spec, table, least),
        *([balance] if balance else []),
    ]


def members(spec: CohortSpec, table: pd.DataFrame) -> list[tuple[str, str, np.ndarray]]:
    """(attribute, group, which rows) for everyone, each group, and the unknown of each attribute
    that the table has.
    """
    parts = [("", "everyone", np.ones(len(table), bool))]
    for attribute in spec.attributes:
        if attribute.name in table.columns:
            values = table[attribute.name]
            parts += [(attribute.name, g, (values == g).to_numpy()) for g in attribute.groups]
            # whatever is in no group: None, NaN, or a name that the specification does not have
            parts.append((attribute.name, "unknown", (~values.isin(attribute.groups)).to_numpy()))
    return [part for part in parts if part[1] != "unknown" or part[2].any()]


def counts(spec: CohortSpec, table: pd.DataFrame, least: int = 0) -> Table:
    """Patients and images (or slices) per split and group."""
    splits = splits_of(table)
    records: list[list[Any]] = []
    for attribute, group, rows in members(spec, table):
        record: list[Any] = [attribute or "all", group]
        for split in splits:
            in_split = (table["split"] == split).to_numpy()
            examples = table[rows & in_split]
            percent = 100 * len(examples) / max(int(in_split.sum()), 1)
            patients = int(examples["patient_id"].nunique())
            few = 0 < patients < least
            told = f"{len(examples):,} ({percent:.1f} %)"
            record += [shown(patients, least), "withheld" if few else told]
        records.append(record)
    hide_smallest_others(records)
    images = "slices" if spec.modality == "mri" else "images"
    frame = pd.DataFrame(
        records, columns=pd.Index(["attribute", "group", *["patients", images] * len(splits)])
    )
    spans = (("", 2), *((SPLITS.get(s, s), 2) for s in splits))
    caption = (
        f"Patients and {images} per split; percentages are shares of the {images} of the "
        "split. No patient is in two splits."
    )
    # looked at in this table, and not taken from how splits are made
    if not disjoint(table):
        caption = (
            f"Patients and {images} per split. Warning: some patients are in more than one split."
        )
    return Table("cohort_counts", "Who is in the study", caption, frame, spans, labels=2)


def hide_smallest_others(records: list[list[Any]]) -> None:
    """Withholds a second group where one alone is: everyone minus the others would tell.

    Args:
      records: lines of `counts`, changed in place.
    """
    for attribute in {record[0] for record in records} - {"all"}:
        own = [record for record in records if record[0] == attribute]
        for place in range(2, len(own[0]), 2):
            counted = [record for record in own if isinstance(record[place], int) and record[place]]
            if sum(str(record[place]).startswith("<") for record in own) == 1 and counted:
                least = min(counted, key=lambda record: record[place])
                least[place : place + 2] = ["withheld", "withheld"]


def disjoint(table: pd.DataFrame) -> bool:
    """Whether every patient is in one split only."""
    return bool((table.groupby("patient_id")["split"].nunique() <= 1).all())


def prevalence(spec: CohortSpec, table: pd.DataFrame, least: int = 0) -> Table:
    """Share of examples with each finding per group in the test split (all splits where there is
    none).
    """
    has_test = (table["split"] == "test").any()
    tested = table[table["split"] == "test"] if has_test else table
    where = "the test split" if has_test else "all splits"
    groups = members(spec, tested)
    tasks = [t for t in spec.tasks if t.name in table.columns]
    records = [
        [t.title or t.name, *(share(t, tested[rows], least) for _, _, rows in groups)]
        for t in tasks
    ]
    frame = pd.DataFrame(records, columns=pd.Index(["diagnosis", *(g for _, g, _ in groups)]))
    caption = (
        f"Share in {where} with the finding (delineations: share with any true pixel); in "
        "brackets how many have it of how many are known. Unknown labels are left out."
    )
    # in order of appearance: `members` keeps the groups of an attribute together
    width = {name: sum(n == name for n, _, _ in groups) for name, _, _ in groups}
    spans = (("", 1), *((f"by {name}" if name else "", n) for name, n in width.items()))
    return Table(
        "cohort_prevalence",
        "How common each finding is",
        caption,
        frame,
        spans,
        folded=len(groups) > 6,
    )


def share(task: Task, rows: pd.DataFrame, least: int = 0) -> str | Missing:
    """Percent with the finding and the counts behind it."""
    values = pd.to_numeric(rows[task.name], errors="coerce").dropna()
    if values.empty:
        return Missing("nobody in this group has a known label")
    positive = int((values > 0).sum())  # a segmentation's label is its number of true pixels
    if 0 < positive < least or 0 < len(values) - positive < least:
        return Missing(f"withheld: fewer than {least} with or without it")
    return f"{fixed(100 * positive / len(values), 1)} % ({positive:,} of {len(values):,})"
