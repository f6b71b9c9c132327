"""Mitigated against unmitigated: verdicts in words, price, the trade between gap and quality, and
the sweep of a term's weight.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import (
    SLANTED,
    WIDTH,
    Drawing,
    canvas,
    few_ticks,
    fits,
    legend,
    point,
    signed,
)
from fairrecon_jax.report.select import (
    Findings,
    clean,
    each,
    gap_metric,
    known,
    merge_seeds,
    one,
    task_metric,
)
from fairrecon_jax.report.tables.table import Table, fixed, p_cell, with_interval

WORDS = {
    "helped": "▼ helped",
    "harmed": "▲ harmed",
    "shifted": "◆ shifted",
    "no detectable effect": "no detectable effect",
}
METHOD = ("reconstructor", "mitigation")
SWEEP = (
    "sweep",
    "reconstructor",
    "level",
    "weight",
    "part",
    "metric",
    "task",
    "attribute",
    "value",
    "chosen",
    "mitigation",
    "reason",
)


def change_rows(findings: Findings) -> pd.DataFrame:
    """Rows of all mitigations with their change against the unmitigated reconstruction, seeds
    merged; empty where there is none.
    """
    if findings.comparison is None or findings.comparison.empty:
        return pd.DataFrame()
    rows = merge_seeds(clean(findings.comparison, "mitigation"))
    return rows[rows["version"] == "change"]


def verdicts(findings: Findings) -> Table | None:
    """What each mitigation did to each gap, with the verdict of the paired test."""
    rows = change_rows(findings)
    if rows.empty:
        return None
    own = {t.name: gap_metric(t) for t in findings.spec.tasks}
    rows = rows[
        (rows["metric"] == rows["task"].map(own)) & rows["attribute"].isin(findings.attributes)
    ]
    records = [
        {
            "level": style.level_name(row.level, findings.spec.degradation),
            "method": findings.method_name(row.reconstructor, row.mitigation),
            "diagnosis": findings.task_title(row.task),
            "attribute": row.attribute,
            "gap": style.metric_name(row.metric),
            "unmitigated": fixed(row.original, 3, row.reason),
            "mitigated": fixed(row.reconstructed, 3, row.reason),
            "change (95% interval)": with_interval(
                row.change, row.ci_low, row.ci_high, 3, row.reason, sign=True
            ),
            "adjusted p": p_cell(row.p_adjusted, "no test ran"),
            "detectable": fixed(row.mde, 3, "not computed"),
            "verdict": WORDS.get(row.verdict, row.verdict or "no test ran"),
            "where": " ".join(filter(None, [row.group, row.label_stratum])),
            "in words": row.reason,
        }
        for row in each(rows)
    ]
    if not records:
        return None
    caption = (
        "The test of the other tables, with the unmitigated reconstruction in the place "
        "of the original image. Helped: the gap narrowed by "
        "more than chance explains. Harmed: it widened, or its sides swapped. Shifted: "
        "groups changed unequally, the largest gap did not "
        "clearly change. No detectable effect: a true change up to about 'detectable' "
        "may hide in it."
    )
    return Table(
        "mitigation_verdicts",
        "Did mitigation help?",
        caption,
        pd.DataFrame(records),
        labels=5,
        folded=len(records) > 20,
    )


def price(findings: Findings) -> Table | None:
    """Paired change of PSNR, AUROC and Dice of everyone, with intervals."""
    rows = change_rows(findings)
    if rows.empty:
        return None
    rows = rows[rows["metric"].isin(["psnr", "auroc", "dice"]) & (rows["attribute"] == "")]
    records = [
        {
            "level": style.level_name(row.level, findings.spec.degradation),
            "method": findings.method_name(row.reconstructor, row.mitigation),
            "metric": style.metric_name(row.metric),
            "diagnosis": findings.task_title(row.task) if row.task else "",
            "unmitigated": fixed(row.original, 3, row.reason),
            "mitigated": fixed(row.reconstructed, 3, row.reason),
            "change (95% interval)": with_interval(
                row.change, row.ci_low, row.ci_high, 3, row.reason, sign=True
            ),
        }
        for row in each(rows)
    ]
    caption = (
        "Paired over the same test images; intervals resample patients (AUROC: DeLong by patient)."
    )
    return (
        Table(
            "mitigation_price",
            "What mitigation cost, with intervals",
            caption,
            pd.DataFrame(records),
            labels=4,
        )
        if records
        else None
    )


def pareto_cells(findings: Findings) -> pd.DataFrame:
    """Gap and task score of each diagnosis, attribute and method at the headline level, where both
    were estimated.

    Returns:
      Columns task, attribute, reconstructor, mitigation, metric, value (the gap), metric_score,
        value_score, and `common`: whether every
      method with such a gap has this diagnosis and attribute.
    """
    wanted = {"version": "reconstructed", "level": findings.headline_level}
    gaps = findings.pick("fairness", attribute=findings.attributes, **wanted)
    gaps = gaps[
        gaps["metric"] == gaps["task"].map({t.name: gap_metric(t) for t in findings.spec.tasks})
    ]
    scores = findings.pick("performance", attribute="", **wanted)
    scores = scores[
        scores["metric"]
        == scores["task"].map({t.name: task_metric(t) for t in findings.spec.tasks})
    ]
    both = gaps.merge(
        scores[["task", *METHOD, "metric", "value"]], on=["task", *METHOD], suffixes=("", "_score")
    )
    both = both[both["reconstructor"] != "identity"].dropna(subset=["value", "value_score"])
    methods = both.groupby(list(METHOD)).ngroup().groupby(both["metric"]).transform("nunique")
    held = both.groupby(["task", "attribute"])["value"].transform("size")
    return both[
        ["task", "attribute", *METHOD, "metric", "value", "metric_score", "value_score"]
    ].assign(common=held == methods)


def pareto_rows(findings: Findings) -> pd.DataFrame:
    """Per gap metric, method and mitigation: mean gap and mean task score over what every method
    has, and PSNR; long, one panel a row.
    """
    cells = pareto_cells(findings)
    cells = cells[cells["common"]].rename(
        columns={"metric": "gap_metric", "metric_score": "score_metric"}
    )
    keys = ["gap_metric", "score_metric", *METHOD]
    scores = cells.drop_duplicates([*keys, "task"]).groupby(keys)["value_score"].mean()
    means = pd.concat(
        [cells.groupby(keys)["value"].mean(), scores], axis=1, keys=["gap", "score"]
    ).reset_index()
    psnr = findings.pick(
        "performance",
        metric="psnr",
        attribute="",
        version="reconstructed",
        level=findings.headline_level,
    )
    return means.merge(
        psnr[[*METHOD, "value"]].rename(columns={"value": "psnr"}), on=list(METHOD), how="left"
    )


def averaged(cells: pd.DataFrame) -> str:
    """Over what the means of `pareto_rows` go, with counts where something is left out."""
    words = "means over diagnoses (and attributes, for the gap)"
    if cells["common"].all():
        return words
    tasks, pairs = (
        [len(rows[columns].drop_duplicates()) for rows in (cells[cells["common"]], cells)]
        for columns in (["task"], ["task", "attribute"])
    )
    return (
        f"{words}. Only what every method has is averaged: {tasks[0]} of {tasks[1]} diagnoses, "
        f"{pairs[0]} of {pairs[1]} pairs of diagnosis and attribute"
    )


def unbeaten(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which of N points no other point beats: none is as good on both axes and better on one.

    Args:
      first: [N], higher is better.
      second: [N], higher is better.

    Returns:
      [N] bool.
    """
    as_good = (first[:, None] >= first[None]) & (second[:, None] >= second[None])
    better = (first[:, None] > first[None]) | (second[:, None] > second[None])
    return np.asarray(~(as_good & better).any(axis=0))


