"""Resampling with replacement: draws of patients or images, sums over them, and the paired
bootstrap of any statistic of such sums.

A patient is drawn with all images. Every draw is determined by a key (or seed) and its own number,
so that more replicates or other tasks leave the first draws as they are. The sufficient sums make a
replicate a row of one matrix product [replicates, units] x [units, columns].
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.inference.intervals import Bootstrap, Method, jackknife_moments, summarise
from fairrecon_jax.types import Array, Key

BLOCK = 64
"""Replicates per step of `unit_weights`: fixed, so that a replicate's weights depend only on the
key, its number and the number of units.
"""
ROWS = 1024
"""Replicates, or units left out, whose statistics `bootstrap_sums` computes at once."""

Unit = Literal["patient", "image"]
Name = Hashable
Pair = tuple[np.ndarray, np.ndarray]
Statistics = Callable[[list[np.ndarray]], dict[Name, Pair]]


def host_generator(key: Key, salt: int = 0) -> np.random.Generator:
    """A NumPy generator determined by a JAX key and a number."""
    words = np.asarray(jax.random.key_data(key)).ravel().tolist()
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([*words, salt])))


def unit_weights(key: Key, block: int, units: int) -> np.ndarray:
    """How often each unit is drawn in each replicate of a block of resamples with replacement.

    Args:
      key: scalar typed key.
      block: number of the block.
      units: number of patients or images P.

    Returns:
      [BLOCK, P] float32 counts, every row sums to P.
    """
    drawn = host_generator(key, block).integers(0, units, (BLOCK, units), dtype=np.int32)
    return _occurrences(drawn, units)


def draws(count: int, replicates: int, seed: int) -> np.ndarray:
    """How often each patient (or image) is drawn in each replicate.

    Args:
      count: number of patients P.
      replicates: number of replicates R.
      seed: of the draws; replicate r does not depend on how many follow it.

    Returns:
      [R, P] float32, rows sum to P.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    return _occurrences(
        (generator.integers(0, count, count, dtype=np.int32) for _ in range(replicates)), count
    )


def _occurrences(drawn: Iterable[np.ndarray], units: int) -> np.ndarray:
    """[R, P] float32: how often each unit occurs in each row of drawn numbers."""
    return np.stack([np.bincount(row, minlength=units) for row in drawn]).astype(np.float32)


@jax.jit
def _weigh(weights: Array, flat: Array) -> Array:
    """Weights [BLOCK, P] x table [P, columns]."""
    return jnp.matmul(weights.astype(flat.dtype), flat, precision="highest")


