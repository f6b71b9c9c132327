"""Tables of group gaps: on originals, their median change, and the list of all verdicts (paper:
tables 1 to 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from fairrecon_jax.report.claims import SECONDARY, primary
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.gaps import baseline_rows
from fairrecon_jax.report.figures.groups import stratum_phrase
from fairrecon_jax.report.long_tables import GAPS, OTHERS, WORST
from fairrecon_jax.report.select import Findings, changed, each, known, of_method
from fairrecon_jax.report.strata import (
    WORST_OF,
    judged,
    rate_words,
    standing_out,
    worst_rates,
    worst_words,
)
from fairrecon_jax.report.tables.entries import count, fixed, p_value, with_interval
from fairrecon_jax.report.tables.table import Table
from fairrecon_jax.types import PRIMARY

VERDICT_COLUMNS = ("harmed", "favoured", "no difference shown")


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
            lowest = worst_on_originals(findings, metric, attribute)
            records.append(
                {
                    "gap": style.metric_name(metric),
                    "attribute": attribute,
                    "mean over tasks": fixed(mean, 3, "no task has a value"),
                    "sd over tasks": fixed(values.std(ddof=1), 3) if len(values) > 1 else "–",
                    # a null beside no gap says nothing
                    "mean permutation null": null if len(values) else "–",
                    "worst-off group (mean)": lowest,
                    "tasks estimated": f"{len(values)} of {len(gaps)}",
                }
            )
    if not records:
        return None
    return Table(
        "baseline_gap_means",
        "Gaps on the original images, averaged over tasks",
        "Gaps that the diagnosis has on original images. The permutation null is what "
        "permuted groups of the same sizes show on average; the worst-off group's rate, out of "
        "100, is what a gap does not tell.",
        pd.DataFrame(records),
        labels=2,
    )


def worst_on_originals(findings: Findings, metric: str, attribute: str) -> str:
    """Mean over tasks of the worst-off group's rates on originals, "sensitivity 71, ..."."""
    parts = []
    for rate in WORST_OF[metric]:
        rows = findings.pick(
            "fairness", metric=f"{WORST}{rate}", attribute=attribute, version="original"
        )
        # originals are the same under every method and level
        values = rows.drop_duplicates("task")["value"].dropna()
        if len(values):
            parts.append(f"{rate.replace('dice', 'Dice')} {rate_words(float(values.mean()))}")
    return ", ".join(parts) or "–"


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
        *VERDICT_COLUMNS,
        "not judged",
        "widened",
        "narrowed",
        "reversed",
    ]
    return Table(
        "median_bias_change",
        "Verdicts and median change of the gaps per method",
        "EODD of findings and SER of delineations over all tasks and attributes at the "
        "headline level: in how many a group was harmed or favoured beside the others, and in how "
        "many of these the gap widened, narrowed or swapped its sides (in the rest it did not "
        "clearly change). Changes are in percent of the gap on originals; medians carry no test. "
        f"{SECONDARY}",
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
    """How many gaps, how many of each verdict, what became of the gap where one is claimed; "no
    test" where none ran.
    """
    verdicts = rows["verdict"]
    if (verdicts == "").all():
        return [len(rows), *["no test"] * 7]
    counts = [int((verdicts == name).sum()) for name in VERDICT_COLUMNS]
    became = [int((rows["gap"] == name).sum()) for name in ("widened", "narrowed", "reversed")]
    # the rest, so that the columns add up whatever verdicts there are
    return [len(rows), *counts, len(rows) - sum(counts), *became]


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


def primary_verdicts(findings: Findings) -> Table | None:
    """The primary comparisons, claims first: who was harmed or favoured, by how much, how sure."""
    rows = primary(findings.restored(findings.gap_changes()))
    if rows.empty:
        return None
    # claims first, then what was judged; p-values in order within
    rank = [(0 if changed(r.verdict) else 1 if known(r.p_adjusted) else 2) for r in each(rows)]
    order = rows.assign(_rank=rank).sort_values(["_rank", "p_adjusted"], kind="stable")
    rows = with_groups(findings, order.drop(columns="_rank"))
    worst = worst_rates(findings.pick("fairness"))
    columns = {
        "diagnosis": "diagnosis", "attribute": "attribute", "method": "method",
        "verdict": "verdict", "group": "group", "worst-off group": "worst-off group",
        "beyond the others (95% interval)": "beyond the others", "gap became": "gap became",
        "adjusted p": "adjusted p", "detectable": "detectable",
    }  # fmt: skip
    frame = pd.DataFrame([verdict_record(findings, row, worst) for row in each(rows)])
    # a column of a page has no room for "patients with the finding"
    frame["group"] = frame["group"].str.replace(r", \S+ (with|without) .*", r", \1 it", regex=True)
    # without a claim no gap has a word
    shown = [name for name in columns if name != "gap became" or frame[name].ne("").any()]
    return Table(
        "verdicts",
        f"Who lost more than the others at {findings.headline}",
        "One row per diagnosis, attribute and method, claims first. 'Beyond the others' is the "
        "change of that group's rate minus that of the others, with its 95% interval; 'worst-off "
        "group' its rate out of 100 before and after; 'detectable' the smallest further change "
        "that would have been found 4 times in 5.",
        frame[shown].rename(columns=columns),
        labels=3,
    )


def verdicts(findings: Findings) -> Table | None:
    """Every gap with both values, the worst-off group, what one group lost beyond the others,
    p-values, detectable change, counts, verdict and reason.
    """
    rows = findings.change_rows(
        "fairness",
        metric=[*GAPS, "gap_auroc", "gap_score"],
        attribute=[*findings.attributes, *findings.intersections],
    )
    rows = rows[rows["reference_group"] != OTHERS]
    if rows.empty:
        return None
    # by place, not by name: the order of the specification
    task_order = {t.name: i for i, t in enumerate(findings.spec.tasks)}
    level_order = {v: i for i, v in enumerate(findings.levels)}
    rows = rows.assign(_task=rows["task"].map(task_order), _level=rows["level"].map(level_order))
    rows = rows.sort_values(
        ["_level", "metric", "_task", "attribute", "reconstructor", "mitigation"], kind="stable"
    )
    rows = with_groups(findings, rows.drop(columns=["_task", "_level"]))
    worst = worst_rates(findings.pick("fairness"))
    return Table(
        "all_verdicts",
        "All gaps, changes and verdicts",
        "One row per level, gap, diagnosis, attribute and method. 'Worst-off group' is its rate "
        "out of 100 on originals and reconstructions. 'Beyond the others' is the change of the "
        "group that the verdict names, or that fell behind most, minus that of the others, with "
        "the interval over all groups and labels at once; gaps, being largest differences, have "
        "none. 'Detectable' is the smallest further change of one group that would have been found "
        "4 times in 5 after the adjustment; 'flipped' counts decisions that differ between "
        f"original and reconstruction. Primary: {', '.join(primary_families(rows)) or 'none'}. "
        f"{SECONDARY}",
        pd.DataFrame([verdict_record(findings, row, worst) for row in each(rows)]),
        labels=5,
        folded=True,
    )


def with_groups(findings: Findings, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of gaps, each with the group that stands out in it, in their order."""
    per_group = findings.change_rows("fairness", reference_group=OTHERS)
    return standing_out(rows, judged(per_group))


def primary_families(rows: pd.DataFrame) -> list[str]:
    """The names of the primary families without that word."""
    names = rows.loc[rows["family"].str.startswith(PRIMARY), "family"].unique()
    return [str(name).removeprefix(f"{PRIMARY}: ") for name in names]


def verdict_record(
    findings: Findings, row: Any, worst: Mapping[tuple[Any, ...], tuple[float, float]]
) -> dict[str, Any]:
    """One line of the list of verdicts."""
    reason = row.reason
    claim = changed(row.verdict)
    parts = [row.group, row.label_stratum]
    if not claim:
        parts = [row.stratum_group, row.stratum_label]
    stratum = stratum_phrase(parts[1]) if parts[1] else ""
    where = ", ".join(filter(None, [parts[0], stratum]))
    verdict = [style.verdict_sign(row.verdict), row.verdict or "no test ran"]

    def optional(value: float) -> Any:
        return fixed(value, 3) if known(value) else "–"

    return {
        "level": style.level_name(row.level, findings.spec.degradation),
        "gap": style.metric_name(row.metric),
        "diagnosis": findings.task_title(row.task),
        "attribute": row.attribute,
        "method": findings.method_name(row.reconstructor, row.mitigation),
        "verdict": " ".join(filter(None, verdict)),
        "group": where,
        "beyond the others (95% interval)": with_interval(
            row.extra_change, row.extra_ci_low, row.extra_ci_high, 3, reason, sign=True
        )
        if known(row.extra_change)
        else "–",
        "gap became": row.gap,
        "original": fixed(row.original, 3, reason),
        "reconstructed": fixed(row.reconstructed, 3, reason),
        "change": fixed(row.change, 3, reason, sign=True),
        "worst-off group": worst_words(row, worst) or "–",
        "permutation null": optional(row.permutation_null),
        "adjusted p": p_value(row.p_adjusted) if known(row.p_adjusted) else "–",
        "detectable": optional(row.mde),
        "n": count(row.n),
        "flipped": count(row.n_changed),
        "tests": "primary" if row.family.startswith(PRIMARY) else "secondary",
        "in words": reason,
    }
