"""Where groups differ in other things than their name: what a difference in diagnosis may be due
to.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fairrecon_jax.types import CohortSpec

COLUMNS = ("attribute", "group", "what", "value", "others", "difference", "n_patients", "flagged")
FLAG = 0.2
"""From this standardised difference on groups are called different: a fifth of a spread."""
MOST = 12
"""Columns with more values than this are names or measurements, not kinds of images."""


def standardised_difference(values: np.ndarray, others: np.ndarray) -> float:
    """Difference of means in units of the spread, (m_a - m_b) / sqrt((v_a + v_b) / 2).

    Args:
      values: of one group, NaN = unknown.
      others: of all other groups.

    Returns:
      Scalar; 0 = the same mean; NaN where one side has fewer than two known values or neither
        varies while the means differ.

    Reference:
      Austin (2009), Statistics in Medicine 28.

    Example:
      >>> standardised_difference(np.array([1.0, 3.0]), np.array([0.0, 2.0]))
      0.7071...
    """
    a, b = (v[np.isfinite(v)] for v in (np.asarray(values, float), np.asarray(others, float)))
    if min(a.size, b.size) < 2:
        return float("nan")
    change = float(a.mean() - b.mean())
    spread = float(np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2))
    if spread > 0:
        return change / spread
    return 0.0 if change == 0 else float("nan")


def group_differences(table: pd.DataFrame, spec: CohortSpec) -> pd.DataFrame:
    """How the groups of each attribute differ among the test patients: images per patient, share of
    each finding, labels that are missing, other attributes and any further column of few values (a
    view, a scanner, a site).

    Args:
      table: predictions; columns that describe the image, beside those of the specification, are
        compared too.
      spec: the cohort's specification.

    Returns:
      One row per attribute, group and quantity with the columns `COLUMNS`: the group's mean, that
        of all other groups together, their standardised difference, and whether it is 0.2 or more.
    """
    images = table[table["split"] == "test"].drop_duplicates("example_id").reset_index(drop=True)
    patient = images["patient_id"].astype(str).to_numpy()
    rows = []
    for attribute in spec.attributes:
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
                        "flagged": bool(abs(difference) >= FLAG),
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
        column = f"{task.name}__label"
        if column not in images:
            continue
        label = images[column].to_numpy(float, na_value=np.nan)
        title = task.title or task.name
        present = np.where(np.isfinite(label), label > 0, np.nan).astype(float)
        yield f"share with {title}", present
        missing = ~np.isfinite(label)
        if missing.any():
            yield f"label of {title} missing", missing.astype(float)
    others = [a.name for a in spec.attributes if a.name != attribute]
    known = {"example_id", "patient_id", "split", "cohort", "level", "reconstructor"}
    known |= {"mitigation", "seed", attribute, *others}
    further = [str(c) for c in images if c not in known and "__" not in str(c)]
    for column in (*others, *(c for c in further if _is_kind(images[c]))):
        values = images[column].astype(object)
        for value in sorted(values.dropna().unique(), key=str):
            share = np.where(values.notna(), values == value, np.nan)
            yield f"{column} {value}", share.astype(float)


def _is_kind(column: pd.Series) -> bool:
    """Whether a column says of which kind an image is."""
    return not pd.api.types.is_float_dtype(column) and 2 <= column.nunique() <= MOST
