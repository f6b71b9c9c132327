"""What of a foreign table can be assessed: contradictions are errors, the rest is excluded and
counted.
"""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd

from fairrecon_jax.types import Attribute, InputError, Task


class Log:
    """Exclusions with their counts, kept with the table and warned about once."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def add(self, reason: str, count: int) -> None:
        """Notes an exclusion if it concerns anything."""
        if count:
            self.entries.append({"reason": reason, "count": int(count)})

    def attach(self, table: pd.DataFrame) -> pd.DataFrame:
        """Puts the exclusions into the table's `attrs` and warns about them once."""
        table.attrs["exclusions"] = self.entries
        if self.entries:
            warnings.warn(
                "; ".join(f"{e['reason']} ({e['count']})" for e in self.entries), stacklevel=3
            )
        return table


def one_split(patients: pd.Series, split: pd.Series, own: pd.Series) -> None:
    """Refuses patients of validation or test who are in another split too, whatever the table calls
    it.

    Args:
      patients: name per row, missing where unknown.
      split: "val", "test" or missing.
      own: the table's own name of the split, missing where it names none.

    Raises:
      InputError: some are; the message counts them and shows one with the table's own names.
    """
    names = split.where(split.notna(), own.map("other: {}".format, na_action="ignore"))
    several = names.groupby(patients).nunique() > 1
    crossing = several.index[several & split.notna().groupby(patients).any()]
    if len(crossing):
        where = sorted(own[patients == crossing[0]].dropna().unique())
        raise InputError(
            f"{len(crossing)} patients are in several splits, e.g. {crossing[0]!r} in "
            f"{where}; split by patient"
        )


def one_group(table: pd.DataFrame, attributes: list[Attribute], log: Log) -> pd.DataFrame:
    """The table with attributes of the patient made unknown for patients whose images disagree,
    counted.
    """
    for attribute in (a for a in attributes if a.per == "patient"):
        several = table.groupby("patient_id")[attribute.name].nunique() > 1
        table = table.assign(
            **{attribute.name: table[attribute.name].where(~table["patient_id"].map(several), None)}
        )
        log.add(
            f"patients with images in several groups of {attribute.name} count as unknown",
            int(several.sum()),
        )
    return table


def usable_rows(table: pd.DataFrame, log: Log) -> pd.DataFrame:
    """Leaves out what cannot be used, counted; refuses what contradicts itself."""
    log.add("rows without a patient were left out", int(table["patient_id"].isna().sum()))
    table = table[table["patient_id"].notna()]
    log.add(
        "rows of other splits than validation and test were left out",
        int(table["split"].isna().sum()),
    )
    table = table[table["split"].notna()]
    repeated = table.duplicated()
    log.add("repeated identical rows were left out", int(repeated.sum()))
    table = table[~repeated]
    key = ["example_id", "level", "reconstructor", "mitigation", "seed"]
    twice = table.duplicated(key)
    if twice.any():
        first = table[twice].iloc[0]
        raise InputError(
            f"{int(twice.sum())} rows repeat an example with other values, e.g. "
            f"{first['example_id']!r}; keep one row of each"
        )
    if not (table["split"] == "test").any():
        raise InputError("no test row is left to assess; check the mapping's 'split'")
    return table


def usable_tasks(table: pd.DataFrame, tasks: list[Task], log: Log) -> tuple[Task, ...]:
    """Tasks with both labels among the test rows."""
    test, kept = table[table["split"] == "test"], []
    for task in tasks:
        if task.kind == "classification" and test[f"{task.name}__label"].nunique() < 2:
            known = test[f"{task.name}__label"].dropna().unique()
            log.add(
                f"task {task.name} was left out: its test labels are all {known[0]:g}"
                if len(known)
                else f"task {task.name}: no label",
                len(test),
            )
        else:
            kept.append(task)
    if not kept:
        raise InputError(
            f"no task can be assessed: the test labels of {[t.name for t in tasks]} are "
            "constant or missing"
        )
    return tuple(kept)


def usable_attributes(
    table: pd.DataFrame, attributes: list[Attribute], log: Log
) -> tuple[Attribute, ...]:
    """Attributes with at least two groups among the test rows."""
    test, kept = table[table["split"] == "test"], []
    for attribute in attributes:
        present = test[attribute.name].dropna().unique()
        if len(present) < 2:
            log.add(
                f"attribute {attribute.name} was left out: its test rows hold "
                f"{list(present) or 'no group'}, and a gap needs two",
                len(test),
            )
        else:
            log.add(
                f"test rows without a group of {attribute.name} are left out of its gaps",
                int(test[attribute.name].isna().sum()),
            )
            kept.append(attribute)
    return tuple(kept)