def pareto(findings: Findings) -> Drawing | None:
    """Mean gap against mean task score and against PSNR; one marker per mitigation, one colour per
    reconstructor.
    """
    if findings.mitigations == ["none"]:
        return None
    rows = pareto_rows(findings)
    if rows.empty:
        return None
    kinds = list(dict.fromkeys(zip(rows["gap_metric"], rows["score_metric"], strict=True)))
    with canvas(2.7 * len(kinds)) as figure:
        columns = ["score", "psnr"] if rows["psnr"].notna().any() else ["score"]
        panels = figure.subplots(len(kinds), len(columns), squeeze=False)
        for (gap, score), line in zip(kinds, panels, strict=True):
            mine = rows[rows["gap_metric"] == gap]
            for axes, column in zip(line, columns, strict=True):
                name = score if column == "score" else column
                shown = mine.dropna(subset=[column])
                for row in each(shown):
                    point(
                        axes,
                        getattr(row, column),
                        row.gap,
                        findings.looks[row.reconstructor],
                        findings.markers[row.mitigation],
                    )
                    start = one(shown, reconstructor=row.reconstructor, mitigation="none")
                    if start is not None and row.mitigation != "none":
                        path = {
                            "color": findings.looks[row.reconstructor].color,
                            "linewidth": 0.6,
                            "alpha": 0.5,
                            "zorder": 1,
                        }
                        axes.plot(
                            [start[column], getattr(row, column)], [start["gap"], row.gap], **path
                        )
                best = shown[unbeaten(shown[column].to_numpy(), -shown["gap"].to_numpy())]
                axes.scatter(
                    best[column],
                    best["gap"],
                    s=95,
                    facecolors="none",
                    edgecolors=style.INK,
                    linewidths=0.8,
                    zorder=5,
                )
                axes.set(
                    xlabel=f"{style.metric_name(name)} (better →)",
                    ylabel=f"{style.metric_name(gap)} (fairer ↓)",
                )
                axes.margins(0.15)
                few_ticks(axes, 5)
                axes.grid()
        legend(figure, findings, rows)
    caption = (
        f"At {style.level_phrase(findings.headline_level, findings.spec.degradation)}: "
        f"{averaged(pareto_cells(findings))}. "
        "Down and right is better on both. Ringed: no other mark is better on both axes "
        "(the Pareto front); a thin line leads from a "
        "method to the same method with a mitigation. Means carry no interval."
    )
    alt = "Gap against quality: " + "; ".join(
        f"{findings.method_name(r.reconstructor, r.mitigation)} "
        f"{style.metric_name(r.gap_metric)} {r.gap:.3f}, "
        f"{style.metric_name(r.score_metric)} {r.score:.3f}"
        + (f", PSNR {r.psnr:.1f}" if known(r.psnr) else "")
        for r in each(rows)
    )
    return Drawing(
        "mitigation_pareto",
        "Gap, diagnosis and image quality together",
        caption,
        f"{alt}.",
        figure,
        rows,
    )


