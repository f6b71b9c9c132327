"""Images counted by label, group and both decisions, and arrays brought to one shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fairrecon_jax.types import Array

LABELS = (0, 1)


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


def image_counts(
    original: Array,
    reconstructed: Array,
    label: Array,
    group: Array,
    *,
    groups: int,
    labels: tuple[int, ...] = LABELS,
) -> np.ndarray:
    """Counts images over label x group x original decision x reconstructed decision.

    Args:
      original: [K, N] decisions on original images in {0, 1}, NaN = unknown.
      reconstructed: [K, N] decisions on reconstructions in {0, 1}, NaN = unknown.
      label: [K, N] truth, NaN = unknown; images with a label outside `labels` are left out.
      group: [K, N] int group index, anything outside 0..G-1 = unknown.
      groups: number of groups G.
      labels: the label values in order, L of them.

    Returns:
      [K, L, G, 2, 2] integers.
    """
    shape = (len(labels), groups, 2, 2)
    tables: list[np.ndarray] = []
    for o, r, y, g in zip(original, reconstructed, label, group, strict=True):
        table: np.ndarray = np.zeros(shape, int)
        for place, value in enumerate(labels):
            rows = np.isfinite(o) & np.isfinite(r) & (y == value) & (g >= 0) & (g < groups)
            # group, original and reconstructed decision as digits of one number
            slot = (g[rows].astype(int) * 2 + o[rows].astype(int)) * 2 + r[rows].astype(int)
            table[place] = np.bincount(slot, minlength=groups * 4).reshape(shape[1:])
        tables.append(table)
    return np.stack(tables)
