"""A finished figure with its words and numbers, and the helpers all figures share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fairrecon_jax.report import style
from fairrecon_jax.report.select import Findings

WIDTH = 7.4
RC: dict[str, Any] = {
    "font.family": "DejaVu Sans", "font.size": 8.0, "axes.titlesize": 8.5, "axes.labelsize": 8.0, "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5, "legend.fontsize": 7.5, "axes.edgecolor": style.GREY, "axes.labelcolor": style.INK, "text.color": style.INK,
    "xtick.color": style.INK, "ytick.color": style.INK, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7,
    "xtick.major.width": 0.7, "ytick.major.width": 0.7, "xtick.major.size": 2.5, "ytick.major.size": 2.5, "axes.titlelocation": "left",
    "grid.color": "#e6e6e6", "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False, "pdf.fonttype": 42,
    "hatch.linewidth": 0.5, "figure.facecolor": "white", "savefig.facecolor": "white", "text.parse_math": False, "lines.markersize": 4.5,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure and everything that travels with it.

    Attributes:
      key: file stem of its picture and its table.
      title: one line.
      caption: how to read it.
      alt: what a reader who cannot see it should know.
      figure: the drawn figure.
      table: the numbers that were drawn.
    """

    key: str
    title: str
    caption: str
    alt: str
    figure: Figure
    table: pd.DataFrame


@contextmanager
def canvas(height: float, width: float = WIDTH) -> Iterator[Figure]:
    """A figure of the report's width in the report's type, to be drawn inside the `with` block."""
    with mpl.rc_context(RC):
        yield Figure(figsize=(width, height), layout="constrained")


def offsets(count: int, width: float = 0.5) -> np.ndarray:
    """Positions of `count` marks side by side around 0, `width` in all."""
    return np.linspace(-width / 2, width / 2, count) if count > 1 else np.zeros(1)


def point(axes: Axes, x: Any, y: Any, look: style.Look, marker: str, **more: Any) -> None:
    """One mark in the colour and fill of its reconstructor and the shape of its mitigation."""
    options = {"color": look.color, "fillstyle": look.fill, "markerfacecoloralt": "white", "markeredgewidth": 1.0, "linestyle": "none"}
    axes.plot(x, y, marker=marker, **{**options, **more})


def interval(axes: Axes, low: float, high: float, at: float, look: style.Look, vertical: bool = False, **more: Any) -> None:
    """A thin line from `low` to `high`; nothing where either end is unknown."""
    if np.isfinite(low) and np.isfinite(high):
        options = {"color": look.color, "linewidth": 1.1, "solid_capstyle": "butt", **more}
        axes.plot(*(([at, at], [low, high]) if vertical else ([low, high], [at, at])), **options)


def not_estimable(axes: Axes, x: float, y: float, **more: Any) -> None:
    """The mark of a value that could not be estimated."""
    options = {"ha": "center", "va": "center", "fontsize": 6.5, "color": style.GREY, "style": "italic", **more}
    axes.text(x, y, "n.e.", **options)


def method_handles(findings: Findings, rows: pd.DataFrame, lines: bool = False) -> list[Line2D]:
    """Legend entries of the reconstructors and mitigations that occur in the rows."""
    looks, marks = style.looks(findings.reconstructors), style.markers(findings.mitigations)
    here = [r for r in findings.reconstructors if (rows["reconstructor"] == r).any()]
    line = {"linestyle": "none"}
    handles = []
    for name in here:
        look = looks[name]
        line = {"linestyle": look.line} if lines else {"linestyle": "none"}
        options = {"color": look.color, "fillstyle": look.fill, "markerfacecoloralt": "white", "linewidth": 1.4, **line}
        handles.append(Line2D([], [], marker="o", label=look.name, **options))
    used = [m for m in findings.mitigations if (rows["mitigation"].replace("", "none") == m).any()]
    if used != ["none"]:
        for m in used:
            label = style.NAMES.get(m.lower(), m)
            handles.append(Line2D([], [], marker=marks[m], color=style.GREY, linestyle="none", label=label))
    return handles
