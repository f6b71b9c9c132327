"""Verdicts at a glance: a map of all of them, and the size of each change against its p-value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.transforms import offset_copy

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import (
    Drawing,
    Marks,
    canvas,
    legend,
    not_estimable,
    point,
    signed,
    wrap,
)
from fairrecon_jax.report.figures.forest import SIGNS, alt_text, standing_rows
from fairrecon_jax.report.long_tables import GAPS
from fairrecon_jax.report.select import Findings, changed, changed_rows, each, known, of_method
from fairrecon_jax.runtime.text import file_stem

FACES = {"harmed": "#222222", "favoured": "#ffffff"}
DARK = ("#222222",)
"""Faces on which the number is written in white."""


def verdict_maps(findings: Findings) -> list[Drawing]:
    """One map of verdicts per mitigation, the plain methods first."""
    return [d for m in findings.mitigations if (d := verdict_map(findings, m)) is not None]


def verdict_map(findings: Findings, mitigation: str) -> Drawing | None:
    """Every verdict at a glance: tasks by attribute and method, in each tile the sign, how much
    the group lost beyond the others, and what became of the gap.
    """
    rows = standing_rows(findings, findings.gap_changes(mitigation=mitigation))
    tasks = [t.name for t in findings.tasks_in(rows)]
    attributes = findings.attributes_in(rows)
    if not tasks:
        return None
    methods = findings.methods(rows)
    with canvas(1.15 + 0.225 * len(tasks)) as figure:
        panels = figure.subplots(1, len(attributes), sharey=True, squeeze=False)[0]
        for axes, attribute in zip(panels, attributes, strict=True):
            axes.set_title(f"by {attribute}", pad=18)
            map_panel(axes, findings, rows[rows["attribute"] == attribute], tasks, methods)
        panels[0].set_yticks(range(len(tasks)), [wrap(findings.task_title(t), 26) for t in tasks])
        # upside down: the first task stands on top
        panels[0].set_ylim(len(tasks) - 0.5, -0.5)
        legend(figure, findings, rows)
    caption = (
        "One tile per diagnosis, attribute and method. Number: the change of the group that stands "
        "out minus that of the others, in points of 100 (− lost more). Black tiles: a group was "
        f"harmed; framed white tiles: one was favoured ({SIGNS}); behind the number what became of "
        "the gap (↔ widened, →← narrowed, ⇄ reversed, = same). Plain grey numbers: no difference "
        "shown; hatched: not estimable; at chance: the diagnosis itself is."
    )
    plain = mitigation == "none"
    return Drawing(
        "verdict_map" if plain else f"verdict_map_{file_stem(mitigation)}",
        "All verdicts at a glance" + ("" if plain else f" ({style.mitigation_name(mitigation)})"),
        caption,
        alt_text(findings, rows),
        figure,
        rows,
        folded=not plain,
    )


def map_panel(
    axes: Axes,
    findings: Findings,
    rows: pd.DataFrame,
    tasks: list[str],
    methods: list[tuple[str, str]],
) -> None:
    """Tiles of one attribute, one column per method under its mark."""
    # one or two methods do not get tiles as wide as the panel
    axes.set_xlim(-0.5, max(len(methods), 3) - 0.5)
    # 6 points above the panel, whatever its height
    above = offset_copy(axes.get_xaxis_transform(), axes.get_figure(root=True), y=6, units="points")
    for j, (recon, mitigation) in enumerate(methods):
        look, marker = findings.looks[recon], findings.markers[mitigation]
        point(axes, j, 1.0, look, marker, clip_on=False, transform=above)
        for i, task in enumerate(tasks):
            changes = of_method(rows[rows["task"] == task], recon, mitigation)
            if not changes.empty:
                tile(axes, j, i, changes.iloc[0])
    axes.set_xticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def tile(axes: Axes, x: int, y: int, row: pd.Series) -> None:
    """One tile of the map of verdicts."""
    verdict = row["verdict"]
    box: dict[str, Any] = {
        "xy": (x - 0.46, y - 0.42),
        "width": 0.92,
        "height": 0.84,
        "linewidth": 0.8,
    }
    if verdict == "at chance":
        axes.add_patch(Rectangle(**box, facecolor="#f6f6f6", edgecolor="#e2e2e2"))
        not_estimable(axes, x, y, text="at chance", fontsize=5.5)
        return
    # a value without a verdict is hatched too: a number would be read as one
    if not known(row["extra_change"]) or verdict == "not estimable":
        axes.add_patch(Rectangle(**box, facecolor="#f3f3f3", edgecolor=style.LIGHT, hatch="/////"))
        not_estimable(axes, x, y, bbox={"facecolor": "#f3f3f3", "edgecolor": "none", "pad": 0.8})
        return
    face = FACES.get(verdict, "#f6f6f6")
    strong = changed(verdict)
    axes.add_patch(Rectangle(**box, facecolor=face, edgecolor=style.INK if strong else "#e2e2e2"))
    ink = "white" if face in DARK else style.INK if strong else style.GREY
    axes.text(
        x,
        y,
        " ".join(
            filter(
                None,
                [
                    style.verdict_sign(verdict),
                    signed(100 * row["extra_change"], 0),
                    style.gap_sign(row["gap"]),
                ],
            )
        ),
        ha="center",
        va="center",
        fontsize=6.3,
        color=ink,
        fontweight="bold" if strong else "normal",
    )


def volcano(findings: Findings) -> Drawing | None:
    """Adjusted p-value against what the standing-out group lost beyond the others, one panel per
    metric; the clearest are named.
    """
    rows = standing_rows(findings, findings.gap_changes())
    rows = rows.dropna(subset=["extra_change", "p_adjusted"])
    metrics = [m for m in GAPS if (rows["metric"] == m).any()]
    if not metrics:
        return None
    # p = 0 of few permutations stays on the page
    rows = rows.assign(height=-np.log10(rows["p_adjusted"].clip(lower=1e-5)))
    with canvas(3.5) as figure:
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            volcano_panel(axes, findings, rows[rows["metric"] == metric])
            what = "sensitivity or specificity" if metric == "eodd" else "Dice"
            axes.set_xlabel(f"← lost more {what} (points)")
        legend(figure, findings, rows)
    caption = (
        "Each mark is one diagnosis, attribute and method at the headline level: how much more the "
        "group that stands out lost (left) or less (right) than the others; higher up chance "
        "explains it less well. Marks above the dotted line hold after correction for multiple "
        "comparisons. A large difference low down comes from small groups."
    )
    return Drawing(
        "volcano",
        "Size of the difference against its p-value",
        caption,
        alt_text(findings, rows),
        figure,
        rows.drop(columns="height"),
    )


def volcano_panel(axes: Axes, findings: Findings, rows: pd.DataFrame) -> None:
    """Differences of one metric at -log10 of their p-values, which label the axis."""
    level = -math.log10(0.05)
    axes.axhline(level, color=style.GREY, linestyle=":", linewidth=1)
    axes.axvline(0, color=style.INK, linewidth=0.8)
    marks = Marks()
    for row in each(rows):
        marks.add(
            findings.looks[row.reconstructor],
            findings.markers[row.mitigation],
            row.height,
            100 * row.extra_change,
            math.nan,
            math.nan,
            1.0 if changed(row.verdict) else 0.4,
        )
    marks.draw(axes)
    name_strongest(axes, findings, rows)
    axes.annotate(
        "p = 0.05",
        (0.01, level),
        xycoords=("axes fraction", "data"),
        ha="left",
        va="bottom",
        fontsize=6.5,
        color=style.GREY,
    )
    top = max(rows["height"].max() * 1.15, 1.4)
    ticks = [p for p in (1, 0.1, 0.01, 0.001, 0.0001) if -math.log10(p) <= top]
    axes.set_yticks([-math.log10(p) for p in ticks], [f"{p:g}" for p in ticks])
    axes.set(ylabel="adjusted p-value", ylim=(-0.06, None))  # marks at p = 1 stay whole
    axes.margins(x=0.12)


def name_strongest(axes: Axes, findings: Findings, rows: pd.DataFrame, most: int = 8) -> None:
    """Names the changes with the smallest p-values beside the panel, each tied to its mark by a
    thin line.
    """
    chosen = (
        changed_rows(rows).sort_values(["p_adjusted", "change"], ascending=[True, False]).head(most)
    )
    # falling, as `apart` needs them
    chosen = chosen.sort_values("height", ascending=False)
    # the height of the axis: 1.4 takes in the line at p = 0.05
    reach = max(float(rows["height"].max()), 1.4)
    places = apart([float(h) for h in chosen["height"]], 0.062 * reach)
    arrow = {"arrowstyle": "-", "color": "#bbbbbb", "linewidth": 0.6, "shrinkA": 1, "shrinkB": 3}
    options: dict[str, Any] = {
        "fontsize": 6.5,
        "va": "center",
        "ha": "left",
        "arrowprops": arrow,
        "annotation_clip": False,
    }
    for row, y in zip(each(chosen), places, strict=True):
        axes.annotate(
            f"{findings.task_title(row.task)}, {row.attribute}",
            (100 * row.extra_change, row.height),
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
