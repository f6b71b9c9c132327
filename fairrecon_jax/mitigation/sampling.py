"""Sampling weights inverse to the frequency of joint groups, and what they cost in effective
examples; plain NumPy in float64.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from fairrecon_jax.types import InputError

Unknown = Literal["group", "leave_out"]
"""What an unknown attribute is: "group" (one more group of that attribute) or "leave_out" (the row
is never drawn).
"""
CapTo = Literal["mean", "smallest"]
"""What a cap is a multiple of: the mean of all weights, or the smallest weight that is not 0."""


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Sampling weights of training rows.

    Attributes:
      weights: [N] float64, at least 0, mean 1 over the rows that are drawn.
      effective: effective number of examples, (sum w)^2 / sum w^2.
      strata: one record per joint group: its groups by name, rows, share of the rows, share of what
        is drawn.

    Example:
      >>> weights = np.array([3.0, 1.0, 0.0, 0.0])
      >>> found = Sampling(weights, effective_size(weights), strata=())
      >>> found.summary()["drawn_rows"], found.summary()["effective_rows"]
      (2, 1.6)
    """

    weights: np.ndarray
    effective: float
    strata: tuple[dict[str, Any], ...]

    def summary(self) -> dict[str, Any]:
        """What is worth recording, as JSON."""
        drawn = self.weights[self.weights > 0]
        return {
            "rows": len(self.weights),
            "drawn_rows": len(drawn),
            "effective_rows": round(self.effective, 1),
            "largest_over_mean_weight": round(float(drawn.max() / drawn.mean()), 3),
            "cells": list(self.strata),
        }


def joint_strata(columns: np.ndarray, unknown: Unknown) -> np.ndarray:
    """Number of the joint group of each row.

    Args:
      columns: [N, C] int group index per attribute, -1 = unknown.
      unknown: what -1 means.

    Returns:
      [N] int, 0 .. K - 1 in lexical order of the columns; -1 for rows that are left out.

    Raises:
      ValueError: `columns` is not a table with at least one column.
      InputError: no row is left.
    """
    columns = np.asarray(columns)
    if columns.ndim != 2 or not columns.shape[1]:
        raise ValueError(f"joint groups need columns [N, C] with C >= 1, got shape {columns.shape}")
    kept = (columns >= 0).all(1) if unknown == "leave_out" else np.ones(len(columns), bool)
    if not kept.any():
        raise InputError("no row has all of the chosen attributes: nothing is left to draw")
    code = np.full(len(columns), -1)
    # NumPy 2.0 gives the inverse of rows a second axis, other versions do not.
    code[kept] = np.unique(columns[kept], axis=0, return_inverse=True)[1].reshape(-1)
    return code


def inverse_frequency(code: np.ndarray) -> np.ndarray:
    """w = N / (K n_k) for a row of joint group k with n_k of the N drawn rows, K groups: each group
    is drawn equally often.

    Args:
      code: [N] int joint group, -1 = left out.

    Returns:
      [N] float64 with mean 1 over the rows that are drawn, 0 for rows left out.
    """
    code = np.asarray(code)
    kept = code >= 0
    count = np.bincount(code[kept]).astype(np.float64)
    weights = np.zeros(len(code))
    # A group of the numbering may have no row left: it takes no share.
    weights[kept] = kept.sum() / (np.count_nonzero(count) * count[code[kept]])
    return weights


def capped(weights: np.ndarray, cap: float, to: CapTo) -> np.ndarray:
    """Cuts weights at a multiple of the mean or of the smallest weight, and scales what is drawn to
    mean 1.

    Args:
      weights: [N] at least 0.
      cap: the multiple, at least 1; 0 = no cap.
      to: what it is a multiple of, before cutting.

    Returns:
      [N] float64.
    """
    drawn = weights[weights > 0]
    limit = cap * (drawn.mean() if to == "mean" else drawn.min()) if cap else np.inf
    # Cut, then scaled: the cap is of the old mean, and the largest may exceed it times the new one.
    cut = np.minimum(weights, limit)
    return cut / cut[weights > 0].mean()


def effective_size(weights: np.ndarray) -> float:
    """Kish's effective sample size (sum w)^2 / sum w^2: N for equal weights.

    Example:
      >>> effective_size(np.ones(4)), effective_size(np.array([3.0, 1.0]))
      (4.0, 1.6)

    Reference: L. Kish, Survey Sampling, Wiley 1965, section 11.7.
    """
    weights = np.asarray(weights, np.float64)
    return float(weights.sum() ** 2 / np.sum(weights**2))


def sample(
    columns: np.ndarray,
    names: Sequence[Sequence[str]],
    titles: Sequence[str],
    unknown: Unknown,
    cap: float,
    to: CapTo,
) -> Sampling:
    """Capped inverse-frequency weights of joint groups.

    Args:
      columns: [N, C] int group index per attribute or outcome, -1 = unknown.
      names: per column the names of its groups.
      titles: per column its name.
      unknown: see `Unknown`.
      cap: see `capped`.
      to: see `CapTo`.

    Returns:
      `Sampling`.
    """
    code = joint_strata(columns, unknown)
    weights = capped(inverse_frequency(code), cap, to)
    strata = []
    for number in range(code.max() + 1):
        inside = code == number
        # Any row of a joint group has all of its groups; this is the first.
        groups = columns[np.argmax(inside)]
        words = {
            title: "unknown" if g < 0 else str(named[g])
            for title, named, g in zip(titles, names, groups, strict=True)
        }
        shares = {
            "share": round(float(inside.mean()), 5),
            "drawn_share": round(float(weights[inside].sum() / weights.sum()), 5),
        }
        strata.append({**words, "rows": int(inside.sum()), **shares})
    return Sampling(weights, effective_size(weights), tuple(strata))
