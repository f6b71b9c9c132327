"""Sentences about groups: who was shown to lose more than the others, what became of the gap, and
how large a difference may be that was not shown.
"""

from __future__ import annotations

import math
import re

import pandas as pd

from fairrecon_jax.inference.verdict import VERDICTS
from fairrecon_jax.inference.words import amount
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.forest import p_words
from fairrecon_jax.report.figures.groups import stratum_phrase
from fairrecon_jax.report.long_tables import DISAGREE, OTHERS
from fairrecon_jax.report.select import UNJUDGED, Findings, changed_rows, known, one
from fairrecon_jax.report.words import listing
from fairrecon_jax.types import PRIMARY, plural

WHY = {v: VERDICTS[v] for v in UNJUDGED} | {DISAGREE: "the seeds disagree"}
FEW = re.compile(r"(fewer than \d+ )patients|(?:too few|enough) patients")
QUANTITIES = ("sensitivity", "specificity", "Dice")
"""What the sentence of a verdict begins with."""
BECAME = {
    "widened": "widened",
    "narrowed": "narrowed",
    "reversed": "swapped its sides",
    "same": "did not clearly change",
}
SECONDARY = (
    "Only the primary comparisons err together in at most one study of twenty; whoever reads all "
    "others too meets a false claim more often."
)
"""What is said where verdicts are counted."""


def who_lost_more(findings: Findings) -> str:
    """The first sentence: the clearest claim about a group, what it did to the gap, how many claims
    of how many comparisons, what was not shown.
    """
    rows = primary(findings.restored(findings.plain(findings.gap_changes())))
    at = f"At {findings.headline}"
    if rows.empty:
        return (
            "Whether any group lost more than the others could not be estimated: the tables hold "
            "no gap between groups."
        )
    if (rows["verdict"] == "").all():
        return (
            f"{at}, groups were compared {plural(len(rows), 'time')} but no test was run, so no "
            "difference can be told from chance."
        )
    # "" is no test, the others are at chance, not estimable or seeds that disagree
    judged = rows[~rows["verdict"].isin(["", *WHY])]
    if judged.empty:
        return f"{at}, none of {comparisons(rows)} of groups could be judged: {why_unjudged(rows)}."
    real = changed_rows(judged)
    left = len(rows) - len(judged)
    unjudged = f" ({left} more could not be judged)" if left else ""
    if real.empty:
        texts = [
            f"{at}, no group was shown to lose or gain more than the others in "
            f"{comparisons(judged)}{unjudged}."
        ]
    else:
        texts = [
            clearest(findings, real),
            f"Among {comparisons(judged)} at {findings.headline}, {counted(real)}{unjudged}.",
        ]
    texts += [not_shown(judged, bool(len(real))), score_only(findings, rows)]
    texts.append(one_label(findings, judged))
    return " ".join(filter(None, texts))


def one_label(findings: Findings, judged: pd.DataFrame) -> str:
    """Which diagnoses nobody has, or everybody: their gap is one of a single rate; "" for none."""
    told = []
    for column, who, rate in (("n_pos", "nobody has", "specificity"),
                              ("n_neg", "everybody has", "sensitivity")):  # fmt: skip
        rows = judged[(judged["metric"] == "eodd") & (judged[column] == 0)]
        names = [findings.task_title(task) for task in rows["task"].unique()]
        if names:
            told.append(f"Of those tested {who} {listing(names)}: the gap is one of {rate} alone.")
    return " ".join(told)


