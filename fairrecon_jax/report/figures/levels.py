"""Charts against the level of degradation: the axis, the lines of the methods, the originals."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import Marks, not_estimable, offsets
from fairrecon_jax.report.select import Findings, known, of_method

DASHES = (0, (4, 2))
DASHED = (
    "The dashed line is the same diagnosis made from the original images: the further below "
    "it, the more the diagnosis lost. "
)


def level_axis(axes: Axes, findings: Findings, label: bool = True) -> None:
    """Levels as evenly spaced ticks, mildest first, with the unit."""
    names = [style.level_name(v, findings.spec.degradation) for v in findings.levels]
    # by place: photon counts and accelerations span too much for a linear axis
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    if label:
        axes.set_xlabel(level_label(findings))


def level_label(findings: Findings) -> str:
    """The label of a level axis, with the unit."""
    return findings.spec.degradation.unit + (" (worse →)" if len(findings.levels) > 1 else "")


def draw_levels(
    axes: Axes, findings: Findings, rows: pd.DataFrame, mark_missing: bool = True
) -> None:
    """Values with intervals against the level, one line per reconstructor and mitigation.

    Args:
      axes: where to draw.
      findings: order and looks.
      rows: columns reconstructor, mitigation, level, value, ci_low, ci_high; one row per method and
        level.
      mark_missing: write "n.e." where a method has a row without a value; where that is more than
        two methods at a level, once with their number, for they would cover one another.
    """
    methods, marks = findings.methods(rows), Marks(vertical=True)
    # 0.4 of the way to the next level at most: marks stay with their own
    shifts = offsets(len(methods), min(0.4, 0.12 * len(methods)))
    missing: dict[int, list[float]] = {}
    for (recon, mitigation), shift in zip(methods, shifts, strict=True):
        values = of_method(rows, recon, mitigation).drop_duplicates("level").set_index("level")
        # before the reindex, after which a level not studied looks like one not estimable
        studied = [level in values.index for level in findings.levels]
        values = values.reindex(findings.levels)
        x, look = np.arange(len(findings.levels)) + shift, findings.looks[recon]
        width = 1.2 if mitigation == "none" else 0.7
        axes.plot(
            x, values["value"], color=look.color, linestyle=look.line, linewidth=width, zorder=2
        )
        columns = (values["value"], values["ci_low"], values["ci_high"])
        for at, was_studied, value, low, high in zip(x, studied, *columns, strict=True):
            marks.add(look, findings.markers[mitigation], at, value, low, high)
            if mark_missing and was_studied and not known(value):
                missing.setdefault(round(at - shift), []).append(at)
    for places in missing.values():
        said = {at: "n.e." for at in places}
        if len(places) > 2:
            said = {float(np.mean(places)): f"{len(places)} n.e."}
        for at, words in said.items():
            not_estimable(
                axes, at, 0.02, text=words, transform=axes.get_xaxis_transform(), va="baseline"
            )
    marks.draw(axes)
    axes.grid(axis="y")


def original_line(axes: Axes, row: pd.Series | None) -> None:
    """The value on the original images as a dashed line over its interval."""
    if row is None or not known(row["value"]):
        return
    if known(row["ci_low"], row["ci_high"]):
        axes.axhspan(row["ci_low"], row["ci_high"], color="#efefef", linewidth=0, zorder=0)
    axes.axhline(row["value"], color=style.INK, linestyle=DASHES, linewidth=1.0, zorder=1)


def values_in_words(findings: Findings, rows: pd.DataFrame, digits: int = 2) -> str:
    """The values of each method over the levels, for alternative texts."""
    parts = []
    for recon, mitigation in findings.methods(rows):
        of_level = (
            of_method(rows, recon, mitigation).drop_duplicates("level").set_index("level")["value"]
        )
        values = ", ".join(f"{of_level.get(v, math.nan):.{digits}f}" for v in findings.levels)
        parts.append(f"{findings.method_name(recon, mitigation)} {values}")
    return "; ".join(parts) + "." if parts else ""


def equal_spans(panels: list[Axes], most: float = 2.5) -> bool:
    """Gives all panels y axes of the same height, each centred on its own data, unless one needs
    `most` times the median height.

    Returns:
      Whether it did.
    """
    limits = [axes.get_ylim() for axes in panels]
    spans = [high - low for low, high in limits]
    # one task that falls far would press all others flat
    if max(spans) > most * float(np.median(spans)):
        return False
    for axes, (low, high) in zip(panels, limits, strict=True):
        middle = (low + high) / 2
        axes.set_ylim(middle - max(spans) / 2, middle + max(spans) / 2)
    return True
