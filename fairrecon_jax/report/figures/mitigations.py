"""What mitigation changed: the trade-off between diagnosis and gaps."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import Drawing, canvas, few_ticks, legend, point, signed
from fairrecon_jax.report.mitigation import tradeoff_rows
from fairrecon_jax.report.select import Findings, each, one


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
            tradeoff_panel(axes, findings, rows[rows["attribute"] == attribute])
            axes.set(title=f"by {attribute}", xlabel="change of diagnosis (better →)")
        panels[0].set_ylabel("change of the gap (wider →)")
        legend(figure, findings, rows)
    caption = (
        f"At {findings.headline}, averaged over tasks: how much diagnosis and group gap differ "
        "from the original images. Arrows lead from the method without mitigation to the "
        "same method with it; down and right is better on both. Averages carry no interval and "
        "no verdict."
    )
    alt = "Scatter of mean gap change against mean score change: " + "; ".join(
        f"{findings.method_name(r.reconstructor, r.mitigation)} by {r.attribute} gap "
        f"{signed(r.gap_change, 3)}, score {signed(r.score_change, 3)}"
        for r in each(rows)
    )
    return Drawing(
        "mitigation_tradeoff", "What mitigation changed", caption, alt + ".", figure, rows
    )


def tradeoff_panel(axes: Axes, findings: Findings, rows: pd.DataFrame) -> None:
    """The methods of one attribute."""
    axes.axhline(0, color=style.GREY, linewidth=0.7)
    axes.axvline(0, color=style.GREY, linewidth=0.7)
    for row in each(rows):
        look = findings.looks[row.reconstructor]
        # arrows start where the same reconstructor stands without mitigation
        start = one(rows, reconstructor=row.reconstructor, mitigation="none")
        if row.mitigation != "none" and start is not None:
            arrow = {
                "arrowstyle": "->",
                "color": look.color,
                "linewidth": 0.8,
                "shrinkA": 3,
                "shrinkB": 4,
                "linestyle": look.line,
            }
            axes.annotate(
                "",
                (row.score_change, row.gap_change),
                xytext=(start["score_change"], start["gap_change"]),
                arrowprops=arrow,
            )
        marker = findings.markers[row.mitigation]
        point(axes, row.score_change, row.gap_change, look, marker, markersize=5.5)
    axes.margins(0.15)
    few_ticks(axes)
    axes.grid()
