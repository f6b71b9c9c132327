"""The paper's tables 1 to 8, the paper's own values beside those of the studies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from fairrecon_jax.metrics import IMAGE_METRICS
from fairrecon_jax.report import cohort
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.paper.items import Item
from fairrecon_jax.report.paper.studies import (
    COHORTS,
    COLUMNS,
    MITIGATIONS,
    TASKS,
    PaperStudy,
    codings_left_out,
    first_of,
    known_changes,
    median_of,
    pooled,
    printed,
)
from fairrecon_jax.report.select import one, task_metric
from fairrecon_jax.report.tables.entries import Missing, fixed
from fairrecon_jax.report.tables.table import Table

NO_STUDY = {
    "xray": "no study of radiographs was given (--workdirs)",
    "mri": "no study of brain MRI was given (--workdirs)",
}
UNMITIGATED = "the study has no such mitigation"
NO_LPIPS = "the study has no LPIPS: name its weights in config.tandem.lpips"
SD = "in brackets the standard deviation over tasks"


def tables(studies: Sequence[PaperStudy], min_cell: int = 10) -> list[Item]:
    """Tables 1 to 8.

    Args:
      studies: finished studies, at most one of radiographs and one of brain MRI.
      min_cell: counts of fewer patients are withheld in tables 5 and 6.
    """
    return [
        baseline(studies),
        by_method(studies),
        by_mitigation(studies),
        cost(studies),
        *(people(studies, n, m, min_cell) for n, m in ((5, "xray"), (6, "mri"))),
        *(performance(studies, n, m) for n, m in ((7, "xray"), (8, "mri"))),
    ]


def paper(table: int, row: str, column: str, *more: Any) -> str | Missing:
    """A value as the paper prints it, with the minus sign of the values beside it."""
    value = printed(table, row, column, *more).replace("-", "−")
    return value or Missing("the paper prints none")


def lacking(studies: Sequence[PaperStudy]) -> tuple[str, ...]:
    """What a table over both cohorts leaves out."""
    return tuple(why for m, why in NO_STUDY.items() if first_of(studies, m) is None)


def attributes_of(studies: Sequence[PaperStudy]) -> list[str]:
    """Attributes of any study, each coding of race but the first left out."""
    names = dict.fromkeys(a for study in studies for a in study.findings.attributes)
    return [name for name in names if not name.startswith("race_")]


def baseline(studies: Sequence[PaperStudy]) -> Item:
    """Table 1: gaps on original images."""
    records, attributes = [], attributes_of(studies)
    for kind, label in (
        ("classification", "Classification EODD baseline"),
        ("segmentation", "Segmentation SER baseline"),
    ):
        rows = pd.concat(
            [s.originals([t for t in s.findings.spec.tasks if t.kind == kind]) for s in studies]
        )
        for attribute in attributes:
            values = rows.loc[rows["attribute"] == attribute, "value"]
            spread = f" ({values.std():.2f})" if len(values) > 1 else ""
            found = f"{values.mean():.2f}{spread}" if len(values) else Missing("no such task")
            records.append([label, attribute, len(values), found, paper(1, label, attribute)])
    table = Table(
        "table_1",
        "Gaps of the diagnosis on original images",
        f"Mean over tasks, {SD}; EODD 0 and SER 1 mean no gap.",
        pd.DataFrame(records, columns=["gap", "attribute", "tasks", "here", "paper"]),
        labels=2,
    )
    sources = [
        s.source(
            "fairness",
            version="original",
            metric=("eodd", "ser"),
            convention=s.findings.convention,
            level=f"{s.findings.headline_level:g}",
        )
        for s in studies
    ]
    return Item("table", 1, table.title, (table,), tuple(sources), lacking(studies))


def of_changes(studies: Sequence[PaperStudy], mitigation: str) -> tuple[str, ...]:
    """The rows behind changes of gaps."""
    return tuple(
        s.source(
            "fairness",
            version="change",
            metric=("eodd", "ser"),
            convention=s.findings.convention,
            level=f"{s.findings.headline_level:g}",
            mitigation=mitigation,
            column="percent",
        )
        for s in studies
    )


def by_method(studies: Sequence[PaperStudy]) -> Item:
    """Table 2: median change of the gap per method."""
    rows = codings_left_out(pooled(studies))
    rows, records = rows[rows["mitigation"] == "none"], []
    for label, absolute in (
        ("Median bias change %", False),
        ("Median absolute bias change %", True),
    ):
        for method, column in COLUMNS.items():
            chosen = rows[rows["method"] == method]
            if chosen.empty and method == "SDE":
                continue
            found = fixed(median_of(chosen, absolute), 2, "no such method here", not absolute)
            count = len(known_changes(chosen))
            records.append([label, method, count, found, paper(2, label, column)])
    frame = pd.DataFrame(records, columns=["measure", "method", "gaps", "here", "paper"])
    # of a method under two titles the one that is there
    if (frame["method"] == "SDE").any():
        frame = frame[(frame["method"] != "IR-SDE") | (frame["gaps"] > 0)]
    table = Table(
        "table_2",
        "Median change of the gaps per method, in %",
        "Over tasks and attributes of all studies given, at the headline levels, in percent of the "
        "gap on originals (EODD or SER); + is wider.",
        frame,
        labels=2,
    )
    return Item("table", 2, table.title, (table,), of_changes(studies, "none"), lacking(studies))


def by_mitigation(studies: Sequence[PaperStudy]) -> Item:
    """Table 3: median change of the gap per mitigation and attribute."""
    rows, records = codings_left_out(pooled(studies)), []
    labels = rows["mitigation"].map(MITIGATIONS).fillna(rows["mitigation"])
    present = list(dict.fromkeys([*MITIGATIONS.values(), *labels]))
    for label in present:
        for attribute in attributes_of(studies):
            chosen = rows[(labels == label) & (rows["attribute"] == attribute)]
            found = fixed(median_of(chosen), 2, UNMITIGATED, sign=True)
            count = len(known_changes(chosen))
            records.append([label, attribute, count, found, paper(3, label, attribute)])
    table = Table(
        "table_3",
        "Median change of the gaps per mitigation and attribute, in %",
        "Against the gap on originals, over tasks and methods of all studies given; + is wider.",
        pd.DataFrame(records, columns=["mitigation", "attribute", "gaps", "here", "paper"]),
        labels=2,
    )
    return Item("table", 3, table.title, (table,), of_changes(studies, "any"), lacking(studies))


def changes_of_cost(study: PaperStudy, label: str) -> tuple[float, float, int]:
    """Mean over methods of the change of PSNR and of the scores in percent of the unmitigated
    ones, and the number of methods.
    """
    level = study.findings.headline_level
    psnr, scores = study.quality("psnr", level), study.scores(level)
    scores = scores[scores["version"] == "reconstructed"]
    quality, task = [], []
    for recon, mitigation in study.findings.methods(psnr):
        plain = one(psnr, reconstructor=recon, mitigation="none")
        if mitigation == "none" or MITIGATIONS.get(mitigation) != label or plain is None:
            continue
        mine = one(psnr, reconstructor=recon, mitigation=mitigation)
        if mine is not None:
            quality.append(100 * (mine["value"] / plain["value"] - 1))
        own = scores[scores["reconstructor"] == recon].set_index("task")
        before = own.loc[own["mitigation"] == "none", "value"]
        after = own.loc[own["mitigation"] == mitigation, "value"]
        task += (100 * (after / before.reindex(after.index) - 1)).dropna().tolist()
    means = [sum(v) / len(v) if v else math.nan for v in (quality, task)]
    return means[0], means[1], len(quality)


def cost(studies: Sequence[PaperStudy]) -> Item:
    """Table 4: change of PSNR and of the diagnosis under mitigation."""
    records = []
    for label in ("Reweighted", "EODD"):
        for study in studies:
            psnr, task, methods = changes_of_cost(study, label)
            for what, value in (("PSNR change %", psnr), ("Downstream change %", task)):
                where = COHORTS[study.modality]
                own = paper(4, f"{what} {label}", where)
                found = fixed(value, 2, UNMITIGATED, sign=True)
                records.append([what, label, study.title, methods, found, own])
    table = Table(
        "table_4",
        "What mitigation cost in image quality and diagnosis, in %",
        "Mitigated against unmitigated reconstruction, mean over methods (and tasks: AUROC, Dice).",
        pd.DataFrame(
            records, columns=["measure", "mitigation", "cohort", "methods", "here", "paper"]
        ).sort_values(["measure", "mitigation"], kind="stable", ascending=[False, False]),
        labels=3,
    )
    sources = [
        s.source(
            "performance",
            version="reconstructed",
            metric=("psnr", "auroc", "dice"),
            attribute="(none)",
            level=f"{s.findings.headline_level:g}",
        )
        for s in studies
    ]
    return Item("table", 4, table.title, (table,), tuple(sources), lacking(studies))


def people(studies: Sequence[PaperStudy], number: int, modality: str, least: int) -> Item:
    """Tables 5 and 6: who was evaluated."""
    title = "Who was evaluated: radiographs" if modality == "xray" else "Who was evaluated: MRI"
    study = first_of(studies, modality)
    if study is None:
        return Item("table", number, title, missing=(NO_STUDY[modality],))
    counted = cohort.counts(study.findings.spec, study.people, least)
    table = Table(
        f"table_{number}",
        title,
        f"{counted.caption} The paper's counts are not among the numbers kept in the package.",
        counted.frame,
        counted.spans,
        counted.labels,
    )
    source = f"{study.folder / 'predictions.parquet'}: patients by split and attribute"
    return Item("table", number, title, (table,), (source,))


def performance(studies: Sequence[PaperStudy], number: int, modality: str) -> Item:
    """Tables 7 and 8: score of every task, PSNR and LPIPS per level and method."""
    title = f"Performance per level: {'radiographs' if modality == 'xray' else 'MRI'}"
    study = first_of(studies, modality)
    if study is None:
        return Item("table", number, title, missing=(NO_STUDY[modality],))
    findings, columns = study.findings, ["baseline", "unet", "gan", "sde"]
    records: list[list[Any]] = []
    lines = [(findings.task_title(t.name), t.name, task_metric(t)) for t in findings.spec.tasks]
    if modality == "mri":
        lines = [(TASKS.get(name, title), name, metric) for title, name, metric in lines]
    lines += [("Average", "mean", "auroc")] if modality == "xray" else []
    lines += [(TASKS[m], "", m) for m in ("psnr", "lpips")]
    for level in findings.levels:
        for row, task, metric in lines:
            record: list[Any] = [style.level_name(level, findings.spec.degradation), row]
            for column in columns:
                record.append(score(study, level, task, metric, column))
                where = COHORTS[modality], level
                record.append(printed(number, row, column, *where) or "–")
            records.append(record)
    heads = ["original", "U-Net", "GAN", "SDE"]
    table = Table(
        f"table_{number}",
        title,
        "AUROC (Dice of the tumour), PSNR in dB and LPIPS; beside each value that of the paper at "
        "the same level, where it has one.",
        pd.DataFrame(
            records, columns=pd.Index([findings.spec.degradation.unit, "", *["here", "paper"] * 4])
        ),
        (("", 2), *((head, 2) for head in heads)),
        labels=2,
    )
    source = study.source(
        "performance",
        attribute="(none)",
        metric=("auroc", "dice", "psnr", "lpips"),
        version=("original", "reconstructed"),
        mitigation="none",
    )
    missing = () if len(study.quality("lpips")) else (f"row LPIPS: {NO_LPIPS}",)
    return Item("table", number, title, (table,), (source,), missing)


def score(study: PaperStudy, level: float, task: str, metric: str, column: str) -> str | Missing:
    """An entry of tables 7 and 8."""
    if task == "":
        if column == "baseline":
            return "–"
        reason = NO_LPIPS if metric == "lpips" else "not computed in this study"
        rows, digits = study.quality(metric, level), IMAGE_METRICS[metric].digits
    else:
        rows, digits, reason = study.scores(level), 2, "no such task or method here"
        rows = rows[rows["metric"] == metric]
        rows = rows if task == "mean" else rows[rows["task"] == task]
    rows = rows[rows["mitigation"] == "none"]
    if column == "baseline":
        rows = rows[rows["version"] == "original"].drop_duplicates("task")
    else:
        methods = rows["reconstructor"].map(study.method).map(COLUMNS)
        rows = rows[(rows["version"] == "reconstructed") & (methods == column)]
        # of variants of a method the first
        rows = rows.drop_duplicates("task")
    return fixed(float(rows["value"].mean()) if len(rows) else math.nan, min(digits, 2), reason)
