"""Paired, seeded bootstrap by patient or image: one matrix of draws, shared by every task, attribute and study cell."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.assessment.rows import Interval, Triple
from fairrecon_jax.inference.bootstrap import unit_weights
from fairrecon_jax.inference.intervals import Bootstrap, Estimate, summarise


@functools.partial(jax.jit, static_argnames=("count",))
def _block(key: jax.Array, block: int, count: int) -> jax.Array:
    return jnp.asarray(unit_weights(key, block, count), jnp.float32)


def draws(count: int, replicates: int, seed: int) -> np.ndarray:
    """How often each patient (or image) is drawn in each replicate.

    Args:
      count: number of patients P.
      replicates: number of replicates R.
      seed: of the draws.

    Returns:
      [R, P] float32, rows sum to P.
    """
    key = jax.random.key(seed)
    blocks: list[np.ndarray] = []
    while sum(len(b) for b in blocks) < replicates:
        blocks.append(np.asarray(_block(key, len(blocks), count)))
    return np.concatenate(blocks)[:replicates]


def resum(weights: np.ndarray | None, parts: list[np.ndarray]) -> list[np.ndarray]:
    """Sums tables per patient over patients, once (observed) or per replicate: weights @ table, all tables in one product.

    Args:
      weights: [R, P] float32, or None for the observed sums.
      parts: tables [P, ...].

    Returns:
      Tables [R, ...] float64 (R = 1 for the observed ones); counts are exact below 2^24.
    """
    if weights is None:
        return [part.sum(0, dtype=np.float64)[None] for part in parts]
    flat = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1).astype(np.float32, copy=False)
    product = (weights @ flat).astype(np.float64)
    edges = np.cumsum([int(np.prod(part.shape[1:])) for part in parts])[:-1]
    return [piece.reshape(len(weights), *part.shape[1:]) for piece, part in zip(np.split(product, edges, axis=1), parts, strict=True)]


@functools.partial(jax.jit, static_argnames=("alpha",))
def _summary(point: tuple[jax.Array, jax.Array], drawn: tuple[jax.Array, jax.Array], alpha: float) -> Bootstrap:
    unaccelerated = jnp.zeros(point[0].shape)
    return summarise(point, drawn, (unaccelerated, unaccelerated, unaccelerated), alpha, "bca")


def paired(observed: tuple[np.ndarray, np.ndarray], replicates: tuple[np.ndarray, np.ndarray], alpha: float) -> Bootstrap:
    """Original, reconstructed and change with bias-corrected percentile intervals from the same draws.

    The bias correction (BCa without acceleration) matters for gaps: a maximum minus a minimum is larger in most replicates than observed.

    Args:
      observed: (original, reconstructed), [...] each, broadcast against each other.
      replicates: the same with a leading axis R.
      alpha: intervals have level 1 - alpha.

    Returns:
      `Bootstrap` of numpy arrays [...].
    """
    point = np.broadcast_arrays(*observed)
    drawn = np.broadcast_arrays(*replicates)
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, _summary((point[0], point[1]), (drawn[0], drawn[1]), alpha))


def triple(found: Bootstrap, place: tuple[int, ...]) -> Triple:
    """One entry of a `Bootstrap` as a `Triple` of Python floats."""

    def one(estimate: Estimate) -> Interval:
        return Interval(*(float(part[place]) for part in estimate))

    return Triple(one(found.original), one(found.reconstructed), one(found.change))
