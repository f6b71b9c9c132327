"""Decisions of classification tasks: counted per group and label, their rates, Brier scores and
gaps with paired bootstrap intervals.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fairrecon_jax import metrics
from fairrecon_jax.assessment.arrays import Grouping, JudgedUnits
from fairrecon_jax.assessment.thresholds import Thresholds
from fairrecon_jax.inference.intervals import Bootstrap
from fairrecon_jax.inference.resampling import Name, Pair, bootstrap_sums


class Decisions(NamedTuple):
    """Decisions of one task on complete units.

    Attributes:
      label: [U] float {0, 1, NaN}.
      original: [K, U] decisions {0, 1}, NaN where the unit is incomplete or there is no threshold.
      reconstructed: [K, U] decisions {0, 1}, NaN where the unit is incomplete or there is no
        threshold.
      known: [K, U] bool, both scores and the label are known.
      shared: originals and completeness are the same in all K cells.
    """

    label: np.ndarray
    original: np.ndarray
    reconstructed: np.ndarray
    known: np.ndarray
    shared: bool


class Counts(NamedTuple):
    """The count columns of the long tables; arrays [K, G]."""

    n: np.ndarray
    n_patients: np.ndarray
    n_pos: np.ndarray
    n_neg: np.ndarray
    n_changed: np.ndarray


class Measured(NamedTuple):
    """Everything of one task and grouping that comes from resampling.

    Attributes:
      rates: decisions, arrays [K, G, 2] (label 0: false-positive rate, label 1: sensitivity).
      brier: arrays [K, G].
      gaps: by (metric, convention), arrays [K].
      counts: [K, G].
      strata: [K, G, 2] patients per group and label.
      patients: [K] patients with a known group.
    """

    rates: Bootstrap
    brier: Bootstrap
    gaps: dict[Name, Bootstrap]
    counts: Counts
    strata: np.ndarray
    patients: np.ndarray


def decide(units: JudgedUnits, thresholds: Thresholds) -> Decisions:
    """Decisions score >= threshold of both versions; originals are all NaN where the table has
    none, both where there is no threshold.
    """
    known = np.isfinite(units.reconstructed) & np.isfinite(units.label)[None]
    if units.paired:
        known &= np.isfinite(units.original)
    decided = known & np.isfinite(thresholds.reconstructed)[:, None]
    with np.errstate(invalid="ignore"):  # comparisons with NaN, which `decided` leaves out
        original = np.where(
            decided & units.paired, units.original >= thresholds.original[:, None], np.nan
        )
        reconstructed = np.where(
            decided, units.reconstructed >= thresholds.reconstructed[:, None], np.nan
        )
    # reconstructions differ from cell to cell; what does not is counted and resampled once
    shared = bool(
        (known == known[:1]).all()
        and np.array_equal(original, np.broadcast_to(original[:1], original.shape), equal_nan=True)
    )
    return Decisions(
        units.label, original.astype(float), reconstructed.astype(float), known, shared
    )


def scatter(
    index: np.ndarray, values: np.ndarray, mask: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Sums values [K, U] into slots: index [U] or [K, U] into the flattened `shape` = (P, ...) ->
    [P, K, ...] float32.
    """
    size = int(np.prod(shape))
    # `bincount` per cell is an order of magnitude faster than `np.add.at` over all
    sums = [
        np.bincount(
            np.broadcast_to(index, values.shape)[k][mask[k]],
            weights=values[k][mask[k]],
            minlength=size,
        )
        for k in range(len(values))
    ]
    return np.moveaxis(np.stack(sums).reshape(len(values), *shape), 0, 1).astype(np.float32)


def tables(
    units: JudgedUnits, decisions: Decisions, grouping: Grouping, resampled: np.ndarray, count: int
) -> list[np.ndarray]:
    """Per resampled unit: images, original and reconstructed positives [P, K, G, 2], Brier sums of
    both versions [P, K, G].

    Whatever is the same in all study cells has K = 1.
    """
    groups = len(grouping.groups)
    cells = slice(0, 1) if decisions.shared else slice(None)
    member = decisions.known & (grouping.code >= 0)[None]
    # unknown labels and groups point at slot 0; `member` keeps them from being added there
    positive = np.nan_to_num(decisions.label).astype(int)
    by_group = resampled.astype(np.int64) * groups + np.maximum(grouping.code, 0)
    by_label = by_group * 2 + positive
    error = [
        (score - units.label[None]) ** 2 for score in (units.original[cells], units.reconstructed)
    ]
    shape = (count, groups, 2)
    return [
        scatter(by_label, member[cells].astype(float), member[cells], shape),
        scatter(by_label, decisions.original[cells], member[cells], shape),
        scatter(by_label, decisions.reconstructed, member, shape),
        scatter(by_group, error[0], member[cells], shape[:2]),
        scatter(by_group, error[1], member, shape[:2]),
    ]


