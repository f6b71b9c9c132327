"""Paired bootstrap of AUROCs, overall and within groups, by patient or image.

Each replicate reweights images by how often their patient was drawn; one sort per score serves all
replicates. The cost grows with replicates x images: `did_test_auroc` and `delong_change` are the
fast ways to decide.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from fairrecon_jax.inference import counts, gaps
from fairrecon_jax.inference.bootstrap import BLOCK, Method, Unit, check_options, unit_weights
from fairrecon_jax.inference.delong import paired_influences
from fairrecon_jax.inference.intervals import Bootstrap, summarise
from fairrecon_jax.types import Array, Key

ROWS = 128


def weighted_auroc(score: np.ndarray, label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """AUROC under integer weights, sum over ties t of w+_t (W-_below t + w-_t / 2) / (W+ W-).

    Args:
      score: [n] scores.
      label: [n] truth in {0, 1}.
      weight: [R, n] non-negative weights of each replicate.

    Returns:
      [R] in [0, 1]; NaN where a class has no weight.
    """
    if score.size == 0:
        return np.full(weight.shape[0], np.nan)
    order = np.argsort(score, kind="stable")
    ranked, positive = score[order], label[order] == 1
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    area = np.empty(weight.shape[0])
    for first in range(0, weight.shape[0], ROWS):
        block = weight[first : first + ROWS, order].astype(np.float64)
        up, down = np.where(positive, block, 0), np.where(positive, 0, block)
        if len(starts) < len(ranked):
            up, down = np.add.reduceat(up, starts, 1), np.add.reduceat(down, starts, 1)
        below = np.cumsum(down, 1)
        pairs = below[:, -1] * up.sum(1)
        favourable = np.einsum("rn,rn->r", up, below - down / 2)
        area[first : first + ROWS] = np.where(
            pairs > 0, favourable / np.where(pairs > 0, pairs, 1), np.nan
        )
    return area


def _all_weights(key: Key, replicates: int, units: int) -> np.ndarray:
    """[R, P] small integers: how often each unit is drawn in each replicate."""
    blocks = [unit_weights(key, b, units).astype(np.uint8) for b in range(-(-replicates // BLOCK))]
    return np.concatenate(blocks)[:replicates]


def _accelerations(influence: Array, units: np.ndarray, total: int) -> np.ndarray:
    """BCa acceleration [K] from influences [K, N] summed per unit."""
    h = np.asarray(counts.patient_totals(influence, units, patients=total), np.float64)
    square = np.sum(h**2, 0)
    return np.where(square > 0, np.sum(h**3, 0) / (6 * np.where(square > 0, square, 1) ** 1.5), 0)


def bootstrap_auroc(
    score_original: Array,
    score_reconstructed: Array,
    label: Array,
    group: Array,
    patient: Sequence[object] | np.ndarray,
    key: Key,
    *,
    groups: int,
    replicates: int = 1000,
    resample: Unit = "patient",
    alpha: float = 0.05,
    method: Method = "bca",
) -> dict[str, Bootstrap]:
    """Paired bootstrap of AUROCs and of their largest difference between groups.

    Args:
      score_original: [..., N] scores on originals, NaN = unknown; leading axes broadcast.
      score_reconstructed: [..., N] scores on reconstructions, NaN = unknown.
      label: [..., N] truth in {0, 1}, NaN = unknown.
      group: [..., N] int group index, -1 = unknown.
      patient: [N] patient names.
      key: scalar typed key.
      groups: number of groups G.
      replicates: number of bootstrap replicates.
      resample: "patient" or "image".
      alpha: 1 - coverage of the intervals.
      method: "bca" (acceleration from DeLong influences; "percentile" for the gap) or "percentile".

    Returns:
      "overall" [...] (everyone, unknown groups included), "auroc" [..., G] and "gap" [...] (largest
        minus smallest AUROC).

    Raises:
      ValueError: shapes disagree or an option is out of range.
    """
    check_options(replicates, alpha, resample, method)
    who = counts.index_patients(patient)
    lead, (o, r, y, g) = counts.align(
        (score_original, score_reconstructed, label, group), len(who.codes)
    )
    units, total = (
        (who.codes, who.total)
        if resample == "patient"
        else (np.arange(len(who.codes)), len(who.codes))
    )
    weights = _all_weights(key, replicates, total)
    known = np.isfinite(o) & np.isfinite(r) & np.isfinite(y)
    columns = []
    for member in [known, *(known & (g == i) for i in range(groups))]:
        columns.append(_member(o, r, y, member, units, total, weights))
    point, drawn, bend = (np.stack(part, -1) for part in zip(*columns))
    everyone = summarise(
        tuple(point[..., 0]), tuple(drawn[..., 0]), tuple(bend[..., 0]), alpha, method
    )
    within = summarise(
        tuple(point[..., 1:]), tuple(drawn[..., 1:]), tuple(bend[..., 1:]), alpha, method
    )
    gap, gap_drawn = (tuple(np.asarray(gaps.spread(a[..., 1:]))) for a in (point, drawn))
    found = {
        "overall": everyone,
        "auroc": within,
        "gap": summarise(gap, gap_drawn, None, alpha, "percentile"),
    }
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(lead + leaf.shape[1:]), found)


def _member(
    o: np.ndarray,
    r: np.ndarray,
    y: np.ndarray,
    member: np.ndarray,
    units: np.ndarray,
    total: int,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AUROCs [2, K], replicates [2, R, K] and accelerations [3, K] within the images of one mask
    [K, N].
    """
    before, after, change = paired_influences(o, r, y, member)
    drawn = np.empty((2, weights.shape[0], len(o)))
    for k, inside in enumerate(member):
        rows = np.flatnonzero(inside)
        own = weights[:, units[rows]]
        for version, score in enumerate((o, r)):
            drawn[version, :, k] = weighted_auroc(score[k, rows], y[k, rows], own)
    single = [paired_influences(np.zeros_like(s), s, y, member)[2] for s in (o, r)]
    bend = np.stack([_accelerations(h, units, total) for h in (*single, change)])
    return np.stack([np.asarray(before), np.asarray(after)]), drawn, bend
