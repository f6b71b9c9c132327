"""The patient-level sign-flip (wild) null of a difference in differences: one sign per patient,
shared by everything that patient enters.

Per label y and group g the change is D_g = sum S / sum N over patients p with sums S and weights N;
v_g is its variance, shrunk towards the label's pooled one; Dbar is the mean of D_g weighted by
1/v_g; T adds up the labels with fixed weights. A draw replaces S by Dbar N + w_p (S - Dbar N) with
signs w_p = +-1 and recomputes D, v, Dbar. All draws of all problems are two matrix products [draws,
patients] x [patients, strata].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fairrecon_jax.types import Array, Key

BLOCK = 256
"""Draws per step: fixed, so that a draw's signs depend on nothing but the key, the patient and the
draw's number.
"""

SHRINKAGE = 3.0  # patients' worth of the pooled variance in each stratum's
RESOLUTION = 1e-6  # relative size below which a float32 deviation is rounding
TIE = 1e-5  # relative slack with which a draw ties with the observed value


class PatientSums(NamedTuple):
    """What patients contribute to the changes of strata (label y, group g), for K problems.

    Attributes:
      change: [P, K, L, G] S, a patient's summed change.
      weight: [P, K, L, G] N >= 0, the patient's weight, such as the number of images; 0 = absent.
      usable: [K, L, G] bool, whether a stratum has enough patients.
    """

    change: Array
    weight: Array
    usable: Array


class Flip(NamedTuple):
    """Observed contrasts and their sign-flip reference, for K problems of L labels and G groups.

    Attributes:
      statistic: [K] T = sum over labels y of w_y sum over groups g of (D_g - Dbar)^2 / v_g.
      p_value: [K] (1 + #{T* >= T}) / (draws + 1); NaN where nothing is estimable.
      change: [K, L, G] D_g.
      pooled: [K, L] Dbar (0 where the null is "no change at all").
      deviation: [K, L, G] D_g - Dbar.
      variance: [K, L, G] v_g.
      std_error: [K, L, G] of the deviation, sqrt(v_g (1 - share of the weight of g)).
      stratum_p: [K, L, G] max-T adjusted p of each deviation.
      critical: [K] (1 - alpha) quantile of the largest studentised deviation of a draw.
      estimable: [K, L, G] bool, the strata that entered.
    """

    statistic: Array
    p_value: Array
    change: Array
    pooled: Array
    deviation: Array
    variance: Array
    std_error: Array
    stratum_p: Array
    critical: Array
    estimable: Array


class _Fixed(NamedTuple):
    """What stays the same in every draw of one family of problems."""

    columns: Array
    total: Array
    squares: Array
    energy: Array
    patients: Array
    estimable: Array
    floor: Array
    weights: Array


def sign_block(key: Key, digest: Array, block: Array | int) -> Array:
    """Signs of one block of draws.

    Args:
      key: scalar typed key.
      digest: [P, 2] uint32 patient digests.
      block: number of the block.

    Returns:
      [BLOCK, P] floats in {-1, +1}; column p is a function of (key, digest p, block) only.
    """

    def words(d: Array) -> Array:
        patient = jax.random.fold_in(jax.random.fold_in(key, d[0]), d[1])
        return jax.random.bits(jax.random.fold_in(patient, block), (BLOCK // 32,), jnp.uint32)

    bits = jax.vmap(words, out_axes=1)(jnp.asarray(digest))
    spread = (bits[:, None, :] >> jnp.arange(32, dtype=jnp.uint32)[None, :, None]) & 1
    return (2.0 * spread - 1.0).reshape(BLOCK, digest.shape[0])


def _variance(
    energy: Array, total: Array, patients: Array, estimable: Array, floor: Array
) -> Array:
    """v_g = P (sum e^2 + 3 m) / (P + 3) / (sum N)^2 with m the pooled mean of e^2 over the label's
    estimable groups.
    """
    pooled = jnp.sum(jnp.where(estimable, energy, 0), -1) / jnp.maximum(
        jnp.sum(jnp.where(estimable, patients, 0), -1), 1
    )
    shrunk = patients * (energy + SHRINKAGE * pooled[..., None]) / (patients + SHRINKAGE)
    return jnp.maximum(shrunk / jnp.maximum(total, 1e-30) ** 2, floor)


def _contrast(
    change: Array, variance: Array, estimable: Array, pooled: bool
) -> tuple[Array, Array, Array]:
    """Dbar, deviations and their standard errors of changes [..., L, G]."""
    weight = jnp.where(estimable, 1 / variance, 0)
    if pooled:
        # 1 - share as the sum of the others' weights: 1 minus a share near 1 would lose its digits.
        mass = jnp.maximum(jnp.sum(weight, -1, keepdims=True), 1e-30)
        groups = weight.shape[-1]
        others = (
            jnp.matmul(weight, 1 - jnp.eye(groups, dtype=weight.dtype), precision="highest") / mass
        )
        centre = jnp.sum(weight * jnp.where(estimable, change, 0), -1) / mass[..., 0]
    else:
        others, centre = jnp.ones_like(weight), jnp.zeros(weight.shape[:-1], weight.dtype)
    deviation = jnp.where(estimable, change - centre[..., None], 0)
    return centre, deviation, jnp.sqrt(variance * others)


def _statistic(deviation: Array, variance: Array, estimable: Array, weights: Array) -> Array:
    """T of deviations [..., L, G] and label weights [L]."""
    return jnp.matmul(
        jnp.sum(jnp.where(estimable, deviation**2 / variance, 0), -1), weights, precision="highest"
    )


def _largest(deviation: Array, std_error: Array, estimable: Array) -> Array:
    """The largest studentised deviation over labels and groups."""
    return jnp.max(
        jnp.where(estimable, jnp.abs(deviation) / jnp.maximum(std_error, 1e-30), 0), (-2, -1)
    )


def _observe(
    s: Array, n: Array, usable: Array, pooled: bool, weights: Array
) -> tuple[Flip, _Fixed]:
    """The observed contrasts, and the columns every draw is made from."""
    estimable = usable & (jnp.sum(usable, -1, keepdims=True) >= (2 if pooled else 1))
    total, patients = jnp.sum(n, 0), jnp.sum(n > 0, 0).astype(s.dtype)
    change = jnp.sum(s, 0) / jnp.maximum(total, 1e-30)
    energy = jnp.sum((s - change[None] * n) ** 2, 0)
    # Float32 sums of equal changes differ by rounding: below this size a deviation is none, and a
    # variance at least its square.
    scale = jnp.max(jnp.where(estimable, jnp.abs(change), 0), -1, keepdims=True)
    floor = jnp.maximum((RESOLUTION * scale) ** 2, 1e-30)
    variance = _variance(energy, total, patients, estimable, floor)
    centre, deviation, error = _contrast(change, variance, estimable, pooled)
    deviation = jnp.where(jnp.abs(deviation) <= RESOLUTION * scale, 0, deviation)
    statistic = _statistic(deviation, variance, estimable, weights)
    # The restricted residuals S - Dbar N, whose signs are flipped; N times them gives the energy of
    # a draw.
    flat = jnp.where(estimable[None], s - centre[None, ..., None] * n, 0)
    columns = jnp.concatenate([flat, flat * n], axis=1).reshape(s.shape[0], -1)
    fixed = _Fixed(
        columns, total, jnp.sum(n * n, 0), jnp.sum(flat**2, 0), patients, estimable, floor, weights
    )
    blank = jnp.zeros_like(statistic)
    return Flip(
        statistic, blank, change, centre, deviation, variance, error, deviation, blank, estimable
    ), fixed


def _draw(signs: Array, fixed: _Fixed, pooled: bool) -> tuple[Array, Array]:
    """T* and the largest studentised deviation of a block of draws, [BLOCK, K] each."""
    product = jnp.matmul(signs, fixed.columns, precision="highest")
    shape = fixed.total.shape
    sums = product.reshape(signs.shape[0], 2, *shape)
    total = jnp.maximum(fixed.total, 1e-30)[None]
    shift = sums[:, 0] / total
    # sum (w e - shift N)^2 expanded, as w^2 = 1: no pass over patients per draw.
    energy = fixed.energy[None] - 2 * shift * sums[:, 1] + shift**2 * fixed.squares[None]
    estimable = jnp.broadcast_to(fixed.estimable[None], shift.shape)
    variance = _variance(
        jnp.maximum(energy, 0), total, fixed.patients[None], estimable, fixed.floor[None]
    )
    _, deviation, error = _contrast(shift, variance, estimable, pooled)
    return _statistic(deviation, variance, estimable, fixed.weights), _largest(
        deviation, error, estimable
    )


@partial(jax.jit, static_argnames=("flips", "alpha", "pooled"))
def sign_flip(
    sums: tuple[PatientSums, ...],
    digest: Array,
    key: Key,
    *,
    flips: int,
    alpha: float,
    pooled: tuple[bool, ...],
    label_weights: tuple[Sequence[float], ...],
) -> tuple[Flip, ...]:
    """Tests several families of problems with one set of signs.

    Args:
      sums: per family.
      digest: [P, 2] uint32 patient digests that key the signs.
      key: scalar typed key.
      flips: number of draws B.
      alpha: level of the simultaneous intervals, in (0, 1).
      pooled: per family, True: the null is "every group changed alike" (at least two groups a
        label); False: "nothing changed".
      label_weights: per family, the weight of each of its L labels in T; they touch no interval.

    Returns:
      One `Flip` per family.

    Reference:
      Wu (1986), wild bootstrap; Westfall and Young (1993), max-T.
    """
    weights = [
        jnp.stack([jnp.asarray(value, sums[0][0].dtype) for value in w]) for w in label_weights
    ]
    observed = [
        _observe(s, n, usable, null, w)
        for (s, n, usable), null, w in zip(sums, pooled, weights, strict=True)
    ]

    def step(_: None, block: Array) -> tuple[None, list[tuple[Array, Array]]]:
        signs = sign_block(key, digest, block).astype(sums[0][0].dtype)
        return None, [_draw(signs, fixed, null) for (_, fixed), null in zip(observed, pooled)]

    _, drawn = jax.lax.scan(step, None, jnp.arange(-(-flips // BLOCK)))
    return tuple(_compare(flip, draws, flips, alpha) for (flip, _), draws in zip(observed, drawn))


def _compare(flip: Flip, draws: tuple[Array, Array], flips: int, alpha: float) -> Flip:
    """Fills in p-values and the critical value from draws [blocks, BLOCK, K]."""
    statistic, largest = (d.reshape(-1, d.shape[-1])[:flips] for d in draws)
    tested = jnp.any(flip.estimable, (-2, -1))
    # Draws equal to the observed value up to rounding count as ties, which is the conservative
    # side.
    exceed = jnp.sum(statistic * (1 + TIE) >= flip.statistic[None], 0)
    ranked = jnp.sort(largest, 0)
    # Rounded: a product a hair above a whole number must not cost a rank.
    position = min(math.ceil(round((1 - alpha) * (flips + 1), 6)), flips) - 1
    size = jnp.where(
        flip.estimable, jnp.abs(flip.deviation) / jnp.maximum(flip.std_error, 1e-30), 0
    )

    def rank(sorted_draws: Array, values: Array) -> Array:
        return flips - jnp.searchsorted(
            sorted_draws * (1 + TIE), values.reshape(-1), side="left"
        ).reshape(values.shape)

    above = jax.vmap(rank, in_axes=(1, 0))(ranked, size)
    nan = jnp.nan
    return flip._replace(
        p_value=jnp.where(tested, (1 + exceed) / (flips + 1), nan),
        critical=jnp.where(tested, ranked[position], nan),
        stratum_p=jnp.where(flip.estimable, (1 + above) / (flips + 1), nan),
    )
