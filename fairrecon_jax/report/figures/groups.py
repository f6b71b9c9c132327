"""Figures about single groups: performance with counts, who lost more than the others,
intersections of attributes.
"""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import (
    Drawing,
    Marks,
    canvas,
    few_ticks,
    legend,
    not_estimable,
    offsets,
    signed,
    stripes,
    wrap,
)
from fairrecon_jax.report.figures.forest import slug
from fairrecon_jax.report.select import Findings, changed, each, known, one

RATES = ("auroc", "dice", "sensitivity", "specificity", "psnr", "ssim")
COLORS = "PuOr"
STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def group_performances(findings: Findings) -> list[Drawing]:
    """One figure per attribute and metric: performance of every group on originals and
    reconstructions, with counts.
    """
    drawings = [group_performance(findings, a, m) for a in findings.attributes for m in RATES]
    return [d for d in drawings if d is not None]


def group_performance(findings: Findings, attribute: str, metric: str) -> Drawing | None:
    """Performance per group at the headline level, one panel a task; counts stand at the right of
    each panel.
    """
    rows = findings.pick(
        "performance", attribute=attribute, metric=metric, level=[findings.headline_level, math.nan]
    )
    rows = findings.plain(rows[rows["version"].isin(["original", "reconstructed"])])
    tasks = [
        t for t in [*(task.name for task in findings.spec.tasks), ""] if (rows["task"] == t).any()
    ]
    groups = findings.groups_in(rows, attribute)
    if not tasks or not groups:
        return None
    methods = findings.methods(rows[rows["version"] == "reconstructed"])
    based = rows.loc[rows["version"] == "original", "value"].notna().any()
    with canvas(*panel_size(len(tasks), len(groups))) as figure:
        panels = panel_grid(figure, findings, tasks, groups)
        for axes, task in zip(panels, tasks, strict=True):
            mine = rows[rows["task"] == task]
            group_marks(axes, findings, mine, methods, groups)
            counts(axes, mine, groups)
        for axes in panels[-min(3, len(panels)) :]:
            axes.set_xlabel(style.metric_name(metric))
        dash = Line2D(
            [],
            [],
            marker="|",
            markersize=8,
            markeredgewidth=1.6,
            color=style.INK,
            linestyle="none",
            label="original images",
        )
        legend(
            figure,
            findings,
            rows[rows["version"] == "reconstructed"],
            extra=(dash,) if based else (),
        )
    level = style.level_phrase(findings.headline_level, findings.spec.degradation)
    caption = (
        f"{style.metric_name(metric)} of each group by {attribute} at {level}. "
        + (
            "The upright dash is the diagnosis on originals over its 95% interval (grey). "
            if based
            else ""
        )
        + "The marks are reconstructions with their 95% intervals. "
        "At the right of each panel: patients or images with the finding / all that were judged. "
        "n.e. = not estimable, as a rule because too few have the finding."
    )
    what = f"{style.metric_name(metric)} per group by {attribute} ({', '.join(groups)})"
    alt = f"Dot charts of {what} for {len(tasks)} tasks; numbers in its table."
    title = (
        f"{style.metric_name(metric)[0].upper() + style.metric_name(metric)[1:]} of each "
        f"group by {attribute}"
    )
    folded = metric not in ("auroc", "dice")
    return Drawing(
        f"groups_{slug(attribute)}_{metric}", title, caption, alt, figure, rows, folded=folded
    )


def panel_size(tasks: int, groups: int) -> tuple[float]:
    """Height of a grid of up to three panels a line."""
    return (0.75 + math.ceil(tasks / 3) * (0.42 + 0.23 * groups),)


def panel_grid(
    figure: mpl.figure.Figure, findings: Findings, tasks: list[str], groups: list[str]
) -> list[Axes]:
    """Panels with one line per group, group names at the left, task names as titles."""
    columns = min(3, len(tasks))
    grid = figure.subplots(math.ceil(len(tasks) / columns), columns, squeeze=False, sharey=True)
    panels = list(grid.ravel())
    for axes in panels[len(tasks) :]:
        axes.set_visible(False)
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
    place = dict(
        zip(methods, offsets(len(methods), min(0.56, 0.25 * (len(methods) - 1))), strict=True)
    )
    made = rows[(rows["version"] == "reconstructed") & rows["value"].notna()].drop_duplicates(
        ["group", "reconstructor", "mitigation"]
    )
    for row in each(made):
        y = groups.index(row.group) + place[row.reconstructor, row.mitigation]
        marks.add(
            findings.looks[row.reconstructor],
            findings.markers[row.mitigation],
            y,
            row.value,
            row.ci_low,
            row.ci_high,
        )
    for y, group in enumerate(groups):
        row = one(rows, version="original", group=group)
        value, low, high = (
            (math.nan,) * 3
            if row is None
            else (float(row[c]) for c in ("value", "ci_low", "ci_high"))
        )
        if known(value):
            if known(low, high):
                axes.add_patch(
                    Rectangle(
                        (low, y - 0.42),
                        high - low,
                        0.84,
                        facecolor="#dddddd",
                        linewidth=0,
                        zorder=1,
                    )
                )
            axes.plot([value] * 2, [y - 0.42, y + 0.42], color=style.INK, linewidth=1.3, zorder=2)
        elif (rows["group"] == group).any() and not (made["group"] == group).any():
            text: dict[str, Any] = {
                "ha": "center",
                "va": "center",
                "fontsize": 6,
                "color": style.GREY,
                "style": "italic",
            }
            axes.text(0.5, y, "n.e.", transform=axes.get_yaxis_transform(), **text)
    marks.draw(axes)