def sweep_rows(findings: Findings) -> pd.DataFrame:
    """Per sweep, reconstructor, weight and part: mean gap above no gap, mean task score, PSNR."""
    if findings.sweep is None or findings.sweep.empty:
        return pd.DataFrame()
    missing = [c for c in SWEEP if c not in findings.sweep.columns]
    if missing:
        raise ValueError(
            f"the sweep table lacks the columns {missing}; write it with `fairrecon study`"
        )
    table = findings.sweep[findings.sweep["level"] == findings.headline_level]
    value = table["value"] - (table["metric"] == "ser")
    kind = table["metric"].map(
        {"eodd": "gap", "ser": "gap", "auroc": "score", "dice": "score", "psnr": "psnr"}
    )
    keys = ["sweep", "reconstructor", "weight", "part", "mitigation", "chosen"]
    return (
        table.assign(value=value, kind=kind)
        .pivot_table(index=keys, columns="kind", values="value")
        .reset_index()
    )


def sweep(findings: Findings) -> Drawing | None:
    """The weight of the term against gap, task score and PSNR (paper: figures 11 and 12)."""
    rows = sweep_rows(findings)
    if rows.empty:
        return None
    kinds = [k for k in ("gap", "score", "psnr") if k in rows]
    titles = {"gap": "mean gap (EODD, SER − 1)", "score": "mean AUROC / Dice", "psnr": "PSNR (dB)"}
    with canvas(2.7) as figure:
        panels = figure.subplots(1, len(kinds), squeeze=False)[0]
        for axes, kind in zip(panels, kinds, strict=True):
            for key, mine in rows.groupby(["sweep", "reconstructor", "part"], sort=False):
                name, recon, part = map(str, key)
                look, tried = findings.looks[recon], mine[mine["weight"] > 0].sort_values("weight")
                faint = {"alpha": 1.0 if part == "val" else 0.45, "color": look.color}
                axes.plot(
                    tried["weight"],
                    tried[kind],
                    linestyle="-" if part == "val" else "--",
                    linewidth=1.1,
                    **faint,
                )
                for row in each(tried):
                    size = 7.0 if row.chosen == row.mitigation else 4.0
                    marker = findings.markers.get(name, "o")
                    point(
                        axes,
                        row.weight,
                        getattr(row, kind),
                        look,
                        marker,
                        markersize=size,
                        alpha=faint["alpha"],
                    )
                for value in mine.loc[mine["weight"] == 0, kind]:
                    axes.axhline(value, linewidth=0.8, linestyle=":", **faint)
            axes.set(xscale="log", xlabel="weight of the term", title=titles[kind])
            weights = sorted({float(w) for w in rows["weight"] if w > 0})
            axes.set_xticks(weights, [f"{w:g}" for w in weights])
            axes.set_xticks([], minor=True)
            axes.margins(x=0.12)
            axes.grid()
        legend(figure, findings, rows.assign(mitigation=rows["sweep"]))
    reasons = (
        "; ".join(dict.fromkeys(str(r) for r in findings.sweep["reason"]))
        if findings.sweep is not None
        else ""
    )
    caption = (
        "Solid: validation patients, from whom the weight was chosen; dashed: test "
        "patients; dotted: without mitigation; "
        f"the large mark is the chosen weight. {reasons}."
    )
    best = rows[(rows["part"] == "val") & (rows["weight"] > 0)]
    alt = "; ".join(
        f"{findings.looks[r.reconstructor].name} {r.mitigation}: "
        + ", ".join(f"{k} {signed(getattr(r, k), 3)}" for k in kinds)
        for r in each(best)
    )
    return Drawing(
        "mitigation_sweep",
        "How strong the term should be",
        caption,
        f"Weight of the term on validation: {alt}.",
        figure,
        rows,
    )


