"""Gaps between groups from one row per image: plain arrays in, one number out.

Groups may be names or numbers; a group that is None, NaN or -1, a label or value that is NaN, is
left out. The formulas and their edges are those of `fairness`, which these functions call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fairrecon_jax.metrics.classification import divide
from fairrecon_jax.metrics.conventions import Convention, canonical
from fairrecon_jax.metrics.fairness import (
    eodd_from_counts,
    eop_from_counts,
    gap_from_values,
    ser_from_means,
)
from fairrecon_jax.metrics.groups import estimable, group_counts
from fairrecon_jax.types import Array

Column = Array | Sequence[Any]
"""One entry per image: an array, a list, a column of a table."""

MIN_PATIENTS = 20
"""Fewest patients of a stratum under the convention "worst_case_estimable"."""


def eodd(
    label: Column,
    decision: Column,
    group: Column,
    *,
    convention: Convention = "worst_case",
    weight: Column | None = None,
    patient: Column | None = None,
    min_patients: int = MIN_PATIENTS,
) -> float:
    """Equalised-odds difference: the largest (or mean) gap between groups of the rates of positive
    decisions among negatives and among positives.

    With d_y = max_g P(d = 1 | g, y) - min_g P(d = 1 | g, y): max(d_0, d_1), or (d_0 + d_1) / 2 for
    "mean". 0 means equal rates in every group. A group without an image of a label takes no part in
    that label's gap; "mean" needs both labels; NaN where nothing can be compared.

    Args:
      label: [N] truth in {0, 1}; NaN or None = unknown.
      decision: [N] decision in {0, 1}; NaN or None = unknown.
      group: [N] names or numbers; None, NaN or -1 = unknown.
      convention: "worst_case", "mean", or "worst_case_estimable" (strata of at least `min_patients`
        patients only).
      weight: [N] float >= 0; ones if None.
      patient: [N] patient names; every image is a patient of its own if None. Only counted, for
        "worst_case_estimable".
      min_patients: fewest patients of a stratum, for "worst_case_estimable".

    Returns:
      The gap in [0, 1].

    Raises:
      ValueError: there is no entry, lengths differ, a label or decision is not 0, 1 or unknown, a
        weight is negative, or the convention is unknown.

    Example:
      >>> eodd([1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0], ["f", "f", "m", "m", "f", "m"])
      0.5

    Reference: Hardt, Price, Srebro 2016 (arXiv 1610.02413); fairlearn `equalized_odds_difference`
    (parity is tested).
    """
    counts, mask = _counted(label, decision, group, convention, weight, patient, min_patients)
    return float(eodd_from_counts(counts, convention, mask).value)


def eop(
    label: Column,
    decision: Column,
    group: Column,
    *,
    convention: Convention = "worst_case",
    weight: Column | None = None,
    patient: Column | None = None,
    min_patients: int = MIN_PATIENTS,
) -> float:
    """Equal-opportunity difference: the largest gap between groups of the share of positives that
    is found. 0 means equal sensitivity.

    Arguments, errors and reference as in `eodd`.

    Example:
      >>> eop([1, 1, 1, 1], [1, 1, 1, 0], [0, 0, 1, 1])
      0.5
    """
    counts, mask = _counted(label, decision, group, convention, weight, patient, min_patients)
    return float(eop_from_counts(counts, convention, mask).value)


def gap(
    value: Column, group: Column, *, patient: Column | None = None, min_patients: int = 0
) -> float:
    """Largest minus smallest mean of a value (Dice, PSNR, ...) over groups: max_g m_g - min_g m_g.
    0 means equal means.

    Args:
      value: [N] any real value; NaN, None or an infinite value (PSNR of equal images) = undefined.
      group: [N] names or numbers; None, NaN or -1 = unknown.
      patient: [N] patient names: m_g is the mean of the patients' means (a patient counts once in
        each of its groups); the mean over images if None.
      min_patients: groups with fewer patients (images, without `patient`) take no part.

    Returns:
      The gap >= 0; NaN with fewer than two groups.

    Raises:
      ValueError: there is no entry, or lengths differ.

    Example:
      >>> gap([1.0, 0.5, 0.25], ["f", "f", "m"])
      0.5
      >>> gap([1.0, 1.0, 0.25, 0.0], ["f", "f", "f", "m"], patient=["a", "a", "b", "c"])
      0.625
    """
    means, mask = _means(value, group, patient, min_patients)
    return float(gap_from_values(means, None, mask).value)


def delta_dice(
    dice: Column, group: Column, *, patient: Column | None = None, min_patients: int = 0
) -> float:
    """Delta-Dice: `gap` of the mean Dice per group; arguments, edges and errors as there.

    Example:
      >>> round(delta_dice([0.9, 0.7, 0.5], ["f", "f", "m"]), 6)
      0.3
    """
    means, mask = _means(dice, group, patient, min_patients, "dice")
    return float(gap_from_values(means, None, mask).value)


def ser(
    dice: Column, group: Column, *, patient: Column | None = None, min_patients: int = 0
) -> float:
    """Skewed error ratio: max_g (1 - Dice_g) / min_g (1 - Dice_g) of the mean Dice per group. 1
    means equal errors.

    inf where one group is perfect and another is not; NaN where all are, or with fewer than two
    groups.

    Args:
      dice: [N] in [0, 1]; NaN or None = undefined.
      group: [N] names or numbers; None, NaN or -1 = unknown.
      patient: [N] patient names, see `gap`.
      min_patients: see `gap`.

    Returns:
      The ratio >= 1.

    Raises:
      ValueError: there is no entry, lengths differ, or a Dice lies outside [0, 1].

    Example:
      >>> ser([0.75, 0.75, 0.5], ["f", "f", "m"])
      2.0

    Reference: Puyol-Anton et al. 2021 (MICCAI); fairmedfm `dice_skewness` (parity is tested).
    """
    means, mask = _means(dice, group, patient, min_patients, "dice")
    return float(ser_from_means(means, None, mask).value)


def group_codes(group: Column) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Numbers the groups of a column.

    Args:
      group: [N] names or numbers; None, NaN, a missing value of a table or the number -1 = unknown.

    Returns:
      codes int32 [N], -1 = unknown, and the groups in the order of their codes: sorted, or of first
        appearance where names and numbers are mixed.

    Raises:
      ValueError: `group` is not a vector.

    Example:
      >>> group_codes(["m", "f", None, "m"])
      (array([ 1,  0, -1,  1], dtype=int32), ('f', 'm'))
    """
    # a list of names and NaN would become text, "nan" with it
    column = np.asarray(group) if hasattr(group, "dtype") else np.asarray(group, object)
    if column.ndim != 1:
        raise ValueError(
            f"group must be a vector with one entry per image, got shape {column.shape}"
        )
    codes = np.full(column.shape, -1, np.int32)
    if column.dtype.kind in "biuf":
        known = np.isfinite(column.astype(float)) & (column != -1)
        values, codes[known] = np.unique(column[known], return_inverse=True)
        return codes, tuple(values.tolist())
    known = np.array([not _is_unknown(value) for value in column], bool)
    # in order of appearance: names and numbers mixed cannot be sorted
    names = list(dict.fromkeys(column[known].tolist()))
    if len({type(name) for name in names}) == 1:
        names.sort()
    place = {name: number for number, name in enumerate(names)}
    codes[known] = [place[name] for name in column[known].tolist()]
    return codes, tuple(names)


