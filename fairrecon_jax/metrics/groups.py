"""Examples counted by group, groups of several attributes at once, and each group against a
reference group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp

from fairrecon_jax.types import Array


class Intersection(NamedTuple):
    """Groups of several attributes at once.

    Attributes:
      group: [N] int32 index into `names`, -1 where any attribute is unknown.
      names: "Female x White"-like names, the last attribute varying fastest.
    """

    group: jnp.ndarray
    names: tuple[str, ...]


def group_counts(
    label: Array, decision: Array, group: Array, groups: int, weight: Array | None = None
) -> jnp.ndarray:
    """Counts of examples per group, label and decision.

    Args:
      label: [N] float in {0, 1, NaN}; NaN is masked.
      decision: [N] bool or {0, 1}.
      group: [N] int group index, -1 (unknown) is masked.
      groups: number of groups G.
      weight: [N] float >= 0; ones if None.

    Returns:
      [G, 2, 2] float counts: group x label (0, 1) x decision (no, yes).
    """
    label, group = jnp.asarray(label), jnp.asarray(group)
    kind = jnp.promote_types(label.dtype, jnp.float32)
    weight = jnp.ones(label.shape, kind) if weight is None else jnp.asarray(weight, kind)
    known = ((label == 0) | (label == 1)) & (group >= 0) & (group < groups)
    # the place in [G, 2, 2] laid out flat
    slot = (group.astype(jnp.int32) * 2 + (label == 1)) * 2 + jnp.asarray(decision).astype(bool)
    # a masked example adds 0 to slot 0: no boolean indexing, so that the function compiles
    flat = (
        jnp.zeros(groups * 4, kind).at[jnp.where(known, slot, 0)].add(jnp.where(known, weight, 0))
    )
    return flat.reshape(groups, 2, 2)


def estimable(patients: Array, min_patients: int) -> jnp.ndarray:
    """Which strata (group x label) hold enough patients: patients >= min_patients.

    Args:
      patients: [..., G, 2] (or [..., G]) number of patients.
      min_patients: smallest number that is judged.

    Returns:
      Bool of the same shape.
    """
    return jnp.asarray(patients) >= min_patients


def signed_difference(values: Array, reference: int) -> jnp.ndarray:
    """Difference of each group to the reference group: v_g - v_reference. 0 means as the reference;
    NaN where either is NaN.

    Args:
      values: [..., G].
      reference: index of the reference group.

    Returns:
      [..., G].
    """
    values = jnp.asarray(values)
    return values - values[..., reference : reference + 1]


def intersect(groups: Sequence[Array], names: Sequence[Sequence[str]]) -> Intersection:
    """Crosses attributes into one: every combination of groups is a group; unknown in any attribute
    is unknown.

    Args:
      groups: per attribute [N] int32 group index, -1 unknown.
      names: per attribute the names of its groups.

    Returns:
      `Intersection`.
    """
    index = jnp.zeros_like(jnp.asarray(groups[0], jnp.int32))
    known = jnp.ones(index.shape, bool)
    titles: tuple[str, ...] = ("",)
    for group, titles_of in zip(groups, names, strict=True):
        group = jnp.asarray(group, jnp.int32)
        # a -1 makes nonsense of the index; `known` masks it at the end
        index = index * len(titles_of) + group
        known = known & (group >= 0)
        titles = tuple(f"{a} x {b}" if a else b for a in titles for b in titles_of)
    return Intersection(jnp.where(known, index, -1), titles)
