"""Where groups differ in other things than their name: what a difference in diagnosis may be due
to (confounding).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fairrecon_jax.metrics import standardised_difference
from fairrecon_jax.report.select import each
from fairrecon_jax.report.tables.entries import fixed
from fairrecon_jax.report.tables.table import Table
from fairrecon_jax.types import CohortSpec

COLUMNS = ("attribute", "group", "what", "value", "others", "difference", "n_patients", "flagged")
FLAG = 0.2
"""From this standardised difference on groups are called different: a fifth of a spread."""
MOST = 12
"""Columns with more values than this are names or measurements, not kinds of images."""


def group_differences(table: pd.DataFrame, spec: CohortSpec) -> pd.DataFrame:
    """How the groups of each attribute differ among the test patients: images per patient, share of
    each finding, labels that are missing, other attributes and any further column of few values (a
    view, a scanner, a site).

    Args:
      table: one row per image: patient_id, split, attributes and tasks by name; further columns
        that say of which kind an image is are compared too.
      spec: the cohort's specification.

    Returns:
      One row per attribute, group and quantity with the columns `COLUMNS`: the group's mean, that
        of all other groups together, their standardised difference, and whether it is 0.2 or more.
    """
    images = table[table["split"] == "test"].reset_index(drop=True)
    patient = images["patient_id"].astype(str).to_numpy()
    rows = []
    for attribute in spec.attributes:
        if attribute.name not in images:
            continue
        group = images[attribute.name]
        quantities = list(_quantities(images, patient, spec, attribute.name))
        for name in attribute.groups:
            own = (group == name).to_numpy()
            rest = (group.notna() & (group != name)).to_numpy()
            for what, values in quantities:
                # images per patient are counted once a patient
                once = ~pd.Series(patient).duplicated().to_numpy()
                chosen = once if what == "images per patient" else np.ones(len(own), bool)
                pair = values[own & chosen], values[rest & chosen]
                difference = standardised_difference(*pair)
                rows.append(
                    {
                        "attribute": attribute.name,
                        "group": name,
                        "what": what,
                        "value": _mean(pair[0]),
                        "others": _mean(pair[1]),
                        "difference": difference,
                        "n_patients": len(np.unique(patient[own])),
                        "flagged": bool(abs(difference) >= FLAG),  # NaN is no flag
                    }
                )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _mean(values: np.ndarray) -> float:
    """The mean of what is known; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _quantities(
    images: pd.DataFrame, patient: np.ndarray, spec: CohortSpec, attribute: str
) -> Iterator[tuple[str, np.ndarray]]:
    """What is compared, as one number per image."""
    sizes = pd.Series(patient).groupby(patient).transform("size")
    yield "images per patient", sizes.to_numpy(float)
    for task in spec.tasks:
        if task.name not in images:
            continue
        label = pd.to_numeric(images[task.name], errors="coerce").to_numpy(float)
        title = task.title or task.name
        present = np.where(np.isfinite(label), label > 0, np.nan).astype(float)
        yield f"share with {title}", present
        missing = ~np.isfinite(label)
        if missing.any():
            yield f"label of {title} missing", missing.astype(float)
    others = [a.name for a in spec.attributes if a.name != attribute]
    known = {"example_id", "patient_id", "split", attribute, *others}
    known |= {task.name for task in spec.tasks}
    # "sex_recorded" beside "sex" is the attribute again, as one source has it
    again = f"{attribute}_".casefold()
    further = [str(c) for c in images if c not in known and not str(c).casefold().startswith(again)]
    for column in (*others, *(c for c in further if _is_kind(images[c]))):
        values = images[column].astype(object)
        for value in sorted(values.dropna().unique(), key=str):
            # whose entry is unknown counts on neither side
            share = np.where(values.notna(), values == value, np.nan)
            yield f"{column} {value}", share.astype(float)


def _is_kind(column: pd.Series) -> bool:
    """Whether a column says of which kind an image is."""
    # floats are measurements, whole numbers may be codes
    return not pd.api.types.is_float_dtype(column) and 2 <= column.nunique() <= MOST


def size_words(difference: float) -> str:
    """A standardised difference as an entry; groups that share nothing differ completely."""
    return "complete" if np.isinf(difference) else str(fixed(difference, 2, sign=True))


def differing(spec: CohortSpec, table: pd.DataFrame, least: int = 0) -> Table | None:
    """The table of what groups differ in by 0.2 of a spread or more; None where there is no test
    patient, or no attribute.
    """
    if table.empty or "split" not in table.columns or not (table["split"] == "test").any():
        return None
    found = group_differences(table, spec)
    # of attributes none was left to compare groups of
    if found.empty:
        return None
    # a mean of the few, or of everyone but them, gives them away
    shown = found.groupby("attribute")["n_patients"].transform("min") >= least
    flagged = found[found["flagged"] & shown].sort_values("difference", key=np.abs, ascending=False)
    records = [
        [row.attribute, row.group, row.what, fixed(row.value, 2), fixed(row.others, 2),
         size_words(row.difference)]
        for row in each(flagged)
    ]  # fmt: skip
    names = ["attribute", "group", "what", "this group", "all others", "difference (sd)"]
    caption = (
        "What else differs between groups of the test patients, by a fifth of a spread or more "
        "(difference of the means over their pooled standard deviation): a difference in diagnosis "
        "may be due to it. Labels, images per patient, other attributes and columns of few values "
        f"were compared, {len(found):,} pairs. assess.strata repeats the tests within the values "
        "of a column."
    )
    if not records:
        caption += " None differs by as much."
    frame = pd.DataFrame(records, columns=pd.Index(names))
    return Table("cohort_balance", "What else the groups differ in", caption, frame, labels=3)