def _is_unknown(value: Any) -> bool:
    """Whether an entry of a column of groups stands for no group."""
    if value is None or isinstance(value, str):
        return value is None
    same = value == value
    # NaN differs from itself, and a table's missing value can only say that it does not know
    return not (isinstance(same, bool | np.bool_) and bool(same)) or value == -1


def _real(values: Column, name: str, images: int) -> np.ndarray:
    """A column of numbers, None as NaN."""
    # a copy, since None is replaced in place
    column = np.array(values, object if not hasattr(values, "dtype") else None)
    if column.dtype == object:
        column[[_is_missing(value) for value in column]] = np.nan
    if column.shape != (images,):
        raise ValueError(f"{name} must hold {images} entries like group, got shape {column.shape}")
    try:
        return column.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers or NaN (unknown): {error}") from error


def _coded(group: Column, what: str) -> tuple[np.ndarray, tuple[Any, ...]]:
    """The groups of a column that has entries; one group of nobody where none is known."""
    codes, names = group_codes(group)
    if not codes.size:
        raise ValueError(f"{what} are empty: there is nothing to compare")
    return codes, names or ("",)


def _is_missing(value: Any) -> bool:
    """Whether an entry of a column of numbers is None or a table's missing value."""
    return value is None or not isinstance(value == value, bool | np.bool_)


