"""The assessment's long tables as the report takes them: columns checked and typed, seeds
merged.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

TEXT = (
    "cohort", "task", "attribute", "group", "reference_group", "label_stratum", "reconstructor",
    "mitigation", "metric", "convention", "threshold_rule", "unit", "version", "method", "family",
    "verdict", "gap", "reason",
)  # fmt: skip
NUMBERS = (
    "level", "seed", "value", "original", "reconstructed", "change", "percent", "std_error",
    "ci_low", "ci_high", "p_value", "p_two_sided", "p_adjusted", "permutation_null", "mde", "n",
    "n_patients",
    "n_pos", "n_neg", "n_changed",
)  # fmt: skip
OPTIONAL = ("p_two_sided",)
"""Columns that tables of earlier versions lack."""
KEYS = (
    "cohort", "task", "attribute", "group", "label_stratum", "reconstructor", "level",
    "mitigation", "metric", "convention", "threshold_rule", "unit", "version",
)  # fmt: skip
GAPS = ("eodd", "eop", "ser", "delta_dice")
OTHERS = "the other groups"
"""Reference of the rows that hold one group's change beside that of the others."""
DISAGREE = "differs between seeds"
"""The verdict of rows whose seeds disagree."""
WORST = "worst_group_"
"""How the metrics begin that hold the rate of the group that is worst off."""


def clean(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Checks the columns of a long table and gives every column one type; empty text becomes "", an
    empty mitigation "none".

    Args:
      frame: a long table with the columns of the assessment.
      name: the table's name, for the message.

    Returns:
      The same rows, text as str, numbers as float; change rows have `change` filled from `value`.

    Raises:
      ValueError: columns are missing; the message names the table and the columns.
    """
    frame = frame.assign(**{c: np.nan for c in OPTIONAL if c not in frame.columns})
    missing = [c for c in TEXT + NUMBERS if c not in frame.columns]
    if missing:
        raise ValueError(
            f"the {name} table lacks the columns {missing}; write it with "
            "fairrecon_jax.assessment.run"
        )
    # filled before astype(str), which makes "nan" of a missing entry
    text = {c: frame[c].astype(object).where(frame[c].notna(), "").astype(str) for c in TEXT}
    numbers = {c: pd.to_numeric(frame[c], errors="coerce").astype(float) for c in NUMBERS}
    out = pd.DataFrame({**text, **numbers}).reset_index(drop=True)
    out["mitigation"] = out["mitigation"].replace("", "none")
    changes = out["version"] == "change"
    out.loc[changes, "change"] = out.loc[changes, "change"].fillna(out.loc[changes, "value"])
    return out


def merge_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Merges rows that differ in their seed only: the row of the method, without a seed, where one
    is there; else the mean of values, the widest interval, the largest p-value, and a verdict only
    where all agree.

    Whom a verdict is about (group and label), what the gap did and the reason are results like the
    verdict: "" where seeds disagree.
    """
    # of a gap and of the worst group, group and label are results; of any other row they say what
    # the row is about
    gaps = frame["metric"].isin(GAPS) | frame["metric"].str.startswith(WORST)
    gaps |= frame["metric"].str.startswith("gap_") & (frame["reference_group"] != OTHERS)
    keys = [frame[c].mask(gaps, "") if c in ("group", "label_stratum") else frame[c] for c in KEYS]
    of_methods = frame["seed"].isna()
    if of_methods.any() and not of_methods.all():
        # as text, in which a level that is NaN equals another
        places = pd.MultiIndex.from_arrays([key.astype(str) for key in keys])
        told = places.isin(places[of_methods]) & ~of_methods
        frame, keys = frame[~told], [key[~told] for key in keys]
    # dropna=False: originals have no level, and would not be merged
    repeated = frame.groupby(keys, dropna=False)["seed"].transform("nunique") > 1
    if not repeated.any():
        return frame
    rules = {c: "first" for c in (*TEXT, *NUMBERS) if c not in KEYS}
    rules |= dict.fromkeys(
        ("value", "original", "reconstructed", "change", "percent", "permutation_null"), "mean"
    )
    rules |= {
        # the widest and the weakest: seeds are no sample that an interval could be made of
        "ci_low": "min",
        "ci_high": "max",
        "p_value": "max",
        "p_two_sided": "max",
        "p_adjusted": "max",
        "mde": "max",
        "std_error": "max",
    }
    merged = frame[repeated].groupby([key[repeated] for key in keys], dropna=False, sort=False)
    rows = merged.agg(rules).reset_index()
    for column, differing in {
        "verdict": DISAGREE,
        "gap": "",
        "reason": "",
        "group": "",
        "label_stratum": "",
    }.items():
        rows[column] = np.where(merged[column].nunique() <= 1, merged[column].first(), differing)
    return pd.concat([frame[~repeated], rows], ignore_index=True)[list(frame.columns)]