def counts(axes: Axes, rows: pd.DataFrame, groups: list[str]) -> None:
    """Counts at the right edge of a panel: with the finding / all."""
    for i, group in enumerate(groups):
        mine = rows[(rows["group"] == group) & rows["n"].notna()]
        if mine.empty:
            continue
        row = mine.iloc[0]
        words = (
            f"{row['n_pos']:,.0f} / {row['n']:,.0f}" if known(row["n_pos"]) else f"{row['n']:,.0f}"
        )
        axes.text(
            1.01,
            i,
            words,
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=5.8,
            color=style.GREY,
        )


def group_changes(findings: Findings) -> list[Drawing]:
    """One figure per attribute and rate with a known change: how far each group is from the common
    change, with simultaneous intervals.
    """
    rows = findings.change_rows(
        "fairness", level=findings.headline_level, attribute=findings.attributes
    )
    rows = rows[rows["metric"].str.startswith("gap_") & (rows["group"] != "")]
    pairs = [
        (a, m, s)
        for a in findings.attributes
        for m in sorted(rows["metric"].unique())
        for s in sorted(rows["label_stratum"].unique())
    ]
    return [d for a, m, s in pairs if (d := group_change(findings, rows, a, m, s)) is not None]


def group_change(
    findings: Findings, rows: pd.DataFrame, attribute: str, metric: str, stratum: str
) -> Drawing | None:
    """Change of each group's rate against the common change, one panel a task."""
    rows = findings.plain(
        rows[
            (rows["attribute"] == attribute)
            & (rows["metric"] == metric)
            & (rows["label_stratum"] == stratum)
        ]
    )
    tasks = [t.name for t in findings.tasks_in(rows)]
    groups = findings.groups_in(rows, attribute)
    if not groups or rows["change"].isna().all():
        return None
    methods = findings.methods(rows)
    with canvas(*panel_size(len(tasks), len(groups))) as figure:
        panels = panel_grid(figure, findings, tasks, groups)
        for axes, task in zip(panels, tasks, strict=True):
            mine = rows[rows["task"] == task]
            change_marks(axes, findings, mine, methods, groups)
            counts(axes, mine, groups)
        for axes in panels[-min(3, len(panels)) :]:
            axes.set_xlabel("change against the reference")
        legend(figure, findings, rows)
    stem = style.metric_name(metric[4:])
    who = f", {stratum_phrase(stratum)}" if stratum else ""
    reference = (
        " or ".join(sorted({r for r in rows["reference_group"] if r})) or "all groups together"
    )
    caption = (
        f"How much more (right) or less (left) the {stem} of a group changed than that of "
        f"{reference}{who}, at "
        f"{style.level_phrase(findings.headline_level, findings.spec.degradation)}. The "
        "intervals hold "
        "for all groups of the figure at once "
        "where the method says so. Pale marks are within chance. At the right: with the "
        "finding / all."
    )
    alt = (
        f"Dot charts of the change of {stem} of each group by {attribute} against "
        f"{reference}; numbers in its table."
    )
    key = "_".join(
        filter(
            None, ["group_change", slug(attribute), metric[4:], slug(stratum) if stratum else ""]
        )
    )
    return Drawing(
        key,
        f"Who changed more: {stem} by {attribute}{who}",
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
) -> None:
    """Changes of all groups of one task, pale where the verdict does not say changed."""
    axes.axvline(0, color=style.INK, linewidth=0.8, zorder=1)
    marks = Marks(size=3.6, width=0.9)
    place = dict(
        zip(methods, offsets(len(methods), min(0.56, 0.25 * (len(methods) - 1))), strict=True)
    )
    for row in each(rows):
        y = groups.index(row.group) + place[row.reconstructor, row.mitigation]
        if known(row.change):
            fade = 1.0 if changed(row.verdict) else 0.42
            marks.add(
                findings.looks[row.reconstructor],
                findings.markers[row.mitigation],
                y,
                row.change,
                row.ci_low,
                row.ci_high,
                fade,
            )
    for y, group in enumerate(groups):
        mine = rows[rows["group"] == group]
        if not mine.empty and mine["change"].isna().any():
            words = "n.e." if mine["change"].isna().all() else "some n.e."
            not_estimable(
                axes, 0.02, y, transform=axes.get_yaxis_transform(), ha="left", text=words
            )  # clear of the line at 0
    if rows["change"].isna().all():
        axes.set_xlim(-0.1, 0.1)
    marks.draw(axes)


