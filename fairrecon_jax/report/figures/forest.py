"""Forest plots: what the group that stands out lost beyond the others, with interval and verdict,
and each gap before and after over its permutation null.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import (
    HALO,
    PALE,
    WIDTH,
    Drawing,
    Marks,
    canvas,
    few_ticks,
    legend,
    not_estimable,
    null_handle,
    side_by_side,
    stripes,
    wrap,
)
from fairrecon_jax.report.select import Findings, changed, changed_rows, each, known
from fairrecon_jax.report.strata import group_rows, standing_out
from fairrecon_jax.report.tables.entries import p_value
from fairrecon_jax.runtime.text import file_stem

SIGNS = style.SIGNS
LABELS = {"positive": "+", "negative": "−"}
"""Labels in short: with and without the finding."""
BESIDE: Any = {
    "xytext": (3, 0),
    "textcoords": "offset points",
    "va": "center",
    "fontsize": 6.2,
    "color": style.INK,
}
"""Where words beside a mark stand."""
DASH: Any = {
    "marker": "|",
    "markersize": 7,
    "markeredgewidth": 1.4,
    "color": style.INK,
    "linestyle": "none",
}
"""The upright dash of a value on original images."""


def overview(findings: Findings) -> Drawing | None:
    """Per task and attribute at the headline level the group that stands out, beside the others;
    methods without mitigation.
    """
    rows = standing_rows(findings, findings.plain(findings.gap_changes()))
    tasks = [t.name for t in findings.tasks_in(rows)]
    attributes = findings.attributes_in(rows)
    if not tasks:
        return None
    methods = findings.methods(rows)
    # inches: a line of text per task, or room for the marks of all methods
    with canvas(0.95 + len(tasks) * max(0.24, 0.125 * len(methods))) as figure:
        panels = figure.subplots(1, len(attributes), sharey=True, squeeze=False)[0]
        for axes, attribute in zip(panels, attributes, strict=True):
            of_attribute = rows[rows["attribute"] == attribute]
            overview_panel(axes, findings, of_attribute, tasks, methods, len(attributes))
            axes.set(title=f"by {attribute}", xlabel="← lost more than the others")
        panels[0].set_yticks(range(len(tasks)), [wrap(label(findings, t), 22) for t in tasks])
        # upside down: the first task stands on top
        panels[0].set_ylim(len(tasks) - 0.5, -0.5)
        legend(figure, findings, rows)
    caption = (
        f"Per diagnosis and attribute, at {findings.headline}: the change of one group's "
        f"{rates_used(findings, rows)} minus that of the other groups, in points of 100. The group "
        "is the one that the verdict names; where nothing is claimed, the one that fell behind "
        "most (pale). Lines are 95% intervals that hold for all groups and labels of a comparison "
        f"at once. Strong marks carry a verdict ({SIGNS}) with the group, + with or − without the "
        "finding, and the gap: ↔ widened, →← narrowed, ⇄ reversed, = same. n.e. = not estimable."
    )
    return Drawing(
        "overview_group_change",
        "Who lost more than the others",
        caption,
        alt_text(findings, rows),
        figure,
        rows,
    )


def standing_rows(findings: Findings, rows: pd.DataFrame) -> pd.DataFrame:
    """Gaps with the group that stands out in each, see `strata.standing_out`."""
    parts = [group_rows(findings, metric) for metric in sorted(rows["metric"].unique())]
    per_group = pd.concat(parts) if parts else group_rows(findings, "")
    return standing_out(rows, per_group)


def overview_panel(
    axes: Axes,
    findings: Findings,
    rows: pd.DataFrame,
    tasks: list[str],
    methods: list[tuple[str, str]],
    panels: int,
) -> None:
    """The standing-out groups of one of several attributes: tasks as lines, methods side by
    side.
    """
    axes.axvline(0, color=style.INK, linewidth=0.8, zorder=1)
    stripes(axes, len(tasks), vertical=False)
    shift = side_by_side(methods, 0.26, 0.7)
    line_of = {task: i for i, task in enumerate(tasks)}
    marks = Marks(size=4.2 if len(methods) < 5 else 3.4)
    for row in each(rows):
        y = line_of[row.task] + shift[row.reconstructor, row.mitigation]
        if not known(row.extra_change):
            text = "at chance" if row.verdict == "at chance" else "n.e."
            not_estimable(axes, 0, y, bbox=HALO, text=text)
            continue
        extra_mark(marks, findings, row, y)
        if changed(row.verdict):
            # x in parts of the panel, y in lines: at its right edge, whatever the values
            edge: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "right"}
            axes.text(1, y, short_words(row), va="center", fontsize=6.2, **edge)
    marks.draw(axes)
    few_ticks(axes)
    axes.margins(x=0.08)
    longest = max((len(short_words(row)) for row in each(changed_rows(rows))), default=0)
    # room for the words at the right: 0.058 inches a letter, in panels that share the width
    share = min(0.058 * longest * panels / (WIDTH - 1.2), 0.65)
    low, high = axes.get_xlim()
    # share s of the whole is s / (1 - s) of what was there
    axes.set_xlim(low, high + share / (1 - share) * (high - low))
    axes.tick_params(axis="y", length=0)


def extra_mark(marks: Marks, findings: Findings, row: Any, y: float) -> None:
    """Adds the mark of one group's change beside the others', in points; pale without a claim."""
    marks.add(
        findings.looks[row.reconstructor],
        findings.markers[row.mitigation],
        y,
        100 * row.extra_change,
        100 * row.extra_ci_low,
        100 * row.extra_ci_high,
        1.0 if changed(row.verdict) else PALE,
    )


def short_words(row: Any) -> str:
    """A verdict beside a mark: "▼ Female + ↔"."""
    label, gap = LABELS.get(row.stratum_label, ""), style.gap_sign(row.gap)
    signs = [style.verdict_sign(row.verdict), row.stratum_group, label, gap]
    return " ".join(filter(None, signs))


def rates_used(findings: Findings, rows: pd.DataFrame) -> str:
    """What is compared for the kinds of tasks: "sensitivity or specificity", "Dice"."""
    kinds = {t.kind for t in findings.tasks_in(rows)}
    words = {"classification": "sensitivity or specificity", "segmentation": "Dice"}
    return ", or ".join(words[k] for k in words if k in kinds)


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
    """The claims of a forest in words, for its alternative text."""
    named = [
        f"{findings.task_title(r.task)} by {r.attribute} with "
        f"{findings.method_name(r.reconstructor, r.mitigation)}: "
        + " ".join(filter(None, [r.group, r.verdict]))
        + (f", gap {r.gap}" if r.gap else "")
        for r in each(rows)
        if changed(r.verdict)
    ]
    counts = rows["verdict"].replace("", "not tested").value_counts()
    return (
        f"Dot chart of {len(rows)} comparisons of groups: "
        + ", ".join(f"{int(counts[v])} {v}" for v in sorted(counts.index))
        + ". Claimed: "
        # an end to it: a screen reader reads all of it aloud
        + ("; ".join(named[:15]) if named else "none")
        + "."
    )


def gap_forests(findings: Findings) -> list[Drawing]:
    """For each attribute: gaps before and after over the permutation null, the group that stands
    out with its interval, verdict and p-value in words.
    """
    return [d for a in findings.attributes if (d := gap_forest(findings, a)) is not None]


def gap_forest(findings: Findings, attribute: str) -> Drawing | None:
    """The forest of one attribute at the headline level, one line per task and method without
    mitigation.
    """
    rows = standing_rows(findings, findings.plain(findings.gap_changes(attribute=attribute)))
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
            gridspec_kw={"width_ratios": [0.75, 0.85, 1.1], "height_ratios": heights},
        )
        for line, kind in zip(grid, kinds, strict=True):
            names = [t.name for t in tasks if t.kind == kind]
            forest_rows(line, findings, rows[rows["task"].isin(names)], names, methods)
            metric = style.metric_name("eodd" if kind == "classification" else "ser")
            line[0].set_xlabel(f"{metric}: gap between groups")
            line[1].set_xlabel("← lost more than the others (points)")
        originals = Line2D([], [], **DASH, label="original images")
        legend(figure, findings, rows, extra=(originals, null_handle()))
    caption = (
        f"Groups by {attribute}, at {findings.headline}. Left: the gap on originals (upright "
        "dash) and on reconstructions (mark). The blue-grey bar is the permutation null, "
        "the gap that permuted groups of the same sizes show on average: a gap inside it is no "
        "evidence for a difference. A gap is a largest difference and has no interval that covers "
        "as often as it says. Middle: the change of one group minus that of the others, with its "
        "interval over all groups and labels at once; the group is the one named at the right. "
        f"Right: the verdict ({SIGNS}) with its group (+ with, − without the finding), its p-value "
        "over the family of comparisons, and what became of the gap; in grey the group that fell "
        "behind most where no difference is shown."
    )
    key = f"gap_forest_{file_stem(attribute)}"
    return Drawing(
        key,
        f"Gaps by {attribute} before and after, with verdicts",
        caption,
        alt_text(findings, rows),
        figure,
        rows,
    )


def forest_rows(
    line: list[Axes],
    findings: Findings,
    rows: pd.DataFrame,
    tasks: list[str],
    methods: list[tuple[str, str]],
) -> None:
    """Draws the three columns of a forest: gaps over the null, groups, verdicts as text."""
    gap, extra, words = line
    extra.axvline(0, color=style.INK, linewidth=0.8)
    block = len(methods) + 0.6  # lines of one task and the space below them
    for i in range(1, len(tasks), 2):
        for axes in line:
            # 0.8: half of the 1.6 lines from one task's last mark to the next one's first
            axes.axhspan(
                i * block - 0.8, (i + 1) * block - 0.8, color="#f7f7f7", linewidth=0, zorder=0
            )
    places = {(t, *m): i * block + j for i, t in enumerate(tasks) for j, m in enumerate(methods)}
    keys = zip(rows["task"], rows["reconstructor"], rows["mitigation"], strict=True)
    rows = rows.assign(y=[places[key] for key in keys])
    after, extras = Marks(size=4.0, width=0.9), Marks(size=4.0)
    for row in each(rows):
        look, marker = findings.looks[row.reconstructor], findings.markers[row.mitigation]
        if known(row.change):
            # the line leads from the original to the mark: no interval is drawn in this column
            after.add(look, marker, row.y, row.reconstructed, row.original, row.reconstructed)
        # a stratum that is not judged gets no mark, not even a pale one
        if known(row.extra_change):
            extra_mark(extras, findings, row, row.y)
        verdict_text(words, row)
    # the rows are of one kind of task, so of one metric
    no_gap = 1.0 if (rows["metric"] == "ser").any() else 0.0
    draw_nulls(gap, rows.dropna(subset=["permutation_null"]), no_gap)
    gap.plot(rows["original"], rows["y"], **DASH, zorder=5)
    after.draw(gap)
    extras.draw(extra)
    gap.set_yticks(
        [i * block + (len(methods) - 1) / 2 for i in range(len(tasks))],
        [wrap(findings.task_title(t), 20) for t in tasks],
    )
    gap.set_ylim(len(tasks) * block - 0.8, -0.8)
    gap.set_xlim(left=no_gap - 0.002)  # after drawing: it freezes the right limit
    few_ticks(gap)
    few_ticks(extra)
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
    """The verdict of one line of a forest: who, p-value, what became of the gap."""
    strong = changed(row.verdict)
    untested = "no test" if known(row.change) else "not estimable"
    who = " ".join(filter(None, [row.stratum_group, LABELS.get(row.stratum_label, "")]))
    p = f"p {p_words(row.p_adjusted)}" if known(row.p_adjusted) else ""
    verdict = f"{style.verdict_sign(row.verdict)} {row.verdict or untested}".strip()
    look: dict[str, Any] = {
        "color": style.INK if strong else style.GREY,
        "fontweight": "bold" if strong else "normal",
    }
    text = ", ".join(filter(None, [f"{verdict}: {who}" if who else verdict, p, row.gap]))
    axes.text(0, row.y, text, va="center", fontsize=6.0, **look)


def p_words(p: float) -> str:
    """A p-value: "= 0.031", "< 0.001"."""
    words = str(p_value(p))
    return words if words.startswith("<") else f"= {words}"
