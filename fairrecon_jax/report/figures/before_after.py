"""Every group before and after reconstruction, for the comparison that is to be read first."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fairrecon_jax.report.claims import primary
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import (
    Drawing,
    Marks,
    canvas,
    few_ticks,
    legend,
    not_estimable,
    stripes,
    wrap,
)
from fairrecon_jax.report.figures.forest import DASH
from fairrecon_jax.report.select import Findings, changed_rows, each, known, one

RATES = {"sensitivity": "n_pos", "specificity": "n_neg", "dice": "n"}
"""What is drawn, with the column of how many stand behind it."""
OUT_OF = {
    "sensitivity": "of 100 with the finding, found",
    "specificity": "of 100 without it, cleared",
    "dice": "overlap (Dice) in points of 100",
}
MOST = 4
"""Attributes that share the figure."""


def before_after(findings: Findings) -> Drawing | None:
    """Rates of each group on originals and on reconstructions, for the diagnosis and the method of
    the clearest comparison; None where no group has a rate.
    """
    chosen = first_comparison(findings)
    if chosen is None:
        return None
    where = {name: chosen[name] for name in ("task", "reconstructor", "mitigation")}
    rows = findings.change_rows(
        "performance",
        metric=list(RATES),
        attribute=findings.attributes,
        level=findings.headline_level,
        **where,
    )
    rows = rows[rows["group"] != ""]
    attributes = findings.attributes_in(rows)
    # the attribute of the claim first
    attributes.sort(key=lambda name: name != chosen["attribute"])
    rows = rows[rows["attribute"].isin(attributes[:MOST])]
    metrics = [m for m in RATES if (rows["metric"] == m).any()]
    if not metrics:
        return None
    groups = [(a, g) for a in attributes[:MOST] for g in findings.groups_in(rows, a)]
    with canvas(1.0 + 0.24 * len(groups)) as figure:
        panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            draw_groups(axes, findings, rows[rows["metric"] == metric], groups, metric)
        names = [wrap(f"{group} ({attribute})", 28) for attribute, group in groups]
        panels[0].set_yticks(range(len(groups)), names)
        panels[0].set_ylim(len(groups) - 0.5, -0.5)
        dash = Line2D([], [], **{**DASH, "markersize": 8}, label="original images")
        legend(figure, findings, rows, extra=(dash,))
    method = findings.method_phrase(chosen["reconstructor"], chosen["mitigation"])
    title = findings.task_title(chosen["task"])
    caption = (
        f"{title} at {findings.headline}, {method}: each group before (upright dash) and after "
        "(mark, with its 95% interval), the line between them is what was lost or gained. At the "
        "right how many stand behind each rate; n.e. = not estimable or withheld."
    )
    return Drawing(
        "before_after", f"Each group before and after: {title}", caption, words(rows), figure, rows
    )


def first_comparison(findings: Findings) -> pd.Series | None:
    """The comparison that the first sentence is about: the clearest claim, else the smallest
    p-value among those that were judged.
    """
    rows = primary(findings.restored(findings.plain(findings.gap_changes())))
    rows = rows[~rows["task"].isin(findings.at_chance)]
    if rows.empty:
        return None
    real = changed_rows(rows)
    rows = real if len(real) else rows
    return rows.sort_values(["p_adjusted", "p_value"], kind="stable").iloc[0]


def draw_groups(
    axes: Axes,
    findings: Findings,
    rows: pd.DataFrame,
    groups: list[tuple[str, str]],
    metric: str,
) -> None:
    """One rate of all groups, one line each."""
    stripes(axes, len(groups), vertical=False)
    axes.grid(axis="x")
    marks = Marks(size=5.0)
    edge: dict[str, Any] = {
        "transform": axes.get_yaxis_transform(),
        "va": "center",
        "fontsize": 6.4,
    }
    for y, (attribute, group) in enumerate(groups):
        row = one(rows, attribute=attribute, group=group)
        if row is None or not known(row["original"], row["reconstructed"]):
            not_estimable(axes, 50, y)
            continue
        before, after = 100 * row["original"], 100 * row["reconstructed"]
        look = findings.looks[row["reconstructor"]]
        axes.plot([before, after], [y, y], color=look.color, linewidth=2.4, alpha=0.45, zorder=2)
        axes.plot([before], [y], **DASH, zorder=5)
        own = one(
            findings.pick(
                "performance",
                version="reconstructed",
                metric=metric,
                attribute=attribute,
                group=group,
                **{k: row[k] for k in ("task", "level", "reconstructor", "mitigation")},
            )
        )
        low, high = (float("nan"),) * 2 if own is None else (own["ci_low"], own["ci_high"])
        marks.add(look, findings.markers[row["mitigation"]], y, after, 100 * low, 100 * high)
        count = row[RATES[metric]]
        axes.text(1.01, y, f"n = {count:,.0f}" if known(count) else "", **edge)
    marks.draw(axes)
    axes.set(xlim=(-2, 102), xlabel=OUT_OF[metric], title=style.metric_name(metric).capitalize())
    few_ticks(axes)
    axes.tick_params(axis="y", length=0)


def words(rows: pd.DataFrame) -> str:
    """The figure in words."""
    parts = [
        f"{r.group} {r.metric} {100 * r.original:.0f} to {100 * r.reconstructed:.0f} of 100"
        for r in each(rows)
        if known(r.original, r.reconstructed)
    ]
    return "Dot chart before and after. " + "; ".join(parts[:20]) + "."
