"""Figures about all patients together: image quality and diagnosis against the level of
degradation.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fairrecon_jax.metrics import IMAGE_METRICS
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import (
    Drawing,
    ShareTicks,
    canvas,
    hatched,
    legend,
    original_handle,
    wrap,
)
from fairrecon_jax.report.figures.levels import (
    DASHED,
    draw_levels,
    equal_spans,
    level_axis,
    level_label,
    original_line,
    values_in_words,
)
from fairrecon_jax.report.select import Findings, known, one, task_metric
from fairrecon_jax.types import Task

TaskMean = tuple[pd.DataFrame, float, list[str]]
"""Mean scores per method and level, their mean on originals, and the tasks behind them."""


ELSEWHERE = "in the table of performance per level and method"
"""Where a report has what the overview averages."""


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
    means = {m: mean for m, mean in means.items() if mean[2]}
    if psnr.empty and not means:
        return None
    with canvas(2.75) as figure:
        panels = list(figure.subplots(1, (not psnr.empty) + len(means), squeeze=False)[0])
        if not psnr.empty:
            axes = panels.pop(0)
            draw_levels(axes, findings, psnr)
            axes.set(ylabel=style.metric_name("psnr"), title="Image quality")
            level_axis(axes, findings)
        for axes, (metric, mean) in zip(panels, means.items(), strict=True):
            mean_panel(axes, findings, metric, mean)
        legend(
            figure,
            findings,
            pd.concat([psnr, scores]),
            lines=True,
            extra=(original_handle(),) if findings.has_originals else (),
        )
    caption = (
        f"Each mark is one reconstruction method at {one_or_many(findings)}; vertical lines are "
        "95% intervals. "
        f"{DASHED if findings.has_originals else ''}"
        "Averages over diagnoses carry no interval; each diagnosis with its interval is "
        f"{ELSEWHERE}."
    )
    alt = "Line charts against the level. "
    if not psnr.empty:
        alt += f"PSNR: {values_in_words(findings, psnr, 1)} "
    for metric, (mean_rows, base, _) in means.items():
        start = f"{base:.2f} on originals; " if known(base) else ""
        alt += f"{style.metric_name(metric)} {start}{values_in_words(findings, mean_rows)} "
    return Drawing(
        "overview_performance",
        "Image quality and diagnosis against degradation",
        caption,
        alt.removesuffix(" "),
        figure,
        pd.concat([psnr, scores]),
    )


def one_or_many(findings: Findings) -> str:
    """The levels of a figure as its caption names them."""
    if len(findings.levels) == 1:
        return findings.headline
    return "one level of degradation, worse from left to right"


def mean_panel(axes: Axes, findings: Findings, metric: str, mean: TaskMean) -> None:
    """Mean score of a kind of tasks against the level, with that of the originals."""
    rows, base, tasks = mean
    draw_levels(axes, findings, rows)
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
    axes.yaxis.set_major_locator(ShareTicks("auto", steps=[1, 2, 5, 10]))


def mean_scores(rows: pd.DataFrame) -> TaskMean:
    """Averages a score over the tasks that every method and level has, and the originals too where
    there are any.

    Args:
      rows: rows of one metric, versions original and reconstructed.

    Returns:
      Rows (reconstructor, mitigation, level, value, interval: empty unless a single task), the mean
        on originals or NaN, the tasks.
    """
    keys = ["reconstructor", "mitigation", "level"]
    reconstructed = rows[rows["version"] == "reconstructed"]
    # a mean over other tasks at another level would draw a slope that no task has
    cells = reconstructed[keys].drop_duplicates().shape[0]
    per_task = reconstructed.groupby("task").size()
    with_original = set(rows.loc[rows["version"] == "original", "task"])
    tasks = [
        task
        for task in per_task.index[per_task == cells]
        if task in with_original or not with_original
    ]
    reconstructed = reconstructed[reconstructed["task"].isin(tasks)]
    mean = reconstructed
    if len(tasks) > 1:
        values = reconstructed.groupby(keys)["value"].mean().reset_index()
        mean = values.assign(ci_low=math.nan, ci_high=math.nan)
    originals = rows[(rows["version"] == "original") & rows["task"].isin(tasks)]
    # first within a task: its original may stand in several rows, one per level
    base = originals.groupby("task")["value"].mean().mean()
    return mean, float(base), tasks


def image_quality(findings: Findings) -> Drawing | None:
    """Every image metric against the level; one without values says why."""
    rows = findings.pick(
        "performance", metric=list(IMAGE_METRICS), task="", attribute="", version="reconstructed"
    )
    metrics = [m for m in IMAGE_METRICS if (rows["metric"] == m).any()]
    if not metrics:
        return None
    with canvas(2.3) as figure:
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            values = rows[rows["metric"] == metric]
            if values["value"].notna().any():
                draw_levels(axes, findings, values)
                level_axis(axes, findings)
            else:
                reasons = [*(r for r in values["reason"].unique() if r), "no value in the table"]
                hatched(axes, f"not computed: {reasons[0].removeprefix('not computed: ')}")
            axes.set_title(f"{style.metric_name(metric)} {IMAGE_METRICS[metric].arrow}")
        legend(figure, findings, rows.dropna(subset=["value"]), lines=True)
    caption = (
        "Likeness of the reconstruction to the original image. ↑: higher is better, ↓: "
        "lower is better. Vertical lines are 95% intervals."
    )
    if any(rows[rows["metric"] == m]["value"].isna().all() for m in metrics):
        caption += " A hatched panel was not computed, for the reason it gives."
    alt = "Line charts against the level. " + " ".join(
        f"{style.metric_name(m)}: {values_in_words(findings, rows[rows['metric'] == m])}"
        for m in metrics
    )
    return Drawing("image_quality", "Image quality against degradation", caption, alt, figure, rows)


def task_performance(findings: Findings) -> Drawing | None:
    """AUROC or Dice of every task against the level, one panel a task, with the originals as dashed
    line.
    """
    rows = findings.pick(
        "performance", metric=["auroc", "dice"], attribute="", version=["original", "reconstructed"]
    )
    tasks = [t for t in findings.spec.tasks if not of_task(rows, t).empty]
    if not tasks:
        return None
    # three where four would leave more panels empty
    columns = 3 if len(tasks) in (3, 5, 6, 9) else min(4, len(tasks))
    lines = math.ceil(len(tasks) / columns)
    with canvas(0.6 + 1.55 * lines) as figure:
        equal = task_panels(figure, findings, rows, tasks, (lines, columns))
        legend(
            figure,
            findings,
            rows[rows["version"] == "reconstructed"],
            lines=True,
            extra=(original_handle(),) if findings.has_originals else (),
        )
    scale = (
        "All panels span the same height, so that slopes can be compared, but start at "
        "different values."
        if equal
        else "Each panel has its own scale: compare heights with its axis, not with its neighbour."
    )
    originals = (
        "The dashed line is the diagnosis on the original images, the grey band its 95% interval. "
        if findings.has_originals
        else ""
    )
    caption = (
        f"One panel per diagnosis; worse degradation to the right. {originals}"
        f"Vertical lines are 95% intervals. {scale}"
    )
    alt = (
        f"{len(tasks)} small line charts of AUROC or Dice against the level, one per "
        "diagnosis; numbers in the table of this figure."
    )
    return Drawing(
        "task_performance", "Each diagnosis against degradation", caption, alt, figure, rows
    )


def of_task(rows: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The rows of a task's own score."""
    return rows[(rows["task"] == task.name) & (rows["metric"] == task_metric(task))]


