"""AUROC with DeLong's influences: variances, covariances and paired changes in O(n log n).

Two families: masked and batched functions that compile (`auroc`, `paired_influences`,
`delong_change`), and functions of one vector on the host, whose length may vary from call to call
without a compilation (`placements`, `clustered_error`, `weighted_auroc`).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.types import Array

ROWS = 128
"""Replicates that `weighted_auroc` sums at once: bounds memory to a few arrays [ROWS, n]."""


class AurocChange(NamedTuple):
    """AUROC of two paired scores.

    Attributes:
      original: [...] AUROC of the first score.
      reconstructed: [...] AUROC of the second score.
      change: [...] second minus first.
      covariance: [..., 2, 2] DeLong covariance of the two.
      std_error: [...] of the change.
    """

    original: Array
    reconstructed: Array
    change: Array
    covariance: Array
    std_error: Array


def _doubled(score: Array, label: Array, weight: Array) -> Array:
    """Twice the number of the other class on the right side of each score, ties counted half:
    integers, exact below 2^24.

    Positives count negatives below them, negatives count positives above them.

    Args:
      score: [N] scores.
      label: [N] truth in {0, 1}.
      weight: [N] in {0, 1}, 0 = masked.

    Returns:
      [N] counts; 0 where masked.
    """
    # masked scores sort behind all others and weigh nothing
    order = jnp.argsort(jnp.where(weight > 0, score, jnp.inf))
    ranked = jnp.where(weight > 0, score, jnp.inf)[order]
    zero, one = jnp.zeros(1, weight.dtype), jnp.ones(1, bool)
    positive, negative = (weight * (label == 1))[order], (weight * (label != 1))[order]
    pos_sum = jnp.concatenate([zero, jnp.cumsum(positive)])
    neg_sum = jnp.concatenate([zero, jnp.cumsum(negative)])
    size = score.shape[0]
    # first and last: where the run of equal scores around each place begins and ends
    start = jnp.concatenate([one, ranked[1:] != ranked[:-1]])
    place = jnp.arange(size)
    first = jax.lax.cummax(jnp.where(start, place, 0))
    last = (
        jax.lax.cummin(jnp.where(jnp.concatenate([start[1:], one]), place, size - 1), reverse=True)
        + 1
    )
    below = neg_sum[first] + neg_sum[last]
    above = 2 * pos_sum[-1] - pos_sum[first] - pos_sum[last]
    counted = jnp.where(label[order] == 1, below, above)
    return jnp.where(weight > 0, jnp.zeros_like(counted).at[order].set(counted), 0)


class _Classes(NamedTuple):
    """Masks [..., N] of the two classes, their sizes [..., 1], and the size of each image's other
    class [..., N].
    """

    positive: Array
    negative: Array
    n_pos: Array
    n_neg: Array
    other: Array


def _classes(label: Array, mask: Array) -> _Classes:
    """Class masks of the images that count."""
    weight = jnp.asarray(mask, float)
    positive, negative = weight * (label == 1), weight * (label != 1)
    n_pos, n_neg = jnp.sum(positive, -1, keepdims=True), jnp.sum(negative, -1, keepdims=True)
    return _Classes(positive, negative, n_pos, n_neg, jnp.where(positive > 0, n_neg, n_pos))


def _counted(score: Array, label: Array, mask: Array) -> Array:
    """Doubled counts [..., N] of scores [..., N]."""
    weight = jnp.asarray(mask, float)
    clean = [jnp.where(weight > 0, jnp.asarray(a, float), 0) for a in (score, label)]
    return jnp.vectorize(_doubled, signature="(n),(n),(n)->(n)")(*clean, weight)


def _area(doubled: Array, c: _Classes) -> Array:
    """Mean placement of positives [..., 1]; NaN where a class is absent."""
    both = (c.n_pos > 0) & (c.n_neg > 0)
    pairs = jnp.where(both, 2 * c.n_pos * c.n_neg, jnp.nan)
    return jnp.sum(doubled * c.positive, -1, keepdims=True) / pairs


def _influence(doubled: Array, c: _Classes) -> Array:
    """(V10 - A) / n+ for positives and (V01 - A) / n- for negatives; 0 where masked or where a
    class is absent.
    """
    share = c.positive / jnp.maximum(c.n_pos, 1) + c.negative / jnp.maximum(c.n_neg, 1)
    centred = doubled / jnp.maximum(2 * c.other, 1) - _area(doubled, c)
    return jnp.where((share > 0) & jnp.isfinite(centred), centred * share, 0)


@jax.jit
def auroc(score: Array, label: Array, mask: Array | None = None) -> Array:
    """Area under the ROC curve, P(score+ > score-) + P(equal) / 2.

    Args:
      score: [..., N] scores.
      label: [..., N] truth in {0, 1}.
      mask: [..., N] bool, False = left out.

    Returns:
      [...] in [0, 1]; 0.5 = no better than chance; NaN where a class is absent.
    """
    inside = jnp.ones(jnp.shape(score), bool) if mask is None else jnp.asarray(mask)
    return _area(_counted(score, label, inside), _classes(jnp.asarray(label), inside))[..., 0]


@jax.jit
def paired_influences(
    original: Array, reconstructed: Array, label: Array, mask: Array
) -> tuple[Array, Array, Array]:
    """AUROC of both scores and the DeLong influence of each image on the change; influences sum to
    0.

    Args:
      original: [..., N] scores on originals.
      reconstructed: [..., N] scores on reconstructions.
      label: [..., N] truth in {0, 1}.
      mask: [..., N] bool, False = left out.

    Returns:
      AUROC original [...], AUROC reconstructed [...] (NaN where a class is absent), influences of
        the change [..., N] (0 where masked or
      where a class is absent; exactly 0 throughout where no score changed its rank).
    """
    c = _classes(jnp.asarray(label), mask)
    before, after = (_counted(s, label, mask) for s in (original, reconstructed))
    return _area(before, c)[..., 0], _area(after, c)[..., 0], _influence(after - before, c)


@jax.jit
def delong_change(original: Array, reconstructed: Array, label: Array, mask: Array) -> AurocChange:
    """Paired AUROC change with DeLong's covariance (independent images).

    Cov = S10 / n+ + S01 / n- with the sample covariances (n - 1) of the placements.

    Args:
      original: [..., N] scores on originals.
      reconstructed: [..., N] scores on reconstructions.
      label: [..., N] truth in {0, 1}.
      mask: [..., N] bool, False = left out.

    Returns:
      An `AurocChange`; NaN where a class has fewer than two images.

    Reference:
      DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44; Sun and Xu (2014), IEEE SPL 21 for
        the O(n log n) form.
    """
    c = _classes(jnp.asarray(label), mask)
    doubled = [_counted(s, label, mask) for s in (original, reconstructed)]
    both = jnp.stack([_influence(d, c) for d in doubled], -2)

    # influences carry a factor 1 / n, so that the sum of their squares is S / n (n - 1) / n
    def part(chosen: Array, count: Array) -> Array:
        moment = jnp.einsum("...in,...jn,...n->...ij", both, both, chosen, precision="highest")
        return moment * jnp.where(count > 1, count / jnp.maximum(count - 1, 1), jnp.nan)[..., None]

    covariance = part(c.positive, c.n_pos) + part(c.negative, c.n_neg)
    variance = covariance[..., 0, 0] + covariance[..., 1, 1] - 2 * covariance[..., 0, 1]
    before, after = (_area(d, c)[..., 0] for d in doubled)
    return AurocChange(
        before, after, after - before, covariance, jnp.sqrt(jnp.maximum(variance, 0))
    )


def placements(score: np.ndarray, label: np.ndarray) -> tuple[float, np.ndarray]:
    """AUROC and DeLong influences: (V10 - A) / n+ for positives, (V01 - A) / n- for negatives; they
    sum to 0.

    Args:
      score: [n] scores.
      label: [n] truth in {0, 1}.

    Returns:
      (A, influences [n]); NaN and zeros where a class is absent.

    Reference:
      DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44.
    """
    positive = label == 1
    up, down = np.sort(score[positive]), np.sort(score[~positive])
    influence = np.zeros(len(score))
    if not len(up) or not len(down):
        return float("nan"), influence
    # left and right insertion points average to "ties count half"
    below = (
        np.searchsorted(down, score[positive])
        + np.searchsorted(down, score[positive], side="right")
    ) / (2 * len(down))
    above = 1 - (
        np.searchsorted(up, score[~positive]) + np.searchsorted(up, score[~positive], side="right")
    ) / (2 * len(up))
    area = float(below.mean())
    influence[positive], influence[~positive] = (below - area) / len(up), (above - area) / len(down)
    return area, influence


def clustered_error(influence: np.ndarray, patient: np.ndarray, area: float) -> float:
    """Standard error from influences summed per patient, sqrt(P / (P - 1) sum_p h_p^2).

    Args:
      influence: [n] from `placements`, or the difference of two.
      patient: [n] patient of each image.
      area: the AUROC, NaN where a class is absent.

    Returns:
      Scalar; NaN for an absent class or a single patient.

    Reference:
      Obuchowski 1997, Biometrics 53 (clustered data).
    """
    if not np.isfinite(area):
        return float("nan")
    summed = np.bincount(np.unique(patient, return_inverse=True)[1], weights=influence)
    return (
        float(np.sqrt(len(summed) / (len(summed) - 1) * np.sum(summed**2)))
        if len(summed) > 1
        else float("nan")
    )


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
