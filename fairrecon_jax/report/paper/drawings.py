"""The figures that are drawn for the paper's page alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import (
    HALO,
    Drawing,
    Marks,
    canvas,
    few_ticks,
    handle,
    legend,
    not_estimable,
    side_by_side,
    signed,
    stripes,
    wrap,
)
from fairrecon_jax.report.figures.gaps import bins, histogram_panel
from fairrecon_jax.report.paper.studies import PaperStudy, codings_left_out, pooled
from fairrecon_jax.report.select import Findings, each, known, one

ALPHA = 0.05
ERROR = (
    "Lines: one bootstrap standard error to either side; ★: two-sided bootstrap p below 0.05, "
    "without correction for the number of comparisons. Both are the published recipe, whose error "
    "rates the report of the study states beside its own test"
)


def histogram(studies: Sequence[PaperStudy], by: str) -> Drawing | None:
    """Changes of all gaps in percent of the gap on originals, without mitigation.

    Args:
      studies: all that are pooled.
      by: "attribute" or "method".
    """
    rows = codings_left_out(pooled(studies))
    rows = rows[(rows["mitigation"] == "none") & np.isfinite(rows["percent"])]
    if len(rows) < 3:
        return None
    names, colors = list(dict.fromkeys(rows[by])), {}
    if by == "method":
        # in the order and colours that methods have in every other figure
        titles = dict(zip(rows["method"], rows["reconstructor"], strict=True))
        names.sort(key=lambda name: style.rank(titles[name], {}))
        looks = style.looks([titles[name] for name in names])
        colors = {name: looks[titles[name]].color for name in names}
    edges = bins(rows["percent"])
    with canvas(0.6 + 1.0 * len(names)) as figure:
        panels = figure.subplots(len(names), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, name in zip(panels, names, strict=True):
            values = rows.loc[rows[by] == name, "percent"]
            # into the outermost bars: a histogram leaves out what lies beyond its edges
            shown = values.clip(edges[0], edges[-1])
            histogram_panel(axes, shown, edges, colors.get(name, style.GREY))
            middle = float(values.median())
            inside = float(np.clip(middle, edges[0], edges[-1]))
            axes.axvline(inside, color=style.INK, linestyle=(0, (4, 2)), linewidth=1.0)
            axes.set(
                ylabel="gaps", title=f"{name}: median {signed(middle, 1)} %, {len(values)} gaps"
            )
        panels[-1].set_xlabel("change in % of the gap on originals (wider →)")
    cohorts = " and ".join(study.title for study in studies)
    caption = (
        f"Each count is one diagnosis, attribute and method of {cohorts} at the headline level; "
        "EODD of findings, SER of delineations. Dashed: the median. The outermost bars hold "
        "everything beyond them."
    )
    medians = "; ".join(
        f"{name} {signed(float(rows.loc[rows[by] == name, 'percent'].median()), 1)} %"
        for name in names
    )
    title = f"Changes of all gaps by {by}"
    alt = f"Histograms of changes of gaps. Medians: {medians}."
    return Drawing(f"histogram_{by}", title, caption, alt, figure, rows)


def bias_change(
    study: PaperStudy, metrics: Sequence[str], attributes: Sequence[str]
) -> Drawing | None:
    """Change of gaps at the headline level: tasks along y, a column of panels per attribute, every
    method and mitigation, with bootstrap errors and stars.
    """
    findings = study.findings
    rows = findings.restored(
        findings.change_rows(
            "fairness",
            metric=list(metrics),
            level=findings.headline_level,
            attribute=list(attributes),
        )
    )
    shown = findings.attributes_in(rows)
    if rows["change"].isna().all() or not shown:
        return None
    lines = [
        (task.name, metric)
        for metric in metrics
        for task in findings.tasks_in(rows[rows["metric"] == metric])
    ]
    methods = findings.methods(rows)
    height = len(lines) * max(0.3, 0.085 * len(methods))
    with canvas(1.05 + height) as figure:
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, attribute in zip(panels, shown, strict=True):
            own = rows[rows["attribute"] == attribute]
            change_panel(axes, findings, own, lines, methods)
            axes.set(title=f"by {attribute.replace('_', ', ')}", xlabel="change (wider →)")
        names = [
            wrap(
                findings.task_title(task)
                + (f", {style.metric_name(metric)}" if len(metrics) > 1 else ""),
                24,
            )
            for task, metric in lines
        ]
        panels[0].set_yticks(range(len(lines)), names)
        panels[0].set_ylim(len(lines) - 0.5, -0.5)
        legend(figure, findings, rows)
    starred = [
        f"{findings.task_title(r.task)} by {r.attribute}, "
        f"{findings.method_name(r.reconstructor, r.mitigation)} {signed(r.change, 3)}"
        for r in each(rows)
        if r.p_two_sided < ALPHA
    ]
    what = " and ".join(map(style.metric_name, metrics))
    return Drawing(
        "bias_change",
        f"Change of {what}: {study.title}",
        f"{what} on reconstructions minus on originals at {findings.headline}; right of zero the "
        f"gap is wider. {ERROR}. n.e. = not estimable, or withheld.",
        "Dot chart of changes of gaps. Starred: " + ("; ".join(starred[:12]) or "none") + ".",
        figure,
        rows,
    )


def change_panel(
    axes: Axes,
    findings: Findings,
    rows: pd.DataFrame,
    lines: Sequence[tuple[str, str]],
    methods: list[tuple[str, str]],
) -> None:
    """Changes of one attribute."""
    axes.axvline(0, color=style.INK, linewidth=0.8, zorder=1)
    stripes(axes, len(lines))
    shift = side_by_side(methods, 0.2, 0.7)
    marks = Marks(size=4.4 if len(methods) < 5 else 3.4)
    estimated = rows.dropna(subset=["change"])
    some = set(zip(estimated["task"], estimated["metric"], strict=True))
    for number, line in enumerate(lines):
        if line not in some:
            # once, not once per method
            not_estimable(axes, 0, number, bbox=HALO)
    for row in each(rows):
        if (row.task, row.metric) not in some:
            continue
        y = lines.index((row.task, row.metric)) + shift[row.reconstructor, row.mitigation]
        if not known(row.change):
            not_estimable(axes, 0, y, bbox=HALO)
            continue
        # NaN where a table has no bootstrap: then no line is drawn
        error = row.std_error
        marks.add(
            findings.looks[row.reconstructor],
            findings.markers[row.mitigation],
            y,
            row.change,
            row.change - error,
            row.change + error,
        )
        if row.p_two_sided < ALPHA:
            reach = error if known(error) else 0.0
            tip = row.change + math.copysign(reach, row.change), y
            offset = (4 if row.change > 0 else -4, 0)
            side = "left" if row.change > 0 else "right"
            axes.annotate(
                "★", tip, offset, textcoords="offset points", ha=side, va="center", fontsize=5.5
            )
    marks.draw(axes)
    few_ticks(axes)
    axes.margins(x=0.14)
    axes.tick_params(axis="y", length=0)


def performance_change(studies: Sequence[PaperStudy]) -> Drawing | None:
    """Scores of mitigated against unmitigated reconstructions in percent, one mark per task, with a
    line for PSNR; a panel per cohort and mitigation.
    """
    parts = [rows for study in studies if not (rows := costs(study)).empty]
    if not parts:
        return None
    rows = pd.concat(parts, ignore_index=True)
    groups = list(rows.groupby(["cohort", "mitigation"], sort=False))
    names = sorted(dict.fromkeys(rows["reconstructor"]), key=lambda name: style.rank(name, {}))
    looks = style.looks(names)
    with canvas(0.8 + 0.95 * len(groups)) as figure:
        panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
        for axes, ((cohort, mitigation), own) in zip(panels, groups, strict=True):
            cost_panel(axes, own, looks)
            axes.set_title(f"{cohort}, {style.mitigation_name(str(mitigation))}")
        panels[-1].set_xlabel("change against the unmitigated reconstruction in % (better →)")
        handles = [handle(look.name, "o", look) for look in looks.values()]
        grey = style.Look(style.GREY, "-", "full", "")
        handles += [handle("PSNR", "", grey, lines=True)]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    caption = (
        "Each mark is the AUROC or Dice of one diagnosis on reconstructions with mitigation, in "
        "percent of that without; the vertical line is PSNR. Marks of a method are spread in "
        "height only to be told apart. Single values, without interval."
    )
    medians = "; ".join(
        f"{cohort} {style.mitigation_name(str(m))}: median "
        f"{signed(float(own.loc[own['task'] != 'psnr', 'percent'].median()), 2)} %"
        for (cohort, m), own in groups
    )
    return Drawing(
        "performance_change",
        "Change of performance under mitigation",
        caption,
        f"Strip charts. {medians}.",
        figure,
        rows,
    )


def cost_panel(axes: Axes, rows: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    """Changes of one cohort under one mitigation."""
    axes.axvline(0, color=style.GREY, linewidth=0.7)
    marks = Marks()
    for place, (name, own) in enumerate(rows.groupby("reconstructor", sort=False)):
        look = looks[str(name)]
        tasks = own[own["task"] != "psnr"]
        # in a fixed order, not drawn by chance: the same results make the same picture
        heights = np.linspace(-0.25, 0.25, len(tasks)) if len(tasks) > 1 else np.zeros(len(tasks))
        for height, row in zip(heights, each(tasks), strict=True):
            marks.add(look, "o", place + height, row.percent, math.nan, math.nan)
        for row in each(own[own["task"] == "psnr"]):
            axes.axvline(row.percent, color=look.color, linewidth=1.4, linestyle=look.line)
    marks.draw(axes)
    axes.set_yticks([])
    axes.set_ylim(-0.7, rows["reconstructor"].nunique() - 0.3)
    axes.margins(x=0.12)
    axes.grid(axis="x")


def costs(study: PaperStudy) -> pd.DataFrame:
    """Percent by which each mitigation changed PSNR (task "psnr") and the score of every task:
    columns cohort, mitigation, reconstructor, task, percent.
    """
    level = study.findings.headline_level
    scores = study.scores(level)
    scores = scores[scores["version"] == "reconstructed"]
    rows = pd.concat([study.quality("psnr", level).assign(task="psnr"), scores])
    records = []
    for row in each(rows[rows["mitigation"] != "none"]):
        place = {"reconstructor": row.reconstructor, "task": row.task, "mitigation": "none"}
        plain = one(rows, **place)
        if plain is not None and plain["value"]:
            percent = 100 * (row.value / plain["value"] - 1)
            records.append([study.title, row.mitigation, row.reconstructor, row.task, percent])
    columns = ["cohort", "mitigation", "reconstructor", "task", "percent"]
    return pd.DataFrame(records, columns=columns)
