"""Figures about single groups: performance with counts, and who lost more than the others."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from fairrecon_jax.metrics import IMAGE_METRICS
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import (
    PALE,
    Drawing,
    Marks,
    canvas,
    few_ticks,
    legend,
    not_estimable,
    side_by_side,
    stripes,
    wrap,
)
from fairrecon_jax.report.figures.forest import BESIDE, DASH
from fairrecon_jax.report.long_tables import OTHERS
from fairrecon_jax.report.select import Findings, changed, each, known, one
from fairrecon_jax.report.strata import judged
from fairrecon_jax.runtime.text import file_stem

RATES = ("auroc", "dice", "sensitivity", "specificity")
EXTRA_NAMES = {"gap_score": "score for the truth"}
"""What is compared between groups, where it is not called as its gap."""


def group_performances(findings: Findings) -> list[Drawing]:
    """One figure per attribute and metric: performance of every group on originals and
    reconstructions, with counts.
    """
    images = [name for name, metric in IMAGE_METRICS.items() if metric.per_group]
    metrics = (*RATES, *images)
    drawings = [group_performance(findings, a, m) for a in findings.attributes for m in metrics]
    return [d for d in drawings if d is not None]


def group_performance(findings: Findings, attribute: str, metric: str) -> Drawing | None:
    """Performance per group at the headline level, one panel a task; counts stand at the right of
    each panel.
    """
    # originals may stand without a level
    rows = findings.pick(
        "performance", attribute=attribute, metric=metric, level=[findings.headline_level, math.nan]
    )
    rows = findings.plain(rows[rows["version"].isin(["original", "reconstructed"])])
    names = [*(task.name for task in findings.spec.tasks), ""]  # "": metrics of the images
    tasks = [t for t in names if (rows["task"] == t).any()]
    groups = findings.groups_in(rows, attribute)
    if not tasks or not groups:
        return None
    reconstructed = rows[rows["version"] == "reconstructed"]
    methods = findings.methods(reconstructed)
    has_originals = rows.loc[rows["version"] == "original", "value"].notna().any()
    with canvas(panels_height(len(tasks), len(groups))) as figure:
        panels = panel_grid(figure, findings, tasks, groups)
        for axes, task in zip(panels, tasks, strict=True):
            of_task = rows[rows["task"] == task]
            group_marks(axes, findings, of_task, methods, groups)
            counts(axes, of_task, groups)
        # the last panel of each column, whether or not the last line is full
        for axes in panels[-min(3, len(panels)) :]:
            axes.set_xlabel(style.metric_name(metric))
        dash = Line2D(
            [], [], **{**DASH, "markersize": 8, "markeredgewidth": 1.6}, label="original images"
        )
        legend(figure, findings, reconstructed, extra=(dash,) if has_originals else ())
    name = style.metric_name(metric)
    dash_words = "The upright dash is the diagnosis on originals over its 95% interval (grey). "
    caption = (
        f"{name} of each group by {attribute} at {findings.headline}. "
        f"{dash_words if has_originals else ''}"
        "The marks are reconstructions with their 95% intervals. "
        "At the right of each panel: patients or images with the finding / all that were judged. "
        "n.e. = not estimable, as a rule because too few have the finding."
    )
    alt = (
        f"Dot charts of {name} per group by {attribute} ({', '.join(groups)}) for {len(tasks)} "
        "tasks; numbers in its table."
    )
    return Drawing(
        f"groups_{file_stem(attribute)}_{metric}",
        f"{name[0].upper() + name[1:]} of each group by {attribute}",
        caption,
        alt,
        figure,
        rows,
        folded=metric not in ("auroc", "dice"),
    )


def panels_height(tasks: int, groups: int) -> float:
    """Height of a grid of up to three panels a line."""
    return 0.75 + math.ceil(tasks / 3) * (0.42 + 0.23 * groups)


def panel_grid(
    figure: Figure, findings: Findings, tasks: list[str], groups: list[str]
) -> list[Axes]:
    """Panels with one line per group, group names at the left, task names as titles."""
    columns = min(3, len(tasks))
    grid = figure.subplots(math.ceil(len(tasks) / columns), columns, squeeze=False, sharey=True)
    panels = list(grid.ravel())
    for axes in panels[len(tasks) :]:
        axes.set_visible(False)
    # strict=False: the last line may have more panels than tasks are left
    for axes, task in zip(panels, tasks, strict=False):
        axes.set_title(wrap(findings.task_title(task) if task else "image quality", 30))
        axes.grid(axis="x")
        few_ticks(axes)
        axes.tick_params(axis="y", length=0)
        stripes(axes, len(groups), vertical=False)
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(groups)), [wrap(g, 18) for g in groups])
        axes.set_ylim(len(groups) - 0.5, -0.5)
    return panels[: len(tasks)]


def group_marks(
    axes: Axes,
    findings: Findings,
    rows: pd.DataFrame,
    methods: list[tuple[str, str]],
    groups: list[str],
) -> None:
    """Originals and reconstructions of all groups of one task."""
    marks = Marks(size=3.6, width=0.9)
    shift = side_by_side(methods, 0.25, 0.56)
    reconstructed = rows[(rows["version"] == "reconstructed") & rows["value"].notna()]
    for row in each(reconstructed.drop_duplicates(["group", "reconstructor", "mitigation"])):
        marks.add(
            findings.looks[row.reconstructor],
            findings.markers[row.mitigation],
            groups.index(row.group) + shift[row.reconstructor, row.mitigation],
            row.value,
            row.ci_low,
            row.ci_high,
        )
    for y, group in enumerate(groups):
        original = one(rows, version="original", group=group)
        if original is not None and known(original["value"]):
            original_dash(axes, original, y)
        elif (rows["group"] == group).any() and not (reconstructed["group"] == group).any():
            # in parts of the axis: there is no value to stand at
            not_estimable(axes, 0.5, y, transform=axes.get_yaxis_transform())
    marks.draw(axes)


def original_dash(axes: Axes, row: pd.Series, y: int) -> None:
    """The value on originals as an upright dash over its interval in grey."""
    low, high = float(row["ci_low"]), float(row["ci_high"])
    if known(low, high):
        axes.add_patch(
            Rectangle((low, y - 0.42), high - low, 0.84, facecolor="#dddddd", linewidth=0, zorder=1)
        )
    value = float(row["value"])
    axes.plot([value] * 2, [y - 0.42, y + 0.42], color=style.INK, linewidth=1.3, zorder=2)


def counts(axes: Axes, rows: pd.DataFrame, groups: list[str]) -> None:
    """Counts at the right edge of a panel: with the finding / all."""
    for i, group in enumerate(groups):
        counted = rows[(rows["group"] == group) & rows["n"].notna()]
        if counted.empty:
            continue
        row = counted.iloc[0]
        with_finding = f"{row['n_pos']:,.0f} / " if known(row["n_pos"]) else ""
        axes.text(
            1.01,
            i,
            f"{with_finding}{row['n']:,.0f}",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=5.8,
            color=style.GREY,
        )


def group_changes(findings: Findings) -> list[Drawing]:
    """One figure per attribute and rate with a judged group: the change of each group minus that of
    the others, with simultaneous intervals.
    """
    rows = findings.change_rows(
        "fairness",
        level=findings.headline_level,
        attribute=findings.attributes,
        reference_group=OTHERS,
    )
    rows = judged(rows)
    figures = [
        group_change(findings, rows, attribute, metric, stratum)
        for attribute in findings.attributes
        for metric in sorted(rows["metric"].unique())
        # sensitivity and specificity ask about different patients
        for stratum in sorted(rows["label_stratum"].unique())
    ]
    return [d for d in figures if d is not None]


def group_change(
    findings: Findings, rows: pd.DataFrame, attribute: str, metric: str, stratum: str
) -> Drawing | None:
    """Change of each judged group's rate minus that of the others, one panel a task."""
    rows = findings.plain(
        rows[
            (rows["attribute"] == attribute)
            & (rows["metric"] == metric)
            & (rows["label_stratum"] == stratum)
        ]
    )
    tasks = [t.name for t in findings.tasks_in(rows)]
    groups = findings.groups_in(rows, attribute)
    if not groups:
        return None
    methods = findings.methods(rows)
    unit, scale = ("logits", 1.0) if metric == "gap_score" else ("points", 100.0)
    with canvas(panels_height(len(tasks), len(groups))) as figure:
        panels = panel_grid(figure, findings, tasks, groups)
        for axes, task in zip(panels, tasks, strict=True):
            of_task = rows[rows["task"] == task]
            change_marks(axes, findings, of_task, methods, groups, scale)
            counts(axes, of_task, groups)
        for axes in panels[-min(3, len(panels)) :]:
            axes.set_xlabel(f"← lost more ({unit})")
        legend(figure, findings, rows)
    name = EXTRA_NAMES.get(metric, style.metric_name(metric.removeprefix("gap_")))
    who = f", {stratum_phrase(stratum)}" if stratum else ""
    caption = (
        f"The change of a group's {name} minus that of {OTHERS}{who}, at {findings.headline}; "
        "left of zero the group lost more. Intervals hold for all groups and labels of a "
        f"comparison at once. Strong marks: {style.SIGNS}; pale: no difference shown. Groups that "
        "are not judged have no line. At the right: with the finding / all, where counted."
    )
    named = [
        f"{findings.task_title(r.task)}: {r.group} {r.verdict}"
        for r in each(rows)
        if changed(r.verdict)
    ]
    alt = (
        f"Dot charts of the change of the {name} of each group by {attribute} beside the others. "
        f"Claimed: {'; '.join(named[:15]) if named else 'none'}."
    )
    stem = metric.removeprefix("gap_")
    key = ["group_change", file_stem(attribute), stem, file_stem(stratum) if stratum else ""]
    return Drawing(
        "_".join(filter(None, key)),
        f"Who lost more than the others: {name} by {attribute}{who}",
        caption,
        alt,
        figure,
        rows,
        folded=True,
    )