def resample_units(table: Array, key: Key, *, replicates: int) -> Array:
    """Bootstrap sums over units: weights [replicates, P] x table [P, columns].

    Args:
      table: [P, ...] one row per unit (patient or image).
      key: scalar typed key.
      replicates: number of bootstrap replicates R.

    Returns:
      [R, ...] resampled sums.
    """
    flat = jnp.asarray(table, float).reshape(table.shape[0], -1)
    sums = [
        _weigh(unit_weights(key, block, flat.shape[0]), flat)
        for block in range(-(-replicates // BLOCK))
    ]
    return jnp.concatenate(sums).reshape(-1, *table.shape[1:])[:replicates]


def resample_images(table: Array, key: Key, *, replicates: int) -> np.ndarray:
    """Image-level bootstrap of tables of counts: exact multinomial draws over the strata.

    Args:
      table: [K, ...] integer counts.
      key: scalar typed key.
      replicates: number of bootstrap replicates R.

    Returns:
      [R, K, ...] float32 counts; each replicate of a problem sums to the problem's number of
        images.
    """
    host = np.rint(np.asarray(table)).astype(np.int64)
    flat = host.reshape(host.shape[0], -1)
    drawn = np.zeros((replicates, *flat.shape), np.float32)

    def draw(k: int, row: np.ndarray, generator: np.random.Generator) -> None:
        filled = np.flatnonzero(row)
        if filled.size:
            drawn[:, k, filled] = generator.multinomial(
                row.sum(), row[filled] / row.sum(), size=replicates
            )

    # NumPy draws without holding the interpreter lock, and every problem has its own stream
    generators = [host_generator(key, k) for k in range(len(flat))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(draw, range(len(flat)), flat, generators))
    return drawn.reshape(replicates, *host.shape)


def weighted_sums(weights: np.ndarray | None, parts: list[np.ndarray]) -> list[np.ndarray]:
    """Sums tables per patient over patients, once (observed) or per replicate: weights @ table, all
    tables in one product.

    Args:
      weights: [R, P] float32, or None for the observed sums.
      parts: tables [P, ...].

    Returns:
      Tables [R, ...] float64 (R = 1 for the observed ones); counts are exact below 2^24.
    """
    if weights is None:
        return [part.sum(0, dtype=np.float64)[None] for part in parts]
    # one float32 product is several times faster than one per table or one in float64
    flat = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1).astype(
        np.float32, copy=False
    )
    product = (weights @ flat).astype(np.float64)
    edges = np.cumsum([int(np.prod(part.shape[1:])) for part in parts])[:-1]
    return [
        piece.reshape(len(weights), *part.shape[1:])
        for piece, part in zip(np.split(product, edges, axis=1), parts, strict=True)
    ]


def bootstrap_sums(
    parts: list[np.ndarray],
    weights: np.ndarray,
    statistics: Statistics,
    alpha: float,
    method: Method = "bca",
) -> dict[Name, Bootstrap]:
    """Paired bootstrap of statistics of sums over resampled units, by default with BCa intervals
    from a jackknife over the same units.

    Args:
      parts: tables [P, ...] whose sums over the P units (patients or images) the statistics are
        made from.
      weights: [R, P] how often each unit is drawn.
      statistics: from sums [rows, ...], one row at a time, to named pairs (original,
        reconstructed), [rows, ...] each.
      alpha: intervals have level 1 - alpha.
      method: "bca" or "percentile".

    Returns:
      By name the statistic [...] with intervals and p-values.
    """
    total = weighted_sums(None, parts)
    sums = [np.concatenate(pair) for pair in zip(total, weighted_sums(weights, parts), strict=True)]
    # row 0 holds the observed sums, the others the replicates
    values = _in_blocks(lambda rows: [part[rows] for part in sums], len(sums[0]), statistics)
    accelerations: dict[Name, tuple[Array, ...]] = {}
    if method == "bca":
        left_out = _in_blocks(
            lambda rows: [t - part[rows] for t, part in zip(total, parts, strict=True)],
            len(parts[0]),
            statistics,
        )
        accelerations = {name: _accelerations(*pair) for name, pair in left_out.items()}
    return {
        name: summarise(
            (before[0], after[0]), (before[1:], after[1:]), accelerations.get(name), alpha, method
        )
        for name, (before, after) in values.items()
    }


def _in_blocks(
    take: Callable[[slice], list[np.ndarray]], count: int, statistics: Statistics
) -> dict[Name, Pair]:
    """Statistics of rows 0..count-1, in blocks of one size, so that whatever they compile is
    compiled once and memory is bounded.
    """
    blocks = []
    for first in range(0, count, ROWS):
        parts = take(slice(first, first + ROWS))
        filled = len(parts[0])
        # repeating the last row keeps 0 / 0 out of the padding, which is cut off again
        padded = [
            np.pad(part, [(0, ROWS - filled)] + [(0, 0)] * (part.ndim - 1), mode="edge")
            for part in parts
        ]
        blocks.append(
            {
                name: [version[:filled] for version in pair]
                for name, pair in statistics(padded).items()
            }
        )
    return {
        name: (
            np.concatenate([block[name][0] for block in blocks]),
            np.concatenate([block[name][1] for block in blocks]),
        )
        for name in blocks[0]
    }


def _accelerations(before: np.ndarray, after: np.ndarray) -> tuple[Array, ...]:
    """BCa accelerations of both versions and of the change from leave-one-out values [P, ...]."""
    with np.errstate(invalid="ignore"):  # inf - inf of a ratio that loses its only error
        return jackknife_moments((before, after), np.ones(len(before)))
