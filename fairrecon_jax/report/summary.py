"""The sentences of the first screen, composed from the tables."""

from __future__ import annotations

import math
import re

import pandas as pd

from fairrecon_jax.report.claims import WHY, comparisons, counted, primary, who_lost_more
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.quality import mean_scores
from fairrecon_jax.report.long_tables import DISAGREE
from fairrecon_jax.report.select import Findings, changed_rows, each, known, task_metric
from fairrecon_jax.report.words import listing
from fairrecon_jax.types import plural


def sentences(findings: Findings) -> list[tuple[str, str]]:
    """(heading, text): who lost more than others and how sure that is, what happened to diagnosis
    in all patients, the degraded image for comparison, what was compared.
    """
    parts = [
        ("Who lost more than others", who_lost_more(findings)),
        (
            "What happened to diagnosis",
            " ".join(filter(None, (diagnosis(findings), in_practice(findings)))),
        ),
        ("Without reconstruction", degraded(findings)),
        ("What was compared", compared(findings)),
    ]
    return [(heading, without_level(findings, text)) for heading, text in parts if text]


def without_level(findings: Findings, text: str) -> str:
    """A sentence without the clause on its level, where nobody named one."""
    if findings.spec.degradation.is_named:
        return text
    phrase = re.escape(style.level_phrase(findings.headline_level, findings.spec.degradation))
    text = re.sub(rf"(^|\. )At {phrase},? (\w)", lambda m: m[1] + m[2].upper(), text)
    return re.sub(rf",? at {phrase}", "", text)


def compared(findings: Findings) -> str:
    """What was compared: cohort, versions, methods, levels."""
    spec = findings.spec
    names = [r for r in findings.reconstructors if r not in findings.degraded]
    methods = listing([findings.looks[r].name for r in names])
    by_methods = f"from its reconstruction by {methods}" if methods else ""
    plain = "from the degraded image itself" if findings.degraded else ""
    sources = " and ".join(filter(None, [by_methods, plain]))
    if not sources:
        return (
            f"On {spec.title}, nothing could be compared: the tables hold no reconstruction method."
        )
    kinds = {"classification": "finding", "segmentation": "delineation"}
    tasks = [
        plural(n, word)
        for kind, word in kinds.items()
        if (n := sum(t.kind == kind for t in spec.tasks))
    ]
    levels = (
        listing([style.level_name(v, spec.degradation) for v in findings.levels])
        or "an unknown level"
    )
    mitigations = [style.mitigation_name(m) for m in findings.mitigations if m != "none"]
    mitigated = f", with and without mitigation ({listing(mitigations)})" if mitigations else ""
    rows = findings.pick(
        "performance", metric=["auroc", "dice"], attribute="", version=["reconstructed", "change"]
    )
    # the largest: tasks with unknown labels rest on fewer patients
    most = rows["n_patients"].max()
    who = f" ({plural(int(most), 'patient')})" if known(most) else ""
    named = f", {spec.degradation.title}" if spec.degradation.is_named else ""
    at = f"{mitigated}{named} at {spec.degradation.unit} {levels}"
    if not findings.has_originals:
        return (
            f"On {spec.title}{who}, the diagnosis ({listing(tasks)}) of each image was made "
            f"{sources}{at}; no diagnosis of an original image is in the tables."
        )
    return (
        f"On {spec.title}{who}, the same diagnosis ({listing(tasks)}) was made once from each "
        f"original image and once {sources}{at}."
    )


def diagnosis(findings: Findings) -> str:
    """What happened to all patients: mean task scores before and after at the headline level, and
    the verdicts. The degraded image has its own sentence, a diagnosis at chance none.
    """
    at = f"At {findings.headline}"
    rows = findings.restored(score_rows(findings))
    parts = [score_change(findings, rows, metric) for metric in ("auroc", "dice")]
    parts = [part for part in parts if part]
    if not parts:
        # decisions, which have no scores
        rates = ("sensitivity", "specificity")
        rows = findings.restored(score_rows(findings, rates))
        parts = [part for metric in rates if (part := score_change(findings, rows, metric))]
    if not parts:
        return (
            f"{at}, what happened to diagnosis could not be estimated: no diagnosis has a "
            "score by every method on both versions."
        )
    weak = [findings.task_title(task) for task in findings.at_chance]
    left = f" ({listing(weak)} left out: at chance on originals)" if weak else ""
    return f"{at}, {'; '.join(parts)}{left}; {overall_verdicts(rows)}."


def score_rows(findings: Findings, metrics: tuple[str, ...] = ("auroc", "dice")) -> pd.DataFrame:
    """Scores of all patients at the headline level by methods without mitigation, without tasks
    whose diagnosis is at chance.
    """
    rows = findings.pick(
        "performance",
        metric=list(metrics),
        attribute="",
        level=[findings.headline_level, math.nan],  # originals may stand without one
    )
    return findings.plain(rows[~rows["task"].isin(["", *findings.at_chance])])


