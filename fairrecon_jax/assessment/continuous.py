"""Quantities that are averaged: group means with intervals, and the rows of segmentation tasks,
Dice on originals, on reconstructions, and its change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fairrecon_jax import metrics
from fairrecon_jax.assessment.arrays import Grouping
from fairrecon_jax.assessment.batch import Tested, compare_groups
from fairrecon_jax.assessment.classification import Paired, means_of_change
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.deferred import family_name
from fairrecon_jax.assessment.gaps import (
    add_nulls,
    add_published,
    shrunk_of,
    shrunk_rows,
    worst_rows,
)
from fairrecon_jax.assessment.performance import SIGNS, everyone_deferred, plain
from fairrecon_jax.assessment.rows import Row, cell_fields, version_rows
from fairrecon_jax.assessment.units import JudgedUnits
from fairrecon_jax.assessment.verdicts import (
    UNPAIRED,
    gap_test,
    group_rows,
    keep,
    queue,
    without_test,
)
from fairrecon_jax.inference.changes import Changes, value_changes
from fairrecon_jax.inference.clustered import Interval as Intervals
from fairrecon_jax.inference.everyone import everyone_test
from fairrecon_jax.inference.permutation import PermutationNull, permutation_null_means
from fairrecon_jax.inference.published import Published, published_means_tests
from fairrecon_jax.types import Task

MEANS = "skewness-corrected t, clustered by patient"
FORMULAS = {
    "ser": metrics.ser_from_means,
    "delta_dice": metrics.delta_dice_from_means,
    "gap": metrics.gap_from_values,
}


class Means(NamedTuple):
    """Means of one grouping, of K study cells.

    Attributes:
      changes: of values; without originals the reconstructions stand for both versions.
      values: [K, 1, G] with intervals.
      counts: n, n_patients, n_changed, each [K, G].
      patients: [K] patients with a known group.
    """

    changes: Changes
    values: Paired
    counts: dict[str, np.ndarray]
    patients: np.ndarray

    def gap(self, name: str, convention: metrics.Convention, k: int) -> tuple[float, float]:
        """A gap of both versions' means in one study cell.

        Args:
          name: a key of `FORMULAS`.
          convention: which groups take part.
          k: number of the study cell.
        """
        mask = None
        if convention == "worst_case_estimable":
            mask = np.isin(self.changes.counted[0][k, 0], (0, 4))
        before, after = (
            float(FORMULAS[name](rate[k, 0], None, mask, convention).value)
            for rate in (self.changes.original, self.changes.reconstructed)
        )
        return before, after


def average(context: Context, units: JudgedUnits, grouping: Grouping) -> Means:
    """Group means of both versions, on patients' means.

    Args:
      context: options.
      units: values of both versions.
      grouping: groups of the units.

    Returns:
      `Means`.
    """
    alpha, groups = context.options.alpha, len(grouping.groups)
    # infinite values are unknown, as NaN is
    after = np.where(np.isfinite(units.reconstructed), units.reconstructed, np.nan)
    before = np.where(np.isfinite(units.original), units.original, np.nan)
    changes = value_changes(
        before if units.paired else after,
        after,
        grouping.code,
        context.patients(units),
        groups=groups,
        min_patients=context.options.min_patients,
        stratum=context.stratum(units),
    )
    tables = changes.tables
    versions = (
        tables._replace(change=changes.before),
        tables._replace(change=changes.after),
        tables,
    )
    # a mean and the mean of a change are one computation, on other sums
    values = Paired(*(means_of_change(part, alpha) for part in versions))
    if not units.paired:
        values = values.unpaired()
    known = np.isfinite(after) & (np.isfinite(before) | (not units.paired))
    known &= (grouping.code >= 0)[None]
    # bincount takes no -1; `known` leaves those out
    code = np.maximum(grouping.code, 0)
    who = np.unique(tables.patient, return_inverse=True)[1]
    counts = {
        "n": np.stack([np.bincount(code[rows], minlength=groups) for rows in known]),
        "n_patients": changes.images[:, 0],  # where patients weigh alike each is one image
        "n_changed": changes.changed[:, 0] * units.paired,  # unpaired, nothing can change
    }
    distinct = [len(np.unique(who[rows])) for rows in (tables.images[..., 0] > 0).T]
    return Means(changes, values, counts, np.array(distinct))


def add_segmentation(context: Context, task: Task, units: JudgedUnits) -> None:
    """Adds Dice overall and per group, SER and Delta-Dice with verdicts, and a row per group.

    Args:
      context: takes the rows.
      task: a segmentation task.
      units: patient means of slice Dice.
    """
    base = {"task": task.name, "unit": units.unit}
    for grouping in units.groupings:
        averages = average(context, units, grouping)
        _add_means(context, base, units, grouping, averages)
        if grouping.name and np.any(grouping.code >= 0):
            _add_gaps(context, base, units, grouping, averages)


def _add_means(
    context: Context, base: Row, units: JudgedUnits, grouping: Grouping, averages: Means
) -> None:
    """Mean Dice of everyone or per group; that of everyone with a test of its change."""
    everyone = None
    if units.paired and grouping.name == "":
        everyone = everyone_test(
            averages.changes.tables,
            seed=context.options.seed,
            permutations=context.permutations,
            min_patients=context.options.min_patients,
        )
    for k, cell in enumerate(context.study.cells):
        fields = {**base, **cell_fields(context.study, cell), "attribute": grouping.name}
        for g, group in enumerate(grouping.groups):
            counts = {name: float(part[k, g]) for name, part in averages.counts.items()}
            rows = version_rows(
                {**fields, "group": group, "metric": "dice", **counts},
                averages.values.at(k, 0, g),
                MEANS,
                {} if units.paired else {"reason": UNPAIRED},
            )
            context.performance += rows
            if everyone is not None:
                # rows are original, reconstructed, change
                rows[0]["reason"] = units.note
                rows[-1]["method"] = "; ".join(filter(None, (rows[-1]["method"], SIGNS)))
                family = family_name("dice of everyone", cell.level, cell.mitigation)
                context.deferred.append(
                    everyone_deferred(everyone, k, 0, family, rows[-1], context.options.alpha)
                )


def permutation_nulls(
    context: Context, units: JudgedUnits, grouping: Grouping, values: np.ndarray, averages: Means
) -> dict[str, PermutationNull]:
    """Permutation nulls [K] of the gaps of one version's means, also among estimable groups."""
    return permutation_null_means(
        values,
        grouping.code,
        context.patients(units),
        context.options.seed,
        groups=len(grouping.groups),
        attribute=grouping.name,
        permutations=context.options.null_draws,
        mask=np.isin(averages.changes.counted[0][:, 0], (0, 4)),
    )