def change_marks(
    axes: Axes,
    findings: Findings,
    rows: pd.DataFrame,
    methods: list[tuple[str, str]],
    groups: list[str],
    scale: float,
) -> None:
    """Changes of the judged groups of one task, pale where no difference is shown."""
    axes.axvline(0, color=style.INK, linewidth=0.8, zorder=1)
    marks = Marks(size=3.6, width=0.9)
    shift = side_by_side(methods, 0.25, 0.56)
    for row in each(rows):
        y = groups.index(row.group) + shift[row.reconstructor, row.mitigation]
        change, low, high = (scale * v for v in (row.change, row.ci_low, row.ci_high))
        strong = changed(row.verdict)
        look, marker = findings.looks[row.reconstructor], findings.markers[row.mitigation]
        marks.add(look, marker, y, change, low, high, 1.0 if strong else PALE)
        if strong:
            # behind the end of the interval, where there is one
            at = (high if known(high) else change, y)
            axes.annotate(style.verdict_sign(row.verdict), at, **BESIDE, zorder=6)
    marks.draw(axes)
    few_ticks(axes)
    axes.margins(x=0.12)


def stratum_phrase(stratum: str) -> str:
    """A label stratum as a reader sees it."""
    positive, negative = "patients with the finding", "patients without the finding"
    return {
        "positive": positive,
        "1": positive,
        "1.0": positive,
        "negative": negative,
        "0": negative,
        "0.0": negative,
    }.get(stratum, stratum)