def _binary(values: Column, name: str, images: int) -> np.ndarray:
    """A column of 0, 1 and unknown as floats."""
    column = _real(values, name, images)
    wrong = np.unique(column[~np.isnan(column) & (column != 0) & (column != 1)])
    if wrong.size:
        raise ValueError(f"{name} must hold 0, 1 or NaN (unknown), got {wrong[:5].tolist()}")
    return column


def _patients(patient: Column | None, images: int) -> np.ndarray:
    """The number of each image's patient [N] int64; every image is one if no patients are given."""
    if patient is None:
        return np.arange(images)
    codes = np.unique(np.asarray(patient).astype(str), return_inverse=True)[1].reshape(-1)
    if codes.size != images:
        raise ValueError(f"patient must hold {images} entries like group, got {codes.size}")
    return codes.astype(np.int64)


def _counted(
    label: Column,
    decision: Column,
    group: Column,
    convention: str,
    weight: Column | None,
    patient: Column | None,
    min_patients: int,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Counts [G, 2, 2] and, for "worst_case_estimable", the strata [G, 2] that take part."""
    codes, names = _coded(group, "label, decision and group")
    truth = _binary(label, "label", codes.size)
    yes = _binary(decision, "decision", codes.size)
    # without a decision an image is in no stratum
    truth = np.where(np.isnan(yes), np.nan, truth)
    weights = None if weight is None else _real(weight, "weight", codes.size)
    if weights is not None and not (weights >= 0).all():
        raise ValueError("weight must not be negative or unknown")
    # NaN == 1 is False, which counts nowhere: its truth is unknown by now
    counts = np.asarray(group_counts(truth, yes == 1, codes, len(names), weights))
    who = _patients(patient, codes.size)
    if canonical(convention) != "worst_case_estimable":
        return counts, None
    known = ~np.isnan(truth) & (codes >= 0)
    # patient and stratum as one number: distinct pairs are patients per stratum
    strata = codes * 2 + (truth == 1)
    pairs = np.unique(who[known] * 2 * len(names) + strata[known])
    patients = np.bincount(pairs % (2 * len(names)), minlength=2 * len(names))
    return counts, np.asarray(estimable(patients.reshape(-1, 2), min_patients))


def _means(
    value: Column, group: Column, patient: Column | None, min_patients: int, what: str = "value"
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over patients of each group [G], NaN if it has none, and the groups that take part."""
    codes, names = _coded(group, f"{what} and group")
    values = _real(value, what, codes.size)
    if what == "dice" and ((values < 0) | (values > 1)).any():
        raise ValueError(
            f"dice must lie in [0, 1], got {np.nanmin(values):g} to {np.nanmax(values):g}"
        )
    known = np.isfinite(values) & (codes >= 0)
    # a patient counts once in each of its groups
    pairs = _patients(patient, codes.size) * len(names) + codes
    places, which = np.unique(pairs[known], return_inverse=True)
    own = np.bincount(which, values[known]) / np.bincount(which)  # means of patients, [pairs]
    patients = np.bincount(places % len(names), minlength=len(names))
    total = np.bincount(places % len(names), own, len(names))
    return np.asarray(divide(total, patients)), np.asarray(estimable(patients, min_patients))