def degraded(findings: Findings) -> str:
    """The degraded image itself, to compare the reconstructions with; "" where it is not in the
    tables or is all there is.
    """
    plain = findings.degraded[:1]  # several show the same image
    if not plain or len(findings.reconstructors) == len(findings.degraded):
        return ""
    scores = score_rows(findings)
    scores = scores[scores["reconstructor"].isin(plain)]
    parts = [score_change(findings, scores, metric) for metric in ("auroc", "dice")]
    rows = primary(findings.plain(findings.gap_changes(reconstructor=plain)))
    judged = rows[~rows["verdict"].isin(["", *WHY])]
    real = changed_rows(judged)
    if len(judged):
        found = counted(real) if len(real) else "none shows a difference"
        parts.append(f"of {comparisons(judged)} of groups {found}")
    parts = [part for part in parts if part]
    if not parts:
        return ""
    return (
        f"Diagnosed from the {findings.method_name(plain[0], 'none')} itself at "
        f"{findings.headline}, {'; '.join(parts)}."
    )


def score_change(findings: Findings, rows: pd.DataFrame, metric: str) -> str:
    """From which to which mean value a score went; "" where no task has it on both versions."""
    versions = rows[
        (rows["metric"] == metric) & rows["version"].isin(["original", "reconstructed"])
    ].dropna(subset=["value"])
    mean, base, tasks = mean_scores(versions)
    if not known(base):
        return ""
    after = [
        f"{r.value:.3f} {findings.method_phrase(r.reconstructor, r.mitigation)}"
        for r in each(ordered(findings, mean))
    ]
    name = style.metric_name(metric)
    if len(tasks) > 1:
        what = f"mean {name} of {len(tasks)} tasks"
    elif sum(task_metric(t) == metric for t in findings.spec.tasks) > 1:
        what = f"{name} of {findings.task_title(tasks[0])}"
    else:
        what = name
    return f"the {what} went from {base:.3f} on originals to {listing(after)}"


def ordered(findings: Findings, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in the report's order of methods."""
    rank = {m: i for i, m in enumerate(findings.methods(rows))}
    keys = [rank[m] for m in zip(rows["reconstructor"], rows["mitigation"], strict=True)]
    return rows.assign(_rank=keys).sort_values("_rank", kind="stable")


def overall_verdicts(rows: pd.DataFrame) -> str:
    """How many changes of a diagnosis in all patients are more than chance."""
    rows = rows[rows["version"] == "change"]
    if rows.empty or (rows["verdict"] == "").all():
        return "no test of these changes is in the tables, so they may be chance"
    real = changed_rows(rows)
    worse, better = int((real["change"] < 0).sum()), int((real["change"] > 0).sum())
    unknown = int(rows["verdict"].isin(["not estimable", "at chance", DISAGREE, ""]).sum())
    text = (
        f"of {plural(len(rows), 'single change')}, {worse} {'is' if worse == 1 else 'are'} a loss "
        f"and {better} a gain beyond chance"
    )
    return text + (f", and {unknown} could not be judged" if unknown else "")


def in_practice(findings: Findings) -> str:
    """The clearest loss of diagnosis in numbers out of a hundred; "" where there are none.

    Every number stands in the tables; this picks the one to read first and says whether chance
    explains it.
    """
    rows = findings.plain(
        findings.change_rows("performance", attribute="", level=findings.headline_level)
    )
    narrated = ~rows["task"].isin(["", *findings.at_chance])
    rows = findings.restored(rows[narrated]).dropna(subset=["change", "original", "reconstructed"])
    # the first kind that there is: sensitivity can be said in patients
    rows = next(
        (part for m in ("sensitivity", "dice") if not (part := rows[rows["metric"] == m]).empty),
        rows.iloc[:0],
    )
    if rows.empty:
        return ""
    losses = changed_rows(rows[rows["change"] < 0])
    # a proven loss before a larger one that may be chance
    row = (rows if losses.empty else losses).sort_values("change", kind="stable").iloc[0]
    before, after = (round(100 * row[c]) for c in ("original", "reconstructed"))
    title = findings.task_title(row["task"])
    how = findings.method_phrase(row["reconstructor"], row["mitigation"])
    pairs = f"of {plural(len(rows), 'pair')} of diagnosis and method"
    chance = (
        f"the least favourable {pairs}, {unproven(row['verdict'])}"
        if losses.empty
        else f"the largest loss beyond chance {pairs}"
    )
    if row["metric"] == "dice":
        text = (
            f"{title[:1].upper()}{title[1:]} as outlined overlaps with the true region by {before} "
            f"of 100 on originals and {after} {how}: {chance}."
        )
    else:
        who = "patients who have" if row["unit"] == "patient" else "images that show"
        text = (
            f"Of 100 {who} {title}, {before} are called positive on originals and "
            f"{after} {how}: {chance}."
        )
    return text


def unproven(verdict: str) -> str:
    """How far a change can be trusted that no verdict calls real."""
    return (
        "a difference that chance alone can make"
        if verdict == "no difference shown"
        else "without a verdict"
    )