def primary(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the primary family, or all where the tables name none."""
    first = rows["family"].str.startswith(PRIMARY)
    return rows[first] if first.any() else rows


def comparisons(rows: pd.DataFrame) -> str:
    """How many comparisons there are: "6 primary comparisons"."""
    named = rows["family"].str.startswith(PRIMARY).all()
    return plural(len(rows), "primary comparison" if named else "comparison")


def counted(real: pd.DataFrame) -> str:
    """How many claims there are: "2 show a group harmed and 1 a group favoured"."""
    counts = [(int((real["verdict"] == word).sum()), word) for word in ("harmed", "favoured")]
    some = [(n, word) for n, word in counts if n]
    if not some:
        return f"{len(real)} show a difference"
    verb = "shows" if some[0][0] == 1 else "show"
    # one verb serves both parts of the sentence
    parts = [f"{n} {verb if not i else ''} a group {word}" for i, (n, word) in enumerate(some)]
    return listing([" ".join(part.split()) for part in parts])


def not_shown(judged: pd.DataFrame, claims: bool) -> str:
    """In how many comparisons no difference was shown, and how large one may be; "" for none."""
    quiet = judged[judged["verdict"] == "no difference shown"]
    if quiet.empty:
        return ""
    sizes = []
    for of_kind, unit in ((quiet["metric"] != "ser", "points"), (quiet["metric"] == "ser", "")):
        # a median per unit: points of a rate and Dice have no common scale
        size = median_detectable(quiet[of_kind])
        if math.isfinite(size):
            sizes.append(amount(size, unit) + (" of Dice" if not unit else ""))
    start = f"in the other {len(quiet):,} no difference was shown; that" if claims else "this"
    text = f"{start} does not show that the groups fare equally well"
    text = text[0].upper() + text[1:]
    if not sizes:
        return f"{text}."
    return (
        f"{text}: a further change of one group by {' or '.join(sizes)} (median) would be found "
        "at least 4 times in 5, smaller ones less often."
    )


def clearest(findings: Findings, real: pd.DataFrame) -> str:
    """The claim with the smallest p-value, as a clinician says it, and what became of the gap."""
    # by p behind the adjusted one: many of these tie at the least that the draws allow
    row = real.sort_values(["p_adjusted", "p_value"], kind="stable").iloc[0]
    how = findings.method_phrase(row["reconstructor"], row["mitigation"])
    metric = style.metric_name(row["metric"])
    values = (
        f" ({metric} {row['original']:.2f} to {row['reconstructed']:.2f})"
        if known(row["original"], row["reconstructed"])
        else ""
    )
    gap = (
        f" The gap by {row['attribute']} {BECAME.get(row['gap'], row['gap'])}{values}."
        if row["gap"]
        else ""
    )
    return f"At {findings.headline} {how}, {told(findings, row)}.{gap}"


def told(findings: Findings, row: pd.Series) -> str:
    """A claim in the words of its verdict, with the diagnosis: "sensitivity for consolidation:
    women 95 to 52 of 100, ...".
    """
    # strata that could not be judged stand behind the claim
    words = row["reason"].split("; not estimable:")[0].rstrip(".")
    quantity, colon, rest = words.partition(": ")
    title = findings.task_title(row["task"])
    if colon and quantity in QUANTITIES:
        return f"{quantity} for {title}: {rest}"
    stratum = f", {stratum_phrase(row['label_stratum'])}," if row["label_stratum"] else ""
    who = f"{row['group']}{stratum}" if row["group"] else f"a group by {row['attribute']}"
    p = f" (adjusted p {p_words(row['p_adjusted'])})" if known(row["p_adjusted"]) else ""
    return f"{title}: {who} was {row['verdict']} beside the others{p}"


def score_only(findings: Findings, decisions: pd.DataFrame) -> str:
    """The clearest claim that the scores alone allow: of a comparison in which no difference in
    decisions is shown; "" where there is none.

    Args:
      findings: the tables.
      decisions: the primary rows.
    """
    keys = ["task", "attribute", "reconstructor", "mitigation"]
    quiet = decisions.loc[decisions["verdict"] == "no difference shown", keys]
    scores = findings.change_rows(
        "fairness",
        metric="gap_score",
        attribute=findings.attributes,
        level=findings.headline_level,
    )
    scores = changed_rows(scores[scores["reference_group"] != OTHERS])
    # only where decisions showed nothing: elsewhere it would be told twice
    scores = scores.merge(quiet, on=keys).sort_values(["p_adjusted", "p_value"], kind="stable")
    if scores.empty:
        return ""
    row = scores.iloc[0]
    strata = findings.change_rows("fairness", metric="gap_score", reference_group=OTHERS)
    same = ["task", "attribute", "reconstructor", "mitigation", "level", "group", "label_stratum"]
    own = one(strata, **{column: row[column] for column in same})
    groups = findings.groups(row["attribute"])
    rivals = [g for g in groups if g != row["group"]]
    rival = rivals[0] if len(rivals) == 1 else "the other groups"
    have = "without" if row["label_stratum"] in ("negative", "0", "0.0") else "with"
    p = f", adjusted p {p_words(row['p_adjusted'])}" if known(row["p_adjusted"]) else ""
    how = findings.method_phrase(row["reconstructor"], row["mitigation"])
    text = (
        f"Scores of {row['group']} {have} {findings.task_title(row['task'])} "
        f"{score_moved(row['verdict'], have == 'with', own)} than those of {rival} ({how}{p}); at "
        "this threshold no difference in decisions is shown."
    )
    more = len(scores) - 1
    return text + (f" So it is in {plural(more, 'other comparison')}." if more else "")


def score_moved(verdict: str, positive: bool, own: pd.Series | None) -> str:
    """Which way the scores of a group went beside the others': "fell more", "rose less".

    Args:
      verdict: "harmed" or "favoured".
      positive: of patients with the finding; scores of the others count with their sign turned.
      own: the group's row, whose values before and after tell which way its own scores went.
    """
    worse = verdict == "harmed"
    lost = worse
    if own is not None and known(own["original"], own["reconstructed"]):
        lost = own["reconstructed"] < own["original"]
    # with the finding a loss is a fall, without it a rise
    way = "fell" if lost == positive else "rose"
    return f"{way} {'more' if lost == worse else 'less'}"


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
