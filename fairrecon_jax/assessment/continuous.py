"""Quantities that are averaged: group means with paired bootstrap intervals, and the rows of
segmentation tasks, Dice on originals, on reconstructions, and its change.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fairrecon_jax import metrics
from fairrecon_jax.assessment.arrays import Grouping, JudgedUnits
from fairrecon_jax.assessment.classification import distinct, scatter
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.deferred import Deferred, family_name
from fairrecon_jax.assessment.gaps import add_nulls
from fairrecon_jax.assessment.performance import verdict_of_change
from fairrecon_jax.assessment.rows import Row, cell_fields, paired, version_rows
from fairrecon_jax.assessment.verdicts import (
    UNPAIRED,
    GapTest,
    Quantity,
    group_rows,
    queue,
    without_test,
)
from fairrecon_jax.inference.did import did_test_continuous
from fairrecon_jax.inference.did_result import DidResult
from fairrecon_jax.inference.intervals import Bootstrap
from fairrecon_jax.inference.permutation import PermutationNull, permutation_null_means
from fairrecon_jax.inference.resampling import Name, Pair, bootstrap_sums
from fairrecon_jax.inference.verdict import select
from fairrecon_jax.types import Task

DICE = Quantity("Dice", "", "gap_dice")


class Means(NamedTuple):
    """Means of one grouping with paired bootstrap intervals.

    Attributes:
      means: [K, G].
      gaps: by (metric, convention), [K].
      counts: n, n_patients, n_changed, each [K, G].
      patients: [K] patients with a known group.
    """

    means: Bootstrap
    gaps: dict[Name, Bootstrap]
    counts: dict[str, np.ndarray]
    patients: np.ndarray


def average(
    context: Context, units: JudgedUnits, grouping: Grouping, names: tuple[str, ...]
) -> Means:
    """Group means of both versions and their gaps.

    Args:
      context: options and draws.
      units: values of both versions; complete pairs only.
      grouping: groups of the units.
      names: gap metrics of `metrics` to compute ("ser", "delta_dice", "gap").

    Returns:
      `Means`.
    """
    options, groups = context.options, len(grouping.groups)
    known = np.isfinite(units.reconstructed) & (grouping.code >= 0)[None]
    resampled, weights = context.resampled(units)
    index = resampled.astype(np.int64) * groups + np.maximum(grouping.code, 0)
    shape = (weights.shape[1], groups)
    # NaN and infinite values lie outside `known`; as 0 they do not spoil the product with weights
    values = (
        np.ones(known.shape),
        np.nan_to_num(units.original, posinf=0),
        np.nan_to_num(units.reconstructed, posinf=0),
    )
    parts = [scatter(index, value, known, shape) for value in values]
    code, changed = np.maximum(grouping.code, 0), units.original != units.reconstructed
    per_cell = {
        "n": [np.bincount(code[rows], minlength=groups) for rows in known],
        "n_patients": [distinct(units.patient[rows], code[rows], groups) for rows in known],
        "n_changed": [
            np.bincount(code[rows & moved & units.paired], minlength=groups)
            for rows, moved in zip(known, changed, strict=True)
        ],
    }
    counts = {name: np.stack(part).astype(float) for name, part in per_cell.items()}
    mask = counts["n_patients"] >= options.min_patients

    def statistics(sums: list[np.ndarray]) -> dict[Name, Pair]:
        means = _means(sums, units.paired)
        wanted = (
            [(name, convention) for name in names for convention in options.conventions]
            if groups > 1
            else []
        )
        return {
            "means": means,
            **{key: (_gap(means[0], mask, *key), _gap(means[1], mask, *key)) for key in wanted},
        }

    gaps = bootstrap_sums(parts, weights, statistics, options.alpha)
    return Means(
        gaps.pop("means"),
        gaps,
        counts,
        np.array([len(np.unique(units.patient[rows])) for rows in known]),
    )


def _means(sums: list[np.ndarray], paired: bool) -> Pair:
    """Means [R, K, G] of both versions from counts and totals; those of originals are NaN where
    there are none.
    """
    with np.errstate(invalid="ignore", divide="ignore"):  # an empty group is 0 / 0 = NaN
        return sums[1] / (sums[0] if paired else np.full_like(sums[0], np.nan)), sums[2] / sums[0]


def _gap(
    values: np.ndarray, mask: np.ndarray, name: str, convention: metrics.Convention
) -> np.ndarray:
    """The gap "ser", "delta_dice" or "gap" of group means [R, K, G]."""
    estimable = mask if convention == "worst_case_estimable" else True
    known = np.isfinite(values) & estimable
    return np.asarray((metrics.error_ratio if name == "ser" else metrics.spread)(values, known))


def add_segmentation(context: Context, task: Task, units: JudgedUnits) -> None:
    """Adds Dice overall and per group, SER and Delta-Dice with verdicts, and a row per group.

    Args:
      context: takes the rows.
      task: a segmentation task.
      units: patient means of slice Dice.
    """
    base = {"task": task.name, "unit": units.unit}
    overall = _test(context, units, units.groupings[0]) if units.paired else None
    for grouping in units.groupings:
        averages = average(context, units, grouping, ("ser", "delta_dice"))
        for k, cell in enumerate(context.study.cells):
            fields = {**base, **cell_fields(context.study, cell), "attribute": grouping.name}
            for g, group in enumerate(grouping.groups):
                numbers = paired(averages.means, (k, g))
                row = {
                    **fields,
                    "group": group,
                    "metric": "dice",
                    **{name: float(part[k, g]) for name, part in averages.counts.items()},
                }
                rows = version_rows(
                    row,
                    numbers,
                    context.method(units),
                    {} if units.paired else {"reason": UNPAIRED},
                )
                context.performance += rows
                if grouping.name == "" and overall is not None:
                    rows[0]["reason"] = units.note
                    context.deferred.append(
                        _overall(
                            context, rows[-1], cell.level, cell.mitigation, select(overall, (k,))
                        )
                    )
        if grouping.name and np.any(grouping.code >= 0):
            _add_gaps(context, base, units, grouping, averages)


def _test(context: Context, units: JudgedUnits, grouping: Grouping) -> DidResult:
    """The difference-in-differences test of one grouping, all cells."""
    options = context.options
    return did_test_continuous(
        units.original,
        units.reconstructed,
        grouping.code,
        context.study.patient_names[units.patient],
        context.flip_key,
        groups=len(grouping.groups),
        flips=options.flips,
        min_patients=options.min_patients,
        alpha=options.alpha,
    )


def _overall(
    context: Context, row: Row, level: float, mitigation: str, test: DidResult
) -> Deferred:
    """The test that nothing changed for everyone together."""
    row["method"] = "; ".join(part for part in (row["method"], "p: patient sign flips") if part)
    alpha = context.options.alpha

    def adjust(adjusted: float, _: Row) -> Row:
        reason = (
            "" if np.isfinite(adjusted) else f"fewer than {context.options.min_patients} patients"
        )
        return {"verdict": verdict_of_change(row["change"], adjusted, alpha), "reason": reason}

    return Deferred(
        family_name("dice of everyone", level, mitigation), float(test.overall_p), (row,), adjust
    )


def permutation_nulls(
    context: Context, units: JudgedUnits, grouping: Grouping, values: np.ndarray, averages: Means
) -> dict[str, PermutationNull]:
    """Permutation nulls [K] of the gaps of one version's means, also among estimable groups."""
    return permutation_null_means(
        values,
        grouping.code,
        context.study.patient_names[units.patient],
        context.options.seed,
        groups=len(grouping.groups),
        attribute=grouping.name,
        permutations=context.options.null_draws,
        mask=averages.counts["n_patients"] >= context.options.min_patients,
    )


