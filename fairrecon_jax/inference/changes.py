"""What changed between originals and reconstructions, per patient: decisions, scores, values and
AUROCs as patient tables, with the rates before and after that a reader wants beside a test.

Everything points the same way: more is better. Of negatives the correct decision is the negative
one, so that their change is that of specificity; the score of a negative counts with its sign
turned. Whatever is below 0 is a loss. For everyone together give one group: `groups=1` and zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import logit

from fairrecon_jax.inference.delong import placements
from fairrecon_jax.inference.group_result import Counted
from fairrecon_jax.inference.group_tables import (
    MIN_PATIENTS,
    Patients,
    PatientTables,
    Units,
    judge_cells,
    patient_units,
    tabulate,
)
from fairrecon_jax.types import Array

Names = Sequence[object] | np.ndarray | Patients
"""Patient names [N], or `Patients` that were digested before."""

CLIP = 1e-4
"""Scores nearer to 0 or 1 count as this near: the logit of a saturated score is mostly rounding."""


class Changes(NamedTuple):
    """Changes of K cells that share one attribute, L labels and G groups.

    Attributes:
      tables: sums S of changes and numbers of images N per unit, [U, K, L].
      before: [U, K, L] sums over the same images on originals (AUROC: the unit's influence).
      after: [U, K, L] the same on reconstructions.
      original: [K, L, G] rate, mean or AUROC on originals; NaN without images.
      reconstructed: [K, L, G] the same on reconstructions.
      images: [K, L, G] images (of values: patients).
      changed: [K, L, G] images whose decision, score or value changed.
      counted: who takes part.
      decisions: whether these are rates of decisions.
      classes: of AUROCs, effective patients with label 0 and with label 1, [K, 1, G] each.
    """

    tables: PatientTables
    before: np.ndarray
    after: np.ndarray
    original: np.ndarray
    reconstructed: np.ndarray
    images: np.ndarray
    changed: np.ndarray
    counted: Counted
    decisions: bool
    classes: tuple[np.ndarray, ...] = ()


def one_problem(changes: Changes, k: int) -> Changes:
    """One of K problems, with K = 1.

    Args:
      changes: of K problems.
      k: which.
    """
    tables = changes.tables
    one = slice(k, k + 1)
    cut = tables._replace(change=tables.change[:, one], images=tables.images[:, one])
    reason, patients, effective = (part[one] for part in changes.counted)
    return Changes(
        cut,
        changes.before[:, one],
        changes.after[:, one],
        changes.original[one],
        changes.reconstructed[one],
        changes.images[one],
        changes.changed[one],
        (reason, patients, effective),
        changes.decisions,
        tuple(part[one] for part in changes.classes),
    )


def sum_by_group(values: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Sums over the units of each group.

    Args:
      values: [U, K, L].
      group: [U] int in 0..G-1.
      groups: G.

    Returns:
      [K, L, G].
    """
    return np.stack([values[group == g].sum(0) for g in range(groups)], -1)


def decision_changes(
    original: Array,
    reconstructed: Array,
    label: Array,
    group: Array,
    patient: Names,
    *,
    groups: int,
    min_patients: int = MIN_PATIENTS,
    stratum: Array | None = None,
) -> Changes:
    """Changes of specificity (label 0) and sensitivity (label 1).

    S = sum over the patient's images of (correct on the reconstruction - correct on the original).

    Args:
      original: [N] or [K, N] decisions in {0, 1} on originals, NaN = unknown.
      reconstructed: [N] or [K, N] decisions on reconstructions.
      label: [N] or [K, N] truth in {0, 1}, NaN = unknown.
      group: [N] int group index, anything outside 0..G-1 = unknown.
      patient: [N] patient names.
      groups: G.
      min_patients: fewest patients, and effective patients, of a stratum that takes part.
      stratum: [N] further strata within which groups are permuted.

    Returns:
      `Changes` with L = 2.

    Raises:
      ValueError: shapes disagree.

    Example:
      >>> found = decision_changes([1, 1], [1, 0], [1, 1], [0, 1], ["a", "b"], groups=2)
      >>> (found.reconstructed - found.original)[0, 1]
      array([ 0., -1.])
    """
    o, r, y = (np.atleast_2d(np.asarray(v, float)) for v in (original, reconstructed, label))
    # an unknown label is taken for a negative here; it is in no stratum of the tables
    correct = [np.where(y == 1, d, 1 - d) for d in (o, r)]
    units = patient_units(group, patient, groups)
    return _build(units, correct[0], correct[1], y, min_patients, stratum, "images", True)


def score_changes(
    original: Array,
    reconstructed: Array,
    label: Array,
    group: Array,
    patient: Names,
    *,
    groups: int,
    min_patients: int = MIN_PATIENTS,
    stratum: Array | None = None,
) -> Changes:
    """Changes of the score given the label: of the logit of the probability of the truth.

    Sees a loss that moves no decision across the threshold, and so finds harm in fewer patients; it
    does not say that a decision changed. Arguments, result and errors as in `decision_changes`;
    scores in [0, 1] are turned into logits, and count as they are where one lies outside.

    Example:
      >>> found = score_changes([0.5, 0.9], [0.5, 0.6], [1, 1], [0, 1], ["a", "b"], groups=2)
      >>> (found.reconstructed - found.original)[0, 1].round(2)  # no decision at 0.5 changed
      array([ 0.  , -1.79])
    """
    o, r, y = (np.atleast_2d(np.asarray(v, float)) for v in (original, reconstructed, label))
    with np.errstate(invalid="ignore"):
        # both versions or neither: a logit less a raw score would be no change
        if not any(np.any((v < 0) | (v > 1)) for v in (o, r)):
            o, r = (logit(np.clip(v, CLIP, 1 - CLIP)) for v in (o, r))
    before, after = (np.where(y == 1, v, -v) for v in (o, r))
    units = patient_units(group, patient, groups)
    return _build(units, before, after, y, min_patients, stratum, "images", False)


def value_changes(
    original: Array,
    reconstructed: Array,
    group: Array,
    patient: Names,
    *,
    groups: int,
    min_patients: int = MIN_PATIENTS,
    stratum: Array | None = None,
) -> Changes:
    """Changes of a value such as Dice or PSNR, on patients' means.

    Args:
      original: [N] or [K, N] values on originals, NaN = undefined; 0 throughout for a quantity that
        exists for reconstructions alone. More is better.
      reconstructed: [N] or [K, N] values on reconstructions.
      group: [N] int group index, anything outside 0..G-1 = unknown.
      patient: [N] patient names.
      groups: G.
      min_patients: fewest patients of a group that takes part.
      stratum: [N] further strata within which groups are permuted.

    Returns:
      `Changes` with L = 1.

    Raises:
      ValueError: shapes disagree.

    Example:
      >>> before, after, sex = [0.9, 0.7, 0.8], [0.9, 0.5, 0.8], [0, 0, 1]
      >>> found = value_changes(before, after, sex, ["a", "a", "b"], groups=2)
      >>> (found.reconstructed - found.original)[0, 0].round(2)
      array([-0.1,  0. ])
    """
    o, r = (np.atleast_2d(np.asarray(v, float)) for v in (original, reconstructed))
    units = patient_units(group, patient, groups)
    return _build(units, o, r, None, min_patients, stratum, "patients", False)


def _build(
    units: Units,
    before: np.ndarray,
    after: np.ndarray,
    label: np.ndarray | None,
    min_patients: int,
    stratum: Array | None,
    weigh: Literal["images", "patients"],
    decisions: bool,
) -> Changes:
    """Changes of values [K, N] on units."""
    before, after = np.broadcast_arrays(before, after)
    # both sums are over the images that have both values
    known = np.isfinite(before) & np.isfinite(after)
    first, second = (
        tabulate(units, np.where(known, v, np.nan), label, stratum=stratum, weigh=weigh)
        for v in (before, after)
    )
    # counted by image, also where patients are weighed alike
    moved = tabulate(units, np.where(known, 1.0 * (before != after), np.nan), label)
    # both sums run in order of value, so that equal images leave exactly 0
    tables = second._replace(change=second.change - first.change)
    totals = [
        sum_by_group(v, units.group, units.groups)
        for v in (first.change, second.change, tables.images, moved.change)
    ]
    some = np.where(totals[2] > 0, totals[2], np.nan)
    return Changes(
        tables,
        first.change,
        second.change,
        totals[0] / some,
        totals[1] / some,
        totals[2],
        totals[3],
        judge_cells(tables, min_patients),
        decisions,
    )


def auroc_changes(
    original: Array,
    reconstructed: Array,
    label: Array,
    group: Array,
    patient: Names,
    *,
    groups: int,
    min_patients: int = MIN_PATIENTS,
    stratum: Array | None = None,
) -> Changes:
    """Changes of the AUROC within each group.

    S = D_g + P_g h with D_g the change of the group's AUROC, h the patient's DeLong influence on it
    and P_g the number of the group's patients: the mean of S over patients is D_g.

    Args:
      original: [N] or [K, N] scores on originals, NaN = unknown.
      reconstructed: [N] or [K, N] scores on reconstructions.
      label: [N] or [K, N] truth in {0, 1}, NaN = unknown.
      group: [N] int group index, anything outside 0..G-1 = unknown.
      patient: [N] patient names.
      groups: G.
      min_patients: fewest patients with a positive, and with a negative, image in a group that
        takes part.
      stratum: [N] further strata within which groups are permuted.

    Returns:
      `Changes` with L = 1; `counted` counts patients of the rarer label, `before` and `after` hold
      influences summed per patient.

    Raises:
      ValueError: shapes disagree.

    Example:
      >>> before, after = [0.1, 0.9, 0.1, 0.9], [0.1, 0.9, 0.9, 0.1]
      >>> found = auroc_changes(before, after, [0, 1, 0, 1], [0, 0, 1, 1], range(4), groups=2)
      >>> found.original[0, 0], found.reconstructed[0, 0]
      (array([1., 1.]), array([1., 0.]))

    Reference:
      DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44.
    """
    o, r, y = np.broadcast_arrays(
        *(np.atleast_2d(np.asarray(v, float)) for v in (original, reconstructed, label))
    )
    known = np.isfinite(o) & np.isfinite(r) & np.isfinite(y)
    units = patient_units(group, patient, groups)
    # who is there; the changes come from `_areas`
    tables = tabulate(units, np.where(known, 0.0, np.nan), stratum=stratum, weigh="patients")
    area, influence, images, moved = _areas(units, tables, (o, r), y, known)
    classes = [
        judge_cells(tabulate(units, np.where(known & (y == k), 0.0, np.nan)), min_patients)
        for k in (0, 1)
    ]
    return Changes(
        tables,
        influence[0],
        influence[1],
        area[0],
        area[1],
        images,
        moved,
        _rarer_label(*classes),
        False,
        (classes[0][2], classes[1][2]),
    )


def _areas(
    units: Units,
    tables: PatientTables,
    scores: tuple[np.ndarray, np.ndarray],
    label: np.ndarray,
    known: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """AUROCs [2, K, 1, G] of both versions, influences [2, U, K, 1], images and changed images [K,
    1, G]; writes the changes into the tables.
    """
    influence = np.zeros((2, *tables.change.shape))
    shape = (len(label), 1, units.groups)
    area, images, moved = np.full((2, *shape), np.nan), np.zeros(shape), np.zeros(shape)
    owner: np.ndarray = np.full(units.which.shape, -1)
    inside = units.which >= 0
    owner[inside] = units.group[units.which[inside]]
    for k in range(len(label)):
        for g in range(units.groups):
            rows = np.flatnonzero(known[k] & (owner == g))
            unit = units.which[rows]
            for version, score in enumerate(scores):
                area[version, k, 0, g], each = placements(label[k, rows], score[k, rows])
                influence[version, :, k, 0] += _per_unit(unit, each, len(units.group))
            images[k, 0, g] = len(rows)
            moved[k, 0, g] = np.sum(scores[0][k, rows] != scores[1][k, rows])
            present, change = np.flatnonzero(np.bincount(unit)), area[1, k, 0, g] - area[0, k, 0, g]
            if not np.isfinite(change):  # without both labels a group has no AUROC to change
                tables.images[present, k, 0] = 0
                continue
            moment = (influence[1] - influence[0])[present, k, 0]
            # the mean over patients is D_g, and sum e^2 / P^2 is DeLong's sum of squared influences
            tables.change[present, k, 0] = change + len(present) * moment
    return area, influence, images, moved


def _per_unit(unit: np.ndarray, influence: np.ndarray, units: int) -> np.ndarray:
    """Influences summed per unit; sorted, so that the order of rows does not matter."""
    order = np.lexsort((influence, unit))
    return np.bincount(unit[order], influence[order], units)


def _rarer_label(negatives: Counted, positives: Counted) -> Counted:
    """Reason codes, patients and effective patients of the rarer label, [K, 1, G] each."""
    # the label with fewer effective patients limits what an AUROC can show
    fewer = negatives[2] <= positives[2]
    reason, patients, effective = (
        np.where(fewer, a, b) for a, b in zip(negatives, positives, strict=True)
    )
    # 4: enough patients, but no second group of that label; of the rarer labels it may have one
    enough = np.isin(reason, (0, 4))
    pair = np.sum(enough, -1, keepdims=True) >= 2
    return np.where(enough, np.where(pair, 0, 4), reason), patients, effective
