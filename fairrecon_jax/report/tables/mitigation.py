"""Tables of mitigation: its verdicts, and what it cost (paper: table 4)."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pandas as pd

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.groups import stratum_phrase
from fairrecon_jax.report.mitigation import comparison_changes
from fairrecon_jax.report.select import Findings, each, one
from fairrecon_jax.report.strata import worst_rates, worst_words
from fairrecon_jax.report.tables.entries import fixed, p_value, with_interval
from fairrecon_jax.report.tables.table import Table

METHOD_AT = ["reconstructor", "mitigation", "level"]
PRICES = (("psnr", "PSNR", " dB", 2), ("auroc", "AUROC", "", 3), ("dice", "Dice", "", 3))
"""What a mitigation can cost: metric, name, unit, decimals."""


def verdicts(findings: Findings) -> Table | None:
    """What each mitigation did to each gap, with the verdict of the paired test."""
    changes = comparison_changes(findings)
    if changes.empty:
        return None
    rows = changes[
        (changes["metric"] == changes["task"].map(findings.gap_metrics))
        & changes["attribute"].isin(findings.attributes)
    ]
    worst = worst_rates(changes)
    records = [
        {
            "level": style.level_name(row.level, findings.spec.degradation),
            "method": findings.method_name(row.reconstructor, row.mitigation),
            "diagnosis": findings.task_title(row.task),
            "attribute": row.attribute,
            "gap": style.metric_name(row.metric),
            "verdict": " ".join(
                filter(
                    None,
                    [style.MITIGATION_SIGNS.get(row.verdict), row.verdict or "no test ran"],
                )
            ),
            "group": ", ".join(filter(None, [row.group, stratum_phrase(row.label_stratum)])),
            "gap became": row.gap,
            "unmitigated": fixed(row.original, 3, row.reason),
            "mitigated": fixed(row.reconstructed, 3, row.reason),
            "change": fixed(row.change, 3, row.reason, sign=True),
            "worst-off group": worst_words(row, worst) or "–",
            "price": price(row, changes),
            "adjusted p": p_value(row.p_adjusted, "no test ran"),
            "detectable": fixed(row.mde, 3, "not computed"),
            "in words": row.reason,
        }
        for row in each(rows)
    ]
    if not records:
        return None
    return Table(
        "mitigation_verdicts",
        "Did mitigation help?",
        "The test of the other tables, with the unmitigated reconstruction in the place "
        "of the original image; the words stand in the glossary. Helped asks that the group that "
        "was worse off gained; a gap that closes because others lost is levelled down. 'Worst-off "
        "group' is its rate out of 100 without and with the mitigation. The price is the change "
        "of image quality and of the diagnosis in all patients together.",
        pd.DataFrame(records),
        labels=5,
        folded=len(records) > 20,
    )


def short_verdicts(findings: Findings) -> Table | None:
    """What a page has room for of `verdicts`: the headline level without the tests' own words."""
    table = verdicts(findings)
    if table is None:
        return None
    level = style.level_name(findings.headline_level, findings.spec.degradation)
    frame = table.frame[table.frame["level"] == level].drop(
        columns=["level", "gap", "change", "detectable", "in words"]
    )
    group = frame["group"].str.replace(r", \S+ (with|without) .*", r", \1 it", regex=True)
    return dataclasses.replace(
        table,
        key="mitigation_at_headline",
        title=f"Whether mitigation helped at {findings.headline}",
        frame=frame.assign(group=group),
        labels=3,
        folded=False,
    )


def price(row: Any, changes: pd.DataFrame) -> str:
    """What the mitigation of one verdict cost in all patients: "PSNR −0.70 dB, AUROC −0.012"."""
    same = changes["attribute"] == ""
    for column in METHOD_AT:
        same &= changes[column] == getattr(row, column)
    parts = []
    for metric, name, unit, digits in PRICES:
        of_metric = changes[same & (changes["metric"] == metric)]
        of_metric = of_metric[of_metric["task"].isin([row.task, ""])]
        for change in of_metric["change"].dropna().head(1):
            parts.append(f"{name} {fixed(change, digits, sign=True)}{unit}")
    return ", ".join(parts) or "–"


