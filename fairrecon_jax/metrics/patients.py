"""From the images or slices of a patient to one value per patient."""

from __future__ import annotations

import math

import numpy as np

from fairrecon_jax.types import Aggregation


def aggregate(
    values: np.ndarray, patients: np.ndarray, how: Aggregation
) -> tuple[np.ndarray, np.ndarray]:
    """One value per patient: the median of scores, or the mean of slice values.

    Args:
      values: [N] or [N, T]; NaN = undefined and left out.
      patients: [N] patient names.
      how: "median", "mean", or "none" (every row stays).

    Returns:
      Patient names [P], sorted (or `patients` itself for "none"), and values [P] or [P, T], NaN
        where a patient has no defined value.

    Raises:
      ValueError: the lengths differ or `how` is unknown.

    Example:
      >>> names, score = aggregate([0.2, 0.6, 0.9, np.nan], ["b", "b", "a", "c"], "mean")
      >>> names.tolist(), score.tolist()
      (['a', 'b', 'c'], [0.9, 0.4, nan])
    """
    values, patients = np.asarray(values, dtype=np.float64), np.asarray(patients)
    if len(values) != len(patients):
        raise ValueError(f"{len(values)} values for {len(patients)} patient names")
    if how == "none":
        return patients, values
    names, codes = np.unique(patients, return_inverse=True)
    # prod, not -1, which an empty table leaves open
    columns = values.reshape(len(values), math.prod(values.shape[1:])).T
    reduced = aggregate_rows(columns, codes.reshape(-1), len(names), how)
    return names, reduced.T.reshape(len(names), *values.shape[1:])


def aggregate_rows(
    values: np.ndarray, codes: np.ndarray, patients: int, how: Aggregation
) -> np.ndarray:
    """One value per row and patient: median or mean of the patient's defined values.

    Args:
      values: [K, N] float; NaN = undefined and left out.
      codes: [N] int patient number in 0..P-1.
      patients: number of patients P.
      how: "median" or "mean".

    Returns:
      [K, P] float; NaN where a patient has no defined value.

    Raises:
      ValueError: `how` is unknown.

    Example:
      >>> values, codes = np.array([[0.1, 0.9, 0.3, 0.5]]), np.array([0, 0, 0, 1])
      >>> aggregate_rows(values, codes, 2, "median").tolist()
      [[0.3, 0.5]]
    """
    if how not in ("median", "mean"):
        raise ValueError(f"unknown aggregation {how!r}; choose 'none', 'median' or 'mean'")
    reduced = np.full((len(values), patients), np.nan)
    for row, result in zip(values, reduced):
        known = ~np.isnan(row)
        own, defined = codes[known], row[known]
        size = np.bincount(own, minlength=patients)
        some = size > 0
        if how == "mean":
            result[some] = np.bincount(own, defined, patients)[some] / size[some]
            continue
        # sorted within patients: all medians in one sort, without a loop over patients
        ranked = defined[np.lexsort((defined, own))]
        first = np.cumsum(size) - size  # where each patient's values begin
        # one place twice where the number is odd
        low, high = (ranked[(first + middle)[some]] for middle in ((size - 1) // 2, size // 2))
        # of two equal values, also infinite ones, the middle is that value
        with np.errstate(invalid="ignore"):
            result[some] = np.where(low == high, low, (low + high) / 2)
    return reduced
