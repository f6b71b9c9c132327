"""Rows of the two long tables, in exactly their columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fairrecon_jax.assessment.arrays import Cell, Study

COLUMNS = (
    "cohort", "task", "attribute", "group", "reference_group", "label_stratum",
    "reconstructor", "level", "mitigation", "seed",
    "metric", "convention", "threshold_rule", "unit", "version",
    "value", "original", "reconstructed", "change", "percent",
    "std_error", "ci_low", "ci_high", "method",
    "family", "p_value", "p_two_sided", "p_adjusted", "permutation_null", "mde",
    "n", "n_patients", "n_pos", "n_neg", "n_changed",
    "verdict", "gap", "stable", "reason",
)  # fmt: skip
TEXT = frozenset((
    "cohort", "task", "attribute", "group", "reference_group", "label_stratum",
    "reconstructor", "mitigation", "metric", "convention", "threshold_rule", "unit", "version",
    "method", "family", "verdict", "gap", "reason",
))  # fmt: skip
Row = dict[str, Any]
BLANK: Row = {c: "" if c in TEXT else float("nan") for c in COLUMNS}


class Interval(NamedTuple):
    """An estimate with its uncertainty; scalars."""

    value: float
    std_error: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")


class Triple(NamedTuple):
    """One number on originals, on reconstructions, and its change."""

    original: Interval
    reconstructed: Interval
    change: Interval


def cell_fields(study: Study, cell: Cell) -> Row:
    """The columns that say which study cell a row belongs to."""
    place = {
        "reconstructor": cell.reconstructor,
        "level": cell.level,
        "mitigation": cell.mitigation,
    }
    return {"cohort": study.cohort, "seed": study.seed, **place}


def version_rows(
    base: Mapping[str, Any], paired: Triple, method: str, on_change: Mapping[str, Any]
) -> list[Row]:
    """The rows original, reconstructed and change of one number.

    Args:
      base: columns common to the three.
      paired: the numbers.
      method: how the intervals were made.
      on_change: further columns of the change row (test, verdict, reason).

    Returns:
      Three rows.
    """
    rows = []
    for version, interval in zip(("original", "reconstructed", "change"), paired, strict=True):
        row = {
            **BLANK,
            **base,
            "version": version,
            "value": interval.value,
            "method": method if np.isfinite(interval.low) else "",
        }
        row |= {"std_error": interval.std_error, "ci_low": interval.low, "ci_high": interval.high}
        rows.append(row)
    before, after = paired.original.value, paired.reconstructed.value
    # relative to 0 there is no percentage
    percent = 100 * paired.change.value / before if before else float("nan")
    # versions and change in one row too: a reader of verdicts needs no join
    rows[-1] |= {
        "original": before,
        "reconstructed": after,
        "change": paired.change.value,
        "percent": percent,
        **on_change,
    }
    return rows


def as_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table with all columns, in order; an unknown column is an error.

    Raises:
      KeyError: a row holds a column that the tables do not have.
    """
    rows = list(rows)
    unknown = sorted({c for row in rows for c in row} - set(COLUMNS))
    if unknown:
        raise KeyError(f"unknown columns {unknown}")
    return pd.DataFrame([{**BLANK, **row} for row in rows], columns=list(COLUMNS))
