"""Figures about group gaps: on the original images, their change per task and metric, and how the
changes are distributed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import (
    HALO,
    PALE,
    SLANTED,
    WIDTH,
    Drawing,
    Marks,
    canvas,
    fits,
    legend,
    not_estimable,
    null_handle,
    side_by_side,
    signed,
    stripes,
    wrap,
)
from fairrecon_jax.report.figures.forest import alt_text, metrics_used
from fairrecon_jax.report.long_tables import GAPS
from fairrecon_jax.report.select import Findings, changed, each, gap_metric, known
from fairrecon_jax.types import Task

NO_TEST = "No test was run on these changes, so none of them is marked. "
NO_GAP = {"classification": 0.0, "segmentation": 1.0}
"""The value of EODD and of SER that means no gap."""


def baseline(findings: Findings) -> Drawing | None:
    """The gap of each task on the original images against its permutation null, one column per
    attribute.
    """
    rows = baseline_rows(findings)
    tasks = findings.tasks_in(rows)
    attributes = findings.attributes_in(rows)
    if not tasks:
        return None
    by_kind = {k: [t for t in tasks if t.kind == k] for k in ("classification", "segmentation")}
    by_kind = {kind: of_kind for kind, of_kind in by_kind.items() if of_kind}
    heights = [len(of_kind) + 0.4 for of_kind in by_kind.values()]
    with canvas(0.9 + 0.21 * sum(heights) + 0.4 * (len(heights) - 1)) as figure:
        grid = figure.subplots(
            len(by_kind),
            len(attributes),
            sharey="row",
            # attributes of one metric are to be compared, EODD and SER are not
            sharex="row",
            squeeze=False,
            gridspec_kw={"height_ratios": heights},
        )
        for (kind, of_kind), line in zip(by_kind.items(), grid, strict=True):
            baseline_line(line, findings, rows, of_kind, attributes, NO_GAP[kind])
        for axes, attribute in zip(grid[0], attributes, strict=True):
            axes.set_title(f"by {attribute}")
        dot = Line2D(
            [], [], marker="o", color=style.INK, linestyle="none", label="gap on original images"
        )
        figure.legend(handles=[dot, null_handle()], loc="outside upper left", ncols=2)
    caption = (
        "The gap between groups that the diagnosis has before any reconstruction. The "
        "blue-grey bar is the permutation null: the gap that permuted groups of the same sizes "
        "show on average. Small groups raise it. Only a gap well beyond its null is evidence for "
        "a difference."
    )
    above = sum(
        known(r.value, r.permutation_null) and r.value > r.permutation_null for r in each(rows)
    )
    alt = (
        f"Dot chart of {len(rows)} gaps on original images; {above} lie beyond their "
        "permutation null."
    )
    return Drawing("baseline_gaps", "Gaps on the original images", caption, alt, figure, rows)


def baseline_line(
    line: np.ndarray,
    findings: Findings,
    rows: pd.DataFrame,
    tasks: list[Task],
    attributes: list[str],
    no_gap: float,
) -> None:
    """Draws the panels of one kind of tasks, one per attribute, on one scale."""
    names = [t.name for t in tasks]
    rows = rows[rows["task"].isin(names)]
    for axes, attribute in zip(line, attributes, strict=True):
        baseline_panel(axes, rows[rows["attribute"] == attribute], names, no_gap)
        axes.set_xlabel("SER (1 = no gap)" if no_gap else "EODD (0 = no gap)")
    line[0].set_yticks(range(len(names)), [wrap(findings.task_title(t), 24) for t in names])
    line[0].set_ylim(len(names) - 0.5, -0.5)
    values = rows[["value", "permutation_null"]].to_numpy().ravel()
    # no_gap is never NaN, so that nanmax has something to find
    reach = float(np.nanmax([no_gap, *values]))
    # a little left of no gap, so that a mark on it is whole
    line[0].set_xlim(no_gap - 0.002, no_gap + 1.06 * max(reach - no_gap, 0.01))
    if reach == no_gap:  # nothing but n.e.
        line[0].set_xticks([])


def baseline_rows(findings: Findings) -> pd.DataFrame:
    """One row per task and attribute with the gap on originals (`value`) and its permutation null,
    both NaN where it is unknown.
    """
    columns = ["task", "attribute", "metric", "value", "permutation_null", "reason"]
    records = []
    for task in findings.spec.tasks:
        rows = findings.pick(
            "fairness", task=task.name, metric=gap_metric(task), attribute=findings.attributes
        )
        for attribute in findings.attributes:
            plain = findings.plain(rows[rows["attribute"] == attribute])
            if plain.empty:
                continue
            # rows of originals first; change rows repeat the gap in their column `original`
            original = plain[plain["version"] == "original"]
            value = first(original["value"], plain["original"])
            null = first(original["permutation_null"], plain["permutation_null"])
            reason = next((r for r in plain["reason"] if r), "")
            # a null without its gap would be that of the reconstructions
            estimate = (value, null, "") if known(value) else (value, math.nan, reason)
            records.append((task.name, attribute, gap_metric(task), *estimate))
    return pd.DataFrame(records, columns=columns)


def first(*columns: pd.Series) -> float:
    """The first finite number of the columns, NaN if there is none."""
    return next((float(v) for column in columns for v in column if math.isfinite(v)), math.nan)


def baseline_panel(axes: Axes, rows: pd.DataFrame, tasks: list[str], no_gap: float) -> None:
    """Gaps of one attribute as dots over their nulls."""
    line_of = {task: i for i, task in enumerate(tasks)}
    for row in each(rows):
        y = line_of[row.task]
        if known(row.permutation_null):
            axes.barh(
                y,
                row.permutation_null - no_gap,
                left=no_gap,
                height=0.62,
                color=style.NULL,
                zorder=1,
            )
        if known(row.value):
            axes.plot(row.value, y, marker="o", color=style.INK, zorder=4)
        else:
            not_estimable(axes, 0.04, y, transform=axes.get_yaxis_transform(), ha="left")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)


def bias_changes(findings: Findings) -> list[Drawing]:
    """One figure per gap metric with a known change: per task and attribute at the headline level,
    mitigated methods included.
    """
    return [d for metric in GAPS if (d := bias_change(findings, metric)) is not None]


def bias_change(findings: Findings, metric: str) -> Drawing | None:
    """Change of one gap metric: one panel per attribute, tasks side by side, every method and
    mitigation.
    """
    rows = findings.change_rows(
        "fairness", metric=metric, level=findings.headline_level, attribute=findings.attributes
    )
    tasks = [t.name for t in findings.tasks_in(rows)]
    attributes = findings.attributes_in(rows)
    if rows["change"].isna().all():
        return None
    methods = findings.methods(rows)
    few = len(tasks) <= 3
    names = [wrap(findings.task_title(t), 12 if few else 30) for t in tasks]
    upright = few and fits(names, WIDTH / len(attributes) - 0.55)
    with canvas((2.6 if upright else 3.1) if few else 1.3 + 1.45 * len(attributes)) as figure:
        panels = change_grid(figure, len(attributes), few)
        for axes, attribute in zip(panels, attributes, strict=True):
            of_attribute = rows[rows["attribute"] == attribute]
            vertical_panel(axes, findings, of_attribute, tasks, methods)
            axes.set_title(f"by {attribute}")
            axes.set_xticks(range(len(tasks)), names, **({} if upright else SLANTED))
            axes.set_xlim(-0.5, len(tasks) - 0.5)
        for axes in panels if not few else panels[:1]:
            axes.set_ylabel(f"change of {style.metric_name(metric)}")
        legend(figure, findings, rows)
    tested = (rows["verdict"] != "").any()
    marked = (
        "Strong marks: the groups changed unequally by more than chance explains, and the gap "
        "widened (↔), narrowed (→←), swapped its sides (⇄) or stayed the same (=); pale marks: no "
        "difference shown, or a diagnosis at chance. "
    )
    caption = (
        f"{style.metric_name(metric)} on reconstructions minus on originals, at "
        f"{findings.headline}; above zero the gap is wider. A gap is a largest difference and has "
        "no interval that covers as often as it says: the verdict is the test's, and intervals are "
        f"those of the groups. {marked if tested else NO_TEST}n.e. = not estimable."
    )
    return Drawing(
        f"bias_change_{metric}",
        f"Change of {style.metric_name(metric)} per diagnosis and attribute",
        caption,
        alt_text(findings, rows),
        figure,
        rows,
        # second looks at the changes that EODD and SER have shown
        folded=metric in ("eop", "delta_dice"),
    )


def change_grid(figure: Figure, attributes: int, few: bool) -> np.ndarray:
    """Panels of the attributes: beside one another where the tasks are few, else in a column."""
    shape = (1, attributes) if few else (attributes, 1)
    return np.ravel(figure.subplots(*shape, sharex=not few, squeeze=False))


def vertical_panel(
    axes: Axes,
    findings: Findings,
    rows: pd.DataFrame,
    tasks: list[str],
    methods: list[tuple[str, str]],
) -> None:
    """Changes of one attribute: tasks along x, methods side by side, above each what became of
    the gap.
    """
    axes.axhline(0, color=style.INK, linewidth=0.8, zorder=1)
    stripes(axes, len(tasks), vertical=True)
    shift = side_by_side(methods, 0.22, 0.72)
    column_of = {task: i for i, task in enumerate(tasks)}
    tested = (rows["verdict"] != "").any()
    marks = Marks(vertical=True, size=4.4 if len(methods) < 5 else 3.2)
    for row in each(rows):
        x = column_of[row.task] + shift[row.reconstructor, row.mitigation]
        if not known(row.change):
            not_estimable(axes, x, 0, rotation=90, bbox=HALO)
            continue
        # without an interval: that of a largest difference does not cover what it says
        marks.add(
            findings.looks[row.reconstructor],
            findings.markers[row.mitigation],
            x,
            row.change,
            math.nan,
            math.nan,
            # metrics without a test are not pale: nothing says what chance explains
            1.0 if changed(row.verdict) or not tested else PALE,
        )
        if changed(row.verdict) and row.gap:
            label: dict[str, Any] = {
                "xytext": (0, 3.5),
                "textcoords": "offset points",
                "ha": "center",
                "va": "bottom",
                "fontsize": 5.5,
            }
            axes.annotate(style.gap_sign(row.gap), (x, row.change), **label)
    marks.draw(axes)
    axes.margins(y=0.12)
    axes.grid(axis="y")
    axes.tick_params(axis="x", length=0)


def histogram(findings: Findings) -> Drawing | None:
    """How the changes of all gaps at the headline level are distributed: in units of the gap and in
    percent of it.
    """
    rows = findings.plain(findings.gap_changes()).dropna(subset=["change"])
    # of two changes a distribution says nothing
    if len(rows) < 3:
        return None
    names = [r for r, _ in findings.methods(rows)]
    quantities = (
        ("change", "change of the gap", 3, ""),
        ("percent", "change in % of the original gap", 1, " %"),
    )
    with canvas(0.75 + 0.95 * len(names)) as figure:
        grid = figure.subplots(len(names), 2, sharex="col", sharey=True, squeeze=False)
        for panels, (column, label, digits, unit) in zip(grid.T, quantities, strict=True):
            edges = bins(rows[column])
            for axes, name in zip(panels, names, strict=True):
                values = rows.loc[rows["reconstructor"] == name, column].dropna()
                # into the outermost bars: a histogram leaves out what lies beyond its edges
                values = values.clip(edges[0], edges[-1])
                look = findings.looks[name]
                histogram_panel(axes, values, edges, look.color)
                median = f": median {signed(values.median(), digits)}{unit}" if len(values) else ""
                axes.set_title(look.name + median)
            panels[-1].set_xlabel(label)
        for axes in grid[:, 0]:
            axes.set_ylabel("gaps")
    caption = (
        f"Each count is one diagnosis and attribute at {findings.headline}; "
        f"{metrics_used(findings, rows)} Right of zero the gap is wider. The outermost bars hold "
        "everything beyond them: percentages of a tiny original gap are large without meaning "
        "much."
    )
    alt = "Histograms of the changes of group gaps. " + "; ".join(
        f"{findings.looks[n].name}: median change "
        f"{signed(rows.loc[rows['reconstructor'] == n, 'change'].median(), 3)}"
        for n in names
    )
    return Drawing(
        "bias_histogram", "Distribution of the changes", caption, alt + ".", figure, rows
    )


def histogram_panel(axes: Axes, values: pd.Series, edges: np.ndarray, color: str) -> None:
    """Counts of one method's changes."""
    axes.hist(values, bins=list(edges), color=color, alpha=0.75, edgecolor="white", linewidth=0.4)
    axes.axvline(0, color=style.INK, linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.grid(axis="y")


def bins(values: pd.Series, count: int = 24) -> np.ndarray:
    """Equal bins around 0 that hold the middle 95% of the values; the outer bins take the rest."""
    finite = values.dropna().abs()
    reach = float(finite.quantile(0.95)) if len(finite) else 1.0
    # all changes 0: any width will do
    return np.linspace(-1, 1, count + 1) * (reach or 1.0)
