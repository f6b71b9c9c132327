"""Columns of labels and groups as users have them, checked: lists, arrays, columns of a table."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.metrics.array_gaps import group_codes
from fairrecon_jax.types import InputError, plural


def fitting(what: str, values: Any, count: int) -> Any:
    """A column, if it has one entry per image.

    Raises:
      InputError: it has not.
    """
    if len(values) != count:
        raise InputError(f"{what} has {len(values)} entries for {count} images")
    return values


def binary(values: Any, what: str, count: int) -> np.ndarray:
    """Labels [N] float32 in {0, 1}, NaN = unknown.

    Args:
      values: numbers, truth values, None.
      what: what an error is to call them.
      count: N.

    Raises:
      InputError: another length, or a value that is none of these.
    """
    column = pd.Series(fitting(what, values, count)).reset_index(drop=True)
    # by way of object, where a nullable column's missing value can become NaN
    numbers = pd.to_numeric(column.astype(object).where(column.notna(), np.nan), errors="coerce")
    wrong = column[(column.notna() & numbers.isna()) | ~numbers.isin([0, 1]) & numbers.notna()]
    if len(wrong):
        found = wrong.iloc[0]
        shown = repr(found.item() if isinstance(found, np.generic) else found)
        raise InputError(
            f"{what} must hold 0, 1 or NaN (unknown), got {shown}: map words and codes to these"
        )
    return numbers.to_numpy(np.float32)


def grouped(values: Any, what: str, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Groups [N] as text, None = unknown, and their names.

    Args:
      values: names or numbers; None, NaN or -1 = unknown.
      what: what an error is to call them.
      count: N.

    Raises:
      InputError: another length, or no known group.
    """
    column = np.asarray(fitting(what, values, count), None if hasattr(values, "dtype") else object)
    codes, names = group_codes(column)
    if not names:
        raise InputError(f"{what} names no group: every entry is unknown")
    # 1.0 and 1 are one group; text stays as it is
    words = [f"{n:g}" if isinstance(n, float) else str(n) for n in names]
    if len(set(words)) < len(words):
        raise InputError(f"{what}: two groups read alike among {names}")
    # the code -1 picks the last entry
    found = np.array([*words, None], object)[codes]
    return found, tuple(words)


def one_group(column: np.ndarray, patient: np.ndarray, what: str) -> np.ndarray:
    """Groups of which every patient has one: those of patients with several become unknown.

    Args:
      column: [N] names of groups, None = unknown.
      patient: [N] names of patients.
      what: the attribute, for the warning that says how many there are.

    Example:
      >>> one_group(np.array(["f", "m", "f"], object), np.array(["1", "1", "2"]), "sex").tolist()
      [None, None, 'f']
    """
    # None counts as no group: one known group among unknown entries is one
    groups = pd.Series(column).groupby(pd.Series(patient)).transform("nunique").to_numpy()
    several = groups > 1
    if not several.any():
        return column
    who = plural(pd.Series(patient)[several].nunique(), "patient", "have")
    warnings.warn(
        f"{what}: {who} several groups "
        f"({several.sum()} images), which are left out of the comparison",
        stacklevel=3,
    )
    kept = column.copy()
    kept[several] = None
    return kept
