"""Laws of cohorts with a known truth. A block of cohorts is a set of cells that share patients,
groups and, where they have them, labels, so that one set of draws serves them all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fairrecon_jax.inference.changes import Changes, sum_by_group
from fairrecon_jax.inference.group_tables import PatientTables, judge_cells, patient_digests

Rng = np.random.Generator
BASE = 0.8
"""Rate on originals where a law says only what changes."""


class Cohorts(NamedTuple):
    """K cohorts.

    Attributes:
      changes: of the K cohorts.
      truth: [L, G] true mean change of each group.
      counts: [K, L, G, 2, 2] images by original and reconstructed decision, where known.
    """

    changes: Changes
    truth: np.ndarray
    counts: np.ndarray | None = None


Draw = Callable[[Rng, np.ndarray, int], Cohorts]


@dataclasses.dataclass(frozen=True)
class Law:
    """A law of cohorts.

    Attributes:
      name: unique in the study.
      sizes: patients of each group.
      draw: (generator, group [U], cohorts) -> `Cohorts`.
      harmed: number of the group that loses more than the others; None: a null.
      nulls: of a law with harm, names of the nulls that it is to be told from: a rival test counts
        if it keeps its size there.
      better: the group numbered `harmed` comes out better than the others.
    """

    name: str
    sizes: tuple[int, ...]
    draw: Draw
    harmed: int | None = None
    nulls: tuple[str, ...] = ()
    better: bool = False

    @property
    def group(self) -> np.ndarray:
        """[U] group of each patient."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)


def build(
    change: np.ndarray,
    images: np.ndarray,
    group: np.ndarray,
    truth: np.ndarray,
    before: np.ndarray | None = None,
    decisions: bool = True,
) -> Cohorts:
    """Cohorts from sums per patient.

    Args:
      change: [U, K, L] S.
      images: [U, K, L] N.
      group: [U] int.
      truth: [L, G] true mean change.
      before: [U, K, L] sums on originals; zeros if None.
      decisions: changes are of decisions.

    Returns:
      `Cohorts`.
    """
    before = np.zeros(change.shape) if before is None else before
    digest = patient_digests(np.arange(len(group))).digests
    groups = int(group.max()) + 1
    zero = np.zeros(len(group), int)
    tables = PatientTables(change, images, group, digest, digest, zero, groups)
    totals = [
        sum_by_group(v, group, groups) for v in (before, before + change, images, np.abs(change))
    ]
    some = np.where(totals[2] > 0, totals[2], np.nan)
    changes = Changes(
        tables,
        before,
        before + change,
        totals[0] / some,
        totals[1] / some,
        totals[2],
        totals[3],
        judge_cells(tables),
        decisions,
    )
    return Cohorts(changes, np.asarray(truth, float))


def flips(
    lost: Sequence[float] | np.ndarray, gained: Sequence[float] | np.ndarray, labels: int = 1
) -> Draw:
    """One image a patient and label; groups [G], or groups and cohorts and labels [G, K, L], lose
    and gain decisions with these probabilities.
    """
    rates = [np.asarray(v, float) for v in (lost, gained)]

    def draw(rng: Rng, group: np.ndarray, cohorts: int) -> Cohorts:
        down, up = (v[group] if v.ndim == 3 else v[group][:, None, None] for v in rates)
        u = rng.random((len(group), cohorts, labels))
        change = np.where(u < down, -1.0, np.where(u > 1 - up, 1.0, 0.0))
        usual = rng.random(u.shape) < BASE
        before = np.where(change == 0, usual, change < 0) * 1.0
        truth = rates[1] - rates[0]
        truth = truth.mean(1).T if truth.ndim == 3 else np.tile(truth, (labels, 1))
        return build(change, np.ones(u.shape), group, truth, before)

    return draw


Value = Callable[[Rng, tuple[int, ...]], np.ndarray]
VALUES: dict[str, Value] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "t3": lambda rng, shape: rng.standard_t(3, shape),
    "exponential": lambda rng, shape: -rng.exponential(size=shape),
    "lognormal": lambda rng, shape: -rng.lognormal(0, 1, shape),
    "Cauchy": lambda rng, shape: rng.standard_cauchy(shape),
    "5% drop": lambda rng, shape: (rng.random(shape) < 0.05) * -rng.uniform(0.2, 0.9, shape),
    "1% drop": lambda rng, shape: (rng.random(shape) < 0.01) * -rng.uniform(0.2, 0.9, shape),
    "ties": lambda rng, shape: rng.choice([-0.1, 0.0, 0.0, 0.0, 0.1], size=shape),
    "Dice with zeros": lambda rng, shape: (
        (rng.random(shape) >= 0.4) * -rng.beta(1, 9, shape) * (rng.random(shape) < 0.7)
    ),
}
"""Laws of the change of a value; losses below 0."""


def values(
    kind: str,
    harm: float = 0.0,
    harmed: int = -1,
    spread: Sequence[float] | None = None,
    share: float = 1.0,
) -> Draw:
    """One value a patient, of one law in all groups.

    Args:
      kind: a key of `VALUES`.
      harm: further loss of the harmed group.
      harmed: its number.
      spread: factor of each group.
      share: of the harmed group's patients who lose `harm`.
    """

    def draw(rng: Rng, group: np.ndarray, cohorts: int) -> Cohorts:
        shape = (len(group), cohorts, 1)
        change = VALUES[kind](rng, shape)
        groups = int(group.max()) + 1
        if spread is not None:
            change = change * np.asarray(spread)[group][:, None, None]
        here = np.arange(groups) == harmed % groups
        change -= harm * here[group][:, None, None] * (rng.random(shape) < share)
        truth = (-harm * share * here)[None]
        return build(change, np.ones(shape), group, truth, decisions=False)

    return draw


def clusters(few: int, heavy: tuple[int, int], loss: float = 0.1) -> Draw:
    """1 to `few` images a patient, losses of whom go together; the last patient has `heavy`."""

    def draw(rng: Rng, group: np.ndarray, cohorts: int) -> Cohorts:
        images = rng.integers(1, few + 1, (len(group), cohorts)).astype(float)
        images[-1] = rng.integers(*heavy, cohorts, endpoint=True)
        rate = rng.beta(loss * 2, (1 - loss) * 2, images.shape)
        lost = rng.binomial(images.astype(int), rate)[..., None].astype(float)
        n = images[..., None]
        kept = rng.binomial((n - lost).astype(int), BASE)
        groups = int(group.max()) + 1
        return build(-lost, n, group, np.full((1, groups), -loss), lost + kept)

    return draw
