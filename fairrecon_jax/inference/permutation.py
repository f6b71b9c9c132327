"""The permutation null: how large a gap is when group labels mean nothing.

A maximum minus a minimum is never 0 in a finite sample, so a gap is to be read beside what the same
patients give with permuted groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.inference import counts
from fairrecon_jax.inference.bootstrap import rate_gaps
from fairrecon_jax.inference.resampling import host_generator
from fairrecon_jax.metrics.classification import divide
from fairrecon_jax.metrics.fairness import error_ratio, spread
from fairrecon_jax.types import Array, Key


class PermutationNull(NamedTuple):
    """A gap under permuted group labels.

    Attributes:
      observed: [...] the gap with the true labels.
      mean: [...] its mean under permutation.
      upper: [...] its 95th percentile under permutation.
      p_value: [...] (1 + #{permuted >= observed}) / (permutations + 1).
    """

    observed: Array
    mean: Array
    upper: Array
    p_value: Array


def _units(
    group: np.ndarray, who: counts.Patients, groups: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Numbers the distinct (patient, group) pairs: codes [N] (-1 = unknown group), their groups [U]
    and U.
    """
    known = (group >= 0) & (group < groups)
    # int64: patients times groups may pass int32.
    pair = np.where(known, who.codes.astype(np.int64) * groups + group, -1)
    values, codes = np.unique(pair, return_inverse=True)
    offset = int(values.size > 0 and values[0] == -1)
    return (
        codes.reshape(-1) - offset,
        (values[offset:] % groups).astype(np.int8),
        len(values) - offset,
    )


@partial(jax.jit, static_argnames=("groups",))
def _permuted_sums(table: Array, labels: Array, groups: int) -> Array:
    """Sums of a table [U, C] over permuted groups [R, U] -> [R, G, C]."""

    def block(rows: Array) -> Array:
        # One draw at a time: all of them at once would not fit the memory.
        member = (rows[:, None, :] == jnp.arange(groups, dtype=rows.dtype)[None, :, None]).astype(
            table.dtype
        )
        return jnp.einsum("rgu,uc->rgc", member, table, precision="highest")

    return jax.lax.map(block, labels.reshape(-1, 1, labels.shape[-1])).reshape(
        -1, groups, table.shape[-1]
    )


def _summaries(
    observed: dict[str, Array], permuted: dict[str, Array], lead: tuple[int, ...]
) -> dict[str, PermutationNull]:
    """Summaries of permuted gaps [R, K]."""
    result = {}
    for name, value in observed.items():
        drawn, value = np.asarray(permuted[name]), np.asarray(value)
        drawn = np.where(np.isfinite(drawn), drawn, np.nan)
        with np.errstate(invalid="ignore"):
            # Sums in another order differ by rounding: such draws count as ties.
            exceed = np.sum(drawn * (1 + 1e-6) >= value[None], 0)
        blank = ~np.isfinite(value) | np.all(np.isnan(drawn), 0)
        filled = np.where(blank[None], 0, drawn)
        parts = (
            value,
            np.nanmean(filled, 0),
            np.nanquantile(filled, 0.95, axis=0),
            (1 + exceed) / (drawn.shape[0] + 1),
        )
        result[name] = PermutationNull(*(np.where(blank, np.nan, p).reshape(lead) for p in parts))
    return result


def _prepare(
    group: Array, patient: Sequence[object] | np.ndarray, key: Key, groups: int, permutations: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Unit codes, permuted labels [R, U] with the true ones first, and the number of units."""
    host = np.asarray(group)
    if host.ndim != 1:
        raise ValueError(f"group must be a vector with one entry per image, got shape {host.shape}")
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1, got {permutations}")
    units, true, count = _units(host, counts.index_patients(patient), groups)
    if count == 0:
        raise ValueError("no image has a known group; there is nothing to permute")
    shuffled = host_generator(key).permuted(np.broadcast_to(true, (permutations, count)), axis=1)
    return units, np.concatenate([true[None], shuffled]), count


def _mask(mask: Array, lead: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """A mask of strata [K, *shape] for the K problems of the leading axes."""
    return np.broadcast_to(np.asarray(mask, bool), (*lead, *shape)).reshape(-1, *shape)


def permutation_null(
    decision: Array,
    label: Array,
    group: Array,
    patient: Sequence[object] | np.ndarray,
    key: Key,
    *,
    groups: int,
    permutations: int = 1000,
    labels: tuple[int, ...] = counts.LABELS,
    mask: Array | None = None,
) -> dict[str, PermutationNull]:
    """Permutation null of the equalised-odds and equal-opportunity gaps of one version of the
    decisions.

    Group labels are permuted over patients (over patient-group pairs where an attribute belongs to
    the image, such as age).

    Args:
      decision: [..., N] decisions in {0, 1}, NaN = unknown; leading axes broadcast.
      label: [..., N] truth in {0, 1}, NaN = unknown.
      group: [N] int group index, -1 = unknown.
      patient: [N] patient names.
      key: scalar typed key.
      groups: number of groups G.
      permutations: number of permutations R.
      labels: label values, 1 last.
      mask: [..., L, G] bool, strata that take part in the "worst_case_estimable" gaps.

    Returns:
      "eodd", "eodd_mean" and "eop", each a `PermutationNull` [...]; with a mask "eodd_estimable"
        and "eop_estimable" too.

    Raises:
      ValueError: shapes disagree, no known group, or no permutations.
    """
    units, shuffled, count = _prepare(group, patient, key, groups, permutations)
    lead, (d, y) = counts.align((decision, label), len(units))
    zero = np.zeros_like(d, np.int32)
    table = counts.patient_counts(d, d, y, zero, units, patients=count, groups=1, labels=labels)[
        ..., 0, :2
    ]
    sums = _permuted_sums(table.reshape(count, -1), jnp.asarray(shuffled), groups)
    strata = jnp.moveaxis(sums.reshape(-1, groups, d.shape[0], len(labels), 2), 1, 3)
    gaps = rate_gaps(divide(strata[..., 1], strata[..., 0]))
    if mask is not None:
        inside = _mask(mask, lead, (len(labels), groups))
        some = rate_gaps(divide(strata[..., 1], strata[..., 0] * inside[None]))
        gaps |= {f"{name}_estimable": some[name] for name in ("eodd", "eop")}
    del gaps["rates"]
    return _summaries({n: v[0] for n, v in gaps.items()}, {n: v[1:] for n, v in gaps.items()}, lead)


def permutation_null_means(
    value: Array,
    group: Array,
    patient: Sequence[object] | np.ndarray,
    key: Key,
    *,
    groups: int,
    permutations: int = 1000,
    mask: Array | None = None,
) -> dict[str, PermutationNull]:
    """Permutation null of the largest difference and the skewed error ratio of group means of
    patient means.

    Args:
      value: [..., N] values such as Dice, NaN = undefined.
      group: [N] int group index, -1 = unknown.
      patient: [N] patient names.
      key: scalar typed key.
      groups: number of groups G.
      permutations: number of permutations R.
      mask: [..., G] bool, groups that take part in the "worst_case_estimable" gaps.

    Returns:
      "delta" and "ser", each a `PermutationNull` [...]; with a mask "delta_estimable" and
        "ser_estimable" too.

    Raises:
      ValueError: shapes disagree, no known group, or no permutations.
    """
    units, shuffled, count = _prepare(group, patient, key, groups, permutations)
    lead, (v,) = counts.align((value,), len(units))
    mean, present = counts.patient_means(
        v, np.zeros_like(v, np.int32), units, patients=count, groups=1
    )
    table = jnp.stack([present[:, :, 0, 0], mean[:, :, 0, 0]], -1)
    sums = _permuted_sums(table.reshape(count, -1), jnp.asarray(shuffled), groups)
    strata = jnp.moveaxis(sums.reshape(-1, groups, v.shape[0], 2), 1, 2)
    mean = divide(strata[..., 1], strata[..., 0])
    gaps = {"delta": spread(mean), "ser": error_ratio(mean)}
    if mask is not None:
        inside = _mask(mask, lead, (groups,))
        mean = divide(strata[..., 1], strata[..., 0] * inside[None])
        some = {"delta": spread(mean), "ser": error_ratio(mean)}
        gaps |= {f"{name}_estimable": some[name] for name in ("delta", "ser")}
    return _summaries({n: x[0] for n, x in gaps.items()}, {n: x[1:] for n, x in gaps.items()}, lead)
