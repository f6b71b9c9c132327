"""Paired bootstrap of changes: gaps and rates of decisions, means and their gaps, AUROC.

Original and reconstruction are resampled together. By image, the table of counts is exactly
multinomial; by patient, all replicates are one matrix product [replicates, patients] x [patients,
cells]. A maximum minus a minimum is not smooth near 0: use intervals of gaps to describe, and
`did_test` to decide.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.inference import counts, gaps
from fairrecon_jax.inference.intervals import Bootstrap, Method, jackknife_moments, summarise
from fairrecon_jax.types import Array, Key

BLOCK = 64
"""Replicates per step: fixed, so that a replicate's weights depend only on the key, its number and
the number of units.
"""

Unit = Literal["patient", "image"]


class _Pair(NamedTuple):
    """One statistic of originals and reconstructions."""

    original: Array
    reconstructed: Array


Statistic = Callable[[Array], dict[str, _Pair]]


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
    return np.stack([np.bincount(row, minlength=units) for row in drawn]).astype(np.float32)


@jax.jit
def _weigh(weights: Array, flat: Array) -> Array:
    """Weights [BLOCK, P] x table [P, cells]."""
    return jnp.matmul(weights.astype(flat.dtype), flat, precision="highest")


def resample_units(table: Array, key: Key, *, replicates: int) -> Array:
    """Bootstrap sums over units: weights [replicates, P] x table [P, cells].

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
    """Image-level bootstrap of tables of counts: exact multinomial draws over the cells.

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

    with ThreadPoolExecutor(
        os.cpu_count()
    ) as pool:  # NumPy draws without holding the interpreter; every problem has its own stream
        list(
            pool.map(
                draw, range(len(flat)), flat, [host_generator(key, k) for k in range(len(flat))]
            )
        )
    return drawn.reshape(replicates, *host.shape)


def decision_statistics(sums: Array) -> dict[str, _Pair]:
    """Gaps and rates of both versions from sums [..., L, G, 3] of images, original positives,
    reconstructed positives.
    """
    before = gaps.decision_gaps(sums[..., 0], sums[..., 1])
    after = gaps.decision_gaps(sums[..., 0], sums[..., 2])
    return {name: _Pair(before[name], after[name]) for name in before}


def mean_statistics(sums: Array) -> dict[str, _Pair]:
    """Means and their gaps from sums [..., 1 + G, 3] of units, original values, reconstructed
    values; entry 0 is everyone.
    """
    before, after = (gaps.mean_gaps(sums[..., 1:, 0], sums[..., 1:, i]) for i in (1, 2))
    everyone = [gaps.rates(sums[..., 0, 0], sums[..., 0, i]) for i in (1, 2)]
    return {
        "overall": _Pair(*everyone),
        **{name: _Pair(before[name], after[name]) for name in before},
    }


def _images_to_sums(cells: Array) -> Array:
    """[..., 2, 2] counts -> [..., 3] sums (images, original positives, reconstructed positives)."""
    return jnp.stack(
        [jnp.sum(cells, (-2, -1)), jnp.sum(cells[..., 1, :], -1), jnp.sum(cells[..., 1], -1)], -1
    )


@partial(jax.jit, static_argnames=("statistic",))
def _jackknife_units(table: Array, statistic: Statistic) -> dict[str, tuple[Array, Array, Array]]:
    """Jackknife moments of every statistic, leaving out one unit at a time; table [P, K, ...]."""
    weight = jnp.ones(table.shape[0])

    def problem(rows: Array) -> dict[str, tuple[Array, Array, Array]]:
        return {
            n: jackknife_moments(p, weight)
            for n, p in statistic(jnp.sum(rows, 0)[None] - rows).items()
        }

    return jax.lax.map(problem, jnp.moveaxis(table, 1, 0))


@jax.jit
def _jackknife_cells(cells: Array) -> dict[str, tuple[Array, Array, Array]]:
    """Jackknife moments leaving out one image at a time: images of one cell are alike, so that each
    cell is left out once.
    """

    def problem(table: Array) -> dict[str, tuple[Array, Array, Array]]:
        size = table.size
        less = table.reshape(1, size) - jnp.eye(size, dtype=table.dtype)
        found = decision_statistics(
            _images_to_sums(jnp.maximum(less, 0).reshape(size, *table.shape))
        )
        return {name: jackknife_moments(pair, table.reshape(size)) for name, pair in found.items()}

    return jax.lax.map(problem, cells)


@partial(jax.jit, static_argnames=("statistic",))
def _evaluate(sums: Array, statistic: Statistic) -> dict[str, _Pair]:
    """The statistic, compiled."""
    return statistic(sums)


def _summaries(
    point: Array,
    replicates: Array,
    moments: dict[str, tuple[Array, Array, Array]] | None,
    statistic: Statistic,
    alpha: float,
    method: Method,
) -> dict[str, Bootstrap]:
    """Intervals of every statistic."""
    found, drawn, accelerations = jax.tree.map(
        np.asarray, (_evaluate(point, statistic), _evaluate(replicates, statistic), moments)
    )
    return {
        name: summarise(
            found[name], drawn[name], accelerations and accelerations[name], alpha, method
        )
        for name in found
    }


def check_options(replicates: int, alpha: float, resample: str, method: str) -> None:
    """Refuses options that mean nothing."""
    if replicates < 2:
        raise ValueError(f"replicates = {replicates}; at least 2 are needed, 1000 are usual")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha}")
    if resample not in ("patient", "image"):
        raise ValueError(f"resample must be 'patient' or 'image', got {resample!r}")
    if method not in ("bca", "percentile"):
        raise ValueError(f"method must be 'bca' or 'percentile', got {method!r}")


def _unpack(found: dict[str, Bootstrap], lead: tuple[int, ...]) -> dict[str, Bootstrap]:
    """Numpy arrays with the input's leading axes."""
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(lead + leaf.shape[1:]), found)