def fallbacks(findings: Findings) -> list[str]:
    """Sentences about sweeps in which no weight was admissible, so that the unmitigated model
    stands under the mitigation's name.
    """
    if findings.sweep is None or findings.sweep.empty:
        return []
    kept = findings.sweep[findings.sweep["chosen"] == "none"].drop_duplicates(
        ["sweep", "reconstructor", "level"]
    )
    return [f"{findings.method_name(r.reconstructor, r.sweep)}: {r.reason}." for r in each(kept)]


def bars(findings: Findings) -> Drawing | None:
    """Change of every task score by each mitigation, as bars (paper: figure 13)."""
    rows = change_rows(findings)
    if rows.empty:
        return None
    rows = rows[
        rows["metric"].isin(["auroc", "dice"])
        & (rows["attribute"] == "")
        & (rows["level"] == findings.headline_level)
    ]
    rows = rows.dropna(subset=["change"])
    if rows.empty:
        return None
    tasks, methods = list(dict.fromkeys(rows["task"])), findings.methods(rows)
    width = 0.8 / len(methods)
    with canvas(2.6) as figure:
        axes = figure.subplots()
        axes.axhline(0, color=style.GREY, linewidth=0.7)
        for i, (recon, mitigation) in enumerate(methods):
            mine = (
                rows[(rows["reconstructor"] == recon) & (rows["mitigation"] == mitigation)]
                .set_index("task")
                .reindex(tasks)
            )
            at, look = (
                np.arange(len(tasks)) + (i - (len(methods) - 1) / 2) * width,
                findings.looks[recon],
            )
            axes.bar(at, mine["change"], width=0.9 * width, color=look.color, alpha=0.55)
            axes.vlines(at, mine["ci_low"], mine["ci_high"], color=style.INK, linewidth=0.8)
            point(axes, at, mine["change"], look, findings.markers[mitigation], markersize=4.0)
        names = [findings.task_title(t) for t in tasks]
        axes.set_xticks(range(len(tasks)), names, **({} if fits(names, WIDTH - 0.8) else SLANTED))
        axes.set_xlim(min(-0.6, len(tasks) / 2 - 2), max(len(tasks) - 0.4, len(tasks) / 2 + 1))
        metrics = " / ".join(style.metric_name(m) for m in dict.fromkeys(rows["metric"]))
        axes.set_ylabel(f"change of {metrics}")
        legend(figure, findings, rows)
    caption = (
        "Mitigated minus unmitigated reconstruction on the same test images, everyone "
        "together, with 95% intervals; higher is better."
    )
    alt = "Change of the task score: " + "; ".join(
        f"{findings.method_name(r.reconstructor, r.mitigation)}, "
        f"{findings.task_title(r.task)} {signed(r.change, 3)}"
        for r in each(rows)
    )
    return Drawing(
        "mitigation_scores",
        "What mitigation did to the diagnosis",
        caption,
        f"{alt}.",
        figure,
        rows,
    )
