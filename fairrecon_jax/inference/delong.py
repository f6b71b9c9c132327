"""AUROC with DeLong's influences: variances, covariances and paired changes in O(n log n), masked and batched."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fairrecon_jax.types import Array


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


def _placements(score: Array, label: Array, weight: Array) -> Array:
    """Share of the other class on the right side of each score, ties counted half.

    Positives get the share of negatives below them, negatives the share of positives above them.

    Args:
      score: [N] scores.
      label: [N] truth in {0, 1}.
      weight: [N] in {0, 1}, 0 = masked.

    Returns:
      [N] placements in [0, 1]; 0 where masked; NaN if the other class is absent.
    """
    positive, negative = weight * (label == 1), weight * (label == 0)
    order = jnp.argsort(jnp.where(weight > 0, score, jnp.inf))
    ranked = jnp.where(weight > 0, score, jnp.inf)[order]
    zero = jnp.zeros(1, positive.dtype)
    pos_sum = jnp.concatenate([zero, jnp.cumsum(positive[order])])
    neg_sum = jnp.concatenate([zero, jnp.cumsum(negative[order])])
    size = score.shape[0]
    start = jnp.concatenate([jnp.ones(1, bool), ranked[1:] != ranked[:-1]])
    end = jnp.concatenate([start[1:], jnp.ones(1, bool)])
    place = jnp.arange(size)
    first = jax.lax.cummax(jnp.where(start, place, 0))
    last = jax.lax.cummin(jnp.where(end, place, size - 1), reverse=True) + 1
    below = (neg_sum[first] + neg_sum[last]) / 2 / neg_sum[-1]
    above = 1 - (pos_sum[first] + pos_sum[last]) / 2 / pos_sum[-1]
    placed = jnp.where(label[order] == 1, below, above)
    return jnp.where(weight > 0, jnp.zeros_like(placed).at[order].set(placed), 0)


def auroc(score: Array, label: Array, mask: Array | None = None) -> Array:
    """Area under the ROC curve, P(score+ > score-) + P(equal) / 2.

    Args:
      score: [..., N] scores.
      label: [..., N] truth in {0, 1}.
      mask: [..., N] bool, False = left out.

    Returns:
      [...] in [0, 1]; 0.5 = no better than chance; NaN where a class is absent.
    """
    score, label = jnp.asarray(score, float), jnp.asarray(label, float)
    weight = jnp.ones_like(score) if mask is None else jnp.asarray(mask, score.dtype)
    place = _place_rows(score, label, weight)
    positive = weight * (label == 1)
    return jnp.sum(place * positive, -1) / jnp.sum(positive, -1)


def _place_rows(score: Array, label: Array, weight: Array) -> Array:
    """`_placements` over all leading axes."""
    return jnp.vectorize(_placements, signature="(n),(n),(n)->(n)")(score, label, weight)


def influences(score: Array, label: Array, mask: Array) -> tuple[Array, Array]:
    """AUROC and its DeLong influence of each image: (V10 - A) / n+ for positives, (V01 - A) / n- for negatives.

    Args:
      score: [..., N] scores; ignored where masked.
      label: [..., N] truth in {0, 1}.
      mask: [..., N] bool.

    Returns:
      AUROC [...] and influences [..., N] that sum to 0; both NaN where a class is absent, influences 0 where masked.
    """
    score, label = jnp.asarray(score, float), jnp.asarray(label, float)
    weight = jnp.asarray(mask, score.dtype)
    score, label = jnp.where(weight > 0, score, 0), jnp.where(weight > 0, label, 0)
    place = _place_rows(score, label, weight)
    positive, negative = weight * (label == 1), weight * (label == 0)
    n_pos, n_neg = jnp.sum(positive, -1), jnp.sum(negative, -1)
    area = jnp.where(n_neg > 0, jnp.sum(place * positive, -1) / n_pos, jnp.nan)
    share = positive / jnp.maximum(n_pos, 1)[..., None] + negative / jnp.maximum(n_neg, 1)[..., None]
    return area, jnp.where(weight > 0, (place - area[..., None]) * share, 0)


@jax.jit
def paired_influences(original: Array, reconstructed: Array, label: Array, mask: Array) -> tuple[Array, Array, Array]:
    """AUROC of both scores and the influence of each image on the change.

    Args:
      original: [..., N] scores on originals.
      reconstructed: [..., N] scores on reconstructions.
      label: [..., N] truth in {0, 1}.
      mask: [..., N] bool, False = left out.

    Returns:
      AUROC original [...], AUROC reconstructed [...], influences of the change [..., N] (0 where masked or where a class is absent).
    """
    before, first = influences(original, label, mask)
    after, second = influences(reconstructed, label, mask)
    change = second - first
    return before, after, jnp.where(jnp.isfinite(change), change, 0)


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
      DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44; Sun and Xu (2014), IEEE SPL 21 for the O(n log n) form.
    """
    before, first = influences(original, label, mask)
    after, second = influences(reconstructed, label, mask)
    weight = jnp.asarray(mask, first.dtype)
    both = jnp.stack([first, second], -2)

    def part(kind: int) -> Array:
        chosen = weight * (jnp.asarray(label) == kind)
        count = jnp.sum(chosen, -1)
        moment = jnp.einsum("...in,...jn,...n->...ij", both, both, chosen, precision="highest")
        scale = jnp.where(count > 1, count / jnp.maximum(count - 1, 1), jnp.nan)
        return moment * scale[..., None, None]

    covariance = part(1) + part(0)
    variance = covariance[..., 0, 0] + covariance[..., 1, 1] - 2 * covariance[..., 0, 1]
    return AurocChange(before, after, after - before, covariance, jnp.sqrt(jnp.maximum(variance, 0)))
