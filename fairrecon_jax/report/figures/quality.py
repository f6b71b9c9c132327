"""Figures about all patients together: image quality and diagnosis against the level of
degradation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fairrecon_jax.metrics import IMAGE_METRICS
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import (
    Drawing,
    Marks,
    canvas,
    few_ticks,
    hatched,
    legend,
    not_estimable,
    offsets,
    original_handle,
    signed,
    stripes,
    wrap,
)  # fmt: skip
from fairrecon_jax.report.select import Findings, changed, each, known, one, task_metric

DASHES = (0, (4, 2))


def level_axis(axes: Axes, findings: Findings, words: bool = True) -> None:
    """Levels as evenly spaced ticks, mildest first, with the unit."""
    names = [style.level_name(v, findings.spec.degradation) for v in findings.levels]
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    if words:
        axes.set_xlabel(level_words(findings))


def level_words(findings: Findings) -> str:
    """The label of a level axis, with the unit."""
    return findings.spec.degradation.unit + (" (worse →)" if len(findings.levels) > 1 else "")


def draw_levels(
    axes: Axes, findings: Findings, rows: pd.DataFrame, mark_missing: bool = True
) -> None:
    """Values with intervals against the level, one line per reconstructor and mitigation.

    Args:
      axes: where to draw.
      findings: order and looks.
      rows: columns reconstructor, mitigation, level, value, ci_low, ci_high; one row per method and
        level.
      mark_missing: write "n.e." where a method has a row without a value.
    """
    methods, marks = findings.methods(rows), Marks(vertical=True)
    for (recon, mitigation), dx in zip(
        methods, offsets(len(methods), min(0.4, 0.12 * len(methods))), strict=True
    ):
        mine = rows[(rows["reconstructor"] == recon) & (rows["mitigation"] == mitigation)]
        mine = mine.drop_duplicates("level").set_index("level")
        studied = [level in mine.index for level in findings.levels]
        mine = mine.reindex(findings.levels)
        x, look = np.arange(len(findings.levels)) + dx, findings.looks[recon]
        thin = 1.2 if mitigation == "none" else 0.7
        axes.plot(x, mine["value"], color=look.color, linestyle=look.line, linewidth=thin, zorder=2)
        for at, there, value, low, high in zip(
            x, studied, mine["value"], mine["ci_low"], mine["ci_high"], strict=True
        ):
            marks.add(look, findings.markers[mitigation], at, value, low, high)
            if mark_missing and there and not known(value):
                axes.text(
                    at,
                    0.02,
                    "n.e.",
                    transform=axes.get_xaxis_transform(),
                    ha="center",
                    fontsize=6,
                    color=style.GREY,
                    style="italic",
                )
    marks.draw(axes)
    axes.grid(axis="y")


def original_line(axes: Axes, row: pd.Series | None) -> None:
    """The value on the original images as a dashed line over its interval."""
    if row is None or not known(row["value"]):
        return
    if known(row["ci_low"], row["ci_high"]):
        axes.axhspan(row["ci_low"], row["ci_high"], color="#efefef", linewidth=0, zorder=0)
    axes.axhline(row["value"], color=style.INK, linestyle=DASHES, linewidth=1.0, zorder=1)


DASHED = (
    "The dashed line is the same diagnosis made from the original images: the further below "
    "it, the more the diagnosis lost. "
)


def overview(findings: Findings) -> Drawing | None:
    """PSNR, and the task score averaged over all tasks of a kind, against the level."""
    psnr = findings.pick(
        "performance", metric="psnr", attribute="", version="reconstructed"
    ).dropna(subset=["value"])
    scores = findings.pick(
        "performance", metric=["auroc", "dice"], attribute="", version=["original", "reconstructed"]
    )
    scores = scores[scores["task"] != ""].dropna(subset=["value"])
    means = {m: mean_scores(scores[scores["metric"] == m]) for m in ("auroc", "dice")}
    means = {m: found for m, found in means.items() if found[2]}
    if psnr.empty and not means:
        return None
    spoken = []
    with canvas(2.75) as figure:
        panels = list(figure.subplots(1, (not psnr.empty) + len(means), squeeze=False)[0])
        if not psnr.empty:
            axes = panels.pop(0)
            draw_levels(axes, findings, psnr)
            axes.set(ylabel=style.metric_name("psnr"), title="Image quality")
            level_axis(axes, findings)
        for axes, (metric, (mean, base, tasks)) in zip(panels, means.items(), strict=True):
            draw_levels(axes, findings, mean)
            original_line(axes, pd.Series({"value": base, "ci_low": math.nan, "ci_high": math.nan}))
            what = (
                f", mean of {len(tasks)} tasks"
                if len(tasks) > 1
                else f" of {findings.task_title(tasks[0])}"
            )
            axes.set(
                ylabel=style.metric_name(metric) + what,
                title="Diagnosis" if metric == "auroc" else "Delineation",
            )
            level_axis(axes, findings)
            start = f"{base:.2f} on originals; " if known(base) else ""
            spoken.append(f"{style.metric_name(metric)} {start}{alt_text(findings, mean)}")
        legend(
            figure,
            findings,
            pd.concat([psnr, scores]),
            lines=True,
            extra=(original_handle(),) if findings.has_originals else (),
        )
    caption = (
        "Each mark is one reconstruction method at one level of degradation, worse from "
        "left to right; "
        f"vertical lines are 95% intervals. {DASHED if findings.has_originals else ''}"
        "Averages over tasks carry no interval; every task with its interval is in the "
        "section on diagnosis."
    )
    alt = (
        "Line charts against the level. "
        + (f"PSNR: {alt_text(findings, psnr, 1)} " if not psnr.empty else "")
        + " ".join(spoken)
    )
    return Drawing(
        "overview_performance",
        "Image quality and diagnosis against degradation",
        caption,
        alt,
        figure,
        pd.concat([psnr, scores]),
    )


def mean_scores(rows: pd.DataFrame) -> tuple[pd.DataFrame, float, list[str]]:
    """Averages a score over the tasks that every method and level has, and the originals too where
    there are any.

    Args:
      rows: rows of one metric, versions original and reconstructed.

    Returns:
      Rows (reconstructor, mitigation, level, value, interval: empty unless a single task), the mean
        on originals or NaN, the tasks.
    """
    keys = ["reconstructor", "mitigation", "level"]
    made = rows[rows["version"] == "reconstructed"]
    cells = made[keys].drop_duplicates().shape[0]
    full = made.groupby("task").size()
    based = set(rows.loc[rows["version"] == "original", "task"])
    tasks = [t for t in full.index[full == cells] if t in based or not based]
    made = made[made["task"].isin(tasks)]
    mean = (
        made.groupby(keys, as_index=False)["value"].mean().assign(ci_low=math.nan, ci_high=math.nan)
        if len(tasks) > 1
        else made
    )
    base = (
        rows[(rows["version"] == "original") & rows["task"].isin(tasks)]
        .groupby("task")["value"]
        .mean()
        .mean()
    )
    return mean, float(base), tasks


def alt_text(findings: Findings, rows: pd.DataFrame, digits: int = 2) -> str:
    """The values of each method over the levels in words, for alternative texts."""
    parts = []
    for recon, mitigation in findings.methods(rows):
        mine = (
            rows[(rows["reconstructor"] == recon) & (rows["mitigation"] == mitigation)]
            .drop_duplicates("level")
            .set_index("level")["value"]
        )
        values = ", ".join(f"{mine.get(v, math.nan):.{digits}f}" for v in findings.levels)
        parts.append(f"{findings.method_name(recon, mitigation)} {values}")
    return "; ".join(parts) + "." if parts else ""


def image_quality(findings: Findings) -> Drawing | None:
    """Every image metric against the level; one without values says why."""
    rows = findings.pick(
        "performance",
        metric=list(IMAGE_METRICS),
        task="",
        attribute="",
        version="reconstructed",
    )
    metrics = [m for m in IMAGE_METRICS if (rows["metric"] == m).any()]
    if not metrics:
        return None
    with canvas(2.3) as figure:
        for axes, metric in zip(
            figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True
        ):
            mine = rows[rows["metric"] == metric]
            if mine["value"].notna().any():
                draw_levels(axes, findings, mine)
                level_axis(axes, findings)
            else:
                reasons = [r for r in mine["reason"].unique() if r]
                reason = (
                    reasons[0].removeprefix("not computed: ")
                    if reasons
                    else "no value in the table"
                )
                hatched(axes, f"not computed: {reason}")
            axes.set_title(f"{style.metric_name(metric)} {IMAGE_METRICS[metric].arrow}")
        legend(figure, findings, rows.dropna(subset=["value"]), lines=True)
    caption = (
        "Likeness of the reconstruction to the original image. ↑: higher is better, ↓: "
        "lower is better. "
        "Vertical lines are 95% intervals. A "
        "hatched panel was not computed, for the reason it gives."
    )
    alt = "Line charts against the level. " + " ".join(
        f"{style.metric_name(m)}: {alt_text(findings, rows[rows['metric'] == m])}" for m in metrics
    )
    return Drawing("image_quality", "Image quality against degradation", caption, alt, figure, rows)


def task_performance(findings: Findings) -> Drawing | None:
    """AUROC or Dice of every task against the level, one panel a task, with the originals as dashed
    line.
    """
    rows = findings.pick(
        "performance", metric=["auroc", "dice"], attribute="", version=["original", "reconstructed"]
    )
    tasks = [
        t
        for t in findings.spec.tasks
        if ((rows["task"] == t.name) & (rows["metric"] == task_metric(t))).any()
    ]
    if not tasks:
        return None
    columns = 3 if len(tasks) in (3, 5, 6, 9) else min(4, len(tasks))
    lines = math.ceil(len(tasks) / columns)
    with canvas(0.6 + 1.55 * lines) as figure:
        grid = figure.subplots(lines, columns, squeeze=False)
        panels = grid.ravel()
        for axes, task in zip(panels, tasks, strict=False):
            mine = rows[(rows["task"] == task.name) & (rows["metric"] == task_metric(task))]
            draw_levels(axes, findings, mine[mine["version"] == "reconstructed"])
            original_line(axes, one(mine, version="original"))
            title = findings.task_title(task.name) + (
                ""
                if len(tasks) > 1 and task.kind == "classification"
                else f" ({style.metric_name(task_metric(task))})"
            )
            axes.set_title(wrap(title, 24))
        for axes in panels[len(tasks) :]:
            axes.set_visible(False)
        equal = equal_spans(list(panels[: len(tasks)]))
        for i, axes in enumerate(panels[: len(tasks)]):
            level_axis(axes, findings, words=False)
            if i % columns == 0:
                axes.set_ylabel(style.metric_name(task_metric(tasks[i])))
        figure.supxlabel(level_words(findings), fontsize=8)
        legend(
            figure,
            findings,
            rows[rows["version"] == "reconstructed"],
            lines=True,
            extra=(original_handle(),) if findings.has_originals else (),
        )
    same = (
        "All panels span the same height, so that slopes can be compared, but start at "
        "different values."
    )
    scale = (
        same
        if equal
        else "Each panel has its own scale: compare heights with its axis, not with its neighbour."
    )
    caption = (
        "One panel per diagnosis; worse degradation to the right. "
        + (
            "The dashed line is the diagnosis on the original images, the grey band its "
            "95% interval. "
            if findings.has_originals
            else ""
        )
        + f"Vertical lines are 95% intervals. {scale}"
    )
    alt = (
        f"{len(tasks)} small line charts of AUROC or Dice against the level, one per "
        "diagnosis; numbers in the table of this figure."
    )
    return Drawing(
        "task_performance", "Each diagnosis against degradation", caption, alt, figure, rows
    )


def equal_spans(panels: list[Axes], most: float = 2.5) -> bool:
    """Gives all panels y axes of the same height, each centred on its own data, unless one needs
    `most` times the median height.

    Returns:
      Whether it did.
    """
    limits = [axes.get_ylim() for axes in panels]
    spans = [high - low for low, high in limits]
    if max(spans) > most * float(np.median(spans)):
        return False
    for axes, (low, high) in zip(panels, limits, strict=True):
        middle = (low + high) / 2
        axes.set_ylim(middle - max(spans) / 2, middle + max(spans) / 2)
    return True


def task_change(findings: Findings) -> Drawing | None:
    """Change of each task's score in all patients together at the headline level, with interval and
    verdict.
    """
    metrics = ["auroc", "dice", "sensitivity", "specificity"]
    rows = findings.change_rows(
        "performance", metric=metrics, attribute="", level=findings.headline_level
    )
    rows = rows[rows["task"] != ""]
    metrics = [m for m in metrics if (rows["metric"] == m).any()]
    tasks = [t.name for t in findings.tasks_in(rows)]
    if not tasks:
        return None
    methods = findings.methods(rows)
    with canvas(0.95 + len(tasks) * max(0.2, 0.09 * len(methods))) as figure:
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            change_panel(axes, findings, rows[rows["metric"] == metric], tasks, methods)
            axes.set(title=style.metric_name(metric), xlabel="change (better →)")
        panels[0].set_yticks(range(len(tasks)), [wrap(findings.task_title(t), 20) for t in tasks])
        panels[0].set_ylim(len(tasks) - 0.5, -0.5)
        legend(figure, findings, rows)
    caption = (
        "Reconstruction minus original at "
        f"{style.level_phrase(findings.headline_level, findings.spec.degradation)}, all "
        "patients together, with "
        "95% intervals. Left of zero: the diagnosis got worse. Pale marks are changes "
        "within chance (or "
        "without a test); n.e. = not estimable."
    )
    named = [
        f"{findings.task_title(r.task)} {style.metric_name(r.metric)} {signed(r.change)}"
        for r in each(rows)
        if changed(r.verdict)
    ]
    alt = (
        "Dot chart of changes of diagnosis in all patients. More than chance: "
        + ("; ".join(named[:12]) if named else "none")
        + "."
    )
    return Drawing(
        "task_change",
        "Change of each diagnosis in all patients together",
        caption,
        alt,
        figure,
        rows,
    )


def change_panel(
    axes: Axes,
    findings: Findings,
    rows: pd.DataFrame,
    tasks: list[str],
    methods: list[tuple[str, str]],
) -> None:
    """Changes per task (rows) and method (side by side): strong where the verdict says changed,
    pale where not, "n.e." where unknown.
    """
    axes.axvline(0, color=style.INK, linewidth=0.8, zorder=1)
    stripes(axes, len(tasks), vertical=False)
    place = dict(
        zip(methods, offsets(len(methods), min(0.66, 0.24 * (len(methods) - 1))), strict=True)
    )
    where = {t: i for i, t in enumerate(tasks)}
    marks = Marks(size=4.4 if len(methods) < 5 else 3.4)
    for row in each(rows):
        y = where[row.task] + place[row.reconstructor, row.mitigation]
        look, strong = findings.looks[row.reconstructor], changed(row.verdict)
        if not known(row.change):
            not_estimable(axes, 0, y, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4})
            continue
        marks.add(
            look,
            findings.markers[row.mitigation],
            y,
            row.change,
            row.ci_low,
            row.ci_high,
            1.0 if strong else 0.42,
        )
        if style.verdict_sign(row.verdict):
            end = row.ci_high if known(row.ci_high) else row.change
            label: dict[str, Any] = {
                "xytext": (3, 0),
                "textcoords": "offset points",
                "va": "center",
                "fontsize": 6.5,
                "color": style.INK,
            }
            axes.annotate(style.verdict_sign(row.verdict), (end, y), **label, zorder=6)
    marks.draw(axes)
    few_ticks(axes)
    axes.margins(x=0.09)
    axes.tick_params(axis="y", length=0)