def cost(findings: Findings) -> Table | None:
    """Paired change of PSNR, AUROC and Dice of everyone, with intervals."""
    rows = comparison_changes(findings)
    if rows.empty:
        return None
    rows = rows[rows["metric"].isin(["psnr", "auroc", "dice"]) & (rows["attribute"] == "")]
    records = [
        {
            "level": style.level_name(row.level, findings.spec.degradation),
            "method": findings.method_name(row.reconstructor, row.mitigation),
            "metric": style.metric_name(row.metric),
            "diagnosis": findings.task_title(row.task) if row.task else "",
            "unmitigated": fixed(row.original, 3, row.reason),
            "mitigated": fixed(row.reconstructed, 3, row.reason),
            "change (95% interval)": with_interval(
                row.change, row.ci_low, row.ci_high, 3, row.reason, sign=True
            ),
        }
        for row in each(rows)
    ]
    if not records:
        return None
    return Table(
        "mitigation_price",
        "What mitigation cost, with intervals",
        "Paired over the same test images; intervals are clustered by patient (AUROC: DeLong).",
        pd.DataFrame(records),
        labels=4,
    )


def mean_cost(findings: Findings) -> Table | None:
    """What each mitigation did to PSNR and to the mean task score, against the same method without
    it (paper: table 4).
    """
    if findings.mitigations == ["none"]:
        return None
    at_headline = {
        "attribute": "",
        "version": "reconstructed",
        "level": findings.headline_level,
    }
    psnr = findings.pick("performance", metric="psnr", **at_headline)
    rows = findings.pick("performance", metric=["auroc", "dice"], **at_headline)
    scores = (
        rows[rows["task"] != ""]
        .dropna(subset=["value"])
        .set_index(["reconstructor", "mitigation", "task"])["value"]
    )
    records = []
    reason = "no diagnosis has a score with and without mitigation"
    for recon, mitigation in findings.methods(psnr):
        base = one(psnr, reconstructor=recon, mitigation="none")
        mitigated = one(psnr, reconstructor=recon, mitigation=mitigation)
        if mitigation == "none" or base is None or mitigated is None:
            continue
        psnr_change = 100 * (mitigated["value"] - base["value"]) / base["value"]
        before, after = shared_mean(scores, recon, mitigation)
        # a mean of exactly 0 has no relative change
        relative = 100 * (after - before) / before if before else math.nan
        records.append(
            {
                "method": findings.looks[recon].name,
                "mitigation": style.mitigation_name(mitigation),
                "PSNR change %": fixed(psnr_change, 2, sign=True),
                "mean task score change %": fixed(relative, 2, reason, sign=True),
                "change of the mean task score": fixed(after - before, 4, reason, sign=True),
            }
        )
    if not records:
        return None
    return Table(
        "mitigation_cost",
        "What mitigation cost in image quality and diagnosis",
        "Mitigated against unmitigated reconstruction by the same method at the headline "
        "level; the task score is AUROC or Dice, averaged over the diagnoses that have one both "
        "times. Averages without interval.",
        pd.DataFrame(records),
        labels=2,
    )


def shared_mean(scores: pd.Series, recon: str, mitigation: str) -> tuple[float, float]:
    """Mean score without and with a mitigation over the tasks that have both; NaN where none has.

    Args:
      scores: values by (reconstructor, mitigation, task).
      recon: the reconstructor.
      mitigation: the mitigation.
    """
    reconstructors, mitigations = (scores.index.get_level_values(i) for i in (0, 1))
    by_task = [
        scores[(reconstructors == recon) & (mitigations == m)].droplevel([0, 1])
        for m in ("none", mitigation)
    ]
    # inner: a mean over more tasks would not be compared with the same
    both = pd.concat(by_task, axis=1, join="inner")
    return float(both.iloc[:, 0].mean()), float(both.iloc[:, 1].mean())