def _add_gaps(
    context: Context, base: Row, units: JudgedUnits, grouping: Grouping, averages: Means
) -> None:
    """SER and Delta-Dice of one attribute."""
    tested = compare_groups(context, grouping.name, averages.changes) if units.paired else None
    versions = (units.original, units.reconstructed)
    nulls = tuple(
        permutation_nulls(context, units, grouping, values, averages)
        # place 0 are the originals
        if place or units.paired
        else {}
        for place, values in enumerate(versions)
    )
    shrunk = shrunk_of(averages.changes, grouping, context.options.alpha)
    recipe = _published(context, units, grouping)
    for k, cell in enumerate(context.study.cells):
        common = {**base, **cell_fields(context.study, cell), "attribute": grouping.name}
        common |= {name: float(part[k].sum()) for name, part in averages.counts.items()}
        # a patient may count in two groups of an image's attribute, but is one patient here
        common |= {"n_patients": float(averages.patients[k])}
        for metric in ("ser", "delta_dice"):
            fields = {**common, "metric": metric, "reference_group": grouping.reference}
            judged = _gap_rows(context, fields, units, averages, (nulls[0], nulls[1]), k, recipe)
            if tested is None:
                without_test(judged, paired=False)
                continue
            _queue(context, metric, tested, averages.values.change, grouping, common, judged, k)
        if grouping.crossed and units.paired:
            rows = shrunk_rows(shrunk, averages.changes, k, grouping, ("dice",), common)
            context.fairness += rows
        worst = worst_rows(
            averages.changes, k, 0, grouping.groups, {**common, "metric": "worst_group_dice"}
        )
        context.fairness += worst if units.paired else worst[1:2]  # [1]: of reconstructions


def _published(context: Context, units: JudgedUnits, grouping: Grouping) -> Mapping[str, Published]:
    """The published recipe [K] by metric, where its convention is asked for."""
    if not units.paired or "mean" not in context.options.conventions:
        return {}
    return published_means_tests(
        units.original,
        units.reconstructed,
        grouping.code,
        context.options.seed,
        groups=len(grouping.groups),
        replicates=max(context.options.replicates, 2),
    )


def _queue(
    context: Context,
    metric: str,
    tested: Tested,
    own: Intervals,
    grouping: Grouping,
    common: Row,
    judged: list[Row],
    k: int,
) -> None:
    """Queues one metric's verdict with its rows per group."""
    level, mitigation = common["level"], common["mitigation"]
    # both gaps of Dice come from one test: it counts once among the primary ones
    primary = metric == "ser" and context.is_primary(level, mitigation, grouping)
    test = gap_test(
        metric,
        tested,
        own,
        k,
        grouping.groups,
        family=family_name(metric, level, mitigation, primary=primary, crossed=grouping.crossed),
        auroc=None,
        alpha=context.options.alpha,
        mitigation=context.mitigation,
    )
    rows = group_rows(test, common)
    context.fairness += rows
    context.deferred.append(queue(test, judged, rows))
    keep(context, test, tested.changes, grouping, common, k)


def _gap_rows(
    context: Context,
    fields: Row,
    units: JudgedUnits,
    averages: Means,
    nulls: tuple[dict[str, PermutationNull], dict[str, PermutationNull]],
    k: int,
    published: Mapping[str, Published],
) -> list[Row]:
    """Adds the rows of one metric under every convention; returns the change rows that await a
    verdict.
    """
    judged: list[Row] = []
    null = {"ser": "ser", "delta_dice": "delta"}[fields["metric"]]
    for convention in context.options.conventions:
        before, after = averages.gap(fields["metric"], convention, k)
        before = before if units.paired else float("nan")
        rows = version_rows({**fields, "convention": convention}, plain(before, after), "", {})
        suffix = "_estimable" if convention == "worst_case_estimable" else ""
        add_nulls(rows, nulls, null + suffix, k)
        context.fairness += rows
        # "mean" is there for comparison with published numbers and gets no verdict
        if convention != "mean":
            judged.append(rows[-1])
        elif published:
            add_published(rows[-1], published[fields["metric"]], k, "patient")
    return judged
