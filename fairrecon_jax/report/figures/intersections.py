"""Heat maps of intersections of attributes: the change in every combination of groups."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import Drawing, canvas, signed, wrap
from fairrecon_jax.report.select import Findings, known, of_method, one
from fairrecon_jax.runtime.text import file_stem
from fairrecon_jax.types import CROSS

COLORS = "PuOr"
STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def intersections(findings: Findings) -> list[Drawing]:
    """One heat map per combined attribute and plain method: change of sensitivity or Dice in every
    intersection, with counts.
    """
    rows = findings.change_rows(
        "performance", attribute=findings.intersections, level=findings.headline_level
    )
    methods = findings.methods(findings.plain(rows))
    rows = rows[rows["metric"].isin(["sensitivity", "dice"])]
    figures = [
        intersection(
            findings, attribute, method, of_method(rows[rows["attribute"] == attribute], *method)
        )
        for attribute in findings.intersections
        for method in methods
    ]
    return [d for d in figures if d is not None]


def intersection(
    findings: Findings, attribute: str, method: tuple[str, str], rows: pd.DataFrame
) -> Drawing | None:
    """The heat map of one combined attribute and method (reconstructor, mitigation)."""
    tasks = [t.name for t in findings.tasks_in(rows)]
    groups = findings.groups_in(rows, attribute)
    if not tasks or not groups:
        return None
    # at least 0.01: the norm needs a range, and noise of 0.001 should look pale
    reach = max(float(rows["change"].abs().max()) if rows["change"].notna().any() else 0.0, 0.01)
    # the same reach on both sides, so that equal losses and gains are equally strong
    colors, norm = mpl.colormaps[COLORS], TwoSlopeNorm(0.0, -reach, reach)
    with canvas(1.35 + 0.34 * len(tasks)) as figure:
        axes = figure.subplots()
        for i, task in enumerate(tasks):
            for j, group in enumerate(groups):
                heat_tile(axes, j, i, one(rows, task=task, group=group), colors, norm)
        name_axes(axes, findings, tasks, groups)
        scale(figure, axes, colors, norm, reach)
    name = findings.method_name(*method)
    caption = (
        f"Change of sensitivity (findings) or Dice (delineations) with {name} in every "
        f"combination of {' and '.join(attribute.split(CROSS))}, at {findings.headline}. Below "
        "each change: how many with the finding (or how many at all) stand behind it. Hatched: "
        "not estimable. Combinations are small: read this map for hints, not as evidence."
    )
    estimated = int(rows["change"].notna().sum())
    alt = (
        f"Heat map of changes with {name}; {estimated} of {len(rows)} tiles could be estimated; "
        "numbers in its table."
    )
    recon, mitigation = method
    key = ["intersection", file_stem(attribute), file_stem(recon)]
    key += [] if mitigation == "none" else [file_stem(mitigation)]
    title = f"Intersections of {attribute} with {name}"
    return Drawing("_".join(key), title, caption, alt, figure, rows, folded=True)


def name_axes(axes: Axes, findings: Findings, tasks: list[str], groups: list[str]) -> None:
    """Groups above the map, tasks at its left."""
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


def scale(
    figure: Figure, axes: Axes, colors: mpl.colors.Colormap, norm: TwoSlopeNorm, reach: float
) -> None:
    """The colour bar below the map."""
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


def heat_tile(
    axes: Axes,
    x: int,
    y: int,
    row: pd.Series | None,
    colors: mpl.colors.Colormap,
    norm: TwoSlopeNorm,
) -> None:
    """One tile of a heat map with its change and count."""
    box: dict[str, Any] = {"xy": (x - 0.48, y - 0.46), "width": 0.96, "height": 0.92}
    text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6, "linespacing": 1.1}
    # sensitivity rests on those with the finding alone
    count = math.nan if row is None else row["n_pos"] if known(row["n_pos"]) else row["n"]
    below = f"\n{count:,.0f}" if known(count) else ""
    if row is None or not known(row["change"]):
        axes.add_patch(
            Rectangle(**box, facecolor="#f3f3f3", edgecolor=style.LIGHT, hatch="/////", linewidth=0)
        )
        halo = {"facecolor": "#f3f3f3", "edgecolor": "none", "pad": 0.6}
        axes.text(x, y, f"n.e.{below}", color=style.INK, bbox=halo, **text)
        return
    color = colors(norm(row["change"]))
    axes.add_patch(Rectangle(**box, facecolor=color, linewidth=0))
    luma = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]  # perceived brightness (BT.601)
    ink = style.INK if luma > 0.5 else "white"
    axes.text(x, y, signed(row["change"]) + below, color=ink, **text)
