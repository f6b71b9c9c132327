"""Paired bootstrap of changes: gaps and rates of decisions, means and their gaps, AUROC.

Original and reconstruction are resampled together. By image, the table of counts is exactly
multinomial; by patient, all replicates are one matrix product. A maximum minus a minimum is not
smooth near 0: use intervals of gaps to describe, and `did_test` to decide. The bootstrap of AUROCs
costs replicates x images (one sort per score serves all replicates): `did_test_auroc` and
`delong_change` are the fast ways to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.inference import counts
from fairrecon_jax.inference.delong import paired_influences, weighted_auroc
from fairrecon_jax.inference.intervals import Bootstrap, Method, jackknife_moments, summarise
from fairrecon_jax.inference.resampling import (
    BLOCK,
    Unit,
    resample_images,
    resample_units,
    unit_weights,
)
from fairrecon_jax.metrics.classification import divide
from fairrecon_jax.metrics.fairness import error_ratio, over_labels, spread
from fairrecon_jax.types import Array, Key


class _Pair(NamedTuple):
    """One statistic of originals and reconstructions."""

    original: Array
    reconstructed: Array


Statistic = Callable[[Array], dict[str, _Pair]]


def decision_statistics(sums: Array) -> dict[str, _Pair]:
    """Gaps and rates of both versions from sums [..., L, G, 3] of images, original positives,
    reconstructed positives.
    """
    before, after = (rate_gaps(divide(sums[..., i], sums[..., 0])) for i in (1, 2))
    return {name: _Pair(before[name], after[name]) for name in before}


def rate_gaps(rate: Array) -> dict[str, Array]:
    """Gaps of the rates [..., L, G] of one version, and the rates."""
    by_label = spread(rate)
    return {
        "eodd": over_labels(by_label),
        "eodd_mean": over_labels(by_label, "mean"),
        "eop": by_label[..., -1],
        "rates": rate,
    }


def mean_statistics(sums: Array) -> dict[str, _Pair]:
    """Means and their gaps from sums [..., 1 + G, 3] of units, original values, reconstructed
    values; entry 0 is everyone.
    """
    before, after = (divide(sums[..., i], sums[..., 0]) for i in (1, 2))
    groups = _Pair(before[..., 1:], after[..., 1:])
    return {
        "overall": _Pair(before[..., 0], after[..., 0]),
        "mean": groups,
        "delta": _Pair(*map(spread, groups)),
        "ser": _Pair(*map(error_ratio, groups)),
    }


def _images_to_sums(table: Array) -> Array:
    """[..., 2, 2] counts -> [..., 3] sums (images, original positives, reconstructed positives)."""
    return jnp.stack(
        [jnp.sum(table, (-2, -1)), jnp.sum(table[..., 1, :], -1), jnp.sum(table[..., 1], -1)], -1
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
def _jackknife_images(tables: Array) -> dict[str, tuple[Array, Array, Array]]:
    """Jackknife moments leaving out one image at a time; tables of counts [K, ...]. Images counted
    in one slot are alike, so that one of each slot is left out, weighted by their number.
    """

    def problem(table: Array) -> dict[str, tuple[Array, Array, Array]]:
        size = table.size
        less = table.reshape(1, size) - jnp.eye(size, dtype=table.dtype)
        # an empty slot would become -1; its weight is 0, so that any finite value serves
        sums = _images_to_sums(jnp.maximum(less, 0).reshape(size, *table.shape))
        statistics = decision_statistics(sums)
        return {
            name: jackknife_moments(pair, table.reshape(size)) for name, pair in statistics.items()
        }

    return jax.lax.map(problem, tables)


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
    observed, drawn, accelerations = jax.tree.map(
        np.asarray, (_evaluate(point, statistic), _evaluate(replicates, statistic), moments)
    )
    return {
        name: summarise(
            observed[name], drawn[name], accelerations and accelerations[name], alpha, method
        )
        for name in observed
    }


def _check_options(replicates: int, alpha: float, resample: str, method: str) -> None:
    """Refuses options that mean nothing."""
    if replicates < 2:
        raise ValueError(f"replicates = {replicates}; at least 2 are needed, 1000 are usual")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha}")
    if resample not in ("patient", "image"):
        raise ValueError(f"resample must be 'patient' or 'image', got {resample!r}")
    if method not in ("bca", "percentile"):
        raise ValueError(f"method must be 'bca' or 'percentile', got {method!r}")


def _unflatten(flat: dict[str, Bootstrap], lead: tuple[int, ...]) -> dict[str, Bootstrap]:
    """NumPy arrays with the input's leading axes."""
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(lead + leaf.shape[1:]), flat)