def bootstrap_decisions(
    decision_original: Array,
    decision_reconstructed: Array,
    label: Array,
    group: Array,
    patient: Sequence[object] | np.ndarray,
    key: Key,
    *,
    groups: int,
    replicates: int = 1000,
    resample: Unit = "patient",
    labels: tuple[int, ...] = counts.LABELS,
    alpha: float = 0.05,
    method: Method = "bca",
) -> dict[str, Bootstrap]:
    """Paired bootstrap of gaps and rates of decisions at a fixed threshold.

    Args:
      decision_original: [..., N] decisions in {0, 1} on originals, NaN = unknown; leading axes
        broadcast.
      decision_reconstructed: [..., N] decisions in {0, 1} on reconstructions, NaN = unknown.
      label: [..., N] truth in {0, 1}, NaN = unknown.
      group: [..., N] int group index in 0..G-1, -1 = unknown.
      patient: [N] patient names.
      key: scalar typed key; results depend on it and not on the order of rows or the number of
        devices.
      groups: number of groups G.
      replicates: number of bootstrap replicates.
      resample: "patient" (all images of a patient together) or "image" (the published recipe; too
        narrow with several images a patient).
      labels: label values, 1 last.
      alpha: 1 - coverage of the intervals.
      method: "bca" or "percentile".

    Returns:
      "eodd" (max form), "eodd_mean", "eop" with shape [...] and "rates" [..., L, G], each a
        `Bootstrap`.

    Raises:
      ValueError: shapes disagree or an option is out of range.

    Reference:
      Efron and Tibshirani (1993), chapters 13-14.
    """
    check_options(replicates, alpha, resample, method)
    lead, (o, r, y, g) = counts.align(
        (decision_original, decision_reconstructed, label, group), len(np.asarray(patient))
    )
    if resample == "image":
        cells = counts.image_counts(o, r, y, g, groups=groups, labels=labels)
        drawn = _images_to_sums(jnp.asarray(resample_images(cells, key, replicates=replicates)))
        moments = _jackknife_cells(cells) if method == "bca" else None
        point = _images_to_sums(cells)
    else:
        who = counts.index_patients(patient)
        table = counts.patient_counts(
            o, r, y, g, who.codes, patients=who.total, groups=groups, labels=labels
        )
        drawn = resample_units(table, key, replicates=replicates)
        moments = _jackknife_units(table, decision_statistics) if method == "bca" else None
        point = jnp.sum(table, 0)
    return _unpack(_summaries(point, drawn, moments, decision_statistics, alpha, method), lead)


def bootstrap_means(
    value_original: Array,
    value_reconstructed: Array,
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
    """Paired bootstrap of means (Dice, PSNR, Brier, ...), their largest difference and their skewed
    error ratio.

    Args:
      value_original: [..., N] values on originals, NaN = undefined.
      value_reconstructed: [..., N] values on reconstructions, NaN = undefined.
      group: [..., N] int group index, -1 = unknown.
      patient: [N] patient names.
      key: scalar typed key.
      groups: number of groups G.
      replicates: number of bootstrap replicates.
      resample: "patient" (mean per patient, then over patients) or "image" (mean over images).
      alpha: 1 - coverage of the intervals.
      method: "bca" or "percentile".

    Returns:
      "overall" [...] (everyone, unknown groups included), "mean" [..., G], "delta" [...] and "ser"
        [...] (scores in [0, 1] only).

    Raises:
      ValueError: shapes disagree or an option is out of range.
    """
    check_options(replicates, alpha, resample, method)
    who = counts.index_patients(patient)
    lead, (o, r, g) = counts.align((value_original, value_reconstructed, group), len(who.codes))
    known = np.isfinite(o) & np.isfinite(r)
    units, count = (
        (who.codes, who.total)
        if resample == "patient"
        else (np.arange(len(who.codes)), len(who.codes))
    )
    parts = []
    for value in (o, r):
        masked = np.where(known, value, np.nan)
        everyone, there = counts.patient_means(
            masked, np.zeros_like(g), units, patients=count, groups=1
        )
        mean, present = counts.patient_means(masked, g, units, patients=count, groups=groups)
        parts.append(
            (
                jnp.concatenate([everyone, mean], -1)[:, :, 0],
                jnp.concatenate([there, present], -1)[:, :, 0],
            )
        )
    table = jnp.stack([parts[0][1], parts[0][0], parts[1][0]], -1)
    drawn = resample_units(table, key, replicates=replicates)
    moments = _jackknife_units(table, mean_statistics) if method == "bca" else None
    return _unpack(
        _summaries(jnp.sum(table, 0), drawn, moments, mean_statistics, alpha, method), lead
    )