def stratum_phrase(stratum: str) -> str:
    """A label stratum in words."""
    words = {"positive": "patients with the finding", "negative": "patients without the finding"}
    return {
        "1": words["positive"],
        "0": words["negative"],
        "1.0": words["positive"],
        "0.0": words["negative"],
        **words,
    }.get(stratum, stratum)


def intersections(findings: Findings) -> list[Drawing]:
    """One heat map per combined attribute and plain method: change of sensitivity or Dice in every
    intersection, with counts.
    """
    rows = findings.change_rows(
        "performance", attribute=findings.intersections, level=findings.headline_level
    )
    drawings = []
    for attribute in findings.intersections:
        for recon, mitigation in findings.methods(findings.plain(rows)):
            mine = rows[
                (rows["attribute"] == attribute)
                & (rows["reconstructor"] == recon)
                & (rows["mitigation"] == mitigation)
            ]
            drawings.append(
                intersection(
                    findings,
                    attribute,
                    recon,
                    mitigation,
                    mine[mine["metric"].isin(["sensitivity", "dice"])],
                )
            )
    return [d for d in drawings if d is not None]


def intersection(
    findings: Findings, attribute: str, recon: str, mitigation: str, rows: pd.DataFrame
) -> Drawing | None:
    """The heat map of one combined attribute and method."""
    tasks = [t.name for t in findings.tasks_in(rows)]
    groups = findings.groups_in(rows, attribute)
    if not tasks or not groups:
        return None
    reach = max(float(rows["change"].abs().max()) if rows["change"].notna().any() else 0.0, 0.01)
    colors, norm = mpl.colormaps[COLORS], TwoSlopeNorm(0.0, -reach, reach)
    with canvas(1.35 + 0.34 * len(tasks)) as figure:
        axes = figure.subplots()
        for i, task in enumerate(tasks):
            for j, group in enumerate(groups):
                heat_cell(axes, j, i, one(rows, task=task, group=group), colors, norm)
        axes.set_xticks(
            range(len(groups)),
            [wrap(g, 11) for g in groups],
            fontsize=6.5 if len(groups) > 8 else 7.5,
        )
        axes.xaxis.tick_top()
        axes.set_yticks(range(len(tasks)), [wrap(findings.task_title(t), 24) for t in tasks])
        axes.set(xlim=(-0.5, len(groups) - 0.5), ylim=(len(tasks) - 0.5, -0.5))
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
        bar = figure.colorbar(
            mpl.cm.ScalarMappable(norm, colors),
            ax=axes,
            orientation="horizontal",
            shrink=0.5,
            aspect=40,
            pad=0.02,
        )
        bar.set_label("change of sensitivity or Dice (orange-brown: worse, purple: better)")
        bar.set_ticks([v * reach for v in STEPS], labels=[signed(v * reach) for v in STEPS])
        bar.outline.set_visible(False)
    name = findings.method_name(recon, mitigation)
    caption = (
        f"Change of sensitivity (findings) or Dice (delineations) with {name} in every "
        "combination of "
        f"{' and '.join(attribute.split(' x '))}, at "
        f"{style.level_phrase(findings.headline_level, findings.spec.degradation)}. Below "
        "each change: how "
        "many with the finding (or how many at "
        "all) stand behind it. Hatched: not estimable. Combinations are small: read this "
        "map for hints, not for proof."
    )
    able = int(rows["change"].notna().sum())
    alt = (
        f"Heat map of changes with {name}; {able} of {len(rows)} cells could be estimated; "
        "numbers in its table."
    )
    key = "_".join(
        [
            "intersection",
            slug(attribute),
            slug(recon),
            *([] if mitigation == "none" else [slug(mitigation)]),
        ]
    )
    return Drawing(
        key, f"Intersections of {attribute} with {name}", caption, alt, figure, rows, folded=True
    )


def heat_cell(
    axes: Axes,
    x: int,
    y: int,
    row: pd.Series | None,
    colors: mpl.colors.Colormap,
    norm: TwoSlopeNorm,
) -> None:
    """One cell of a heat map with its change and count."""
    box: dict[str, Any] = {"xy": (x - 0.48, y - 0.46), "width": 0.96, "height": 0.92}
    count = math.nan if row is None else row["n_pos"] if known(row["n_pos"]) else row["n"]
    words = "" if not known(count) else f"\n{count:,.0f}"
    if row is None or not known(row["change"]):
        axes.add_patch(
            Rectangle(**box, facecolor="#f3f3f3", edgecolor=style.LIGHT, hatch="/////", linewidth=0)
        )
        halo = {"facecolor": "#f3f3f3", "edgecolor": "none", "pad": 0.6}
        axes.text(
            x,
            y,
            "n.e." + words,
            ha="center",
            va="center",
            fontsize=6,
            color=style.INK,
            bbox=halo,
            linespacing=1.1,
        )
        return
    color = colors(norm(row["change"]))
    light = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    axes.add_patch(Rectangle(**box, facecolor=color, linewidth=0))
    ink = style.INK if light > 0.5 else "white"
    axes.text(
        x,
        y,
        signed(row["change"]) + words,
        ha="center",
        va="center",
        fontsize=6,
        color=ink,
        linespacing=1.1,
    )