def _numbered_units(who: counts.Patients, resample: Unit) -> tuple[np.ndarray, int]:
    """Number of the resampled unit of each image [N], and how many units there are."""
    if resample == "patient":
        return who.codes, who.total
    return np.arange(len(who.codes)), len(who.codes)


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
    _check_options(replicates, alpha, resample, method)
    lead, (o, r, y, g) = counts.align(
        (decision_original, decision_reconstructed, label, group), len(np.asarray(patient))
    )
    if resample == "image":
        table = counts.image_counts(o, r, y, g, groups=groups, labels=labels)
        drawn = _images_to_sums(jnp.asarray(resample_images(table, key, replicates=replicates)))
        moments = _jackknife_images(table) if method == "bca" else None
        point = _images_to_sums(table)
    else:
        who = counts.index_patients(patient)
        table = counts.patient_counts(
            o, r, y, g, who.codes, patients=who.total, groups=groups, labels=labels
        )
        drawn = resample_units(table, key, replicates=replicates)
        moments = _jackknife_units(table, decision_statistics) if method == "bca" else None
        point = jnp.sum(table, 0)
    return _unflatten(_summaries(point, drawn, moments, decision_statistics, alpha, method), lead)


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
    _check_options(replicates, alpha, resample, method)
    who = counts.index_patients(patient)
    lead, (o, r, g) = counts.align((value_original, value_reconstructed, group), len(who.codes))
    known = np.isfinite(o) & np.isfinite(r)
    units, total = _numbered_units(who, resample)
    means = []
    for value in (o, r):
        masked = np.where(known, value, np.nan)
        everyone, known_units = counts.patient_means(
            masked, np.zeros_like(g), units, patients=total, groups=1
        )
        mean, present = counts.patient_means(masked, g, units, patients=total, groups=groups)
        means.append(jnp.concatenate([everyone, mean], -1)[:, :, 0])
    # both versions are known for the same images, so that one column of presence serves both
    presence = jnp.concatenate([known_units, present], -1)[:, :, 0]
    table = jnp.stack([presence, *means], -1)
    drawn = resample_units(table, key, replicates=replicates)
    moments = _jackknife_units(table, mean_statistics) if method == "bca" else None
    return _unflatten(
        _summaries(jnp.sum(table, 0), drawn, moments, mean_statistics, alpha, method), lead
    )


def _all_weights(key: Key, replicates: int, units: int) -> np.ndarray:
    """[R, P] small integers: how often each unit is drawn in each replicate."""
    blocks = [unit_weights(key, b, units).astype(np.uint8) for b in range(-(-replicates // BLOCK))]
    return np.concatenate(blocks)[:replicates]


def _accelerations(influence: Array, units: np.ndarray, total: int) -> np.ndarray:
    """BCa acceleration [K] from influences [K, N] summed per unit, sum h^3 / (6 (sum h^2)^1.5)."""
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
    _check_options(replicates, alpha, resample, method)
    who = counts.index_patients(patient)
    lead, (o, r, y, g) = counts.align(
        (score_original, score_reconstructed, label, group), len(who.codes)
    )
    units, total = _numbered_units(who, resample)
    weights = _all_weights(key, replicates, total)
    known = np.isfinite(o) & np.isfinite(r) & np.isfinite(y)
    # column 0 is everyone, unknown groups included; then one column per group
    members = [known, *(known & (g == i) for i in range(groups))]
    columns = [_aurocs(o, r, y, member, units, total, weights) for member in members]
    point, drawn, acceleration = (np.stack(part, -1) for part in zip(*columns))
    overall, within = (
        summarise(
            tuple(point[..., part]),
            tuple(drawn[..., part]),
            tuple(acceleration[..., part]),
            alpha,
            method,
        )
        for part in (0, slice(1, None))
    )
    gap, gap_drawn = (tuple(np.asarray(spread(a[..., 1:]))) for a in (point, drawn))
    # the influence function of a maximum minus a minimum is not smooth: no acceleration
    gaps = summarise(gap, gap_drawn, None, alpha, "percentile")
    return _unflatten({"overall": overall, "auroc": within, "gap": gaps}, lead)


def _aurocs(
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
        image_weights = weights[:, units[rows]]
        for version, score in enumerate((o, r)):
            drawn[version, :, k] = weighted_auroc(score[k, rows], y[k, rows], image_weights)
    # paired with a constant score, whose influence is 0, the change's influence is the score's own
    single = [paired_influences(np.zeros_like(s), s, y, member)[2] for s in (o, r)]
    accelerations = np.stack([_accelerations(h, units, total) for h in (*single, change)])
    return np.stack([np.asarray(before), np.asarray(after)]), drawn, accelerations
