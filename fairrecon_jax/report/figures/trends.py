"""Change of the diagnosis along a continuous attribute such as age: curves with their bands."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import WIDTH, Drawing, canvas
from fairrecon_jax.report.figures.forest import p_words
from fairrecon_jax.report.select import Findings, each
from fairrecon_jax.runtime.text import file_stem

ORDER = ("sensitivity", "specificity", "dice")


def curves(findings: Findings) -> list[Drawing]:
    """A figure per task and column at the headline level; none where no curve was estimated."""
    rows = findings.trends
    if rows is None or rows.empty:
        return []
    rows = rows[(rows["level"] == findings.headline_level) & (rows["mitigation"] == "none")]
    rows = rows[rows["change"].notna()]
    titles = {task.name: task for task in findings.spec.tasks}
    return [
        _drawing(findings, str(task), str(column), part)
        for (task, column), part in rows.groupby(["task", "column"], sort=False)
        if task in titles
    ]


def _drawing(findings: Findings, task: str, column: str, rows: pd.DataFrame) -> Drawing:
    """One task: a panel per quantity, a line per reconstructor."""
    quantities = [name for name in ORDER if (rows["metric"] == name).any()]
    title, named = findings.task_title(task), column.replace("_", " ")
    with canvas(2.6, WIDTH if len(quantities) > 1 else WIDTH * 0.62) as figure:
        panels = figure.subplots(1, len(quantities), squeeze=False, sharey=True)[0]
        for axes, quantity in zip(panels, quantities, strict=True):
            part = rows[rows["metric"] == quantity]
            _panel(axes, findings, part)
            axes.set_title(style.metric_name(quantity))
            axes.set_xlabel(named)
        panels[0].set_ylabel("change from the original")
        panels[0].legend(loc="best")
    said = "; ".join(_verdicts(findings, rows))
    caption = (
        f"{title}: change from the original image along {named} at {findings.headline}, a "
        "restricted cubic spline with a band that holds the whole curve in 95% of cohorts. Below "
        "the line at 0: worse. A band that leaves out 0 shows a change at that place; whether the "
        f"change depends on {named} is another question, which permuted values answer: {said}."
    )
    alt = f"Lines of the change of {title} against {named}, one per reconstructor. {said}."
    key = f"trend_{file_stem(column)}_{file_stem(task)}"
    return Drawing(key, f"{title} along {named}", caption, alt, figure, rows)


def _panel(axes: Axes, findings: Findings, rows: pd.DataFrame) -> None:
    """The curves of one quantity."""
    axes.axhline(0, color=style.INK, linewidth=0.8, zorder=1)
    for name in findings.reconstructors:
        part = rows[rows["reconstructor"] == name].sort_values("at")
        look = findings.looks[name]
        # of several seeds the first: each has a curve of its own in the table
        part = part[part["seed"] == part["seed"].min()]
        if part.empty:
            continue
        axes.fill_between(
            part["at"], part["ci_low"], part["ci_high"], color=look.color, alpha=0.16, linewidth=0
        )
        axes.plot(
            part["at"],
            part["change"],
            color=look.color,
            linestyle=look.line,
            label=look.name,
            zorder=3,
        )
    axes.grid(axis="y")


def _verdicts(findings: Findings, rows: pd.DataFrame) -> Iterator[str]:
    """What the tests say, per reconstructor."""
    # a verdict is of the whole curve, and repeated at each of its points
    firsts = rows.drop_duplicates("reconstructor")
    for row in each(firsts):
        name = findings.method_name(row.reconstructor, "none")
        p = f", adjusted p {p_words(row.p_adjusted)}" if row.p_adjusted == row.p_adjusted else ""
        yield f"{name}: {row.verdict}{p}"
