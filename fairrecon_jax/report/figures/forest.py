"""Forest plots: the change of every group gap with interval and verdict, and each gap before and
after over its permutation null.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.changes import change_panel
from fairrecon_jax.report.figures.drawing import (
    HALO,
    Drawing,
    Marks,
    canvas,
    few_ticks,
    legend,
    not_estimable,
    null_handle,
    signed,
    wrap,
)
from fairrecon_jax.report.select import Findings, changed, each, known
from fairrecon_jax.report.tables.entries import p_value

SIGNS = "▲ widened, ▼ narrowed, ⇄ reversed, ◆ shifted"
DASH: Any = {
    "marker": "|",
    "markersize": 7,
    "markeredgewidth": 1.4,
    "color": style.INK,
    "linestyle": "none",
}
"""The upright dash of a value on original images."""


def overview(findings: Findings) -> Drawing | None:
    """The change of each task's gap at the headline level, one column per attribute, methods
    without mitigation.
    """
    rows = findings.plain(findings.gap_changes())
    tasks = [t.name for t in findings.tasks_in(rows)]
    attributes = findings.attributes_in(rows)
    if not tasks:
        return None
    methods = findings.methods(rows)
    with canvas(0.95 + len(tasks) * max(0.22, 0.115 * len(methods))) as figure:
        panels = figure.subplots(1, len(attributes), sharey=True, squeeze=False)[0]
        for axes, attribute in zip(panels, attributes, strict=True):
            change_panel(axes, findings, rows[rows["attribute"] == attribute], tasks, methods)
            axes.set(title=f"by {attribute}", xlabel="change of the gap (wider →)")
        panels[0].set_yticks(range(len(tasks)), [wrap(label(findings, t), 22) for t in tasks])
        panels[0].set_ylim(len(tasks) - 0.5, -0.5)
        legend(figure, findings, rows)
    caption = (
        "How much wider the gap between patient groups is on reconstructions than on originals, at "
        f"{findings.headline}; {metrics_used(findings, rows)} Lines are 95% intervals. Strong "
        f"marks changed by more than chance ({SIGNS}); pale marks are within chance; n.e. = not "
        "estimable. Verdicts come from a test of all groups together, not from the interval of "
        "the largest gap, so the two can differ."
    )
    return Drawing(
        "overview_bias_change",
        "Change of the gap between groups",
        caption,
        alt_text(findings, rows),
        figure,
        rows,
    )


def metrics_used(findings: Findings, rows: pd.DataFrame) -> str:
    """One sentence on which gap was measured for which kind of task."""
    kinds = {t.kind for t in findings.tasks_in(rows)}
    words = {
        "classification": "EODD (a difference of rates) for findings",
        "segmentation": "SER (a ratio of errors) for delineations",
    }
    return (
        "the gap is "
        + " and ".join(words[k] for k in ("classification", "segmentation") if k in kinds)
        + "."
    )


def label(findings: Findings, task: str) -> str:
    """A task's title, with its gap metric where a study has both kinds."""
    kinds = {t.kind for t in findings.spec.tasks}
    metric = findings.gap_metrics.get(task)
    return findings.task_title(task) + (
        f" ({style.metric_name(metric)})" if metric and len(kinds) > 1 else ""
    )


def alt_text(findings: Findings, rows: pd.DataFrame) -> str:
    """The changed gaps of a forest in words, for its alternative text."""
    named = [
        f"{findings.task_title(r.task)} by {r.attribute} with "
        f"{findings.method_name(r.reconstructor, r.mitigation)} {r.verdict} ({signed(r.change)})"
        for r in each(rows)
        if changed(r.verdict)
    ]
    counts = rows["verdict"].replace("", "not tested").value_counts()
    return (
        f"Dot chart of {len(rows)} changes of group gaps: "
        + ", ".join(f"{int(counts[v])} {v}" for v in sorted(counts.index))
        + ". Changed: "
        + ("; ".join(named[:15]) if named else "none")
        + "."
    )


def gap_forests(findings: Findings) -> list[Drawing]:
    """For each attribute: gaps before and after over the permutation null, their change, its
    interval, verdict and p-value in words.
    """
    return [d for a in findings.attributes if (d := gap_forest(findings, a)) is not None]


