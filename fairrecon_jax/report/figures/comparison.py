"""Mitigated against unmitigated: gap against quality, the change of each score, and the sweep of a
term's weight.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import (
    SLANTED,
    WIDTH,
    Drawing,
    ShareTicks,
    canvas,
    few_ticks,
    fits,
    legend,
    point,
    signed,
)
from fairrecon_jax.report.mitigation import (
    averaged_over,
    comparison_changes,
    gaps_and_scores,
    pareto_front,
    pareto_rows,
    sweep_rows,
)
from fairrecon_jax.report.select import Findings, each, known, of_method, one

SWEEP_TITLES = {
    "gap": "mean gap (EODD, SER − 1)",
    "score": "mean AUROC / Dice",
    "psnr": "PSNR (dB)",
}


def pareto(findings: Findings) -> Drawing | None:
    """Mean gap against mean task score and against PSNR; one marker per mitigation, one colour per
    reconstructor.
    """
    if findings.mitigations == ["none"]:
        return None
    rows = pareto_rows(findings)
    if rows.empty:
        return None
    kinds = list(dict.fromkeys(zip(rows["gap_metric"], rows["score_metric"], strict=True)))
    columns = ["score", "psnr"] if rows["psnr"].notna().any() else ["score"]
    with canvas(2.7 * len(kinds)) as figure:
        panels = figure.subplots(len(kinds), len(columns), squeeze=False)
        for (gap, score), line in zip(kinds, panels, strict=True):
            # one line per kind of gap: EODD and SER have no common scale
            means = rows[rows["gap_metric"] == gap]
            for axes, column in zip(line, columns, strict=True):
                pareto_panel(axes, findings, means.dropna(subset=[column]), column)
                quality = style.metric_name(score if column == "score" else column)
                axes.set(
                    xlabel=f"{quality} (better →)",
                    ylabel=f"{style.metric_name(gap)} (fairer ↓)",
                )
        legend(figure, findings, rows)
    caption = (
        f"At {findings.headline}: {averaged_over(gaps_and_scores(findings))}. "
        "Down and right is better on both. Ringed: no other mark is better on both axes "
        "(the Pareto front); a thin line leads from a method to the same method with a "
        "mitigation. Means carry no interval."
    )
    alt = "Gap against quality: " + "; ".join(
        f"{findings.method_name(r.reconstructor, r.mitigation)} "
        f"{style.metric_name(r.gap_metric)} {r.gap:.3f}, "
        f"{style.metric_name(r.score_metric)} {r.score:.3f}"
        + (f", PSNR {r.psnr:.1f}" if known(r.psnr) else "")
        for r in each(rows)
    )
    return Drawing(
        "mitigation_pareto",
        "Gap, diagnosis and image quality together",
        caption,
        f"{alt}.",
        figure,
        rows,
    )


def pareto_panel(axes: Axes, findings: Findings, rows: pd.DataFrame, column: str) -> None:
    """Mean gaps against one measure of quality, the Pareto front ringed."""
    for row in each(rows):
        look, value = findings.looks[row.reconstructor], getattr(row, column)
        point(axes, value, row.gap, look, findings.markers[row.mitigation])
        # lines start where the same reconstructor stands without mitigation
        start = one(rows, reconstructor=row.reconstructor, mitigation="none")
        if start is not None and row.mitigation != "none":
            axes.plot(
                [start[column], value],
                [start["gap"], row.gap],
                color=look.color,
                linewidth=0.6,
                alpha=0.5,
                zorder=1,
            )
    # the gap with its sign turned, as both axes are to be large
    front = rows[pareto_front(rows[column].to_numpy(), -rows["gap"].to_numpy())]
    axes.scatter(
        front[column],
        front["gap"],
        s=95,
        facecolors="none",
        edgecolors=style.INK,
        linewidths=0.8,
        zorder=5,
    )
    axes.margins(0.15)
    few_ticks(axes, 5)
    if column == "score":
        axes.xaxis.set_major_locator(ShareTicks(5, steps=[1, 2, 5, 10]))
    axes.grid()


def sweep(findings: Findings) -> Drawing | None:
    """The weight of the term against gap, task score and PSNR (paper: figures 11 and 12)."""
    rows = sweep_rows(findings)
    if rows.empty or findings.sweep is None:
        return None
    kinds = [kind for kind in SWEEP_TITLES if kind in rows]
    with canvas(2.7) as figure:
        panels = figure.subplots(1, len(kinds), squeeze=False)[0]
        for axes, kind in zip(panels, kinds, strict=True):
            for _, of_part in rows.groupby(["sweep", "reconstructor", "part"], sort=False):
                sweep_line(axes, findings, of_part, kind)
            # 0 has no place on a logarithmic axis and is drawn as a line
            axes.set(xscale="log", xlabel="weight of the term", title=SWEEP_TITLES[kind])
            weights = sorted({float(w) for w in rows["weight"] if w > 0})
            axes.set_xticks(weights, [f"{w:g}" for w in weights])
            # a logarithmic axis would label its own minor ticks between the weights
            axes.set_xticks([], minor=True)
            axes.margins(x=0.12)
            low, high = rows[kind].min(), rows[kind].max()
            if high - low < 1e-9:  # equal but for rounding, which would fill the axis
                axes.set_ylim(low - 0.05, high + 0.05)
            axes.grid()
        # the legend names the sweep, not each of its weights
        legend(figure, findings, rows.assign(mitigation=rows["sweep"]))
    reasons = "; ".join(dict.fromkeys(str(r) for r in findings.sweep["reason"]))
    caption = (
        "Solid: validation patients, from whom the weight was chosen; dashed: test "
        f"patients; dotted: without mitigation; the large mark is the chosen weight. {reasons}."
    )
    validation = rows[(rows["part"] == "val") & (rows["weight"] > 0)]
    alt = "; ".join(
        f"{findings.looks[r.reconstructor].name} {r.mitigation}: "
        + ", ".join(f"{k} {signed(getattr(r, k), 3)}" for k in kinds)
        for r in each(validation)
    )
    return Drawing(
        "mitigation_sweep",
        "How strong the term should be",
        caption,
        f"Weight of the term on validation: {alt}.",
        figure,
        rows,
    )


def sweep_line(axes: Axes, findings: Findings, rows: pd.DataFrame, kind: str) -> None:
    """One sweep of one reconstructor on validation or test patients, with the unmitigated value."""
    name, recon, part = (str(rows[c].iloc[0]) for c in ("sweep", "reconstructor", "part"))
    look, validation = findings.looks[recon], part == "val"
    tried = rows[rows["weight"] > 0].sort_values("weight")
    faint: dict[str, Any] = {"alpha": 1.0 if validation else 0.45, "color": look.color}
    axes.plot(
        tried["weight"],
        tried[kind],
        linestyle="-" if validation else "--",
        linewidth=1.1,
        **faint,
    )
    for row in each(tried):
        point(
            axes,
            row.weight,
            getattr(row, kind),
            look,
            findings.markers.get(name, "o"),
            markersize=7.0 if row.chosen == row.mitigation else 4.0,
            alpha=faint["alpha"],
        )
    for value in rows.loc[rows["weight"] == 0, kind]:
        axes.axhline(value, linewidth=0.8, linestyle=":", **faint)


def bars(findings: Findings) -> Drawing | None:
    """Change of every task score by each mitigation, as bars (paper: figure 13)."""
    rows = comparison_changes(findings)
    if rows.empty:
        return None
    everyone = (rows["attribute"] == "") & (rows["level"] == findings.headline_level)
    rows = rows[rows["metric"].isin(["auroc", "dice"]) & everyone].dropna(subset=["change"])
    if rows.empty:
        return None
    tasks, methods = list(dict.fromkeys(rows["task"])), findings.methods(rows)
    width = 0.8 / len(methods)
    with canvas(2.6) as figure:
        axes = figure.subplots()
        axes.axhline(0, color=style.GREY, linewidth=0.7)
        for i, (recon, mitigation) in enumerate(methods):
            # a method that lacks a task keeps its place free
            changes = of_method(rows, recon, mitigation).set_index("task").reindex(tasks)
            x = np.arange(len(tasks)) + (i - (len(methods) - 1) / 2) * width
            look = findings.looks[recon]
            axes.bar(x, changes["change"], width=0.9 * width, color=look.color, alpha=0.55)
            axes.vlines(x, changes["ci_low"], changes["ci_high"], color=style.INK, linewidth=0.8)
            point(axes, x, changes["change"], look, findings.markers[mitigation], markersize=4.0)
        names = [findings.task_title(t) for t in tasks]
        axes.set_xticks(range(len(tasks)), names, **({} if fits(names, WIDTH - 0.8) else SLANTED))
        # few tasks stand in the middle instead of as broad bars
        axes.set_xlim(min(-0.6, len(tasks) / 2 - 2), max(len(tasks) - 0.4, len(tasks) / 2 + 1))
        metrics = " / ".join(style.metric_name(m) for m in dict.fromkeys(rows["metric"]))
        axes.set_ylabel(f"change of {metrics}")
        legend(figure, findings, rows)
    caption = (
        "Mitigated minus unmitigated reconstruction on the same test images, everyone "
        "together, with 95% intervals; higher is better."
    )
    alt = "Change of the task score: " + "; ".join(
        f"{findings.method_name(r.reconstructor, r.mitigation)}, "
        f"{findings.task_title(r.task)} {signed(r.change, 3)}"
        for r in each(rows)
    )
    return Drawing(
        "mitigation_scores",
        "What mitigation did to the diagnosis",
        caption,
        f"{alt}.",
        figure,
        rows,
    )
