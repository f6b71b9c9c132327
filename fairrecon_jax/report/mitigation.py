"""Rows about mitigations: paired changes, gap against quality, the trade-off of changes, and sweeps
of a term's weight.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fairrecon_jax.report.long_tables import clean, merge_seeds
from fairrecon_jax.report.select import Findings, each, task_metric

METHOD = ["reconstructor", "mitigation"]
SWEEP = (
    "sweep", "reconstructor", "level", "weight", "part", "metric", "task", "attribute", "value",
    "chosen", "mitigation", "reason",
)  # fmt: skip
"""Columns of results/mitigation_sweep.csv."""
SWEEP_KINDS = {"eodd": "gap", "ser": "gap", "auroc": "score", "dice": "score", "psnr": "psnr"}


def comparison_changes(findings: Findings) -> pd.DataFrame:
    """Rows of all mitigations with their change against the unmitigated reconstruction, seeds
    merged; empty where there is none.
    """
    if findings.comparison is None or findings.comparison.empty:
        return pd.DataFrame()
    rows = merge_seeds(clean(findings.comparison, "mitigation"))
    return rows[rows["version"] == "change"]


def gaps_and_scores(findings: Findings) -> pd.DataFrame:
    """Gap and task score of each diagnosis, attribute and method at the headline level, where both
    were estimated.

    Returns:
      Columns task, attribute, reconstructor, mitigation, metric, value (the gap), metric_score,
        value_score, and `common`: whether every method with such a gap has this diagnosis and
        attribute.
    """
    wanted = {"version": "reconstructed", "level": findings.headline_level}
    gaps = findings.pick("fairness", attribute=findings.attributes, **wanted)
    gaps = gaps[gaps["metric"] == gaps["task"].map(findings.gap_metrics)]
    scores = findings.pick("performance", attribute="", **wanted)
    score_metrics = {t.name: task_metric(t) for t in findings.spec.tasks}
    scores = scores[scores["metric"] == scores["task"].map(score_metrics)]
    both = gaps.merge(
        scores[["task", *METHOD, "metric", "value"]], on=["task", *METHOD], suffixes=("", "_score")
    )
    # the degraded image is no method that anybody would choose
    both = both[~both["reconstructor"].isin(findings.degraded)]
    both = both.dropna(subset=["value", "value_score"])
    # counted per metric: not every method has tasks of both kinds
    methods = both.groupby(METHOD).ngroup().groupby(both["metric"]).transform("nunique")
    with_value = both.groupby(["task", "attribute"])["value"].transform("size")
    columns = ["task", "attribute", *METHOD, "metric", "value", "metric_score", "value_score"]
    return both[columns].assign(common=with_value == methods)


def pareto_rows(findings: Findings) -> pd.DataFrame:
    """Per gap metric, method and mitigation: mean gap and mean task score over what every method
    has, and PSNR.
    """
    rows = gaps_and_scores(findings)
    rows = rows[rows["common"]].rename(
        columns={"metric": "gap_metric", "metric_score": "score_metric"}
    )
    keys = ["gap_metric", "score_metric", *METHOD]
    # a task's score is one number however many attributes its gaps have
    scores = rows.drop_duplicates([*keys, "task"]).groupby(keys)["value_score"].mean()
    gaps = rows.groupby(keys)["value"].mean()
    means = pd.concat([gaps, scores], axis=1, keys=["gap", "score"]).reset_index()
    psnr = findings.pick(
        "performance",
        metric="psnr",
        attribute="",
        version="reconstructed",
        level=findings.headline_level,
    )
    psnr = psnr[[*METHOD, "value"]].rename(columns={"value": "psnr"})
    return means.merge(psnr, on=METHOD, how="left")


def averaged_over(rows: pd.DataFrame) -> str:
    """What the means of `pareto_rows` average, with counts where something is left out.

    Args:
      rows: of `gaps_and_scores`.
    """
    words = "means over diagnoses (and attributes, for the gap)"
    if rows["common"].all():
        return words
    tasks, pairs = (
        [len(part[columns].drop_duplicates()) for part in (rows[rows["common"]], rows)]
        for columns in (["task"], ["task", "attribute"])
    )
    return (
        f"{words}. Only what every method has is averaged: {tasks[0]} of {tasks[1]} diagnoses, "
        f"{pairs[0]} of {pairs[1]} pairs of diagnosis and attribute"
    )


def pareto_front(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which of N points no other point dominates: none is as good on both axes and better on one.

    Args:
      first: [N], higher is better.
      second: [N], higher is better.

    Returns:
      [N] bool.
    """
    # [N, N]: row i against column j; a column without any dominating row is on the front
    as_good = (first[:, None] >= first[None]) & (second[:, None] >= second[None])
    better = (first[:, None] > first[None]) | (second[:, None] > second[None])
    return np.asarray(~(as_good & better).any(axis=0))


def tradeoff_rows(findings: Findings) -> pd.DataFrame:
    """Per method, mitigation and attribute at the headline level: mean change of the task score and
    mean change of the gap over tasks.

    Only tasks enter whose score and gap were estimated for every method and mitigation.
    """
    gaps = findings.gap_changes().dropna(subset=["change"])
    scores = findings.change_rows(
        "performance", metric=["auroc", "dice"], attribute="", level=findings.headline_level
    )
    scores = scores[scores["task"] != ""].dropna(subset=["change"])
    both = gaps.merge(
        scores[["task", *METHOD, "change"]], on=["task", *METHOD], suffixes=("", "_score")
    )
    methods = both[METHOD].drop_duplicates().shape[0]
    # else a mitigation would look better for lacking the hard tasks
    complete = both.groupby(["task", "attribute"])["change"].transform("size") == methods
    means = {
        "score_change": ("change_score", "mean"),
        "gap_change": ("change", "mean"),
        "tasks": ("task", "nunique"),
    }
    return both[complete].groupby([*METHOD, "attribute"], sort=False, as_index=False).agg(**means)


def sweep_rows(findings: Findings) -> pd.DataFrame:
    """Per sweep, reconstructor, weight and part: mean gap above no gap, mean task score, PSNR."""
    if findings.sweep is None or findings.sweep.empty:
        return pd.DataFrame()
    missing = [c for c in SWEEP if c not in findings.sweep.columns]
    if missing:
        raise ValueError(
            f"the sweep table lacks the columns {missing}; write it with `fairrecon study`"
        )
    # weights are chosen per level: others would mix into the means
    table = findings.sweep[findings.sweep["level"] == findings.headline_level]
    # no gap is 1 for SER and 0 for EODD: as excesses the two can be averaged
    value = table["value"] - (table["metric"] == "ser")
    keys = ["sweep", "reconstructor", "weight", "part", "mitigation", "chosen"]
    return (
        table.assign(value=value, kind=table["metric"].map(SWEEP_KINDS))
        # pivot_table averages what shares a place: tasks and attributes of one kind
        .pivot_table(index=keys, columns="kind", values="value")
        .reset_index()
    )


def fallbacks(findings: Findings) -> list[str]:
    """Sentences about sweeps in which no weight was admissible, so that the unmitigated model
    stands under the mitigation's name.
    """
    if findings.sweep is None or findings.sweep.empty:
        return []
    unmitigated = findings.sweep[findings.sweep["chosen"] == "none"].drop_duplicates(
        ["sweep", "reconstructor", "level"]
    )
    return [
        f"{findings.method_name(row.reconstructor, row.sweep)}: {row.reason}."
        for row in each(unmitigated)
    ]
