"""Changes of each diagnosis in all patients as dots with intervals."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import (
    HALO,
    PALE,
    Drawing,
    Marks,
    canvas,
    few_ticks,
    legend,
    not_estimable,
    side_by_side,
    signed,
    stripes,
    wrap,
)
from fairrecon_jax.report.select import Findings, changed, each, known

METRICS = ("auroc", "dice", "sensitivity", "specificity")


def task_change(findings: Findings) -> Drawing | None:
    """Change of each task's score in all patients together at the headline level, with interval and
    verdict.
    """
    rows = findings.change_rows(
        "performance", metric=list(METRICS), attribute="", level=findings.headline_level
    )
    # task "" holds the metrics of the images
    rows = rows[rows["task"] != ""]
    metrics = [m for m in METRICS if (rows["metric"] == m).any()]
    tasks = [t.name for t in findings.tasks_in(rows)]
    if not tasks:
        return None
    methods = findings.methods(rows)
    # inches: a line of text per task, or room for the marks of all methods
    with canvas(0.95 + len(tasks) * max(0.2, 0.09 * len(methods))) as figure:
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            change_panel(axes, findings, rows[rows["metric"] == metric], tasks, methods)
            axes.set(title=style.metric_name(metric), xlabel="change (better →)")
        panels[0].set_yticks(range(len(tasks)), [wrap(findings.task_title(t), 20) for t in tasks])
        # upside down: the first task stands on top
        panels[0].set_ylim(len(tasks) - 0.5, -0.5)
        legend(figure, findings, rows)
    caption = (
        f"Reconstruction minus original at {findings.headline}, all patients together, with 95% "
        "intervals. Left of zero: the diagnosis got worse. Pale marks: no difference shown (or no "
        "test); n.e. = not estimable."
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
    shift = side_by_side(methods, 0.24, 0.66)
    line_of = {task: i for i, task in enumerate(tasks)}
    marks = Marks(size=4.4 if len(methods) < 5 else 3.4)
    for row in each(rows):
        y = line_of[row.task] + shift[row.reconstructor, row.mitigation]
        # marked, as an empty place would read as not studied
        if not known(row.change):
            not_estimable(axes, 0, y, bbox=HALO)
            continue
        marks.add(
            findings.looks[row.reconstructor],
            findings.markers[row.mitigation],
            y,
            row.change,
            row.ci_low,
            row.ci_high,
            1.0 if changed(row.verdict) else PALE,
        )
    marks.draw(axes)
    few_ticks(axes)
    axes.margins(x=0.09)
    axes.tick_params(axis="y", length=0)
