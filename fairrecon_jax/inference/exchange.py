"""Among whom groups are permuted: patients with the same labels and about as many images, as far as
the groups overlap.
"""

from __future__ import annotations

import numpy as np

SIZE_CLASSES = 4
"""Classes of patients by their number of images."""

EXCHANGE = 0.5
"""Finer strata are used where every group keeps this share of its exchanges with others."""


def strata_of(images: np.ndarray, group: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Strata within which groups are permuted, for each cell and label by itself.

    The finest of these in which every group keeps at least half of its exchanges with others:
    pattern of labels present x class of number of images; pattern; class; one stratum. (Where one
    group has eight images a patient and the other one, nobody could be exchanged within a class.)
    The exchanges of group g are sum over strata s of n_sg (n_s - n_sg) / n_s; classes are quarters
    of the patients by their number of images of the label.

    Args:
      images: [U, K, L] images of each unit.
      group: [U] group of each unit.
      judged: [K, L, G] bool, groups that take part.

    Returns:
      [U, K, L] int; any number for units without images.
    """
    strata: np.ndarray = np.zeros(images.shape, int)
    present = images > 0
    pattern = present @ (1 << np.arange(images.shape[2]))  # [U, K], bit y: has images of label y
    groups = judged.shape[-1]
    for k, y in np.ndindex(*images.shape[1:]):
        units = np.flatnonzero(present[:, k, y] & judged[k, y][group])
        size = _size_class(images[units, k, y])
        own, kind = group[units], pattern[units, k]
        # what one stratum for all would allow
        free = _exchanges(np.zeros_like(own), own, groups)
        # finest first; where none will do the zeros stay, one stratum
        for code in (kind * SIZE_CLASSES + size, kind, size):
            if np.all(_exchanges(code, own, groups) >= EXCHANGE * free):
                strata[units, k, y] = code
                break
    return strata


def _size_class(images: np.ndarray) -> np.ndarray:
    """Which quarter of the patients each one is in, by number of images; equal numbers together."""
    if images.size == 0:
        return np.zeros(0, int)
    levels = np.arange(1, SIZE_CLASSES) / SIZE_CLASSES
    # "lower": numbers that occur, at which equal ones do not part
    bounds = np.unique(np.quantile(images, levels, method="lower"))
    return np.searchsorted(bounds, images, side="left")


def _exchanges(code: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """How much of each group can be exchanged with others within strata [G]."""
    # codes are small; one that does not occur exchanges nobody
    size = np.bincount(code * groups + group, minlength=groups).astype(float)
    # bincount ends with the last group that occurs
    size = np.pad(size, (0, -len(size) % groups)).reshape(-1, groups)
    whole = np.maximum(size.sum(1, keepdims=True), 1)
    return np.sum(size * (whole - size) / whole, 0)