def gap_forest(findings: Findings, attribute: str) -> Drawing | None:
    """The forest of one attribute at the headline level, one line per task and method without
    mitigation.
    """
    rows = findings.plain(findings.gap_changes(attribute=attribute))
    tasks = findings.tasks_in(rows)
    if not tasks:
        return None
    methods = findings.methods(rows)
    kinds = [k for k in ("classification", "segmentation") if any(t.kind == k for t in tasks)]
    # in lines, so that a line is as high in the panels of both kinds
    heights = [sum(t.kind == k for t in tasks) * (len(methods) + 0.6) for k in kinds]
    with canvas(1.0 + 0.155 * sum(heights) + 0.45 * (len(kinds) - 1)) as figure:
        grid = figure.subplots(
            len(kinds),
            3,
            sharey="row",
            squeeze=False,
            gridspec_kw={"width_ratios": [1, 1, 0.62], "height_ratios": heights},
        )
        for line, kind in zip(grid, kinds, strict=True):
            names = [t.name for t in tasks if t.kind == kind]
            forest_rows(line, findings, rows[rows["task"].isin(names)], names, methods)
            metric = style.metric_name("eodd" if kind == "classification" else "ser")
            line[0].set_xlabel(f"{metric}: gap between groups")
            line[1].set_xlabel(f"change of {metric} (wider →)")
        originals = Line2D([], [], **DASH, label="original images")
        legend(figure, findings, rows, extra=(originals, null_handle()))
    caption = (
        f"Groups by {attribute}, at {findings.headline}. Left: the gap on originals (upright "
        "dash) and on reconstructions (mark). The blue-grey bar is the permutation null, "
        "the gap that permuted groups of the same sizes show on average: a gap inside it is no "
        "evidence for a difference. Middle: its change with 95% interval. Right: the verdict and "
        "its p-value after correction for multiple comparisons."
    )
    key = f"gap_forest_{slug(attribute)}"
    return Drawing(
        key,
        f"Gaps by {attribute} before and after, with verdicts",
        caption,
        alt_text(findings, rows),
        figure,
        rows,
    )


def slug(name: str) -> str:
    """A name as a file stem: letters, digits and underscores."""
    return (
        # ASCII, as file systems spell other letters in more ways than one
        "".join(c if c.isascii() and c.isalnum() else "_" for c in name.lower()).strip("_")
        or "unnamed"
    )


def forest_rows(
    line: list[Axes],
    findings: Findings,
    rows: pd.DataFrame,
    tasks: list[str],
    methods: list[tuple[str, str]],
) -> None:
    """Draws the three columns of a forest: gaps over the null, changes, verdicts as text."""
    gap, change, words = line
    change.axvline(0, color=style.INK, linewidth=0.8)
    block = len(methods) + 0.6  # lines of one task and the space below them
    for i in range(1, len(tasks), 2):
        for axes in line:
            axes.axhspan(
                i * block - 0.8, (i + 1) * block - 0.8, color="#f7f7f7", linewidth=0, zorder=0
            )
    places = {(t, *m): i * block + j for i, t in enumerate(tasks) for j, m in enumerate(methods)}
    keys = zip(rows["task"], rows["reconstructor"], rows["mitigation"], strict=True)
    rows = rows.assign(y=[places[key] for key in keys])
    after, changes = Marks(size=4.0, width=0.9), Marks(size=4.0)
    for row in each(rows):
        look, marker = findings.looks[row.reconstructor], findings.markers[row.mitigation]
        if known(row.change):
            # the line leads from the original to the mark: no interval is drawn in this column
            after.add(look, marker, row.y, row.reconstructed, row.original, row.reconstructed)
            changes.add(look, marker, row.y, row.change, row.ci_low, row.ci_high)
        else:
            not_estimable(change, 0, row.y, bbox=HALO)
        verdict_text(words, row)
    # the rows are of one kind of task, so of one metric
    no_gap = 1.0 if (rows["metric"] == "ser").any() else 0.0
    draw_nulls(gap, rows.dropna(subset=["permutation_null"]), no_gap)
    gap.plot(rows["original"], rows["y"], **DASH, zorder=5)
    after.draw(gap)
    changes.draw(change)
    gap.set_yticks(
        [i * block + (len(methods) - 1) / 2 for i in range(len(tasks))],
        [wrap(findings.task_title(t), 20) for t in tasks],
    )
    gap.set_ylim(len(tasks) * block - 0.8, -0.8)
    gap.set_xlim(left=no_gap - 0.002)  # after drawing: it freezes the right limit
    few_ticks(gap)
    few_ticks(change)
    for axes in line:
        axes.tick_params(axis="y", length=0)
    words.set_xlim(0, 1)
    words.set_xticks([])
    words.spines[["left", "bottom"]].set_visible(False)


def draw_nulls(axes: Axes, rows: pd.DataFrame, no_gap: float) -> None:
    """Permutation nulls as bars that start at the value of no gap."""
    axes.barh(
        rows["y"],
        rows["permutation_null"] - no_gap,
        left=no_gap,
        height=1.0,
        color=style.NULL,
        zorder=1,
    )


def verdict_text(axes: Axes, row: Any) -> None:
    """The verdict of one line of a forest, with its p-value."""
    strong = changed(row.verdict)
    untested = "no test" if known(row.change) else "not estimable"
    parts = [style.verdict_sign(row.verdict), row.verdict or untested]
    verdict = " ".join(filter(None, parts))
    p = f"  p {p_words(row.p_adjusted)}" if known(row.p_adjusted) else ""
    look: dict[str, Any] = {
        "color": style.INK if strong else style.GREY,
        "fontweight": "bold" if strong else "normal",
    }
    axes.text(0, row.y, verdict + p, va="center", fontsize=6.5, **look)


def p_words(p: float) -> str:
    """A p-value: "= 0.031", "< 0.001"."""
    words = str(p_value(p))
    return words if words.startswith("<") else f"= {words}"
