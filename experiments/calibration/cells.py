"""The cells of the study: cohort designs (who is in it) times truths (what reconstruction did to
whom).
"""

from __future__ import annotations

import dataclasses
from typing import Literal

Family = Literal["unchanged", "planted"]


@dataclasses.dataclass(frozen=True)
class Design:
    """A kind of cohort.

    Attributes:
      name: short name.
      sizes: number of patients of each group.
      images: largest number of images a patient; the number is uniform on 1..images.
      prevalence: share of images with the finding.
      harmed: index of the group that planted harm affects.
      harm: planted loss, in standard deviations of the score.
    """

    name: str
    sizes: tuple[int, ...]
    images: int
    prevalence: float
    harmed: int
    harm: float

    @property
    def patients(self) -> int:
        """Number of patients."""
        return sum(self.sizes)


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is true of a cohort.

    Attributes:
      name: short name.
      family: "unchanged" (decisions change alike in all groups) or "planted".
      gap: how much lower the harmed group's scores are on originals already, in standard
        deviations.
      common: loss of all groups.
      harmed: loss of the harmed group, in multiples of the design's harm.
      false_alarms: shift of images without the finding, as a share of the loss of those with it:
        above 0, images are blurred and both errors rise; at 0, findings are overlooked and nothing
        else changes.
      shared: share of the score's variance that original and reconstruction have in common.
      shared_harmed: the same in the harmed group.
    """

    name: str
    family: Family
    gap: float = 0.0
    common: float = 0.0
    harmed: float = 0.0
    false_alarms: float = 0.5
    shared: float = 0.8
    shared_harmed: float = 0.8


@dataclasses.dataclass(frozen=True)
class Cell:
    """One design under one truth."""

    design: Design
    truth: Truth

    @property
    def name(self) -> str:
        """Name of the cell, unique in the study."""
        return f"{self.design.name} / {self.truth.name}"


SIX = (0.50, 0.20, 0.15, 0.08, 0.055, 0.015)


def _six(patients: int) -> tuple[int, ...]:
    """Sizes of six unequal groups."""
    return tuple(round(patients * share) for share in SIX)


DESIGNS = (
    Design("2 groups, 2,000 patients", (1000, 1000), 1, 0.20, 1, 0.35),
    Design("2 groups, 300 patients", (150, 150), 1, 0.20, 1, 0.70),
    Design("2 groups, 300 patients, 1-2 images, 5%", (150, 150), 2, 0.05, 1, 0.80),
    Design("6 groups, 2,000 patients", _six(2000), 1, 0.20, 2, 0.50),
    Design("97% and 3%, 2,000 patients", (1940, 60), 1, 0.20, 1, 0.90),
    Design("570 and 30 patients, 1-6 images", (570, 30), 6, 0.20, 1, 0.70),
    Design("6 groups, 3,000 patients, 1-4 images, 5%", _six(3000), 4, 0.05, 1, 0.35),
    Design("2 groups, 10,000 patients, 1-3 images", (7000, 3000), 3, 0.20, 1, 0.12),
)
NULLS = (
    Truth("no gap", "unchanged"),
    Truth("common loss", "unchanged", common=0.3),
    Truth("gap before, unchanged", "unchanged", gap=0.5),
)
NOISIER = Truth("noisier group", "unchanged", shared_harmed=0.5)
BLURRED = Truth("blurred", "planted", harmed=1.0)
BLURRED_GAP = Truth("blurred, gap before", "planted", gap=0.5, harmed=1.0)
OVERLOOKED_GAP = Truth("overlooked, gap before", "planted", gap=0.5, harmed=1.25, false_alarms=0.0)


def _truths(design: Design) -> tuple[Truth, ...]:
    """The truths a design is studied under: what its harmed group is too small for is left out."""
    truths = [*NULLS, BLURRED]
    positives = design.sizes[design.harmed] * design.prevalence * (design.images + 1) / 2
    if min(design.sizes) < max(design.sizes):
        truths.insert(3, NOISIER)
    if positives >= 30 or design.images == 1:
        truths.append(BLURRED_GAP)
    if positives >= 30:
        truths.append(OVERLOOKED_GAP)
    return tuple(truths)


CELLS = tuple(Cell(design, truth) for design in DESIGNS for truth in _truths(design))
