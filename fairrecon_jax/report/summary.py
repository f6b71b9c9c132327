"""The three sentences of the first screen, composed from the tables."""

from __future__ import annotations

import pandas as pd

from fairrecon_jax.report import style
from fairrecon_jax.report.select import Findings, changes, gap_metric

CHANGED = ("widened", "narrowed", "reversed", "shifted")


def listing(names: list[str]) -> str:
    """Names as they stand in a sentence: "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else ""


def sentences(findings: Findings) -> list[str]:
    """What was compared, what happened to diagnosis, whose gap changed and how sure that is."""
    return [compared(findings), diagnosis(findings), gaps(findings)]


def compared(findings: Findings) -> str:
    """The first sentence."""
    spec = findings.spec
    looks = style.looks(findings.reconstructors)
    methods = listing([looks[r].name for r in findings.reconstructors]) or "no reconstruction method"
    levels = listing([style.level_name(v, spec.degradation) for v in findings.levels]) or "no level"
    return (
        f"On {spec.title}, the same diagnosis was made from each original image and from its reconstruction by {methods}, at "
        f"{spec.degradation.unit} {levels}."
    )


def diagnosis(findings: Findings) -> str:
    """The second sentence: the change of the mean task score at the headline level."""
    rows = changes(findings.pick("performance", metric=["auroc", "dice"], attribute="", level=findings.headline_level))
    rows = rows.dropna(subset=["change"])
    if rows.empty:
        return "What happened to diagnosis could not be estimated: no task has a score on both versions of the images."
    low, high = rows["change"].min(), rows["change"].max()
    return (
        f"At {style.level_phrase(findings.headline_level, findings.spec.degradation)}, diagnosis scores changed by between {low:+.3f} and "
        f"{high:+.3f} over {rows['task'].nunique()} tasks."
    )


def verdicts(findings: Findings) -> pd.DataFrame:
    """The change rows that carry a verdict about a group gap, headline level and headline metrics."""
    metrics = list({gap_metric(t) for t in findings.spec.tasks})
    return changes(findings.pick("fairness", metric=metrics, level=findings.headline_level))


def gaps(findings: Findings) -> str:
    """The third sentence: counts of verdicts."""
    rows = verdicts(findings)
    if rows.empty or (rows["verdict"] == "not estimable").all():
        return "Whether any group's gap changed could not be estimated."
    if (rows["verdict"] == "").all():
        return "No test was run on the changes of the group gaps, so none of them can be called more than chance."
    counts = rows["verdict"].value_counts()
    changed = sum(int(counts.get(v, 0)) for v in CHANGED)
    rest = f"{int(counts.get('within chance', 0))} are within chance and {int(counts.get('not estimable', 0))} could not be estimated"
    return f"Of {len(rows)} group gaps, {changed} changed by more than chance; {rest}."
