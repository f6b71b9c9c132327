"""Groups behind the gaps: what each lost beyond the others, and how the worst-off group fared."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from fairrecon_jax.report.long_tables import OTHERS, WORST
from fairrecon_jax.report.select import UNJUDGED, Findings, changed, each

PER_GROUP = {
    "eodd": ("gap_sensitivity", "gap_specificity"),
    "eop": ("gap_sensitivity",),
    "ser": ("gap_dice",),
    "delta_dice": ("gap_dice",),
    "gap_score": ("gap_score",),
}
"""By gap, the metrics of the rows that hold one group's change beside that of the others."""
WORST_OF = {
    "eodd": ("sensitivity", "specificity"),
    "eop": ("sensitivity",),
    "ser": ("dice",),
    "delta_dice": ("dice",),
}
"""By gap, the rates of the worst-off group that are shown beside it."""
CELL = ["task", "attribute", "reconstructor", "mitigation", "level"]
COLUMNS = ["original", "reconstructed", "change", "ci_low", "ci_high"]


def group_rows(findings: Findings, gap: str) -> pd.DataFrame:
    """Rows of single groups behind a gap, at all levels: the change of each judged group minus that
    of the others.
    """
    rows = findings.change_rows("fairness", metric=PER_GROUP.get(gap, ()), reference_group=OTHERS)
    return judged(rows)


def judged(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that hold a change and belong to a stratum that was judged."""
    return rows[rows["change"].notna() & ~rows["verdict"].isin(UNJUDGED)]


def standing_out(rows: pd.DataFrame, per_group: pd.DataFrame) -> pd.DataFrame:
    """For each gap the group and label that its verdict is about; where nothing is claimed, the one
    that fell behind the others most, in standard errors.

    Args:
      rows: change rows of gaps.
      per_group: of `group_rows`.

    Returns:
      The rows with further columns: `stratum_group`, `stratum_label`, `stratum_metric` ("" where no
        group was judged) and `extra_original`, `extra_reconstructed`, `extra_change`,
        `extra_ci_low`, `extra_ci_high` (NaN there).
    """
    cells = {key: part for key, part in per_group.groupby(CELL, sort=False)}
    found = []
    for row in each(rows):
        strata = cells.get(tuple(getattr(row, c) for c in CELL))
        wanted = PER_GROUP.get(row.metric, ())
        if strata is not None:
            strata = strata[strata["metric"].isin(wanted)]
        if strata is None or strata.empty or row.verdict in UNJUDGED:
            found.append(("", "", "", *[math.nan] * len(COLUMNS)))
            continue
        named = strata[
            (strata["group"] == row.group) & (strata["label_stratum"] == row.label_stratum)
        ]
        if changed(row.verdict) and not named.empty:
            best = named.iloc[0]
        else:
            best = strata.iloc[int(np.argmin(studentised(strata)))]
        found.append(tuple(best[["group", "label_stratum", "metric", *COLUMNS]]))
    names = ["stratum_group", "stratum_label", "stratum_metric", *(f"extra_{c}" for c in COLUMNS)]
    return rows.reset_index(drop=True).join(pd.DataFrame(found, columns=names))


def studentised(rows: pd.DataFrame) -> np.ndarray:
    """Changes in standard errors; as they are where an error is unknown or 0."""
    error = rows["std_error"].to_numpy()
    usable = np.isfinite(error) & (error > 0)
    return rows["change"].to_numpy() / np.where(usable, error, 1.0)


def worst_groups(findings: Findings) -> pd.DataFrame:
    """Change rows of the worst-off judged group: its rate before and after, and who it was."""
    rows = findings.pick("fairness")
    return rows[rows["metric"].str.startswith(WORST)]


def worst_words(row: pd.Series, worst: pd.DataFrame) -> str:
    """The rates of the worst-off group beside a gap: "sensitivity 90 to 52", out of 100.

    Args:
      row: change row of a gap.
      worst: of `worst_groups`, or rows of a comparison.
    """
    same = (worst[CELL] == row[CELL]).all(axis=1) & (worst["version"] == "change")
    parts = []
    for rate in WORST_OF.get(row["metric"], ()):
        found = worst[same & (worst["metric"] == f"{WORST}{rate}")]
        for one in each(found.head(1)):
            values = " to ".join(rate_words(v) for v in (one.original, one.reconstructed))
            parts.append(f"{rate.replace('dice', 'Dice')} {values}")
    return ", ".join(parts)


def rate_words(value: float) -> str:
    """A rate or Dice as a number out of 100; "n.e." where it is unknown."""
    return f"{100 * value:.0f}" if math.isfinite(value) else "n.e."
