"""Tables of image quality and of diagnosis in all patients (paper: tables 7 and 8)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from fairrecon_jax.metrics import IMAGE_METRICS
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.select import Findings, each, one, task_metric
from fairrecon_jax.report.tables.entries import Missing, fixed, p_value, with_interval
from fairrecon_jax.report.tables.table import Table

NOT_COMPUTED = "not computed in this study"


def by_level(findings: Findings) -> Table | None:
    """Score of every task and image metric per level and method, originals first (paper: tables 7
    and 8).
    """
    rows = findings.pick(
        "performance",
        attribute="",
        version=["original", "reconstructed"],
        metric=["auroc", "dice", *IMAGE_METRICS],
    )
    methods = findings.methods(rows[rows["version"] == "reconstructed"])
    if not methods:
        return None
    records: list[list[Any]] = []
    for task in findings.spec.tasks:
        metric = task_metric(task)
        scores = rows[(rows["task"] == task.name) & (rows["metric"] == metric)]
        if not scores.empty:
            title = f"{findings.task_title(task.name)} ({style.metric_name(metric)})"
            records.append([title, *entries_of(findings, scores, methods, 3)])
    for metric, described in IMAGE_METRICS.items():
        scores = rows[(rows["task"] == "") & (rows["metric"] == metric)]
        if not scores.empty:
            records.append(
                [described.title, *entries_of(findings, scores, methods, described.digits)]
            )
    names = [findings.method_name(r, m) for r, m in methods]
    columns = ["", *["original", *names] * len(findings.levels)]
    levels = [style.level_phrase(v, findings.spec.degradation) for v in findings.levels]
    return Table(
        "performance_by_level",
        "Performance per level and method",
        "AUROC or Dice of each diagnosis and likeness of the images, per level and method, "
        "with 95% intervals in brackets.",
        pd.DataFrame(records, columns=pd.Index(columns)),
        (("", 1), *((level, 1 + len(methods)) for level in levels)),
        folded=len(columns) > 8,
    )


def entries_of(
    findings: Findings, rows: pd.DataFrame, methods: list[tuple[str, str]], digits: int
) -> list[Any]:
    """The entries of one line: per level the original, then each method."""
    entries: list[Any] = []
    for level in findings.levels:
        # the original is the same at every level: its row may carry none
        original = one(rows[rows["level"].isna() | (rows["level"] == level)], version="original")
        entries.append("–" if original is None else entry(original, digits))
        for recon, mitigation in methods:
            row = one(
                rows,
                version="reconstructed",
                level=level,
                reconstructor=recon,
                mitigation=mitigation,
            )
            entries.append(Missing(NOT_COMPUTED) if row is None else entry(row, digits))
    return entries


def entry(row: pd.Series, digits: int) -> str | Missing:
    """A value with its interval."""
    return with_interval(row["value"], row["ci_low"], row["ci_high"], digits, row["reason"])


def image_gaps(findings: Findings) -> Table | None:
    """Gaps of the image metrics between groups, per level, attribute and method without
    mitigation.
    """
    metrics = [f"gap_{m}" for m in IMAGE_METRICS]
    rows = findings.plain(
        findings.pick("fairness", metric=metrics, task="", version="reconstructed")
    )
    records = [
        {
            "level": style.level_name(row.level, findings.spec.degradation),
            "metric": style.metric_name(row.metric.removeprefix("gap_")),
            "attribute": row.attribute,
            "method": findings.method_name(row.reconstructor, row.mitigation),
            "gap": with_interval(row.value, row.ci_low, row.ci_high, 3, row.reason),
            "permutation null": fixed(row.permutation_null, 3, "no null was computed"),
            "p (not adjusted)": p_value(row.p_value, "no test was run"),
        }
        for row in each(rows[rows["attribute"].isin(findings.attributes)])
    ]
    if not records:
        return None
    return Table(
        "image_gaps",
        "Image quality between groups",
        "Largest difference of the mean image quality between any two groups. Worse images "
        "need not mean worse diagnosis.",
        pd.DataFrame(records),
        labels=4,
        folded=len(records) > 12,
    )
