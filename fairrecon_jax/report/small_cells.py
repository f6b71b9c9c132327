"""Numbers that rest on a handful of patients are withheld from a report that others will read."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from fairrecon_jax.report.tables.entries import count

BEHIND = {"sensitivity": "n_pos", "specificity": "n_neg"}
"""By metric, the column of how many a rate of one group rests on; `n_patients` for all others."""
RESULTS = [
    "value", "original", "reconstructed", "change", "percent", "std_error", "ci_low", "ci_high",
]  # fmt: skip
COUNTS = ["n", "n_patients", "n_pos", "n_neg", "n_changed"]


def withheld(frame: pd.DataFrame, least: int) -> pd.DataFrame:
    """A long table without the numbers that rest on fewer than `least` patients or images.

    A rate of one group, or of everyone, goes where 1 to `least` - 1 stand behind it, and its reason
    says so; a count of 1 to `least` - 1 goes wherever it stands. 0 stays: nobody is behind it.

    Args:
      frame: cleaned rows, see `long_tables.clean`.
      least: smallest number that may be shown; 0 or 1 withholds nothing.

    Returns:
      The rows, NaN where something is withheld.
    """
    if least < 2 or frame.empty:
        return frame
    frame = frame.copy()
    rates = (frame["reference_group"] == "") & ~frame["metric"].str.startswith("worst_group_")
    # gaps carry the counts of the whole attribute; those of single groups are judged by label
    labels = frame["label_stratum"].map({"positive": "n_pos", "negative": "n_neg"})
    column = labels.fillna(frame["metric"].map(BEHIND)).fillna("n_patients")
    behind = np.select([column == c for c in COUNTS], [frame[c] for c in COUNTS], math.nan)
    few = (behind > 0) & (behind < least)
    hidden = few & (rates | (frame["group"] != ""))
    for name in [c for c in RESULTS if c in frame]:
        frame.loc[hidden, name] = math.nan
    frame.loc[hidden, "reason"] = f"withheld: fewer than {least}"
    for name in COUNTS:
        frame.loc[(frame[name] > 0) & (frame[name] < least), name] = math.nan
    # who flipped follows from the rates before and after where few are behind them
    frame.loc[few, "n_changed"] = math.nan
    return frame


def shown(value: int, least: int) -> int | str:
    """A count as a report shows it: "< 10" where it is 1 to 9 and 10 is the least.

    Example:
      >>> shown(3, 10), shown(0, 10), shown(12, 10), shown(3, 0)
      ('< 10', 0, 12, 3)
    """
    return f"< {least}" if 0 < value < least else count(value)
