"""A finished figure with its caption and numbers, and the helpers all figures share."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.select import Findings

WIDTH = 7.4  # inches
SLANTED: Any = {"rotation": 38, "ha": "right", "rotation_mode": "anchor"}
HALO: Any = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
"""Ground of a text that stands on a line."""
PALE = 0.42
"""Opacity of changes of which no difference is shown."""
OTHER_LETTERS = [
    name
    for name in (
        "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei",
        "Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "Noto Sans Devanagari",
        "Noto Sans Thai", "Arial Unicode MS",
    )
    if name in font_manager.fontManager.get_font_names()
]  # fmt: skip
"""Fonts of this machine for letters that DejaVu Sans lacks."""
RC: Any = {
    "font.family": ["DejaVu Sans", *OTHER_LETTERS],
    "font.size": 8.0, "axes.titlesize": 8.5, "axes.labelsize": 8.0,
    "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "legend.fontsize": 7.5,
    "axes.edgecolor": style.GREY, "axes.labelcolor": style.INK, "text.color": style.INK,
    "xtick.color": style.INK, "ytick.color": style.INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7,
    "xtick.major.width": 0.7, "ytick.major.width": 0.7,
    "xtick.major.size": 2.5, "ytick.major.size": 2.5, "axes.titlelocation": "left",
    "grid.color": "#e6e6e6", "grid.linewidth": 0.6, "axes.axisbelow": True,
    "legend.frameon": False, "legend.handlelength": 2.2, "legend.columnspacing": 1.4,
    "pdf.fonttype": 42,  # embeds TrueType outlines: text stays text
    "hatch.linewidth": 0.5, "figure.facecolor": "white", "savefig.facecolor": "white",
    "text.parse_math": False,  # names may hold dollar signs
    "lines.markersize": 4.5, "axes.unicode_minus": True,
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
      folded: show it closed, behind a click.
    """

    key: str
    title: str
    caption: str
    alt: str
    figure: Figure
    table: pd.DataFrame
    folded: bool = False


@contextmanager
def canvas(height: float, width: float = WIDTH) -> Iterator[Figure]:
    """A figure of the report's width in the report's type, to be drawn inside the `with` block."""
    with mpl.rc_context(RC):
        # Figure and not pyplot, which would keep every figure of the report in memory
        yield Figure(figsize=(width, height), layout="constrained")


def offsets(count: int, width: float = 0.5) -> np.ndarray:
    """Positions of `count` marks side by side around 0, `width` in all."""
    # linspace of one would stand at the left end
    return np.linspace(-width / 2, width / 2, count) if count > 1 else np.zeros(max(count, 0))


def side_by_side(
    methods: list[tuple[str, str]], step: float, most: float
) -> dict[tuple[str, str], float]:
    """Where each method's mark stands around 0: `step` apart, `most` from first to last."""
    width = min(most, step * (len(methods) - 1))
    return dict(zip(methods, offsets(len(methods), width), strict=True))


def stripes(axes: Axes, count: int, vertical: bool = False) -> None:
    """A pale ground under every other of `count` lines or columns, to guide the eye."""
    for i in range(1, count, 2):
        (axes.axvspan if vertical else axes.axhspan)(
            i - 0.5, i + 0.5, color="#f6f6f6", linewidth=0, zorder=0
        )


def point(axes: Axes, x: Any, y: Any, look: style.Look, marker: str, **more: Any) -> None:
    """One mark (or several) in the colour and fill of its reconstructor and the shape of its
    mitigation.
    """
    options: dict[str, Any] = {
        "color": look.color,
        "fillstyle": look.fill,
        "markerfacecoloralt": "white",
        "markeredgewidth": 1.0,
    }
    if look.fill == "none":
        # Matplotlib's "none" is transparent: lines would show through the mark
        options |= {"fillstyle": "full", "markerfacecolor": "white", "markeredgecolor": look.color}
    axes.plot(x, y, **{**options, "marker": marker, "linestyle": "none", "zorder": 4, **more})


class Marks:
    """Collects marks with intervals and draws all of one look at once, which is many times faster
    than one by one.

    Args:
      vertical: values run along y.
      size: of the marks in points.
      width: of the interval lines in points.
    """

    def __init__(self, vertical: bool = False, size: float = 4.4, width: float = 1.1) -> None:
        self.vertical, self.size, self.width = vertical, size, width
        self.marks: dict[tuple[Any, str, float], list[tuple[float, float, float, float]]] = {}

    def add(
        self,
        look: style.Look,
        marker: str,
        at: float,
        value: float,
        low: float,
        high: float,
        fade: float = 1.0,
    ) -> None:
        """Adds a value at position `at` along the other axis; NaN bounds mean no interval."""
        self.marks.setdefault((look, marker, fade), []).append((at, value, low, high))

    def draw(self, axes: Axes) -> None:
        """Draws everything collected."""
        for (look, marker, fade), rows in self.marks.items():
            at, value, low, high = np.array(rows, dtype=float).T
            bounded = np.isfinite(low) & np.isfinite(high)
            # one line for all intervals: NaN lifts the pen between them
            ends = np.stack([low, high, np.full_like(low, np.nan)], 1)[bounded].ravel()
            where = np.repeat(at[bounded], 3)
            line = {
                "color": look.color,
                "alpha": fade,
                "linewidth": self.width,
                "solid_capstyle": "butt",
                "zorder": 3,
            }
            axes.plot(*((where, ends) if self.vertical else (ends, where)), **line)
            point(
                axes,
                *((at, value) if self.vertical else (value, at)),
                look,
                marker,
                alpha=fade,
                markersize=self.size,
            )


