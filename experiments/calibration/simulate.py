"""Simulated cohorts as patient tables: vectorised over cohorts, one compiled program per shape of
cohort.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

from experiments.calibration.cells import Cell
from fairrecon_jax.types import Array, Key

SEPARATION = 1.5
CLUSTER = 0.5


class Parameters(NamedTuple):
    """The traced part of a cell: scalars, and vectors [G] over groups."""

    prevalence_cut: Array
    gap: Array
    loss: Array
    shared: Array
    false_alarms: Array


class Tables(NamedTuple):
    """Patient tables of K cohorts.

    Attributes:
      change: [P, K, 2, G] sums of the change of the decision.
      weight: [P, K, 2, G] numbers of images.
      counts: [K, 2, G, 2, 2] images by original and reconstructed decision.
    """

    change: Array
    weight: Array
    counts: Array


def parameters(cell: Cell) -> Parameters:
    """The numbers of a cell as arrays."""
    design, truth = cell.design, cell.truth
    here = np.arange(len(design.sizes)) == design.harmed
    values = (
        norm.ppf(1 - design.prevalence),
        np.where(here, -truth.gap, 0.0),
        truth.common + here * truth.harmed * design.harm,
        np.where(here, truth.shared_harmed, truth.shared),
        truth.false_alarms,
    )
    return Parameters(*(jnp.asarray(v, float) for v in values))


@partial(jax.jit, static_argnames=("sizes", "images", "cohorts"))
def simulate(
    key: Key, p: Parameters, *, sizes: tuple[int, ...], images: int, cohorts: int
) -> Tables:
    """Draws cohorts and counts their decisions.

    An image's score is 1.5 y + gap_g + z. Its reconstruction's is lower by loss_g for y = 1 and
    higher by false_alarms * loss_g for y = 0; its z shares shared_g of its variance with the
    original's. Half of the variance of z, of its unshared part and of the label's liability belongs
    to the patient where a patient has several images. Both are decided at 0.75.

    Args:
      key: scalar typed key.
      p: the cell's numbers.
      sizes: patients of each group.
      images: largest number of images a patient.
      cohorts: number of cohorts K.

    Returns:
      `Tables`.
    """
    group = np.repeat(np.arange(len(sizes)), sizes)
    patients = len(group)
    # With one image a patient the patient's part could not be told from the image's.
    cluster = CLUSTER if images > 1 else 0.0
    keys = jax.random.split(key, 5)

    def scores(k: Key) -> Array:
        of_image, of_patient = jax.random.split(k)
        image = jax.random.normal(of_image, (patients, cohorts, images))
        if not cluster:
            return image
        return np.sqrt(1 - cluster) * image + np.sqrt(cluster) * jax.random.normal(
            of_patient, (patients, cohorts, 1)
        )

    def per_patient(values: Array) -> Array:
        return values[group][:, None, None]

    label = scores(keys[0]) > p.prevalence_cut
    taken = jnp.arange(images)[None, None, :] < jax.random.randint(
        keys[1], (patients, cohorts, 1), 1, images + 1
    )
    shared = per_patient(p.shared)
    core = jnp.sqrt(shared) * scores(keys[2])
    base = SEPARATION * (label - 0.5) + per_patient(p.gap)
    first = base + core + jnp.sqrt(1 - shared) * scores(keys[3]) > 0
    moved = per_patient(p.loss) * jnp.where(label, -1.0, p.false_alarms)
    second = base + moved + core + jnp.sqrt(1 - shared) * scores(keys[4]) > 0
    return _tables(label, taken, first, second, jnp.asarray(np.eye(len(sizes))[group], core.dtype))


def _tables(label: Array, taken: Array, first: Array, second: Array, member: Array) -> Tables:
    """Counts decisions [P, K, M] of patients with group membership [P, G]."""
    strata = jnp.stack([taken & ~label, taken & label], 2)
    n = jnp.sum(strata, -1).astype(member.dtype)
    o, r = (jnp.sum(strata & d[:, :, None], -1).astype(member.dtype) for d in (first, second))
    both = jnp.sum(strata & (first & second)[:, :, None], -1).astype(member.dtype)
    # The four combinations of both decisions, from three sums.
    split = jnp.stack([n - o - r + both, r - both, o - both, both], -1)
    counts = jnp.einsum("pklc,pg->klgc", split, member, precision="highest")
    spread = member[:, None, None, :]
    return Tables(
        (r - o)[..., None] * spread, n[..., None] * spread, counts.reshape(*counts.shape[:-1], 2, 2)
    )
