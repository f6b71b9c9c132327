"""From the images or slices of a patient to one value per patient."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

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
    """
    values, patients = np.asarray(values, dtype=np.float64), np.asarray(patients)
    if len(values) != len(patients):
        raise ValueError(f"{len(values)} values for {len(patients)} patient names")
    if how == "none":
        return patients, values
    reducers: dict[str, Callable[..., Any]] = {"median": np.nanmedian, "mean": np.nanmean}
    if how not in reducers:
        raise ValueError(f"unknown aggregation {how!r}; choose 'none', 'median' or 'mean'")
    names, position = np.unique(patients, return_inverse=True)
    # One sort, then equal pieces: no pass over all rows per patient.
    order = np.argsort(position, kind="stable")
    parts = np.split(values[order], np.cumsum(np.bincount(position))[:-1]) if len(names) else []
    with warnings.catch_warnings():
        # NumPy warns of a patient without any value, whose result is NaN as documented.
        warnings.simplefilter("ignore", RuntimeWarning)
        reduced = [reducers[how](part, axis=0) for part in parts]
    # The reshape is for a cohort of nobody, whose empty list has lost the axis of tasks.
    return names, np.array(reduced).reshape(len(names), *values.shape[1:])