def not_estimable(axes: Axes, x: float, y: float, **more: Any) -> None:
    """The mark of a value that could not be estimated."""
    options = {
        "ha": "center",
        "va": "center",
        "fontsize": 6,
        "color": style.GREY,
        "style": "italic",
        "zorder": 5,
        **more,
    }
    axes.text(x, y, options.pop("text", "n.e."), **options)


def hatched(axes: Axes, words: str) -> None:
    """Fills a panel with hatching and says why nothing is drawn in it."""
    axes.add_patch(
        Rectangle(
            (0, 0),
            1,
            1,
            transform=axes.transAxes,
            facecolor="#f3f3f3",
            edgecolor=style.LIGHT,
            hatch="////",
            linewidth=0,
        )
    )
    box = {"facecolor": "white", "edgecolor": "none", "pad": 2.5}
    wrapped = "\n".join(textwrap.wrap(words, 24))
    axes.text(
        0.5,
        0.5,
        wrapped,
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=7,
        color=style.INK,
        bbox=box,
    )
    # no scale: where nothing is drawn a number at the axis would be read
    axes.set(xticks=[], yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)


def few_ticks(axes: Axes, most: int = 4) -> None:
    """At most `most` round steps along x, so that labels such as "−0.05" do not run into each
    other.
    """
    axes.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))


class ShareTicks(MaxNLocator):
    """Round steps along a score from 0 to 1: the margin beyond its ends, which marks there need,
    has none.
    """

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """The places of the ticks between two limits."""
        found = np.asarray(super().tick_values(vmin, vmax))
        return found[(found > -1e-9) & (found < 1 + 1e-9)]


def wrap(text: str, width: int) -> str:
    """Text over several lines of about `width` characters; only words more than 6 longer than that
    are broken.
    """
    longest = max(map(len, text.split()), default=0)
    # wrap gives nothing for blanks, which are kept
    return "\n".join(textwrap.wrap(text, max(width, min(longest, width + 6)))) or text


def fits(names: list[str], width: float) -> bool:
    """Whether labels of the tick size stand side by side on `width` inches."""
    longest = max((len(line) for name in names for line in name.splitlines()), default=0)
    # 0.066 inches: about a letter of DejaVu Sans at the size of ticks
    return 0.066 * (longest + 1) * len(names) <= width


def handle(label: str, marker: str, look: style.Look, lines: bool = False) -> Line2D:
    """A legend entry that looks like `point` (and its line)."""
    options: dict[str, Any] = {
        "color": look.color,
        "fillstyle": look.fill,
        "markerfacecoloralt": "white",
        "linewidth": 1.3,
    }
    if look.fill == "none":
        # white instead of transparent, as in `point`
        options |= {"fillstyle": "full", "markerfacecolor": "white"}
    return Line2D(
        [], [], marker=marker, linestyle=look.line if lines else "none", label=label, **options
    )


def legend(
    figure: Figure,
    findings: Findings,
    rows: pd.DataFrame,
    lines: bool = False,
    extra: tuple[Any, ...] = (),
) -> None:
    """One legend above the panels: the reconstructors and, where there are any, the mitigations of
    the rows, then `extra` handles.
    """
    methods = findings.methods(rows)
    handles = [
        handle(findings.looks[r].name, "o", findings.looks[r], lines)
        for r in dict.fromkeys(r for r, _ in methods)
    ]
    used = [m for m in findings.mitigations if m in {m for _, m in methods}]
    # one marker for all needs no explanation
    if used != ["none"]:
        grey = style.Look(style.GREY, "none", "full", "")
        handles += [handle(style.mitigation_name(m), findings.markers[m], grey) for m in used]
    handles += list(extra)
    if handles:
        # an estimate in inches, as nothing has been drawn that could be measured
        wide = sum(0.065 * len(str(h.get_label())) + 0.55 for h in handles) > figure.get_figwidth()
        figure.legend(
            handles=handles,
            loc="outside upper left",
            ncols=math.ceil(len(handles) / 2) if wide else len(handles),
        )


def original_handle() -> Line2D:
    """Legend entry of the dashed line that stands for the original images."""
    return Line2D(
        [], [], color=style.INK, linestyle=(0, (4, 2)), linewidth=1.0, label="original images"
    )


def null_handle() -> Rectangle:
    """Legend entry of the permutation null."""
    return Rectangle((0, 0), 1, 1, facecolor=style.NULL, label="permutation null")


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign and a true minus."""
    rounded = round(value, digits)
    # a rounded 0 has no sign: "-0.00" reads as a loss
    return f"{rounded:+.{digits}f}".replace("-", "−") if rounded else f"{0:.{digits}f}"
