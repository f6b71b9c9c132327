"""Tables of group gaps: on originals, their median change, and the list of all verdicts (paper:
tables 1 to 3).
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.gaps import baseline_rows
from fairrecon_jax.report.figures.groups import stratum_phrase
from fairrecon_jax.report.select import Findings, changed, known, of_method
from fairrecon_jax.report.tables.entries import count, fixed, p_value, with_interval
from fairrecon_jax.report.tables.table import Table


def baseline(findings: Findings) -> Table | None:
    """Mean gap over tasks on the original images per attribute (paper: table 1)."""
    rows = baseline_rows(findings)
    records = []
    for metric in ("eodd", "ser"):
        for attribute in findings.attributes:
            gaps = rows[(rows["metric"] == metric) & (rows["attribute"] == attribute)]
            values = gaps["value"].dropna()
            if gaps.empty:
                continue
            mean = values.mean() if len(values) else math.nan
            null = fixed(gaps["permutation_null"].mean(), 3, "no null was computed")
            records.append(
                {
                    "gap": style.metric_name(metric),
                    "attribute": attribute,
                    "mean over tasks": fixed(mean, 3, "no task has a value"),
                    "sd over tasks": fixed(values.std(ddof=1), 3) if len(values) > 1 else "–",
                    "mean permutation null": null if len(values) else "–",
                    "tasks estimated": f"{len(values)} of {len(gaps)}",
                }
            )
    if not records:
        return None
    return Table(
        "baseline_gap_means",
        "Gaps on the original images, averaged over tasks",
        "Gaps that the diagnosis has on original images. The permutation null is what "
        "permuted groups of the same sizes show on average.",
        pd.DataFrame(records),
        labels=2,
    )


def median_changes(findings: Findings) -> Table | None:
    """Median change of the gap in percent per reconstructor, without mitigation, with counts of
    verdicts (paper: table 2).
    """
    rows = findings.plain(findings.gap_changes())
    records = []
    for recon, mitigation in findings.methods(rows):
        changes = of_method(rows, recon, mitigation)
        name = findings.method_name(recon, mitigation)
        records.append([name, *medians(changes), *verdict_counts(changes)])
    if not records:
        return None
    columns = [
        "method",
        "median change %",
        "median absolute change %",
        "gaps",
        "widened",
        "narrowed",
        "reversed or shifted",
        "within chance",
        "not judged",
    ]
    return Table(
        "median_bias_change",
        "Median change of the gaps per method",
        "EODD of findings and SER of delineations over all tasks and attributes at the "
        "headline level, in percent of the gap on originals. Medians carry no test; the "
        "counts of verdicts do.",
        pd.DataFrame(records, columns=columns),
    )


def medians(rows: pd.DataFrame) -> list[Any]:
    """Median and median absolute change in percent."""
    percent = rows["percent"].dropna()
    reason = "no change could be estimated"
    return [
        fixed(float(values.median()) if len(values) else math.nan, 1, reason, sign)
        for values, sign in ((percent, True), (percent.abs(), False))
    ]


def verdict_counts(rows: pd.DataFrame) -> list[Any]:
    """How many gaps, and how many of each verdict; "no test" where none ran."""
    verdicts = rows["verdict"]
    if (verdicts == "").all():
        return [len(rows), *["no test"] * 5]
    counts = [
        int(verdicts.isin(names).sum())
        for names in (["widened"], ["narrowed"], ["reversed", "shifted"], ["within chance"])
    ]
    # the rest, so that the columns add up whatever verdicts there are
    return [len(rows), *counts, len(rows) - sum(counts)]


def median_changes_by_attribute(findings: Findings) -> Table | None:
    """Median change of the gap in percent per mitigation and attribute (paper: table 3)."""
    rows = findings.gap_changes()
    if rows.empty:
        return None
    records = []
    for mitigation in findings.mitigations:
        mitigated = rows[rows["mitigation"] == mitigation]
        changes = [
            medians(mitigated[mitigated["attribute"] == attribute])[0]
            for attribute in findings.attributes
        ]
        records.append([style.mitigation_name(mitigation), *changes])
    return Table(
        "median_bias_change_by_attribute",
        "Median change of the gaps per attribute, in %",
        "Median over tasks and methods of the change of the gap at the headline level, in "
        "percent of the gap on originals; + is wider.",
        pd.DataFrame(records, columns=["mitigation", *findings.attributes]),
    )


def verdicts(findings: Findings) -> Table | None:
    """Every gap with both values, change, interval, p-values, detectable change, counts, verdict
    and reason.
    """
    rows = findings.change_rows(
        "fairness",
        metric=sorted({*findings.gap_metrics.values(), "eop", "delta_dice"}),
        attribute=[*findings.attributes, *findings.intersections],
    )
    if rows.empty:
        return None
    task_order = {t.name: i for i, t in enumerate(findings.spec.tasks)}
    level_order = {v: i for i, v in enumerate(findings.levels)}
    rows = rows.assign(_task=rows["task"].map(task_order), _level=rows["level"].map(level_order))
    rows = rows.sort_values(
        ["_level", "metric", "_task", "attribute", "reconstructor", "mitigation"], kind="stable"
    )
    return Table(
        "all_verdicts",
        "All gaps, changes and verdicts",
        "One row per level, gap, diagnosis, attribute and method. 'Detectable' is the "
        "smallest change that this many patients would have shown with a probability of 80% "
        "(where the assessment states no other); 'flipped' counts decisions that differ between "
        "original and reconstruction.",
        pd.DataFrame([verdict_record(findings, row) for _, row in rows.iterrows()]),
        labels=5,
        folded=True,
    )


def verdict_record(findings: Findings, row: pd.Series) -> dict[str, Any]:
    """One line of the list of verdicts."""
    reason = row["reason"]
    stratum = stratum_phrase(row["label_stratum"]) if row["label_stratum"] else ""
    where = ", ".join(filter(None, [row["group"], stratum]))
    verdict = [style.verdict_sign(row["verdict"]), row["verdict"] or "no test ran"]

    def optional(value: float) -> Any:
        return fixed(value, 3) if known(value) else "–"

    return {
        "level": style.level_name(row["level"], findings.spec.degradation),
        "gap": style.metric_name(row["metric"]),
        "diagnosis": findings.task_title(row["task"]),
        "attribute": row["attribute"],
        "method": findings.method_name(row["reconstructor"], row["mitigation"]),
        "original": fixed(row["original"], 3, reason),
        "reconstructed": fixed(row["reconstructed"], 3, reason),
        "change (95% interval)": with_interval(
            row["change"], row["ci_low"], row["ci_high"], 3, reason, sign=True
        ),
        "permutation null": optional(row["permutation_null"]),
        "adjusted p": p_value(row["p_adjusted"]) if known(row["p_adjusted"]) else "–",
        "detectable": optional(row["mde"]),
        "n": count(row["n"]),
        "flipped": count(row["n_changed"]),
        "verdict": " ".join(filter(None, verdict)),
        # where the largest gap lies is chance too, if its change is
        "where": where if changed(row["verdict"]) else "",
        "in words": reason,
    }
