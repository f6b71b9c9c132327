"""The three sentences of the first screen, composed from the tables."""

from __future__ import annotations

import math
import re

import pandas as pd

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import signed
from fairrecon_jax.report.figures.forest import p_words
from fairrecon_jax.report.figures.groups import stratum_phrase
from fairrecon_jax.report.figures.quality import mean_scores
from fairrecon_jax.report.select import Findings, changed, each, known, of_method, one, task_metric

WHY = {v: style.VERDICT_WORDS[v] for v in ("not estimable", "at chance")} | {
    "differs between seeds": "the seeds disagree"
}
FEW = re.compile(r"(fewer than \d+ )patients|(?:too few|enough) patients")


def listing(names: list[str]) -> str:
    """Names as they stand in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def plural(count: int, word: str) -> str:
    """A count with its noun: "1 gap", "3 gaps"."""
    if count == 1:
        return f"1 {word}"
    return f"{count:,} {word[:-1] + 'ies' if word.endswith('y') else word + 's'}"


def sentences(findings: Findings) -> list[tuple[str, str]]:
    """(heading, text): what was compared, what happened to diagnosis, whose gap changed and how
    sure that is.
    """
    return [
        ("What was compared", compared(findings)),
        ("What happened to diagnosis", diagnosis(findings)),
        ("Whose gap changed", gaps(findings)),
    ]


def compared(findings: Findings) -> str:
    """The first sentence: cohort, versions, methods, levels."""
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
    who = f" ({int(most):,} patients)" if known(most) else ""
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
    """The second sentence: mean task scores before and after at the headline level, and the
    verdicts on all patients together.
    """
    at = f"At {findings.headline}"
    rows = findings.pick(
        "performance",
        metric=["auroc", "dice"],
        attribute="",
        level=[findings.headline_level, math.nan],
    )
    rows = findings.plain(rows[rows["task"] != ""])
    parts = [score_change(findings, rows, metric) for metric in ("auroc", "dice")]
    parts = [part for part in parts if part]
    if not parts:
        return (
            f"{at}, what happened to diagnosis could not be estimated: no diagnosis has a "
            "score by every method on both versions."
        )
    return f"{at}, {'; '.join(parts)}; {overall_verdicts(rows)}."


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
    real = rows[[changed(v) for v in rows["verdict"]]]
    worse, better = int((real["change"] < 0).sum()), int((real["change"] > 0).sum())
    unknown = int(rows["verdict"].isin(["not estimable", "at chance", ""]).sum()) + int(
        rows["verdict"].str.startswith("differs").sum()
    )
    text = (
        f"of {plural(len(rows), 'single change')}, {worse} {'is' if worse == 1 else 'are'} a loss "
        f"and {better} a gain beyond chance"
    )
    return text + (f", and {unknown} could not be judged" if unknown else "")


def gaps(findings: Findings) -> str:
    """The third sentence: verdicts about the gaps at the headline level, the clearest change by
    name, and what could have been missed.
    """
    rows = findings.plain(findings.gap_changes())
    at = f"At {findings.headline}"
    if rows.empty:
        return (
            "Whether the gap of any group changed could not be estimated: the tables hold no "
            "gap between groups."
        )
    if (rows["verdict"] == "").all():
        return (
            f"{at}, {plural(len(rows), 'gap')} between groups were computed but no test was "
            "run, so no change can be told from chance."
        )
    judged = rows[~rows["verdict"].isin(["", *WHY])]
    left = len(rows) - len(judged)
    if judged.empty:
        return (
            f"{at}, none of the {plural(len(rows), 'gap')} between groups could be judged: "
            f"{why_unjudged(rows)}."
        )
    real = judged[[changed(v) for v in judged["verdict"]]]
    unjudged = f" ({left} more could not be judged)" if left else ""
    detectable = median_detectable(judged[judged["verdict"] == "within chance"])
    missed = (
        f"; a true change below about {detectable:.2f} (median) would often go unseen"
        if known(detectable)
        else ""
    )
    if real.empty:
        none = (
            f"none of the {plural(len(judged), 'gap')} between groups changed by more than "
            f"chance{unjudged}"
        )
        return f"{at}, {none}; this does not show that groups are served alike{missed}."
    counts = [
        f"{int((real['verdict'] == v).sum())} {v}"
        for v in ("widened", "narrowed", "reversed", "shifted")
        if (real["verdict"] == v).any()
    ]
    changes = (
        f"of {plural(len(judged), 'gap')} between groups {listing(counts)} by more than "
        f"chance{unjudged}"
    )
    return f"{at}, {changes}, most clearly {clearest(findings, real)}{missed}."


def in_practice(findings: Findings) -> str:
    """The clearest loss of diagnosis, and the clearest change between groups, in numbers out of a
    hundred; "" where there are none.

    Every number stands in the tables; this picks the one to read first and says whether chance
    explains it.
    """
    rows = findings.plain(
        findings.change_rows("performance", attribute="", level=findings.headline_level)
    )
    rows = rows[(rows["task"] != "") & ~rows["reconstructor"].isin(findings.degraded)]
    rows = rows.dropna(subset=["change", "original", "reconstructed"])
    # the first kind that there is: sensitivity can be said in patients
    rows = next(
        (part for m in ("sensitivity", "dice") if not (part := rows[rows["metric"] == m]).empty),
        rows.iloc[:0],
    )
    if rows.empty:
        return ""
    losses = rows[rows["verdict"].map(changed) & (rows["change"] < 0)]
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
            f"{title} as outlined overlaps with the true region by {before} of 100 "
            f"on originals and {after} {how}: {chance}."
        )
    else:
        who = "patients who have" if row["unit"] == "patient" else "images that show"
        text = (
            f"of 100 {who} {title}, {before} are called positive on originals and "
            f"{after} {how}: {chance}."
        )
    return f"At {findings.headline}, {text} {group_numbers(findings)}"


def unproven(verdict: str) -> str:
    """How far a change can be trusted that no verdict calls real."""
    return (
        "a difference that chance alone can make"
        if verdict == "within chance"
        else "without a verdict"
    )


def group_numbers(findings: Findings) -> str:
    """The clearest changed gap as the rates of its groups before and after; a sentence that none
    changed where that is so.
    """
    rows = findings.plain(findings.gap_changes())
    real = rows[[changed(v) for v in rows["verdict"]]]
    if real.empty:
        return (
            "No group was shown to lose more than another; that is not proof that all are "
            "served alike."
        )
    # the raw p-value decides where the adjusted ones are equal, as they often are
    row = real.sort_values(["p_adjusted", "p_value"], kind="stable").iloc[0]
    if row["metric"] == "ser":
        metric = "dice"
    else:
        negative = row["label_stratum"] in ("negative", "0", "0.0")
        metric = "specificity" if negative else "sensitivity"
    groups = findings.pick(
        "performance",
        task=row["task"],
        attribute=row["attribute"],
        metric=metric,
        level=[findings.headline_level, math.nan],
    )
    parts = []
    for group in findings.groups(row["attribute"]):
        rates = groups[groups["group"] == group]
        by_method = of_method(rates, row["reconstructor"], row["mitigation"])
        before, after = one(rates, version="original"), one(by_method, version="reconstructed")
        if before is not None and after is not None and known(before["value"], after["value"]):
            parts.append(f"{group} {round(100 * before['value'])} to {round(100 * after['value'])}")
    what = (
        f"The gap by {row['attribute']} in {findings.task_title(row['task'])} "
        f"{row['verdict']} beyond chance"
    )
    how = findings.method_phrase(row["reconstructor"], row["mitigation"])
    return f"{what} {how}" + (
        f": {style.metric_name(metric)} out of 100, {listing(parts)}." if parts else "."
    )


def why_unjudged(rows: pd.DataFrame, most: int = 120) -> str:
    """Why no row could be judged: the reason that all share where it is short, else what each
    verdict means.
    """
    # the sentence brings its own full stop
    shared = set(rows["reason"].str.rstrip("."))
    if len(shared) == 1 and 0 < len(reason := shared.pop()) <= most:
        return reason
    matches = [FEW.search(r) for r in rows.loc[rows["verdict"] == "not estimable", "reason"]]
    few = {match.group() if match.group(1) else "too few patients" for match in matches if match}
    words = dict(WHY)
    if len(few) == 1 and all(matches):  # one phrase for all: more precise than the general one
        words["not estimable"] = f"{few.pop()} in the groups to be compared"
    return listing([text for v, text in words.items() if (rows["verdict"] == v).any()])


def median_detectable(rows: pd.DataFrame) -> float:
    """The median detectable change, NaN where none was computed."""
    return float(rows["mde"].dropna().median()) if rows["mde"].notna().any() else math.nan


def clearest(findings: Findings, rows: pd.DataFrame) -> str:
    """The changed gap with the smallest p-value, in words."""
    row = rows.sort_values(["p_adjusted", "p_value"], kind="stable").iloc[0]
    metric = style.metric_name(row["metric"])
    values = (
        f"{metric} {row['original']:.2f} to {row['reconstructed']:.2f}"
        if known(row["original"], row["reconstructed"])
        else metric
    )
    bounds = (
        f", 95% interval of the change {signed(row['ci_low'])} to {signed(row['ci_high'])}"
        if known(row["ci_low"], row["ci_high"])
        else ""
    )
    p = f", adjusted p {p_words(row['p_adjusted'])}" if known(row["p_adjusted"]) else ""
    stratum = stratum_phrase(row["label_stratum"]) if row["label_stratum"] else "patients"
    where = f", most among {stratum} in the group {row['group']}" if row["group"] else ""
    method = findings.method_phrase(row["reconstructor"], row["mitigation"])
    return (
        f"{findings.task_title(row['task'])} by {row['attribute']} {row['verdict']} {method} "
        f"({values}{bounds}{p}{where})"
    )
