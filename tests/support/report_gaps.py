"""Made-up comparisons of groups as the assessment writes them: gaps without intervals under two
conventions, a row per group and label, scores, the worst-off group.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fairrecon_jax.types import Attribute, CohortSpec, Task
from tests.support.report_rows import Record, row, versions

JUDGED = 0.02
"""Groups with a smaller share of the cohort are not judged."""
LABELS = {
    "eodd": (("sensitivity", "positive"), ("specificity", "negative")),
    "ser": (("dice", ""),),
}


class Outcome(NamedTuple):
    """What one comparison found, for all its rows."""

    rates: np.ndarray
    after: np.ndarray
    judged: np.ndarray
    error: float
    p: float
    verdict: str
    gap: str
    group: int


def comparison_rows(
    rng: np.random.Generator,
    fields: Record,
    task: Task,
    attribute: Attribute,
    rates: np.ndarray,
    spec: CohortSpec,
) -> list[Record]:
    """All rows of one task, attribute and study cell."""
    main = "eodd" if task.kind == "classification" else "ser"
    found = outcome(rng, attribute, rates, 0.03 if spec.modality == "xray" else 0.06)
    records: list[Record] = []
    for metric in ("eodd", "eop") if main == "eodd" else ("ser", "delta_dice"):
        records += gap_rows(fields, metric, found, attribute, spec)
    for name, label in LABELS[main]:
        moved = found if label != "negative" else still(found)
        records += group_rows(fields, f"gap_{name}", label, moved, attribute)
        records += worst_rows(fields, name, label, moved, attribute)
    if main == "eodd":
        records += gap_rows(fields, "gap_score", found, attribute, spec)
        records += group_rows(fields, "gap_score", "positive", found, attribute)
    return records


def outcome(
    rng: np.random.Generator, attribute: Attribute, rates: np.ndarray, error: float
) -> Outcome:
    """One in five comparisons harms or favours a group, one in twenty cannot be judged."""
    after = rates - 0.02 + rng.normal(0, 0.3 * error, len(rates))
    judged = np.ones(len(rates), bool)
    judged[4:5] = False  # the smallest of six groups
    group, kind = 0, rng.random()
    if kind < 0.2:
        verdict, p = ("harmed", 0.004) if kind < 0.15 else ("favoured", 0.03)
        after[group] += -0.2 if verdict == "harmed" else 0.2
    elif kind < 0.25:
        verdict, p, judged = "not estimable", np.nan, np.zeros(len(rates), bool)
    else:
        verdict, p = "no difference shown", float(rng.uniform(0.06, 1))
    spread = np.ptp(after) - np.ptp(rates)
    claim = verdict in ("harmed", "favoured")
    gap = ("widened" if spread > 0.05 else "narrowed" if spread < -0.05 else "same") * claim
    return Outcome(rates, after, judged, error, p, verdict, gap, group)


def still(found: Outcome) -> Outcome:
    """The same comparison in a label of which nothing is claimed."""
    quiet = "no difference shown" if found.judged.any() else "not estimable"
    return found._replace(after=found.rates - 0.01, verdict=quiet, gap="", p=0.8)


def sentence(found: Outcome, attribute: Attribute, name: str) -> str:
    """What a claim says, as the assessment words it."""
    g, rival = found.group, "the other groups" if len(found.rates) > 2 else attribute.groups[1]
    if name == "Dice":
        return dice_sentence(found, attribute, rival)
    told = [
        f"{n} {100 * b:.0f} to {100 * a:.0f}" + " of 100" * (i == 0)
        for i, (n, b, a) in enumerate(zip(attribute.groups, found.rates, found.after))
    ]
    extra = 100 * (extras(found)[g])
    verb = "lost" if extra < 0 else "gained"
    return (
        f"{name}: {', '.join(told)}; {attribute.groups[g]} {verb} {abs(extra):.0f} points more "
        f"than {rival} ({abs(extra) - 6:.0f} to {abs(extra) + 6:.0f}), p = {found.p:.2g} "
        f"({found.p:.2g} over 12 comparisons)"
    )


def dice_sentence(found: Outcome, attribute: Attribute, rival: str) -> str:
    """The same of Dice, which is not told out of 100."""
    told = [
        f"{n} {b:.3f} to {a:.3f}" for n, b, a in zip(attribute.groups, found.rates, found.after)
    ]
    extra = extras(found)[found.group]
    verb = "lost" if extra < 0 else "gained"
    return (
        f"Dice: {', '.join(told)}; {attribute.groups[found.group]} {verb} {abs(extra):.3f} of Dice "
        f"more than {rival} ({abs(extra) - 0.06:.3f} to {abs(extra) + 0.06:.3f}), "
        f"p = {found.p:.2g} ({found.p:.2g} over 12 comparisons)"
    )


def extras(found: Outcome) -> np.ndarray:
    """Each group's change minus the mean of the others'."""
    change = found.after - found.rates
    return np.array([c - np.delete(change, i).mean() for i, c in enumerate(change)])


def reason(found: Outcome, attribute: Attribute, name: str) -> str:
    """The reason of a gap's row."""
    if found.verdict == "not estimable":
        return "no two groups have enough patients to be compared"
    if found.gap:
        return sentence(found, attribute, name)
    return f"p = {found.p:.2g}; 40 decisions changed"


