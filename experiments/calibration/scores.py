"""Cohorts from a model of scores: an image's score, what reconstruction makes of it, and decisions
at a threshold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from experiments.calibration.cells import Cell
from experiments.calibration.laws import Cohorts, Draw, Law, Rng, build
from fairrecon_jax.inference.changes import sum_by_group

Numbers = Sequence[float] | np.ndarray
SEPARATION = 1.5
CLUSTER = 0.5


@dataclasses.dataclass(frozen=True)
class Model:
    """Scores 1.5 (y - 1/2) - gap_g + z, decided at 0.

    Reconstruction lowers them by loss_g for y = 1 and raises them by false_alarms * loss_g for
    y = 0; its z shares shared_g of its variance with the original's. Half of the variance of z, of
    its unshared part and of the label's liability belongs to the patient where a patient has
    several images.

    Attributes:
      prevalence: [G] share of images with the finding.
      images: largest number of images a patient; the number is uniform on 1..images.
      gap: [G] how much lower scores are on originals, in standard deviations.
      loss: [G].
      false_alarms: shift of images without the finding, as a share of the loss of those with it.
      shared: [G] share of variance that original and reconstruction have in common.
    """

    prevalence: Numbers
    images: int
    gap: Numbers
    loss: Numbers
    false_alarms: float
    shared: Numbers

    def means(self) -> np.ndarray:
        """[2 versions, 2 labels, G] means of the scores."""
        gap, loss = np.asarray(self.gap, float), np.asarray(self.loss, float)
        before = np.stack([-SEPARATION / 2 - gap, SEPARATION / 2 - gap])
        return np.stack([before, before + np.stack([self.false_alarms * loss, -loss])])

    def change(self) -> np.ndarray:
        """[2, G] true change of specificity and of sensitivity."""
        positive = norm.cdf(self.means())
        return (positive[1] - positive[0]) * np.array([[-1.0], [1.0]])


class Scores(NamedTuple):
    """Scores of a block of cohorts.

    Attributes:
      label: [U, 1, M] bool, shared by the block's cohorts.
      taken: [U, 1, M] bool, images that exist.
      original: [U, K, M].
      reconstructed: [U, K, M].
    """

    label: np.ndarray
    taken: np.ndarray
    original: np.ndarray
    reconstructed: np.ndarray


def model_of(cell: Cell) -> Model:
    """The model of a cell of the table of designs and truths."""
    design, truth = cell.design, cell.truth
    here = np.arange(len(design.sizes)) == design.harmed
    return Model(
        np.full(len(here), design.prevalence),
        design.images,
        here * truth.gap,
        truth.common + here * truth.harmed * design.harm,
        truth.false_alarms,
        np.where(here, truth.shared_harmed, truth.shared),
    )


def _normal(rng: Rng, patients: int, cohorts: int, images: int) -> np.ndarray:
    """Standard normal [U, K, M], half of whose variance is the patient's if there are several."""
    image = rng.standard_normal((patients, cohorts, images), np.float32)
    if images == 1:  # the patient's part could not be told from the image's
        return image
    patient = rng.standard_normal((patients, cohorts, 1), np.float32)
    return np.float32(np.sqrt(1 - CLUSTER)) * image + np.float32(np.sqrt(CLUSTER)) * patient


def draw_scores(model: Model, rng: Rng, group: np.ndarray, cohorts: int) -> Scores:
    """Scores of a block of cohorts.

    Args:
      model: of the scores.
      rng: generator.
      group: [U] int.
      cohorts: K.

    Returns:
      `Scores`.
    """
    patients, most = len(group), model.images

    def of(values: Numbers) -> np.ndarray:
        return np.asarray(values, np.float32)[group][:, None, None]

    label = _normal(rng, patients, 1, most) > of(norm.isf(model.prevalence))
    taken = np.arange(most) < rng.integers(1, most + 1, (patients, 1, 1))
    shared = of(model.shared)
    core = np.sqrt(shared) * _normal(rng, patients, cohorts, most)
    means = [np.where(label, of(m[1]), of(m[0])) for m in model.means()]
    original, reconstructed = (
        mean + core + np.sqrt(1 - shared) * _normal(rng, patients, cohorts, most) for mean in means
    )
    return Scores(label, taken, original, reconstructed)


def decisions(model: Model) -> Draw:
    """Changes of the decisions of a model."""

    def draw(rng: Rng, group: np.ndarray, cohorts: int) -> Cohorts:
        found = draw_scores(model, rng, group, cohorts)
        strata = np.stack([found.taken & ~found.label, found.taken & found.label], -1)
        correct = [(v > 0) == found.label for v in (found.original, found.reconstructed)]
        pairs = (correct[0], correct[1], correct[0] & correct[1])
        before, after, both = (
            np.einsum("ukm,uml->ukl", v, strata[:, 0], dtype=np.float32).astype(float)
            for v in pairs
        )
        n = np.broadcast_to(strata.sum(2).astype(float), before.shape)
        found_cohorts = build(after - before, n, group, model.change(), before)
        return found_cohorts._replace(counts=_counts(before, after, both, n, group))

    return draw


def _counts(
    before: np.ndarray, after: np.ndarray, both: np.ndarray, n: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """Images by original and reconstructed decision [K, L, G, 2, 2]."""
    groups = int(group.max()) + 1
    b, a, c, m = (sum_by_group(v, group, groups) for v in (before, after, both, n))
    wrong = m - b - a + c
    # correct is positive for label 1 and negative for label 0
    found = np.stack([np.stack([wrong, a - c], -1), np.stack([b - c, c], -1)], -2)
    found[:, 0] = found[:, 0, :, ::-1, ::-1]
    return found


def law_of(cell: Cell, nulls: tuple[str, ...] = ()) -> Law:
    """The law of a cell."""
    planted = cell.truth.family == "planted"
    return Law(
        cell.name,
        cell.design.sizes,
        decisions(model_of(cell)),
        cell.design.harmed if planted else None,
        nulls,
    )
