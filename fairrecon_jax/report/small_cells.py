"""Numbers that rest on a handful of patients are withheld from a report that others will read."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd

from fairrecon_jax.report.tables.entries import count

RESULTS = [
    "value", "original", "reconstructed", "change", "percent", "std_error", "ci_low", "ci_high",
]  # fmt: skip
COUNTS = ["n", "n_patients", "n_pos", "n_neg", "n_changed"]
ESTIMABLE = ("worst_case_estimable", "")
"""Conventions that leave small groups out by themselves."""
TOLD = re.compile(r"\b(\d+)( patients?\)| decisions? changed)")
"""Counts in the words of a reason."""
CELL = ["task", "attribute", "metric", "reconstructor", "mitigation", "level", "seed", "version",
        "convention"]  # fmt: skip


def withheld(
    performance: pd.DataFrame, fairness: pd.DataFrame, least: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The long tables without the numbers that rest on fewer than `least` patients or images.

    A rate of a group goes where 1 to `least` - 1 stand behind it, and its reason says so; where
    that hides one group of an attribute alone, the smallest other one goes too, since everyone
    minus the others would tell. Gaps that such a group takes part in go, and counts of 1 to
    `least` - 1 wherever they stand. 0 stays: nobody is behind it.

    Args:
      performance: cleaned rows, see `long_tables.clean`.
      fairness: cleaned rows.
      least: smallest number that may be shown; 0 or 1 withholds nothing.

    Returns:
      (performance, fairness), NaN where something is withheld.
    """
    if least < 2:
        return performance, fairness
    behind = _behind(performance)
    few = (behind > 0) & (behind < least)
    # an AUROC ranks the few against the many: fewer of either label are behind it
    small = performance.loc[few & (performance["group"] != ""), ["task", "attribute"]]
    also = _smallest_other(performance, behind, few)
    strata = fairness["label_stratum"].map({"positive": "n_pos", "negative": "n_neg"})
    own = _picked(fairness, strata.fillna("n_patients"))
    alone = (fairness["group"] != "") & (own > 0) & (own < least)
    places = pd.MultiIndex.from_frame(fairness[["task", "attribute"]])
    within = places.isin(pd.MultiIndex.from_frame(small.drop_duplicates()))
    gaps = within & ~fairness["convention"].isin(ESTIMABLE)
    return (
        _without(performance, few | also, least),
        _without(fairness, np.asarray(alone | gaps), least),
    )


def withheld_slopes(doses: pd.DataFrame | None, least: int) -> pd.DataFrame | None:
    """Slopes along the level without those of comparisons that hold a group of 1 to `least` - 1
    patients: everyone's rates at each level minus the others' would tell the hidden one.

    Args:
      doses: rows of results/doses.csv; None stays None.
      least: smallest number that may be shown; 0 or 1 withholds nothing.
    """
    if doses is None or least < 2 or doses.empty:
        return doses
    few = (doses["n_patients"] > 0) & (doses["n_patients"] < least)
    keys = ["task", "attribute", "reconstructor", "mitigation", "seed", "metric"]
    hidden = few.groupby([doses[key] for key in keys]).transform("any")
    numbers = ["slope", "ci_low", "ci_high", "extra", "extra_low", "extra_high"]
    found = doses.astype({name: float for name in (*numbers, "n", "n_patients")})
    found.loc[hidden, numbers] = math.nan
    found.loc[few, ["n", "n_patients"]] = math.nan
    found.loc[hidden & (found["reason"] == ""), "reason"] = (
        f"fewer than {least} patients in a group"
    )
    return found


def _behind(rows: pd.DataFrame) -> np.ndarray:
    """How many the number of each row rests on."""
    column = rows["metric"].map({"sensitivity": "n_pos", "specificity": "n_neg"})
    found = _picked(rows, column.fillna("n_patients"))
    labels = rows[["n_pos", "n_neg"]].min(axis=1)
    return np.where(rows["metric"] == "auroc", labels, found)


def _picked(rows: pd.DataFrame, column: pd.Series) -> np.ndarray:
    """The count that a column names, row by row."""
    return np.select([column == c for c in COUNTS], [rows[c] for c in COUNTS], math.nan)


def _smallest_other(rows: pd.DataFrame, behind: np.ndarray, few: np.ndarray) -> np.ndarray:
    """Rows that must go because exactly one other group of their attribute does."""
    also = np.zeros(len(rows), bool)
    groups = (rows["group"] != "").to_numpy()
    keys = rows[CELL].astype(str).agg("\x1f".join, axis=1) if len(rows) else rows["task"]
    for key in keys[few & groups].unique():
        places = np.flatnonzero((keys == key) & groups)
        others = [k for k in places if not few[k] and behind[k] > 0]
        if few[places].sum() == 1 and others:
            also[min(others, key=lambda k: behind[k])] = True
    return also


def _without(rows: pd.DataFrame, hidden: np.ndarray, least: int) -> pd.DataFrame:
    """The rows with the hidden numbers, small counts and small counts in words taken out."""
    rows = rows.copy()

    def few(match: re.Match[str]) -> str:
        told = f"fewer than {least}" if 0 < int(match[1]) < least else match[1]
        return f"{told}{match[2]}"

    rows["reason"] = [TOLD.sub(few, reason) for reason in rows["reason"]]
    rows.loc[hidden, [*RESULTS, *COUNTS]] = math.nan
    rows.loc[hidden, "reason"] = f"withheld: fewer than {least}"
    for name in COUNTS:
        rows.loc[(rows[name] > 0) & (rows[name] < least), name] = math.nan
    return rows


def shown(value: int, least: int) -> int | str:
    """A count as a report shows it: "< 10" where it is 1 to 9 and 10 is the least.

    Example:
      >>> shown(3, 10), shown(0, 10), shown(12, 10), shown(3, 0)
      ('< 10', 0, 12, 3)
    """
    return f"< {least}" if 0 < value < least else count(value)