def task_panels(
    figure: Figure,
    findings: Findings,
    rows: pd.DataFrame,
    tasks: list[Task],
    shape: tuple[int, int],
) -> bool:
    """Draws one panel a task; returns whether all span the same height."""
    panels = np.ravel(figure.subplots(*shape, squeeze=False))
    for axes, task in zip(panels, tasks, strict=False):
        scores = of_task(rows, task)
        draw_levels(axes, findings, scores[scores["version"] == "reconstructed"])
        original_line(axes, one(scores, version="original"))
        # AUROC stands at the axis; what differs from the neighbours is said in the title
        plain = len(tasks) > 1 and task.kind == "classification"
        metric = "" if plain else f" ({style.metric_name(task_metric(task))})"
        axes.set_title(wrap(findings.task_title(task.name) + metric, 24))
    for axes in panels[len(tasks) :]:
        axes.set_visible(False)
    # spans before ticks: the level axis leaves y alone, and hidden panels have no data
    equal = equal_spans(list(panels[: len(tasks)]))
    for i, axes in enumerate(panels[: len(tasks)]):
        level_axis(axes, findings, label=False)
        axes.yaxis.set_major_locator(ShareTicks("auto", steps=[1, 2, 5, 10]))
        if i % shape[1] == 0:
            axes.set_ylabel(style.metric_name(task_metric(tasks[i])))
    figure.supxlabel(level_label(findings), fontsize=8)
    return equal
