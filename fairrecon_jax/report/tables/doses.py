"""The table of dose-response: how fast each group loses as the level gets worse."""

from __future__ import annotations

import pandas as pd

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.select import Findings, each
from fairrecon_jax.report.tables.entries import count, p_value, with_interval
from fairrecon_jax.report.tables.table import Table


def slopes(findings: Findings) -> Table | None:
    """A row per task, attribute, reconstructor, metric and group; of several seeds the first."""
    rows = findings.doses
    if rows is None or rows.empty:
        return None
    rows = rows[rows["seed"] == rows["seed"].min()]
    records = [
        {
            "finding": findings.task_title(row.task),
            "attribute": row.attribute,
            "method": findings.method_name(row.reconstructor, row.mitigation),
            "metric": style.metric_name(row.metric),
            "group": row.group,
            "slope": with_interval(
                row.slope, row.ci_low, row.ci_high, 3, str(row.reason), sign=True
            ),
            "minus the others'": with_interval(
                row.extra, row.extra_low, row.extra_high, 3, str(row.reason), sign=True
            ),
            "patients": count(row.n_patients),
            "p adjusted": p_value(row.p_adjusted, str(row.reason)),
            "verdict": row.verdict,
        }
        for row in each(rows)
    ]
    return Table(
        "dose_slopes",
        "How fast each group loses as the level gets worse",
        "Slope: the change of the metric between the mildest and the worst level, on the straight "
        "line through the levels (placed by their logarithms), with its 95% interval clustered by "
        "patient. Minus the others': its extra loss, with limits that hold for all groups and "
        "labels of a comparison at once. The p-value is that of equal slopes in all groups, "
        "sensitivity and specificity together, and AUROC by itself; adjusted over findings, "
        "attributes and methods.",
        pd.DataFrame(records),
        labels=5,
        folded=True,
    )
