"""The tables about performance and gaps in the form of the paper's tables 1 to 4, 7 and 8, and the
list of all verdicts.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from fairrecon_jax.metrics import IMAGE_METRICS
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.gaps import baseline_rows
from fairrecon_jax.report.figures.groups import stratum_phrase
from fairrecon_jax.report.select import Findings, changed, each, gap_metric, known, one, task_metric
from fairrecon_jax.report.tables.table import Missing, Table, count, fixed, p_cell, with_interval

NO_ROW = "not computed in this study"


def performance(findings: Findings) -> Table | None:
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
    tasks = [
        t
        for t in findings.spec.tasks
        if ((rows["task"] == t.name) & (rows["metric"] == task_metric(t))).any()
    ]
    if not methods:
        return None
    records: list[list[Any]] = []
    for task in tasks:
        mine = rows[(rows["task"] == task.name) & (rows["metric"] == task_metric(task))]
        records.append(
            [
                f"{findings.task_title(task.name)} ({style.metric_name(task_metric(task))})",
                *line(findings, mine, methods, 3),
            ]
        )
    for metric, entry in IMAGE_METRICS.items():
        mine = rows[(rows["task"] == "") & (rows["metric"] == metric)]
        if not mine.empty:
            records.append(
                [style.metric_name(metric), *line(findings, mine, methods, entry.digits)]
            )
    names = [findings.method_name(r, m) for r, m in methods]
    columns = ["", *["original", *names] * len(findings.levels)]
    spans = (
        ("", 1),
        *(
            (style.level_phrase(v, findings.spec.degradation), 1 + len(methods))
            for v in findings.levels
        ),
    )
    frame = pd.DataFrame(records, columns=pd.Index(columns))
    caption = (
        "AUROC or Dice of each diagnosis and likeness of the images, per level and method, "
        "with 95% intervals in brackets."
    )
    return Table(
        "performance_by_level",
        "Performance per level and method",
        caption,
        frame,
        spans,
        folded=len(columns) > 8,
    )


def line(
    findings: Findings, rows: pd.DataFrame, methods: list[tuple[str, str]], digits: int
) -> list[Any]:
    """The cells of one table row: per level the original, then each method."""
    cells: list[Any] = []
    for level in findings.levels:
        original = one(rows[rows["level"].isna() | (rows["level"] == level)], version="original")
        cells.append("–" if original is None else cell(original, digits))
        for recon, mitigation in methods:
            row = one(
                rows,
                version="reconstructed",
                level=level,
                reconstructor=recon,
                mitigation=mitigation,
            )
            cells.append(Missing(NO_ROW) if row is None else cell(row, digits))
    return cells


def cell(row: pd.Series, digits: int) -> str | Missing:
    """A value with its interval."""
    return with_interval(row["value"], row["ci_low"], row["ci_high"], digits, row["reason"])


def baseline(findings: Findings) -> Table | None:
    """Mean gap over tasks on the original images per attribute (paper: table 1)."""
    rows = baseline_rows(findings)
    records = []
    for metric in ("eodd", "ser"):
        for attribute in findings.attributes:
            mine = rows[(rows["metric"] == metric) & (rows["attribute"] == attribute)]
            values = mine["value"].dropna()
            if mine.empty:
                continue
            record: list[Any] = [
                style.metric_name(metric),
                attribute,
                fixed(values.mean() if len(values) else math.nan, 3, "no task has a value"),
            ]
            record += [
                fixed(values.std(ddof=1), 3) if len(values) > 1 else "–",
                fixed(mine["permutation_null"].mean(), 3, "no null was computed")
                if len(values)
                else "–",
            ]
            records.append([*record, f"{len(values)} of {len(mine)}"])
    if not records:
        return None
    frame = pd.DataFrame(
        records,
        columns=[
            "gap",
            "attribute",
            "mean over tasks",
            "sd over tasks",
            "mean permutation null",
            "tasks estimated",
        ],
    )
    caption = (
        "Gaps that the diagnosis has on original images. The permutation null is what "
        "shuffled groups of the same sizes show on average."
    )
    return Table(
        "baseline_gap_means",
        "Gaps on the original images, averaged over tasks",
        caption,
        frame,
        labels=2,
    )


def median_changes(findings: Findings) -> Table | None:
    """Median change of the gap in percent per reconstructor, without mitigation, with counts of
    verdicts (paper: table 2).
    """
    rows = findings.plain(findings.gap_changes())
    records = []
    for recon, mitigation in findings.methods(rows):
        mine = rows[(rows["reconstructor"] == recon) & (rows["mitigation"] == mitigation)]
        records.append(
            [findings.method_name(recon, mitigation), *medians(mine), *verdict_counts(mine)]
        )
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
    ]
    frame = pd.DataFrame(records, columns=[*columns, "not judged"])
    caption = (
        "EODD of findings and SER of delineations over all tasks and attributes at the "
        "headline level, in "
        "percent of the gap on originals. Medians "
        "carry no test; the counts of verdicts do."
    )
    return Table("median_bias_change", "Median change of the gaps per method", caption, frame)


def medians(rows: pd.DataFrame) -> list[Any]:
    """Median and median absolute change in percent."""
    percent = rows["percent"].dropna()
    reason = "no change could be estimated"
    return [
        fixed(float(values.median()) if len(values) else math.nan, 1, reason, s)
        for values, s in ((percent, True), (percent.abs(), False))
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
    return [len(rows), *counts, len(rows) - sum(counts)]


def mitigated_changes(findings: Findings) -> Table | None:
    """Median change of the gap in percent per mitigation and attribute (paper: table 3)."""
    rows = findings.gap_changes()
    records = []
    for mitigation in findings.mitigations:
        record: list[Any] = [style.mitigation_name(mitigation)]
        for attribute in findings.attributes:
            record.append(
                medians(
                    rows[(rows["mitigation"] == mitigation) & (rows["attribute"] == attribute)]
                )[0]
            )
        records.append(record)
    if rows.empty:
        return None
    frame = pd.DataFrame(records, columns=["mitigation", *findings.attributes])
    caption = (
        "Median over tasks and methods of the change of the gap at the headline level, in "
        "percent of the gap on originals; + is wider."
    )
    return Table(
        "median_bias_change_by_attribute",
        "Median change of the gaps per attribute, in %",
        caption,
        frame,
    )


def mitigation_cost(findings: Findings) -> Table | None:
    """What each mitigation did to PSNR and to the task scores, against the same method without it
    (paper: table 4).
    """
    if findings.mitigations == ["none"]:
        return None
    psnr = findings.pick(
        "performance",
        metric="psnr",
        attribute="",
        version="reconstructed",
        level=findings.headline_level,
    )
    rows = findings.pick(
        "performance",
        metric=["auroc", "dice"],
        attribute="",
        version="reconstructed",
        level=findings.headline_level,
    )
    scores = (
        rows[rows["task"] != ""]
        .dropna(subset=["value"])
        .set_index(["reconstructor", "mitigation", "task"])["value"]
    )
    records = []
    for recon, mitigation in findings.methods(psnr):
        base, mine = (
            one(psnr, reconstructor=recon, mitigation="none"),
            one(psnr, reconstructor=recon, mitigation=mitigation),
        )
        if mitigation == "none" or base is None or mine is None:
            continue
        moved = 100 * (mine["value"] - base["value"]) / base["value"]
        before, after = shared_mean(scores, recon, mitigation)
        reason = "no diagnosis has a score with and without mitigation"
        changes = [
            # A score of exactly 0 before has no relative change.
            fixed(100 * (after - before) / (before or float("nan")), 2, reason, sign=True),
            fixed(after - before, 4, reason, sign=True),
        ]
        records.append(
            [
                findings.looks[recon].name,
                style.mitigation_name(mitigation),
                fixed(moved, 2, sign=True),
                *changes,
            ]
        )
    if not records:
        return None
    columns = [
        "method",
        "mitigation",
        "PSNR change %",
        "mean task score change %",
        "change of the mean task score",
    ]
    frame = pd.DataFrame(records, columns=columns)
    caption = (
        "Mitigated against unmitigated reconstruction by the same method at the headline "
        "level; the task score is AUROC or Dice, averaged "
        "over the diagnoses that have one both times. Averages without interval."
    )
    return Table(
        "mitigation_cost",
        "What mitigation cost in image quality and diagnosis",
        caption,
        frame,
        labels=2,
    )


def shared_mean(scores: pd.Series, recon: str, mitigation: str) -> tuple[float, float]:
    """Mean score without and with a mitigation over the tasks that have both; NaN where none has.

    Args:
      scores: values by (reconstructor, mitigation, task).
      recon: the reconstructor.
      mitigation: the mitigation.
    """
    kept = [
        scores[
            (scores.index.get_level_values(0) == recon) & (scores.index.get_level_values(1) == m)
        ]
        for m in ("none", mitigation)
    ]
    both = pd.concat([part.droplevel([0, 1]) for part in kept], axis=1, join="inner")
    return float(both.iloc[:, 0].mean()), float(both.iloc[:, 1].mean())


def image_gaps(findings: Findings) -> Table | None:
    """Gaps of the image metrics between groups, per level, attribute and method without mitigation."""
    rows = findings.plain(
        findings.pick(
            "fairness", metric=[f"gap_{m}" for m in IMAGE_METRICS], task="", version="reconstructed"
        )
    )
    records = []
    for row in each(rows[rows["attribute"].isin(findings.attributes)]):
        name = [
            style.level_name(row.level, findings.spec.degradation),
            style.metric_name(row.metric[4:]),
            row.attribute,
        ]
        value = with_interval(row.value, row.ci_low, row.ci_high, 3, row.reason)
        null, p = (
            fixed(row.permutation_null, 3, "no null was computed"),
            p_cell(row.p_value, "no test was run"),
        )
        records.append(
            [*name, findings.method_name(row.reconstructor, row.mitigation), value, null, p]
        )
    if not records:
        return None
    frame = pd.DataFrame(
        records,
        columns=[
            "level",
            "metric",
            "attribute",
            "method",
            "gap",
            "permutation null",
            "p (not adjusted)",
        ],
    )
    caption = (
        "Largest difference of the mean image quality between any two groups. Worse images "
        "need not mean worse diagnosis."
    )
    return Table(
        "image_gaps",
        "Image quality between groups",
        caption,
        frame,
        labels=4,
        folded=len(frame) > 12,
    )


def verdicts(findings: Findings) -> Table | None:
    """Every gap with both values, change, interval, p-values, detectable change, counts, verdict
    and reason.
    """
    metrics = {gap_metric(t) for t in findings.spec.tasks} | {"eop", "delta_dice"}
    rows = findings.change_rows(
        "fairness",
        metric=sorted(metrics),
        attribute=[*findings.attributes, *findings.intersections],
    )
    if rows.empty:
        return None
    order = {t.name: i for i, t in enumerate(findings.spec.tasks)}
    rows = rows.assign(
        _task=rows["task"].map(order),
        _level=rows["level"].map({v: i for i, v in enumerate(findings.levels)}),
    )
    rows = rows.sort_values(
        ["_level", "metric", "_task", "attribute", "reconstructor", "mitigation"], kind="stable"
    )
    frame = pd.DataFrame([verdict_record(findings, row) for _, row in rows.iterrows()])
    caption = (
        "One row per level, gap, diagnosis, attribute and method. 'Detectable' is the "
        "smallest change "
        "that this many patients would have shown "
        "with a probability of 80% (where the assessment says no other); 'flipped' "
        "counts decisions that "
        "differ between original and reconstruction."
    )
    return Table(
        "all_verdicts", "All gaps, changes and verdicts", caption, frame, labels=5, folded=True
    )


def verdict_record(findings: Findings, row: pd.Series) -> dict[str, Any]:
    """One line of the list of verdicts."""
    reason = row["reason"]
    side = ", ".join(
        filter(
            None,
            [row["group"], stratum_phrase(row["label_stratum"]) if row["label_stratum"] else ""],
        )
    )
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
        "permutation null": fixed(row["permutation_null"], 3)
        if known(row["permutation_null"])
        else "–",
        "adjusted p": p_cell(row["p_adjusted"]) if known(row["p_adjusted"]) else "–",
        "detectable": fixed(row["mde"], 3) if known(row["mde"]) else "–",
        "n": count(row["n"]),
        "flipped": count(row["n_changed"]),
        "verdict": " ".join(
            filter(None, [style.verdict_sign(row["verdict"]), row["verdict"] or "no test ran"])
        ),
        "where": side if changed(row["verdict"]) else "",
        "in words": reason,
    }
