"""Groups behind the gaps: what each lost beyond the others, and how the worst-off group fared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

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
    cells: dict[tuple[Any, ...], list[Any]] = {}
    for stratum in each(per_group):
        cells.setdefault(cell_of(stratum), []).append(stratum)
    found = []
    for row in each(rows):
        wanted = PER_GROUP.get(row.metric, ())
        strata = [s for s in cells.get(cell_of(row), ()) if s.metric in wanted]
        if not strata or row.verdict in UNJUDGED:
            found.append(("", "", "", *[math.nan] * len(COLUMNS)))
            continue
        named = [s for s in strata if (s.group, s.label_stratum) == (row.group, row.label_stratum)]
        # a claim about a stratum that is not among the rows is shown by who fell behind most
        best = named[0] if changed(row.verdict) and named else min(strata, key=studentised)
        place = (best.group, best.label_stratum, best.metric)
        found.append((*place, *(getattr(best, c) for c in COLUMNS)))
    names = ["stratum_group", "stratum_label", "stratum_metric", *(f"extra_{c}" for c in COLUMNS)]
    return rows.reset_index(drop=True).join(pd.DataFrame(found, columns=pd.Index(names)))


def cell_of(row: Any) -> tuple[Any, ...]:
    """Task, attribute, method and level of a row."""
    return tuple(getattr(row, column) for column in CELL)


def studentised(row: Any) -> float:
    """A group's change in standard errors; as it is where the error is unknown or 0."""
    error = row.std_error
    return float(row.change / error if math.isfinite(error) and error > 0 else row.change)


def worst_rates(rows: pd.DataFrame) -> dict[tuple[Any, ...], tuple[float, float]]:
    """Rates of the worst-off judged group before and after, by `cell_of` and metric.

    Args:
      rows: with the change rows of `worst_group_...`, whose other rows are passed over.
    """
    worst = rows[rows["metric"].str.startswith(WORST) & (rows["version"] == "change")]
    return {(*cell_of(row), row.metric): (row.original, row.reconstructed) for row in each(worst)}


def worst_words(row: Any, worst: Mapping[tuple[Any, ...], tuple[float, float]]) -> str:
    """The rates of the worst-off group beside a gap: "sensitivity 90 to 52", out of 100.

    Args:
      row: change row of a gap.
      worst: of `worst_rates`.
    """
    parts = []
    for rate in WORST_OF.get(row.metric, ()):
        values = worst.get((*cell_of(row), f"{WORST}{rate}"))
        if values is not None:
            words = " to ".join(map(rate_words, values))
            parts.append(f"{rate.replace('dice', 'Dice')} {words}")
    return ", ".join(parts)


def rate_words(value: float) -> str:
    """A rate or Dice as a number out of 100; "n.e." where it is unknown."""
    return f"{100 * value:.0f}" if math.isfinite(value) else "n.e."
