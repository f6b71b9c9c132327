"""Decisions of classification tasks, and what is measured of them per study cell, label and group:
rates, Brier scores and AUROCs with intervals clustered by patient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fairrecon_jax.assessment.arrays import Grouping
from fairrecon_jax.assessment.rows import Interval, Triple
from fairrecon_jax.assessment.thresholds import Thresholds
from fairrecon_jax.assessment.units import JudgedUnits
from fairrecon_jax.inference.changes import Changes, auroc_changes, decision_changes
from fairrecon_jax.inference.clustered import Interval as Intervals
from fairrecon_jax.inference.clustered import change_interval, rate_interval
from fairrecon_jax.inference.clustered_values import (
    auroc_change_interval,
    auroc_interval,
    mean_interval,
)
from fairrecon_jax.inference.group_tables import Patients, PatientTables, patient_units, tabulate


class Decisions(NamedTuple):
    """Decisions of one task on complete units.

    Attributes:
      label: [U] float {0, 1, NaN}.
      original: [K, U] decisions {0, 1}, NaN where the unit is incomplete or there is no threshold.
      reconstructed: [K, U] decisions {0, 1}, NaN where the unit is incomplete or there is no
        threshold.
      known: [K, U] bool, both scores and the label are known.
    """

    label: np.ndarray
    original: np.ndarray
    reconstructed: np.ndarray
    known: np.ndarray


class Paired(NamedTuple):
    """A number on originals, on reconstructions and its change, each an interval of arrays."""

    original: Intervals
    reconstructed: Intervals
    change: Intervals

    def at(self, *place: int) -> Triple:
        """One entry as Python floats."""
        return Triple(*(Interval(*(float(part[place]) for part in version)) for version in self))

    def unpaired(self) -> Paired:
        """Reconstructions alone: nothing is known of originals and changes."""
        blank = Intervals(*(np.full_like(v, np.nan) for v in self.original))
        return Paired(blank, self.reconstructed, blank)


class Counts(NamedTuple):
    """The count columns of the long tables; arrays [K, G]."""

    n: np.ndarray
    n_patients: np.ndarray
    n_pos: np.ndarray
    n_neg: np.ndarray
    n_changed: np.ndarray


class Measured(NamedTuple):
    """What is measured of K problems in one grouping.

    Attributes:
      decisions: changes of decisions, L = 2 (specificity, sensitivity).
      aurocs: changes of AUROCs, L = 1.
      brier: changes of the squared error as patient tables, L = 1.
      rate_values: specificity and sensitivity, [K, 2, G].
      auroc_values: [K, 1, G].
      brier_values: [K, 1, G].
      counts: [K, G].
      patients: [K] patients with a known group.
    """

    decisions: Changes
    aurocs: Changes
    brier: PatientTables
    rate_values: Paired
    auroc_values: Paired
    brier_values: Paired
    counts: Counts
    patients: np.ndarray


def decide(units: JudgedUnits, thresholds: Thresholds) -> Decisions:
    """Decisions score >= threshold of both versions; originals are all NaN where the table has
    none, both where there is no threshold.
    """
    known = np.isfinite(units.reconstructed) & np.isfinite(units.label)[None]
    if units.paired:
        known &= np.isfinite(units.original)
    # both versions or neither: thresholds of originals are there where those of reconstructions are
    decided = known & np.isfinite(thresholds.reconstructed)[:, None]
    with np.errstate(invalid="ignore"):  # comparisons with NaN, which `decided` leaves out
        original = np.where(
            decided & units.paired, units.original >= thresholds.original[:, None], np.nan
        )
        reconstructed = np.where(
            decided, units.reconstructed >= thresholds.reconstructed[:, None], np.nan
        )
    return Decisions(units.label, original.astype(float), reconstructed.astype(float), known)


def by_group(
    interval: Callable[..., Intervals], group: np.ndarray, groups: int, *sums: np.ndarray
) -> Intervals:
    """An interval of each group's units.

    Args:
      interval: from sums [U_g, K, L] of the units of one group to arrays [K, L].
      group: [U] int.
      groups: G.
      *sums: [U, K, L] each.

    Returns:
      Arrays [K, L, G].
    """
    # [K, L] per group; rates of an empty group come back NaN
    found = [interval(*(v[group == g] for v in sums)) for g in range(groups)]
    return Intervals(*(np.stack(parts, -1) for parts in zip(*found, strict=True)))


def measure(
    units: JudgedUnits,
    label: np.ndarray,
    decisions: tuple[np.ndarray, np.ndarray],
    scores: tuple[np.ndarray, np.ndarray],
    grouping: Grouping,
    patients: Patients,
    min_patients: int,
    alpha: float,
    stratum: np.ndarray | None = None,
) -> Measured:
    """Rates, Brier scores and AUROCs of one grouping.

    Args:
      units: what is judged.
      label: [K, U] truth {0, 1, NaN}.
      decisions: of originals and of reconstructions, [K, U] each; without originals the second
        stands for both, and nothing can be said of originals or of changes.
      scores: the same of scores.
      grouping: one attribute, or everyone.
      patients: of the units.
      min_patients: fewest patients of a stratum that is judged.
      alpha: intervals have level 1 - alpha.
      stratum: [U] strata within which groups are permuted.

    Returns:
      `Measured`.
    """
    groups = len(grouping.groups)
    changes, aurocs = (
        function(
            *versions,
            label,
            grouping.code,
            patients,
            groups=groups,
            min_patients=min_patients,
            stratum=stratum,
        )
        for function, versions in ((decision_changes, decisions), (auroc_changes, scores))
    )
    of_unit = patient_units(grouping.code, patients, groups)
    # complete pairs alone, so that both versions are means over the same images
    known = np.isfinite(scores[0]) & np.isfinite(scores[1]) & np.isfinite(label)
    errors = [tabulate(of_unit, np.where(known, (score - label) ** 2, np.nan)) for score in scores]
    # below 0 is a gain here, unlike in all other changes: it is told, never judged between groups
    brier = errors[1]._replace(change=errors[1].change - errors[0].change)
    rates, area = _rates(changes, alpha), areas(aurocs, alpha)
    error = _means(errors[0].change, errors[1].change, brier, alpha)
    if not units.paired:
        rates, area, error = rates.unpaired(), area.unpaired(), error.unpaired()
    counts, distinct = _counts(changes, units.paired)
    return Measured(changes, aurocs, brier, rates, area, error, counts, distinct)


def _rates(changes: Changes, alpha: float) -> Paired:
    """Specificity and sensitivity."""
    tables = changes.tables
    where = (tables.group, tables.groups)
    n = tables.images
    return Paired(
        # rare: small groups with rates near 0 and 1 are the rule
        by_group(lambda s, n: rate_interval(s, n, alpha, rare=True), *where, changes.before, n),
        by_group(lambda s, n: rate_interval(s, n, alpha, rare=True), *where, changes.after, n),
        by_group(lambda s, n: change_interval(s, n, alpha), *where, tables.change, n),
    )


def _means(before: np.ndarray, after: np.ndarray, change: PatientTables, alpha: float) -> Paired:
    """Means over images of a value and of its change."""
    versions = (change._replace(change=before), change._replace(change=after), change)
    return Paired(*(means_of_change(tables, alpha) for tables in versions))


def means_of_change(tables: PatientTables, alpha: float) -> Intervals:
    """Intervals [K, L, G] of the mean change of values."""
    return by_group(
        lambda s, n: mean_interval(s, n, alpha),
        tables.group,
        tables.groups,
        tables.change,
        tables.images,
    )


def areas(changes: Changes, alpha: float) -> Paired:
    """AUROCs [K, 1, G] of both versions and their change, with intervals."""
    tables, groups = changes.tables, range(changes.tables.groups)
    influences = (changes.before, changes.after, changes.after - changes.before)
    values = (
        changes.original,
        changes.reconstructed,
        changes.reconstructed - changes.original,
    )
    functions = (auroc_interval, auroc_interval, auroc_change_interval)
    parts = []
    for value, influence, function in zip(values, influences, functions, strict=True):
        found = [
            function(
                value[..., g],
                influence[tables.group == g],
                changes.classes[1][..., g],  # positives come first
                changes.classes[0][..., g],
                alpha,
            )
            for g in groups
        ]
        parts.append(Intervals(*(np.stack(v, -1) for v in zip(*found, strict=True))))
    return Paired(*parts)


def _counts(changes: Changes, paired: bool) -> tuple[Counts, np.ndarray]:
    """The count columns, and the patients [K] of all groups together."""
    tables, images = changes.tables, changes.images
    present = tables.images.sum(-1) > 0  # [U, K]
    by_group = [present[tables.group == g].sum(0) for g in range(tables.groups)]
    # a patient may be in two groups of an image's attribute, but is one patient
    who = np.unique(tables.patient, return_inverse=True)[1]
    distinct = [len(np.unique(who[rows])) for rows in present.T]
    changed = changes.changed.sum(1) if paired else np.zeros_like(images[:, 0])
    counts = Counts(images.sum(1), np.stack(by_group, -1), images[:, 1], images[:, 0], changed)
    return counts, np.array(distinct)
