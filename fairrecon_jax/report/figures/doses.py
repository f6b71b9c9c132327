"""Dose-response per group: every group's sensitivity, specificity, AUROC and Dice against the
level.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import WIDTH, Drawing, canvas, wrap
from fairrecon_jax.report.figures.forest import p_words
from fairrecon_jax.report.figures.levels import DASHES, level_axis
from fairrecon_jax.report.select import Findings, each, known, one
from fairrecon_jax.runtime.text import file_stem
from fairrecon_jax.types import Task

ORDER = ("sensitivity", "specificity", "auroc", "dice")


def dose_responses(findings: Findings) -> list[Drawing]:
    """A figure per task: a line of panels per reconstructor and attribute, a column per metric."""
    tested = findings.doses
    if tested is None or tested.empty:
        return []
    tested = tested[tested["mitigation"] == "none"]
    tested = tested[~tested["reconstructor"].isin(_left(tested, findings))]
    rows = findings.pick(
        "performance",
        metric=list(ORDER),
        attribute=findings.attributes,
        version=["original", "reconstructed"],
    )
    rows = findings.plain(rows)
    drawn = [_drawing(findings, task, rows, tested) for task in findings.tasks_in(tested)]
    return [drawing for drawing in drawn if drawing is not None]


def _left(tested: pd.DataFrame, findings: Findings) -> list[str]:
    """The degraded image, where there are reconstructions beside it."""
    names = set(tested["reconstructor"])
    return findings.degraded if names - set(findings.degraded) else []


def _drawing(
    findings: Findings, task: Task, rows: pd.DataFrame, tested: pd.DataFrame
) -> Drawing | None:
    """One task."""
    rows, tested = (part[part["task"] == task.name] for part in (rows, tested))
    metrics = [m for m in ORDER if (rows.dropna(subset=["value"])["metric"] == m).any()]
    lines = [
        (name, attribute)
        for attribute in findings.attributes_in(tested)
        for name in findings.reconstructors
        if ((tested["reconstructor"] == name) & (tested["attribute"] == attribute)).any()
    ]
    if not metrics or not lines:
        return None
    with canvas(0.5 + 1.45 * len(lines), WIDTH if len(metrics) > 1 else WIDTH * 0.6) as figure:
        grid = figure.subplots(len(lines), len(metrics), squeeze=False, sharex=True, sharey="col")
        for panels, (name, attribute) in zip(grid, lines, strict=True):
            part = rows[rows["attribute"] == attribute]
            for axes, metric in zip(panels, metrics, strict=True):
                _panel(axes, findings, part[part["metric"] == metric], name, attribute)
            panels[0].set_ylabel(wrap(f"{findings.looks[name].name}, by {attribute}", 18))
            panels[-1].legend(
                handles=_handles(findings.groups_in(part, attribute)), loc="best", fontsize=6.5
            )
        for axes, metric in zip(grid[0], metrics, strict=True):
            axes.set_title(style.metric_name(metric))
        for axes in grid[-1]:
            level_axis(axes, findings)
    said = "; ".join(_verdicts(findings, tested)) or "no slope could be estimated"
    title = findings.task_title(task.name)
    caption = (
        f"{title}: each group's rates against the level, with 95% intervals clustered by patient "
        "at each level. The dashed lines are the same groups on the original images. Whether the "
        f"loss grows alike in every group is tested by the slopes: {said}."
    )
    alt = f"Lines of {title} against the level, one per group. {said}."
    shown = rows[rows["reconstructor"].isin([name for name, _ in lines])]
    key = f"dose_{file_stem(task.name)}"
    return Drawing(key, f"{title} against the level, by group", caption, alt, figure, shown)


def _panel(axes: Axes, findings: Findings, rows: pd.DataFrame, name: str, attribute: str) -> None:
    """The groups' lines of one metric and reconstructor."""
    for place, group in enumerate(findings.groups_in(rows, attribute)):
        own, color = rows[rows["group"] == group], _color(place)
        values = own[(own["version"] == "reconstructed") & (own["reconstructor"] == name)]
        values = values.drop_duplicates("level").set_index("level").reindex(findings.levels)
        x = np.arange(len(findings.levels))
        axes.fill_between(
            x, values["ci_low"], values["ci_high"], color=color, alpha=0.16, linewidth=0
        )
        axes.plot(x, values["value"], color=color, linestyle=style.LINES[place % 7], marker="o",
                  markersize=3, zorder=3)  # fmt: skip
        original = one(own, version="original")
        if original is not None and known(original["value"]):
            axes.axhline(original["value"], color=color, linestyle=DASHES, linewidth=0.8, zorder=1)
    axes.grid(axis="y")


def _color(place: int) -> str:
    """The colour of a group by its place: those that stand for methods elsewhere come last."""
    order = style.OKABE_ITO[3:] + style.OKABE_ITO[:3]
    return order[place % len(order)]


def _handles(groups: list[str]) -> list[Line2D]:
    """Legend entries of the groups."""
    lines: tuple[Any, ...] = style.LINES
    return [
        Line2D([], [], color=_color(place), linestyle=lines[place % 7], label=group)
        for place, group in enumerate(groups)
    ]


def _verdicts(findings: Findings, tested: pd.DataFrame) -> list[str]:
    """What the tests say, one per reconstructor, attribute and test."""
    said = []
    tests = tested.assign(auroc=tested["metric"] == "auroc")
    # not the rows of single groups that cannot be judged: the test is of the others
    tests = tests[(tests["verdict"] != "not estimable") & (tests["seed"] == tests["seed"].min())]
    for row in each(tests.drop_duplicates(["attribute", "reconstructor", "auroc"])):
        what = "AUROC" if row.auroc else "Dice" if row.metric == "dice" else "rates"
        name = findings.method_name(row.reconstructor, "none")
        p = p_words(row.p_adjusted)
        said.append(f"{name}, {what} by {row.attribute}: {row.verdict}, adjusted p {p}")
    return said