def gap_rows(
    fields: Record, metric: str, found: Outcome, attribute: Attribute, spec: CohortSpec
) -> list[Record]:
    """The versions of one gap; "mean" has no verdict, and no score."""
    records: list[Record] = []
    null = (0.03 if len(attribute.groups) == 2 else 0.11) * (1 if spec.modality == "xray" else 2)
    name = "Dice" if metric in ("ser", "delta_dice") else "sensitivity"
    primary = metric in ("eodd", "ser") and fields["level"] == spec.degradation.headline_level
    family = f"{metric}, level {fields['level']:g}, mitigation {fields['mitigation']}"
    claim = bool(found.gap)
    for convention in ("worst_case_estimable", "mean"):
        if convention == "mean" and metric == "gap_score":
            continue
        common = {
            **fields,
            "metric": metric,
            "convention": convention,
            "n": 3900.0,
            "n_patients": 1300.0,
            "n_pos": 700.0,
            "n_neg": 3200.0,
            "n_changed": 40.0,
            "permutation_null": null + (metric == "ser"),
        }
        tested: dict[str, Any] = {}
        if convention != "mean":
            tested = {
                "method": "p: equal changes, permuted patients and signs",
                "family": f"{'primary' if primary else 'secondary'}: {family}",
                "p_value": found.p / 2,
                "p_adjusted": found.p,
                "verdict": found.verdict,
                "gap": found.gap,
                "mde": np.nan if found.verdict == "not estimable" else 3 * found.error,
                "reason": reason(found, attribute, name),
                "group": attribute.groups[found.group] if claim else "",
                "label_stratum": "positive" if claim and name == "sensitivity" else "",
            }
        if found.verdict == "not estimable":
            records.append(row(**common, version="change", **tested))
            continue
        before, after = (np.ptp(v[found.judged]) for v in (found.rates, found.after))
        if metric == "ser":
            before, after = 1 + before, 1 + after
        records += [
            {**r, "ci_low": np.nan, "ci_high": np.nan, "std_error": np.nan}
            for r in versions(common, before, after, 0.0, **tested)
        ]
    return records


def group_rows(
    fields: Record, metric: str, label: str, found: Outcome, attribute: Attribute
) -> list[Record]:
    """The change of each group minus that of the others, with its simultaneous interval."""
    records = []
    extra = extras(found) * (10 if metric == "gap_score" else 1)
    for g, group in enumerate(attribute.groups):
        common = {
            **fields,
            "metric": metric,
            "group": group,
            "reference_group": "the other groups",
            "label_stratum": label,
            "version": "change",
            "n": 500.0,
            "n_pos": 100.0 if label == "positive" else np.nan,
        }
        if not found.judged[g]:
            records.append(row(**common, verdict="not estimable", reason="too few patients"))
            continue
        claim = found.verdict in ("harmed", "favoured") and g == found.group
        wide = 3 * found.error * (10 if metric == "gap_score" else 1)
        records.append(
            row(
                **common,
                value=extra[g],
                change=extra[g],
                original=found.rates[g],
                reconstructed=found.after[g],
                std_error=wide / 3,
                ci_low=extra[g] - wide,
                ci_high=extra[g] + wide,
                p_adjusted=found.p if claim else 0.4,
                verdict=found.verdict if claim else "no difference shown",
                method="simultaneous over groups and labels, from the same draws",
            )
        )
    return records


def worst_rows(
    fields: Record, name: str, label: str, found: Outcome, attribute: Attribute
) -> list[Record]:
    """The rate of the worst-off judged group on both versions."""
    if not found.judged.any():
        return []
    rates = [np.where(found.judged, v, np.inf) for v in (found.rates, found.after)]
    names = [attribute.groups[int(np.argmin(v))] for v in rates]
    common = {
        **fields,
        "metric": f"worst_group_{name}",
        "convention": "worst_case_estimable",
        "label_stratum": label,
    }
    before, after = (float(v.min()) for v in rates)
    rows = versions(common, before, after, 0.0)
    for one, who in zip(rows, [*names, ""]):
        one |= {"group": who, "ci_low": np.nan, "ci_high": np.nan, "std_error": np.nan}
    rows[2]["reason"] = f"worst off: {names[0]} on originals, {names[1]} on reconstructions"
    return rows
