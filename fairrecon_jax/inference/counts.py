"""The sufficient table: counts over label x group x original decision x reconstructed decision, per
image set and per patient.

With fixed thresholds everything that rates, equalised-odds gaps, tests and bootstraps need of a
(task, attribute) pair is such a table. Unknown groups (-1), unknown labels (NaN), unknown decisions
(NaN) and padding (patient -1) are left out by a mask, never by indexing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.keys import example_digest
from fairrecon_jax.types import Array

LABELS = (0, 1)


class Patients(NamedTuple):
    """Patients as consecutive numbers.

    Attributes:
      codes: [N] int32 patient number of each image, in 0..total-1.
      digest: [total, 2] uint32 digest of each patient's name, which keys all of the patient's
        random signs.
      total: number of patients.
    """

    codes: np.ndarray
    digest: np.ndarray
    total: int


def index_patients(patient: Sequence[object] | np.ndarray) -> Patients:
    """Numbers patients in sorted order of their names, so that results do not depend on the order
    of rows.

    Args:
      patient: [N] names or integers.

    Returns:
      Codes, digests and their number.

    Raises:
      ValueError: `patient` is not a non-empty vector.
    """
    names = np.asarray(patient)
    if names.ndim != 1 or names.size == 0:
        raise ValueError(
            f"patient must be a non-empty vector with one name per image, got shape {names.shape}"
        )
    # Names sort as text, also where they are numbers: their digests are those of the text.
    values, codes = np.unique(names.astype(str), return_inverse=True)
    digest = np.stack([example_digest(str(name)) for name in values])
    return Patients(codes.reshape(-1).astype(np.int32), digest, len(values))


def align(arrays: Sequence[Array], images: int) -> tuple[tuple[int, ...], list[np.ndarray]]:
    """Broadcasts arrays [..., N] against one another and flattens their leading axes.

    Args:
      arrays: arrays whose last axis is the image axis; leading axes broadcast (tasks,
        reconstructors, ...).
      images: the expected number of images N.

    Returns:
      The common leading shape and the arrays as [K, N], K the product of the leading shape.

    Raises:
      ValueError: an array's last axis is not N or the leading axes do not broadcast.
    """
    hosts = [np.asarray(a) for a in arrays]
    for host in hosts:
        if host.ndim == 0 or host.shape[-1] != images:
            raise ValueError(f"the last axis must hold {images} images, got shape {host.shape}")
    lead = np.broadcast_shapes(*(h.shape[:-1] for h in hosts))
    flat = [np.broadcast_to(h, (*lead, images)).reshape(math.prod(lead), images) for h in hosts]
    return lead, flat


def _slots(
    label: Array, group: Array, known: Array, groups: int, labels: tuple[int, ...]
) -> tuple[Array, Array]:
    """Index label * groups + group of each image [K, N] and whether the image counts."""
    which = jnp.stack([label == y for y in labels])
    # An unlisted label has position 0, and is not valid.
    position = jnp.argmax(which, axis=0)
    valid = jnp.any(which, axis=0) & (group >= 0) & (group < groups) & known
    return position * groups + jnp.maximum(group, 0), valid


def _scatter(index: Array, valid: Array, values: Array, size: int) -> Array:
    """Sums `values` [K, N] into slots [size]; masked entries fall outside and are dropped."""
    flat = jnp.where(valid, index, size).reshape(-1)
    return jnp.zeros(size, values.dtype).at[flat].add(values.reshape(-1), mode="drop")


@partial(jax.jit, static_argnames=("groups", "labels"))
def image_counts(
    original: Array,
    reconstructed: Array,
    label: Array,
    group: Array,
    *,
    groups: int,
    labels: tuple[int, ...] = LABELS,
) -> Array:
    """Counts images over label x group x original decision x reconstructed decision.

    Args:
      original: [K, N] decisions on original images in {0, 1}, NaN = unknown.
      reconstructed: [K, N] decisions on reconstructions in {0, 1}, NaN = unknown.
      label: [K, N] truth, NaN = unknown; images with a label outside `labels` are left out.
      group: [K, N] int group index, -1 = unknown.
      groups: number of groups G.
      labels: the label values in order, L of them.

    Returns:
      [K, L, G, 2, 2] counts as floats (exact integers below 2^24).
    """
    o, r = jnp.asarray(original, float), jnp.asarray(reconstructed, float)
    known = jnp.isfinite(o) & jnp.isfinite(r)
    slot, valid = _slots(jnp.asarray(label, float), jnp.asarray(group), known, groups, labels)
    slots = len(labels) * groups * 4
    # The cast of NaN to an integer is undefined.
    decision = jnp.where(known, 2 * o + r, 0).astype(jnp.int32)
    index = (jnp.arange(o.shape[0])[:, None] * len(labels) * groups + slot) * 4 + decision
    table = _scatter(index, valid, jnp.ones_like(o), o.shape[0] * slots)
    return table.reshape(o.shape[0], len(labels), groups, 2, 2)


@partial(jax.jit, static_argnames=("patients", "groups", "labels"))
def patient_counts(
    original: Array,
    reconstructed: Array,
    label: Array,
    group: Array,
    patient: Array,
    *,
    patients: int,
    groups: int,
    labels: tuple[int, ...] = LABELS,
) -> Array:
    """Per patient and label x group: number of images, original positives and reconstructed
    positives.

    Args:
      original: [K, N] decisions on original images in {0, 1}, NaN = unknown.
      reconstructed: [K, N] decisions on reconstructions in {0, 1}, NaN = unknown.
      label: [K, N] truth, NaN = unknown.
      group: [K, N] int group index, -1 = unknown.
      patient: [N] int patient number, -1 = padding.
      patients: number of patients P.
      groups: number of groups G.
      labels: the label values in order, L of them.

    Returns:
      [P, K, L, G, 3]: images N_p, sum of original decisions, sum of reconstructed decisions.
    """
    o, r = jnp.asarray(original, float), jnp.asarray(reconstructed, float)
    known = jnp.isfinite(o) & jnp.isfinite(r) & (jnp.asarray(patient) >= 0)[None, :]
    slot, valid = _slots(jnp.asarray(label, float), jnp.asarray(group), known, groups, labels)
    problems = o.shape[0]
    slots = problems * len(labels) * groups
    column = jnp.arange(problems)[:, None] * len(labels) * groups + slot
    index = jnp.maximum(jnp.asarray(patient), 0)[None, :] * slots + column
    parts = (jnp.ones_like(o), jnp.where(known, o, 0), jnp.where(known, r, 0))
    sums = [_scatter(index, valid, part, patients * slots) for part in parts]
    return jnp.stack(sums, axis=-1).reshape(patients, problems, len(labels), groups, 3)


@partial(jax.jit, static_argnames=("patients", "groups"))
def patient_means(
    value: Array, group: Array, patient: Array, *, patients: int, groups: int
) -> tuple[Array, Array]:
    """Each patient's mean of a value over the patient's images, per group.

    Args:
      value: [K, N] any real value, NaN = unknown.
      group: [K, N] int group index, -1 = unknown.
      patient: [N] int patient number, -1 = padding.
      patients: number of patients P.
      groups: number of groups G.

    Returns:
      Means [P, K, 1, G] (0 where absent) and presence [P, K, 1, G] in {0, 1}; the axis of length 1
        stands for the label.
    """
    v = jnp.asarray(value, float)
    g = jnp.asarray(group)
    valid = jnp.isfinite(v) & (g >= 0) & (g < groups) & (jnp.asarray(patient) >= 0)[None, :]
    slots = v.shape[0] * groups
    index = (
        jnp.maximum(jnp.asarray(patient), 0)[None, :] * slots
        + jnp.arange(v.shape[0])[:, None] * groups
        + jnp.maximum(g, 0)
    )
    total = _scatter(index, valid, jnp.where(valid, v, 0), patients * slots)
    count = _scatter(index, valid, jnp.ones_like(v), patients * slots)
    shape = (patients, v.shape[0], 1, groups)
    return (total / jnp.maximum(count, 1)).reshape(shape), (count > 0).astype(v.dtype).reshape(
        shape
    )


@partial(jax.jit, static_argnames=("patients",))
def patient_totals(value: Array, patient: Array, *, patients: int) -> Array:
    """Sums a value over each patient's images.

    Args:
      value: [K, N] finite values, 0 where an image does not count.
      patient: [N] int patient number, -1 = padding.
      patients: number of patients P.

    Returns:
      [P, K] sums.
    """
    v, code = jnp.asarray(value, float), jnp.asarray(patient)
    index = jnp.where(code >= 0, code, patients)
    return jnp.zeros((patients, v.shape[0]), v.dtype).at[index].add(v.T, mode="drop")