def _ratios(sums: list[np.ndarray]) -> dict[Name, Pair]:
    """Rates [R, K, G, 2] and Brier scores [R, K, G] of both versions from resampled sums."""
    images, before, after, brier_before, brier_after = sums
    with np.errstate(invalid="ignore", divide="ignore"):  # an empty stratum is 0 / 0 = NaN
        total = images.sum(-1)
        return {
            "rates": (before / images, after / images),
            "brier": (brier_before / total, brier_after / total),
        }


def gap_values(
    sums: list[np.ndarray], conventions: tuple[metrics.Convention, ...], mask: np.ndarray
) -> dict[Name, Pair]:
    """EODD and EOP of both versions under every convention.

    Args:
      sums: images, original and reconstructed positives, [R, K, G, 2] each (K may be 1 where
        shared).
      conventions: of the gaps.
      mask: [K, G, 2] estimable strata.

    Returns:
      (metric, convention) -> (original [R, K], reconstructed [R, K]).
    """
    # broadcast against sums[2], which has all K cells, so that both versions stack
    counts = np.stack(
        [np.stack(np.broadcast_arrays(sums[0] - yes, yes, sums[2])[:2], -1) for yes in sums[1:3]]
    )
    rates = np.swapaxes(metrics.rates(counts), -1, -2)
    known = np.isfinite(rates)
    gaps: dict[Name, Pair] = {}
    for convention in conventions:
        estimable = convention == "worst_case_estimable"
        by_label = metrics.spread(rates, known & np.swapaxes(mask, -1, -2) if estimable else known)
        eodd, eop = np.asarray(metrics.over_labels(by_label, convention)), np.asarray(by_label)
        gaps["eodd", convention] = (eodd[0], eodd[1])
        gaps["eop", convention] = (eop[0, ..., 1], eop[1, ..., 1])
    return gaps


def measure(
    units: JudgedUnits,
    decisions: Decisions,
    grouping: Grouping,
    resampled: np.ndarray,
    weights: np.ndarray,
    conventions: tuple[metrics.Convention, ...],
    min_patients: int,
    alpha: float,
) -> Measured:
    """Rates, Brier scores and gaps of one grouping with paired bootstrap intervals.

    Args:
      units: what is judged.
      decisions: from `decide`.
      grouping: one attribute, or everyone.
      resampled: [U] number of the resampled unit (patient or image) of each judged unit.
      weights: [R, P] bootstrap draws of the resampled units.
      conventions: of the gaps.
      min_patients: fewest patients of an estimable stratum.
      alpha: intervals have level 1 - alpha.

    Returns:
      `Measured`.
    """
    counts, strata = count(units, decisions, grouping)
    parts = tables(units, decisions, grouping, resampled, weights.shape[1])

    def statistics(sums: list[np.ndarray]) -> dict[Name, Pair]:
        gaps = (
            gap_values(sums[:3], conventions, strata >= min_patients)
            if len(grouping.groups) > 1
            else {}
        )
        return {**_ratios(sums), **gaps}

    gaps = bootstrap_sums(parts, weights, statistics, alpha)
    rates, brier = gaps.pop("rates"), gaps.pop("brier")
    member = decisions.known & (grouping.code >= 0)[None]
    # not the sum over groups: a patient may be in two groups of an image's attribute
    patients = np.array([len(np.unique(units.patient[rows])) for rows in member])
    return Measured(rates, brier, gaps, counts, strata, patients)


def count(
    units: JudgedUnits, decisions: Decisions, grouping: Grouping
) -> tuple[Counts, np.ndarray]:
    """Counts of what entered: per study cell and group, and patients per cell, group and label
    [K, G, 2].
    """
    groups, cells = len(grouping.groups), len(decisions.known)
    member = decisions.known & (grouping.code >= 0)[None]
    code = np.maximum(grouping.code, 0)
    # NaN (no original, no threshold) compares as not changed
    changed = member & (np.abs(decisions.original - decisions.reconstructed) > 0)
    counts = Counts(*(np.zeros((cells, groups)) for _ in Counts._fields))
    patients = np.zeros((cells, groups, 2))
    by_label = (counts.n_neg, counts.n_pos)
    for k in range(cells):
        counts.n_changed[k] = np.bincount(code[changed[k]], minlength=groups)
        if k and decisions.shared:  # who is judged does not differ between the cells
            for part in (counts.n, counts.n_patients, counts.n_pos, counts.n_neg, patients):
                part[k] = part[0]
            continue
        rows = member[k]
        counts.n[k] = np.bincount(code[rows], minlength=groups)
        counts.n_patients[k] = distinct(units.patient[rows], code[rows], groups)
        for label in (0, 1):
            with_label = rows & (decisions.label == label)
            by_label[label][k] = np.bincount(code[with_label], minlength=groups)
            patients[k, :, label] = distinct(units.patient[with_label], code[with_label], groups)
    return counts, patients


def distinct(patient: np.ndarray, code: np.ndarray, groups: int) -> np.ndarray:
    """Number of different patients per group."""
    return np.bincount(
        np.unique(patient.astype(np.int64) * groups + code) % groups, minlength=groups
    )
