"""What mitigation did: the trade between diagnosis and gaps."""

from __future__ import annotations

import pandas as pd

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import Drawing, canvas, few_ticks, legend, point, signed
from fairrecon_jax.report.select import Findings, each


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
    keys = ["reconstructor", "mitigation"]
    both = gaps.merge(
        scores[["task", *keys, "change"]], on=["task", *keys], suffixes=("", "_score")
    )
    cells = both[keys].drop_duplicates().shape[0]
    full = both.groupby(["task", "attribute"])["change"].transform("size") == cells
    both = both[full]
    named = {
        "score_change": ("change_score", "mean"),
        "gap_change": ("change", "mean"),
        "tasks": ("task", "nunique"),
    }
    return both.groupby([*keys, "attribute"], sort=False, as_index=False).agg(**named)


def tradeoff(findings: Findings) -> Drawing | None:
    """Mean change of the gap against mean change of the task score, arrows from the plain method to
    each mitigation.
    """
    if findings.mitigations == ["none"]:
        return None
    rows = tradeoff_rows(findings)
    attributes = findings.attributes_in(rows)
    if not attributes:
        return None
    with canvas(2.9) as figure:
        panels = figure.subplots(1, len(attributes), sharex=True, sharey=True, squeeze=False)[0]
        for axes, attribute in zip(panels, attributes, strict=True):
            mine = rows[rows["attribute"] == attribute]
            axes.axhline(0, color=style.GREY, linewidth=0.7)
            axes.axvline(0, color=style.GREY, linewidth=0.7)
            for row in each(mine):
                look = findings.looks[row.reconstructor]
                start = mine[
                    (mine["reconstructor"] == row.reconstructor) & (mine["mitigation"] == "none")
                ]
                if row.mitigation != "none" and not start.empty:
                    origin = (start["score_change"].iloc[0], start["gap_change"].iloc[0])
                    arrow = {
                        "arrowstyle": "->",
                        "color": look.color,
                        "linewidth": 0.8,
                        "shrinkA": 3,
                        "shrinkB": 4,
                        "linestyle": look.line,
                    }
                    axes.annotate(
                        "", (row.score_change, row.gap_change), xytext=origin, arrowprops=arrow
                    )
                point(
                    axes,
                    row.score_change,
                    row.gap_change,
                    look,
                    findings.markers[row.mitigation],
                    markersize=5.5,
                )
            axes.set(title=f"by {attribute}", xlabel="change of diagnosis (better →)")
            axes.margins(0.15)
            few_ticks(axes)
            axes.grid()
        panels[0].set_ylabel("change of the gap (wider →)")
        legend(figure, findings, rows)
    caption = (
        f"At {style.level_phrase(findings.headline_level, findings.spec.degradation)}, "
        "averaged over tasks: "
        "how much diagnosis and group gap differ "
        "from the original images. Arrows lead from the method without mitigation to the "
        "same method with "
        "it; down and right is better on both. "
        "Averages carry no interval and no verdict."
    )
    alt = "Scatter of mean gap change against mean score change: " + "; ".join(
        f"{findings.method_name(r.reconstructor, r.mitigation)} by {r.attribute} gap "
        f"{signed(r.gap_change, 3)}, score {signed(r.score_change, 3)}"
        for r in each(rows)
    )
    return Drawing(
        "mitigation_tradeoff", "What mitigation changed", caption, alt + ".", figure, rows
    )
