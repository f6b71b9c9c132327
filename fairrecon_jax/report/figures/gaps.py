"""Figures about group gaps: before reconstruction, their change per task and metric, histogram, map
of verdicts, volcano.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import (
    SLANTED,
    WIDTH,
    Drawing,
    Marks,
    canvas,
    fits,
    legend,
    not_estimable,
    null_handle,
    offsets,
    point,
    signed,
    stripes,
    wrap,
)  # fmt: skip
from fairrecon_jax.report.figures.forest import SIGNS, alt_text, metrics_used, slug
from fairrecon_jax.report.select import GAPS, Findings, changed, each, gap_metric, known

FACES = {"widened": "#222222", "narrowed": "#ffffff", "reversed": "#5a5a5a", "shifted": "#8f8f8f"}


def baseline(findings: Findings) -> Drawing | None:
    """The gap of each task on the original images against its permutation null, one column per
    attribute.
    """
    rows = baseline_rows(findings)
    tasks = findings.tasks_in(rows)
    attributes = findings.attributes_in(rows)
    if not tasks:
        return None
    kinds = [k for k in ("classification", "segmentation") if any(t.kind == k for t in tasks)]
    heights = [sum(t.kind == k for t in tasks) + 0.4 for k in kinds]
    with canvas(0.9 + 0.21 * sum(heights) + 0.4 * (len(kinds) - 1)) as figure:
        grid = figure.subplots(
            len(kinds),
            len(attributes),
            sharey="row",
            sharex="row",
            squeeze=False,
            gridspec_kw={"height_ratios": heights},
        )
        for kind, line in zip(kinds, grid, strict=True):
            names = [t.name for t in tasks if t.kind == kind]
            for axes, attribute in zip(line, attributes, strict=True):
                mine = rows[(rows["attribute"] == attribute) & rows["task"].isin(names)]
                baseline_panel(axes, mine, names)
                axes.set_xlabel(
                    "EODD (0 = no gap)" if kind == "classification" else "SER (1 = no gap)"
                )
            line[0].set_yticks(range(len(names)), [wrap(findings.task_title(t), 24) for t in names])
            line[0].set_ylim(len(names) - 0.5, -0.5)
            none = 0.0 if kind == "classification" else 1.0
            reach = float(
                np.nanmax(
                    [
                        none,
                        *rows.loc[rows["task"].isin(names), ["value", "permutation_null"]]
                        .to_numpy()
                        .ravel(),
                    ]
                )
            )
            line[0].set_xlim(none - 0.002, none + 1.06 * max(reach - none, 0.01))
            if reach == none:  # nothing but n.e.
                line[0].set_xticks([])
        for axes, attribute in zip(grid[0], attributes, strict=True):
            axes.set_title(f"by {attribute}")
        dot = Line2D(
            [], [], marker="o", color=style.INK, linestyle="none", label="gap on original images"
        )
        figure.legend(handles=[dot, null_handle()], loc="outside upper left", ncols=2)
    caption = (
        "The gap between groups that the diagnosis has before any reconstruction. The "
        "blue-grey bar is "
        "the permutation null: the gap that shuffled "
        "groups of the same sizes show on average. Small groups raise it. Only a gap "
        "well beyond its null speaks for a difference."
    )
    above = sum(
        known(r.value, r.permutation_null) and r.value > r.permutation_null for r in each(rows)
    )
    alt = (
        f"Dot chart of {len(rows)} gaps on original images; {above} lie beyond their "
        "permutation null."
    )
    return Drawing("baseline_gaps", "Gaps on the original images", caption, alt, figure, rows)


def baseline_rows(findings: Findings) -> pd.DataFrame:
    """One row per task and attribute with the gap on originals (`value`) and its permutation null,
    both NaN where it is unknown.
    """
    records = []
    for task in findings.spec.tasks:
        rows = findings.pick(
            "fairness", task=task.name, metric=gap_metric(task), attribute=findings.attributes
        )
        for attribute in findings.attributes:
            mine = rows[rows["attribute"] == attribute]
            if mine.empty:
                continue
            plain = findings.plain(mine)
            value = first(plain.loc[plain["version"] == "original", "value"], plain["original"])
            reason = next((r for r in plain["reason"] if r), "")
            record = {
                "task": task.name,
                "attribute": attribute,
                "metric": gap_metric(task),
                "value": value,
            }
            null = first(
                plain.loc[plain["version"] == "original", "permutation_null"],
                plain["permutation_null"],
            )
            here = known(value)
            records.append(
                {
                    **record,
                    "permutation_null": null if here else math.nan,
                    "reason": "" if here else reason,
                }
            )
    return pd.DataFrame(
        records, columns=["task", "attribute", "metric", "value", "permutation_null", "reason"]
    )


def first(*columns: pd.Series) -> float:
    """The first finite number of the columns, NaN if there is none."""
    return next((float(v) for column in columns for v in column if math.isfinite(v)), math.nan)


def baseline_panel(axes: Axes, rows: pd.DataFrame, tasks: list[str]) -> None:
    """Gaps of one attribute as dots over their nulls."""
    none = 1.0 if (rows["metric"] == "ser").any() else 0.0
    where = {t: i for i, t in enumerate(tasks)}
    for row in each(rows):
        y = where[row.task]
        if known(row.permutation_null):
            axes.barh(
                y, row.permutation_null - none, left=none, height=0.62, color=style.NULL, zorder=1
            )
        if known(row.value):
            axes.plot(row.value, y, marker="o", color=style.INK, zorder=4)
        else:
            axes.text(
                0.04,
                y,
                "n.e.",
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=6,
                color=style.GREY,
                style="italic",
            )
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
    shape = (1, len(attributes)) if few else (len(attributes), 1)
    names = [wrap(findings.task_title(t), 12 if few else 30) for t in tasks]
    upright = few and fits(names, WIDTH / len(attributes) - 0.55)
    with canvas((2.6 if upright else 3.1) if few else 1.3 + 1.45 * len(attributes)) as figure:
        panels = figure.subplots(*shape, sharex=not few, squeeze=False).ravel()
        for axes, attribute in zip(panels, attributes, strict=True):
            vertical_panel(axes, findings, rows[rows["attribute"] == attribute], tasks, methods)
            axes.set_title(f"by {attribute}")
            axes.set_xticks(range(len(tasks)), names, **({} if upright else SLANTED))
            axes.set_xlim(-0.5, len(tasks) - 0.5)
        for axes in panels if not few else panels[:1]:
            axes.set_ylabel(f"change of {style.metric_name(metric)}")
        legend(figure, findings, rows)
    caption = (
        f"{style.metric_name(metric)} on reconstructions minus on originals, at "
        f"{style.level_phrase(findings.headline_level, findings.spec.degradation)}; above "
        "zero the gap is wider. Lines are 95% intervals. "
        + (
            f"Strong marks with a sign changed by more than chance ({SIGNS}); pale marks did not. "
            if (rows["verdict"] != "").any()
            else NO_TEST
        )
        + "n.e. = not estimable."
    )
    title = f"Change of {style.metric_name(metric)} per diagnosis and attribute"
    return Drawing(
        f"bias_change_{metric}",
        title,
        caption,
        alt_text(findings, rows),
        figure,
        rows,
        folded=metric in ("eop", "delta_dice"),
    )


NO_TEST = "No test was run on these changes, so none of them is marked. "


def vertical_panel(
    axes: Axes,
    findings: Findings,
    rows: pd.DataFrame,
    tasks: list[str],
    methods: list[tuple[str, str]],
) -> None:
    """Changes of one attribute: tasks along x, methods side by side, verdict signs above."""
    axes.axhline(0, color=style.INK, linewidth=0.8, zorder=1)
    stripes(axes, len(tasks), vertical=True)
    place = dict(
        zip(methods, offsets(len(methods), min(0.72, 0.22 * (len(methods) - 1))), strict=True)
    )
    where = {t: i for i, t in enumerate(tasks)}
    tested = (rows["verdict"] != "").any()
    marks = Marks(vertical=True, size=4.4 if len(methods) < 5 else 3.2)
    for row in each(rows):
        x, look = (
            where[row.task] + place[row.reconstructor, row.mitigation],
            findings.looks[row.reconstructor],
        )
        if not known(row.change):
            not_estimable(
                axes,
                x,
                0,
                rotation=90,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4},
            )
            continue
        fade = 1.0 if changed(row.verdict) or not tested else 0.42
        marks.add(
            look, findings.markers[row.mitigation], x, row.change, row.ci_low, row.ci_high, fade
        )
        if style.verdict_sign(row.verdict):
            top = row.ci_high if known(row.ci_high) else row.change
            label: dict[str, Any] = {
                "xytext": (0, 1.5),
                "textcoords": "offset points",
                "ha": "center",
                "va": "bottom",
                "fontsize": 6,
            }
            axes.annotate(style.verdict_sign(row.verdict), (x, top), **label)
    marks.draw(axes)
    axes.margins(y=0.12)
    axes.grid(axis="y")
    axes.tick_params(axis="x", length=0)


def histogram(findings: Findings) -> Drawing | None:
    """How the changes of all gaps at the headline level are distributed: in units of the gap and in
    percent of it.
    """
    rows = findings.plain(findings.gap_changes()).dropna(subset=["change"])
    if len(rows) < 3:
        return None
    names = [r for r, _ in findings.methods(rows)]
    with canvas(0.75 + 0.95 * len(names)) as figure:
        grid = figure.subplots(len(names), 2, sharex="col", sharey=True, squeeze=False)
        for column, (values, words) in enumerate(
            (
                (rows["change"], "change of the gap"),
                (rows["percent"], "change in % of the original gap"),
            )
        ):
            edges = bins(values)
            for axes, name in zip(grid[:, column], names, strict=True):
                mine = values[rows["reconstructor"] == name].dropna().clip(edges[0], edges[-1])
                look = findings.looks[name]
                axes.hist(
                    mine, bins=edges, color=look.color, alpha=0.75, edgecolor="white", linewidth=0.4
                )
                axes.axvline(0, color=style.INK, linewidth=0.8)
                axes.set_title(
                    f"{look.name}: median "
                    f"{signed(mine.median(), 3 if column == 0 else 1)}{'' if column == 0 else ' %'}"
                    if len(mine)
                    else look.name
                )
                axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
                axes.grid(axis="y")
            grid[-1, column].set_xlabel(words)
        for axes in grid[:, 0]:
            axes.set_ylabel("gaps")
    caption = (
        "Each count is one diagnosis and attribute at "
        f"{style.level_phrase(findings.headline_level, findings.spec.degradation)}; "
        f"{metrics_used(findings, rows)} Right of zero the gap is wider. The outermost bars hold "
        "everything beyond them: percentages of a tiny "
        "original gap are large without meaning much."
    )
    alt = "Histograms of the changes of group gaps. " + "; ".join(
        f"{findings.looks[n].name}: median change "
        f"{signed(rows.loc[rows['reconstructor'] == n, 'change'].median(), 3)}"
        for n in names
    )
    return Drawing(
        "bias_histogram", "Distribution of the changes", caption, alt + ".", figure, rows
    )


def bins(values: pd.Series, count: int = 24) -> np.ndarray:
    """Equal bins around 0 that hold the middle 95% of the values; the outer bins take the rest."""
    finite = values.dropna().abs()
    reach = float(finite.quantile(0.95)) if len(finite) else 1.0
    return np.linspace(-1, 1, count + 1) * (reach or 1.0)


def verdict_maps(findings: Findings) -> list[Drawing]:
    """One map of verdicts per mitigation, the plain methods first."""
    return [d for m in findings.mitigations if (d := verdict_map(findings, m)) is not None]


def verdict_map(findings: Findings, mitigation: str) -> Drawing | None:
    """Every verdict at a glance: tasks by attribute and method, sign and size of the change in each
    tile.
    """
    rows = findings.gap_changes(mitigation=mitigation)
    tasks = [t.name for t in findings.tasks_in(rows)]
    attributes = findings.attributes_in(rows)
    if not tasks:
        return None
    methods = findings.methods(rows)
    with canvas(1.15 + 0.225 * len(tasks)) as figure:
        panels = figure.subplots(1, len(attributes), sharey=True, squeeze=False)[0]
        for axes, attribute in zip(panels, attributes, strict=True):
            axes.set_title(f"by {attribute}", pad=18)
            axes.set_xlim(-0.5, max(len(methods), 3) - 0.5)
            for j, (recon, mitigation) in enumerate(methods):
                look = findings.looks[recon]
                above = offset_copy(axes.get_xaxis_transform(), figure, y=6, units="points")
                point(
                    axes, j, 1.0, look, findings.markers[mitigation], clip_on=False, transform=above
                )
                for i, task in enumerate(tasks):
                    mine = rows[(rows["task"] == task) & (rows["attribute"] == attribute)]
                    mine = mine[
                        (mine["reconstructor"] == recon) & (mine["mitigation"] == mitigation)
                    ]
                    if not mine.empty:
                        tile(axes, j, i, mine.iloc[0])
            axes.set_xticks([])
            axes.spines[["left", "bottom"]].set_visible(False)
            axes.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(tasks)), [wrap(findings.task_title(t), 26) for t in tasks])
        panels[0].set_ylim(len(tasks) - 0.5, -0.5)
        legend(figure, findings, rows)
    caption = (
        "One tile per diagnosis, attribute and method, with the change of the gap. Dark "
        "or framed tiles "
        f"changed by more than chance ({SIGNS}); "
        "plain grey numbers are within chance; hatched tiles could not be judged; "
        "crossed-out numbers belong "
        "to a diagnosis that is at chance already."
    )
    extra = "" if mitigation == "none" else f" ({style.mitigation_name(mitigation)})"
    key = "verdict_map" if mitigation == "none" else f"verdict_map_{slug(mitigation)}"
    return Drawing(
        key,
        f"All verdicts at a glance{extra}",
        caption,
        alt_text(findings, rows),
        figure,
        rows,
        folded=mitigation != "none",
    )


def tile(axes: Axes, x: int, y: int, row: pd.Series) -> None:
    """One tile of the map of verdicts."""
    verdict = row["verdict"]
    box: dict[str, Any] = {
        "xy": (x - 0.46, y - 0.42),
        "width": 0.92,
        "height": 0.84,
        "linewidth": 0.8,
    }
    if not known(row["change"]) or verdict == "not estimable":
        axes.add_patch(Rectangle(**box, facecolor="#f3f3f3", edgecolor=style.LIGHT, hatch="/////"))
        not_estimable(axes, x, y, bbox={"facecolor": "#f3f3f3", "edgecolor": "none", "pad": 0.8})
        return
    face = FACES.get(verdict, "#f6f6f6")
    strong = changed(verdict)
    axes.add_patch(Rectangle(**box, facecolor=face, edgecolor=style.INK if strong else "#e2e2e2"))
    ink = "white" if face in ("#222222", "#5a5a5a") else style.INK if strong else style.GREY
    sign = style.verdict_sign(verdict)
    words = f"{sign} {signed(row['change'])}" if sign else signed(row["change"])
    axes.text(
        x,
        y,
        words,
        ha="center",
        va="center",
        fontsize=6.3,
        color=ink,
        fontweight="bold" if strong else "normal",
    )
    if verdict == "at chance":
        axes.plot([x - 0.3, x + 0.3], [y, y], color=style.GREY, linewidth=0.8)


def volcano(findings: Findings) -> Drawing | None:
    """Adjusted p-value against the change of the gap, one panel per metric; the strongest changes
    are named.
    """
    rows = findings.gap_changes().dropna(subset=["change", "p_adjusted"])
    metrics = [m for m in GAPS if (rows["metric"] == m).any()]
    if not metrics:
        return None
    rows = rows.assign(height=-np.log10(rows["p_adjusted"].clip(lower=1e-5)))
    with canvas(3.5) as figure:
        for axes, metric in zip(
            figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True
        ):
            mine = rows[rows["metric"] == metric]
            axes.axhline(-math.log10(0.05), color=style.GREY, linestyle=":", linewidth=1)
            axes.axvline(0, color=style.INK, linewidth=0.8)
            marks = Marks()
            for row in each(mine):
                fade = 1.0 if changed(row.verdict) else 0.4
                look = findings.looks[row.reconstructor]
                marks.add(
                    look,
                    findings.markers[row.mitigation],
                    row.height,
                    row.change,
                    math.nan,
                    math.nan,
                    fade,
                )
            marks.draw(axes)
            name_strongest(axes, findings, mine)
            axes.annotate(
                "p = 0.05",
                (0.01, -math.log10(0.05)),
                xycoords=("axes fraction", "data"),
                ha="left",
                va="bottom",
                fontsize=6.5,
                color=style.GREY,
            )
            ticks = [
                p
                for p in (1, 0.1, 0.01, 0.001, 0.0001)
                if -math.log10(p) <= max(mine["height"].max() * 1.15, 1.4)
            ]
            axes.set_yticks([-math.log10(p) for p in ticks], [f"{p:g}" for p in ticks])
            axes.set(
                xlabel=f"change of {style.metric_name(metric)} (wider →)",
                ylabel="adjusted p-value",
                ylim=(-0.06, None),
            )
            axes.margins(x=0.12)
        legend(figure, findings, rows)
    caption = (
        "Each mark is one diagnosis, attribute and method at the headline level: to the "
        "right the gap is "
        "wider, higher up chance explains it less "
        "well. Marks above the dotted line hold after correction for multiple "
        "comparisons. A large change low down comes from small groups."
    )
    return Drawing(
        "volcano",
        "Size of the change against its p-value",
        caption,
        alt_text(findings, rows),
        figure,
        rows.drop(columns="height"),
    )


def name_strongest(axes: Axes, findings: Findings, rows: pd.DataFrame, most: int = 8) -> None:
    """Names the changed cells with the smallest p-values beside the panel, each tied to its mark by
    a thin line.
    """
    chosen = (
        rows[[changed(v) for v in rows["verdict"]]]
        .sort_values(["p_adjusted", "change"], ascending=[True, False])
        .head(most)
    )
    chosen = chosen.sort_values("height", ascending=False)
    reach = max(float(rows["height"].max()), 1.4)
    places = apart([float(h) for h in chosen["height"]], 0.062 * reach)
    for row, y in zip(each(chosen), places, strict=True):
        text = f"{findings.task_title(row.task)}, {row.attribute}"
        arrow = {
            "arrowstyle": "-",
            "color": "#bbbbbb",
            "linewidth": 0.6,
            "shrinkA": 1,
            "shrinkB": 3,
        }
        options: dict[str, Any] = {
            "fontsize": 6.5,
            "va": "center",
            "ha": "left",
            "arrowprops": arrow,
            "annotation_clip": False,
        }
        axes.annotate(
            text,
            (row.change, row.height),
            xytext=(1.02, y),
            textcoords=("axes fraction", "data"),
            **options,
        )


def apart(heights: list[float], least: float) -> list[float]:
    """Moves falling heights so that neighbours are at least `least` apart, downwards from the
    highest.
    """
    places: list[float] = []
    for height in heights:
        places.append(min(height, places[-1] - least) if places else height)
    return places
