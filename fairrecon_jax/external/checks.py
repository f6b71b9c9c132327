"""Which part of a foreign table can be assessed: contradictions are errors, everything else that
cannot be used is excluded and counted.
"""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd

from fairrecon_jax.runtime.nothing import nobody
from fairrecon_jax.runtime.text import alike, look_alikes
from fairrecon_jax.types import Attribute, InputError, Task, plural


class Log:
    """Exclusions with their counts, and what else a reader should know, kept with the table and
    warned about once.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.loud: list[str] = []

    def say(self, note: str) -> None:
        """Records a sentence."""
        self.notes.append(note)

    def add(self, reason: str, count: int, loud: bool = False) -> None:
        """Records an exclusion; nothing where the count is 0. A loud one stands among the notes
        too, which a report shows at its top.
        """
        if count:
            self.entries.append({"reason": reason, "count": int(count)})
            self.loud += [f"{count} {reason}."] if loud else []

    def attach(self, table: pd.DataFrame) -> pd.DataFrame:
        """Puts exclusions and notes into the table's `attrs` and warns about each of them."""
        # at the end, as not every operation of pandas carries attrs along
        table.attrs["exclusions"] = self.entries
        table.attrs["notes"] = [*self.loud, *self.notes]
        for sentence in [*self.notes, *(f"{e['reason']} ({e['count']})" for e in self.entries)]:
            warnings.warn(sentence, stacklevel=3)
        return table


def one_split(patients: pd.Series, split: pd.Series, named: pd.Series) -> None:
    """Raises if a patient of validation or test is in another split too, whatever the table calls
    it.

    Args:
      patients: name per row, missing where unknown.
      split: "val", "test" or missing.
      named: the split as the table names it, missing where it does not.

    Raises:
      InputError: some are; the message counts them and shows one with the table's names.
    """
    _refuse_crossing(patients, split, named)
    # one patient in two spellings would be in two splits as well
    look = patients.map({name: alike(name) for name in patients.dropna().unique()})
    if not look.nunique() == patients.nunique():
        _refuse_crossing(look, split, named, patients)


def _refuse_crossing(
    patients: pd.Series, split: pd.Series, named: pd.Series, spelt: pd.Series | None = None
) -> None:
    """Raises if a patient is in several splits, one of which is evaluated; `spelt` has the names
    that look alike, where `patients` has their look.
    """
    # two other splits (train, pretrain) may share patients: nothing is assessed on either
    # with a prefix: a split that the table itself calls "val" may be none of ours
    names = split.where(split.notna(), named.map("other: {}".format, na_action="ignore"))
    # groupby leaves out rows without a patient
    several = names.groupby(patients).nunique() > 1
    crossing = several.index[several & split.notna().groupby(patients).any()]
    if len(crossing):
        images = {str(name): int(count) for name, count in patients.value_counts().items()}
        # a code for a missing patient is the likely reason, whoever else crosses
        coded = [name for name in nobody(images) if name in crossing]
        first = (coded or list(crossing))[0]
        hint = f"; if {first!r} stands for a missing patient, leave the cell empty" if coded else ""
        rows = patients == first
        where = sorted(named[rows].dropna().unique())
        if spelt is not None:
            raise InputError(
                f"{plural(len(crossing), 'patient')} of names that look alike in several splits, "
                f"e.g. {' and '.join(map(repr, spelt[rows].unique()))} in {where}: give one "
                "patient one name, and different ones names that differ by more"
            )
        raise InputError(
            f"{plural(len(crossing), 'patient', 'are')} in several splits, e.g. "
            f"{first!r} in {where}; split by patient{hint}"
        )


def one_group(table: pd.DataFrame, attributes: list[Attribute], log: Log) -> pd.DataFrame:
    """The table with a patient's attribute set to unknown where the patient's images disagree;
    such patients are counted.
    """
    for attribute in (a for a in attributes if a.per == "patient"):
        # nunique leaves out unknown entries: one known group is no contradiction
        several = table.groupby("patient_id")[attribute.name].nunique() > 1
        unclear = table["patient_id"].map(several)
        test = unclear & (table["split"] == "test")
        images, judged = (table["example_id"][rows].nunique() for rows in (unclear, test))
        patients = int(several.sum())
        log.add(
            f"patients have images in several groups of {attribute.name} and count as unknown: "
            f"{patients} of {len(several)} patients, {images} of {table['example_id'].nunique()} "
            f"images ({judged} of them test images) are in no group; give attributes."
            f"{attribute.name} 'per: image' if the group belongs to the image",
            patients,
            loud=True,
        )
        known = table[attribute.name].where(~unclear, None)
        table = table.assign(**{attribute.name: known})
    return table


def usable_rows(table: pd.DataFrame, log: Log) -> pd.DataFrame:
    """Rows with a patient and an evaluated split, each once; what is left out is counted.

    Raises:
      ValueError: two rows give one example different values, or no test row is left.
    """
    _say_alike(table, log)
    _say_nobody(table, log)
    table = table[table["patient_id"].notna()]
    log.add(
        "rows of other splits than validation and test were left out",
        int(table["split"].isna().sum()),
    )
    table = table[table["split"].notna()]
    # tables that were joined hold rows twice
    repeated = table.duplicated()
    log.add("repeated identical rows were left out", int(repeated.sum()))
    table = table[~repeated]
    key = ["example_id", "level", "reconstructor", "mitigation", "seed"]
    # identical rows are gone, so that what repeats a key says something else about it
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


def _say_alike(table: pd.DataFrame, log: Log) -> None:
    """Says which patients and which images have names that look alike."""
    for column, what in (("patient_id", "patients"), ("example_id", "images")):
        found = look_alikes(table[column].dropna().unique())
        if not found or (what == "images" and table[column].equals(table["patient_id"])):
            continue
        several = sum(map(len, found))
        shown = "; ".join(", ".join(map(repr, same)) for same in found[:3])
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        log.say(
            f"{what} {shown}{more} look alike and count as {several} {what}: if those that look "
            "alike are one, give them one name"
        )


def _say_nobody(table: pd.DataFrame, log: Log) -> None:
    """Says which patients may be the code for a missing name: all their images count as one
    person's.
    """
    counts = table.groupby("patient_id")["example_id"].nunique()
    images = {str(name): int(count) for name, count in counts.items()}
    for name in nobody(images):
        most = max((count for who, count in images.items() if who != name), default=0)
        log.say(
            f"patient {name!r} has {images[name]} images, and no other more than {most}: if this "
            "stands for a missing patient, leave the cell empty; such rows are left out and counted"
        )


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
