"""Examples counted by group, groups of several attributes at once, and each group against a
reference group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fairrecon_jax.metrics.backend import array_module
from fairrecon_jax.types import Array


class Intersection(NamedTuple):
    """Groups of several attributes at once.

    Attributes:
      group: [N] int32 index into `names`, -1 where any attribute is unknown.
      names: "Female x White"-like names, the last attribute varying fastest.
    """

    group: Array
    names: tuple[str, ...]


def group_counts(
    label: Array, decision: Array, group: Array, groups: int, weight: Array | None = None
) -> Array:
    """Counts of examples per group, label and decision.

    Args:
      label: [N] float in {0, 1, NaN}; NaN is masked.
      decision: [N] bool or {0, 1}.
      group: [N] int group index, -1 (unknown) is masked.
      groups: number of groups G.
      weight: [N] float >= 0; ones if None.

    Returns:
      [G, 2, 2] float counts: group x label (0, 1) x decision (no, yes).

    Example:
      >>> counts = group_counts([0, 1, 1, np.nan], [0, 1, 0, 1], [0, 0, 1, 1], groups=2)
      >>> counts.tolist()  # [group][label][decision]
      [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [1.0, 0.0]]]
    """
    xp = array_module(label, decision, group, weight)
    label, group = xp.asarray(label), xp.asarray(group)
    kind = xp.promote_types(label.dtype, np.float32)
    weight = xp.ones(label.shape, kind) if weight is None else xp.asarray(weight, kind)
    # NaN compares false with both
    known = ((label == 0) | (label == 1)) & (group >= 0) & (group < groups)
    # group, label and decision as digits of one number
    slot = (group.astype(np.int32) * 2 + (label == 1)) * 2 + xp.asarray(decision).astype(bool)
    # a masked example adds 0 to slot 0: no boolean indexing, so that the function compiles
    slot, added = xp.where(known, slot, 0), xp.where(known, weight, 0)
    # bincount is NumPy's scatter-add, far faster than np.add.at
    if xp is np:
        flat = np.bincount(slot, added, groups * 4).astype(kind)
    else:
        flat = xp.zeros(groups * 4, kind).at[slot].add(added)
    return flat.reshape(groups, 2, 2)


def estimable(patients: Array, min_patients: int) -> Array:
    """Which strata (group x label) hold enough patients: patients >= min_patients.

    Args:
      patients: [..., G, 2] (or [..., G]) number of patients.
      min_patients: smallest number that is judged.

    Returns:
      Bool of the same shape.

    Example:
      >>> estimable([[30, 5], [20, 20]], min_patients=20).tolist()
      [[True, False], [True, True]]
    """
    return array_module(patients).asarray(patients) >= min_patients


def signed_difference(values: Array, reference: int) -> Array:
    """Difference of each group to the reference group: v_g - v_reference. 0 means as the reference;
    NaN where either is NaN.

    Args:
      values: [..., G].
      reference: index of the reference group.

    Returns:
      [..., G].

    Example:
      >>> signed_difference([0.75, 0.5, 0.25], reference=0).tolist()
      [0.0, -0.25, -0.5]
    """
    values = array_module(values).asarray(values)
    return values - values[..., reference : reference + 1]


def intersect(groups: Sequence[Array], names: Sequence[Sequence[str]]) -> Intersection:
    """Crosses attributes into one: every combination of groups is a group; unknown in any attribute
    is unknown.

    Args:
      groups: per attribute [N] int32 group index, -1 unknown.
      names: per attribute the names of its groups.

    Returns:
      `Intersection`.

    Example:
      >>> both = intersect([[0, 1, -1], [1, 0, 0]], [("f", "m"), ("old", "young")])
      >>> both.names, both.group.tolist()
      (('f x old', 'f x young', 'm x old', 'm x young'), [1, 2, -1])
    """
    xp = array_module(*groups)
    index = xp.zeros_like(xp.asarray(groups[0], np.int32))
    known = xp.ones(index.shape, bool)
    titles: tuple[str, ...] = ("",)
    for group, titles_of in zip(groups, names, strict=True):
        group = xp.asarray(group, np.int32)
        index = index * len(titles_of) + group  # as digits, the last attribute's the lowest
        known = known & (group >= 0)
        titles = tuple(f"{a} x {b}" if a else b for a in titles for b in titles_of)
    return Intersection(xp.where(known, index, -1), titles)


def standardised_difference(values: np.ndarray, others: np.ndarray) -> float:
    """Difference of means in units of the spread, (m_a - m_b) / sqrt((v_a + v_b) / 2).

    Args:
      values: of one group, NaN = unknown.
      others: of all other groups.

    Returns:
      Scalar; 0 = the same mean; infinite where neither side varies while the means differ; NaN
        where one side has fewer than two known values.

    Reference:
      Austin (2009), Statistics in Medicine 28.

    Example:
      >>> standardised_difference(np.array([1.0, 3.0]), np.array([0.0, 2.0]))
      0.7071...
    """
    a, b = (v[np.isfinite(v)] for v in (np.asarray(values, float), np.asarray(others, float)))
    if min(a.size, b.size) < 2:
        return float("nan")
    change = float(a.mean() - b.mean())
    # not pooled by size: the unit must not depend on how many there are of each
    spread = float(np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2))
    if spread > 0:
        return change / spread
    return float(np.copysign(np.inf, change)) if change else 0.0
