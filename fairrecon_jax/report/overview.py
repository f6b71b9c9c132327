"""The two figures of the first screen: performance against level, and the change of every group gap at the headline level."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fairrecon_jax.report import style
from fairrecon_jax.report.drawing import Drawing, canvas, interval, method_handles, not_estimable, offsets, point
from fairrecon_jax.report.select import Findings, changes, gap_metric


def level_axis(axes: Axes, findings: Findings) -> None:
    """Levels as evenly spaced ticks, mildest first, with the unit."""
    names = [style.level_name(v, findings.spec.degradation) for v in findings.levels]
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xlabel(f"{findings.spec.degradation.unit} (worse →)")


def draw_levels(axes: Axes, findings: Findings, rows: pd.DataFrame) -> None:
    """Values with intervals against the level, one line per reconstructor and mitigation."""
    looks, marks = style.looks(findings.reconstructors), style.markers(findings.mitigations)
    methods = [(r, m) for r in findings.reconstructors for m in findings.mitigations]
    methods = [k for k in methods if ((rows["reconstructor"] == k[0]) & (rows["mitigation"].replace("", "none") == k[1])).any()]
    for (recon, mitigation), dx in zip(methods, offsets(len(methods), 0.3), strict=True):
        mine = rows[(rows["reconstructor"] == recon) & (rows["mitigation"].replace("", "none") == mitigation)]
        mine = mine.set_index("level").reindex(findings.levels)
        x = np.arange(len(findings.levels)) + dx
        look = looks[recon]
        axes.plot(x, mine["value"], color=look.color, linestyle=look.line, linewidth=1.2)
        point(axes, x, mine["value"], look, marks[mitigation])
        for at, low, high in zip(x, mine["ci_low"], mine["ci_high"], strict=True):
            interval(axes, low, high, at, look, vertical=True)
    axes.grid(axis="y")


def first_figures(findings: Findings) -> list[Drawing]:
    """The figures that carry the first screen; empty where the tables hold nothing to draw."""
    return [d for d in (performance_overview(findings), forest(findings)) if d is not None]


def performance_overview(findings: Findings) -> Drawing | None:
    """PSNR and the mean task score over all tasks against the level."""
    psnr = findings.pick("performance", metric="psnr", attribute="", version="reconstructed").dropna(subset=["value"])
    scores = findings.pick("performance", metric=["auroc", "dice"], attribute="", version=["original", "reconstructed"])
    scores = scores.dropna(subset=["value"])
    if psnr.empty and scores.empty:
        return None
    kinds = [m for m in ("auroc", "dice") if (scores["metric"] == m).any()]
    with canvas(2.6) as figure:
        panels = figure.subplots(1, 1 + len(kinds), squeeze=False)[0]
        draw_levels(panels[0], findings, psnr)
        panels[0].set_ylabel(style.metric_name("psnr"))
        panels[0].set_title("Image quality")
        for axes, metric in zip(panels[1:], kinds, strict=True):
            rows = scores[scores["metric"] == metric]
            keys = ["reconstructor", "mitigation", "level"]
            mean = rows[rows["version"] == "reconstructed"].groupby(keys, as_index=False)["value"].mean()
            draw_levels(axes, findings, mean.assign(ci_low=np.nan, ci_high=np.nan))
            count = rows["task"].nunique()
            axes.axhline(rows.loc[rows["version"] == "original", "value"].mean(), color=style.INK, linestyle="--", linewidth=1)
            axes.set_ylabel(f"{style.metric_name(metric)}, mean of {count} task{'s' if count > 1 else ''}")
            axes.set_title("Diagnosis")
        for axes in panels:
            level_axis(axes, findings)
        figure.legend(handles=method_handles(findings, pd.concat([psnr, scores]), lines=True), loc="outside upper left", ncols=4)
    caption = (
        "Each mark is one reconstruction method at one level of degradation; levels get worse from left to right. The dashed line is the same "
        "diagnosis on the original images."
    )
    table = pd.concat([psnr, scores])
    return Drawing("overview_performance", "Image quality and diagnosis against degradation", caption, caption, figure, table)


def forest(findings: Findings) -> Drawing | None:
    """The change of each group gap at the headline level with interval and verdict, the chance floor behind it."""
    metrics = {gap_metric(t) for t in findings.spec.tasks}
    rows = changes(findings.pick("fairness", metric=list(metrics), level=findings.headline_level))
    if rows.empty:
        return None
    looks, marks = style.looks(findings.reconstructors), style.markers(findings.mitigations)
    tasks = [t.name for t in findings.spec.tasks if (rows["task"] == t.name).any()]
    attributes = [a for a in findings.attributes if (rows["attribute"] == a).any()]
    methods = list(dict.fromkeys(zip(rows["reconstructor"], rows["mitigation"].replace("", "none"), strict=True)))
    with canvas(0.9 + 0.34 * len(tasks)) as figure:
        panels = figure.subplots(1, len(attributes), sharey=True, squeeze=False)[0]
        for axes, attribute in zip(panels, attributes, strict=True):
            axes.axvline(0, color=style.INK, linewidth=0.8)
            for (recon, mitigation), dy in zip(methods, offsets(len(methods), 0.6), strict=True):
                mine = rows[(rows["attribute"] == attribute) & (rows["reconstructor"] == recon)]
                mine = mine[mine["mitigation"].replace("", "none") == mitigation].set_index("task")
                for i, task in enumerate(tasks):
                    if task not in mine.index:
                        continue
                    row = mine.loc[task]
                    if not np.isfinite(row["change"]):
                        not_estimable(axes, 0, i + dy)
                        continue
                    interval(axes, row["ci_low"], row["ci_high"], i + dy, looks[recon])
                    point(axes, row["change"], i + dy, looks[recon], marks[mitigation])
            axes.set_title(attribute)
            axes.set_xlabel("change of gap (wider →)")
        panels[0].set_yticks(range(len(tasks)), [findings.task_title(t) for t in tasks])
        panels[0].set_ylim(len(tasks) - 0.5, -0.5)
        figure.legend(handles=method_handles(findings, rows), loc="outside upper left", ncols=4)
    caption = (
        "Each row is a diagnosis, each column a patient attribute. A mark right of zero means that the gap between groups is wider on "
        "reconstructed images than on the originals."
    )
    return Drawing("overview_bias_change", "Change of the gap between groups", caption, caption, figure, rows)