def _add_gaps(
    context: Context, base: Row, units: JudgedUnits, grouping: Grouping, averages: Means
) -> None:
    """SER and Delta-Dice of one attribute."""
    test = _test(context, units, grouping) if units.paired else None
    nulls = tuple(
        permutation_nulls(context, units, grouping, values, averages)
        for values in (units.original, units.reconstructed)
    )
    for k, cell in enumerate(context.study.cells):
        common = {**base, **cell_fields(context.study, cell), "attribute": grouping.name}
        common |= {name: float(part[k].sum()) for name, part in averages.counts.items()}
        # a patient may count in two groups of an image's attribute, but is one patient here
        common |= {"n_patients": float(averages.patients[k])}
        for metric in ("ser", "delta_dice"):
            fields = {**common, "metric": metric, "reference_group": grouping.reference}
            judged = _gap_rows(context, fields, units, averages, (nulls[0], nulls[1]), k)
            if test is None:
                without_test(judged, paired=False)
                continue
            family = family_name(metric, cell.level, cell.mitigation, grouping.crossed)
            gap_test = GapTest(
                select(test, (k,)),
                grouping.groups,
                (DICE,),
                family,
                None,
                context.options.alpha,
                is_rate=False,
            )
            rows = group_rows(gap_test, common) if metric == "ser" else []
            context.fairness += rows
            context.deferred.append(queue(gap_test, judged, rows))


def _gap_rows(
    context: Context,
    fields: Row,
    units: JudgedUnits,
    averages: Means,
    nulls: tuple[dict[str, PermutationNull], dict[str, PermutationNull]],
    k: int,
) -> list[Row]:
    """Adds the rows of one metric under every convention; returns the change rows that await a
    verdict.
    """
    judged: list[Row] = []
    null = {"ser": "ser", "delta_dice": "delta"}[fields["metric"]]
    for convention in context.options.conventions:
        rows = version_rows(
            {**fields, "convention": convention},
            paired(averages.gaps[fields["metric"], convention], (k,)),
            context.method(units),
            {},
        )
        suffix = "_estimable" if convention == "worst_case_estimable" else ""
        add_nulls(rows, nulls, null + suffix, k)
        context.fairness += rows
        judged += rows[-1:] if convention != "mean" else []
    return judged
