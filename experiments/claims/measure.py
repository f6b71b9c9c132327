"""Image quality, AUROC and EODD of every cell of a study, under draws of its test patients.

A draw gives each patient a weight, with all its images: counts of a multinomial draw for intervals
(the cluster bootstrap), ones in row 0. Every number is one of the package's on those weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import logit
from scipy.stats import rankdata

from fairrecon_jax import metrics
from fairrecon_jax.assessment import thresholds
from fairrecon_jax.assessment.arrays import Cell, Grouping, Study, studies
from fairrecon_jax.assessment.classification import decide
from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.assessment.units import JudgedUnits, units
from fairrecon_jax.inference.changes import CLIP, decision_changes
from fairrecon_jax.types import CohortSpec

SIGNS = {"psnr": 1, "ssim": 1, "lpips": -1}
"""Image metrics, and whether more is better."""
DEGRADED = "identity"
WORST = "worst_case_estimable"


class Measured(NamedTuple):
    """Numbers of K cells, T tasks and A attributes under R + 1 draws, row 0 the cohort.

    Attributes:
      cells: every cell but those of the degraded image.
      tasks: names.
      attributes: names.
      quality: by metric [R + 1, K], means over images, more is better.
      auroc: [R + 1, K, T].
      auroc_before: [R + 1, T] on originals.
      eodd: [R + 1, K, T, A]; NaN where no group can be judged.
      eodd_before: [R + 1, T, A] on originals.
      shuffled: [S, K, T, A] change of EODD with the groups permuted over patients.
      shuffled_before: [S, T, A] EODD of such groups on originals.
      tracking: by metric [R + 1], see `tracking`.
    """

    cells: tuple[Cell, ...]
    tasks: tuple[str, ...]
    attributes: tuple[str, ...]
    quality: dict[str, np.ndarray]
    auroc: np.ndarray
    auroc_before: np.ndarray
    eodd: np.ndarray
    eodd_before: np.ndarray
    shuffled: np.ndarray
    shuffled_before: np.ndarray
    tracking: dict[str, np.ndarray]


class _Gaps(NamedTuple):
    """EODD: after reconstruction, on originals; of groups drawn at random its changes, and on
    originals.
    """

    after: np.ndarray
    before: np.ndarray
    chance: np.ndarray
    chance_before: np.ndarray


def patient_weights(patients: int, draws: int, seed: int) -> np.ndarray:
    """Weights [draws + 1, patients]: ones, then multinomial counts."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(patients, np.full(patients, 1 / patients), draws)
    return np.concatenate([np.ones((1, patients)), drawn])


def measure(
    table: pd.DataFrame,
    spec: CohortSpec,
    options: AssessOptions,
    *,
    draws: int = 500,
    shuffles: int = 200,
    seed: int = 0,
) -> Measured:
    """Measures the first seed of a predictions table on its test patients.

    Args:
      table: predictions.
      spec: its specification; classification tasks are measured.
      options: of the study.
      draws: R.
      shuffles: S.
      seed: of both.
    """
    study = studies(table, spec)[0]
    places = [k for k, cell in enumerate(study.cells) if cell.reconstructor != DEGRADED]
    cells = tuple(study.cells[k] for k in places)
    tasks = [t for t in spec.classification_tasks if f"{t.name}__original" in study.columns]
    test = study.test
    names, patient = np.unique(study.patient[test], return_inverse=True)
    weights = patient_weights(len(names), draws, seed)
    each = weights[:, patient]  # [R + 1, N]
    quality = {
        name: _means(sign * study.columns[name][places][:, test], each)
        for name, sign in SIGNS.items()
        if name in study.columns and np.isfinite(study.columns[name][places]).any()
    }
    shape = (draws + 1, len(cells), len(tasks))
    groupings = [g for g in study.groupings if g.name and not g.crossed]
    auroc, before = np.zeros(shape), np.zeros((draws + 1, len(tasks)))
    gaps = _Gaps(
        np.full((*shape, len(groupings)), np.nan),
        np.full((draws + 1, len(tasks), len(groupings)), np.nan),
        np.full((shuffles, *shape[1:], len(groupings)), np.nan),
        np.full((shuffles, len(tasks), len(groupings)), np.nan),
    )
    for t, task in enumerate(tasks):
        judged = units(study, task, test)
        if judged.unit != "image":
            raise ValueError(f"{task.name} is judged by patient; only images are measured here")
        auroc[..., t], before[:, t] = _aurocs(judged, places, each)
        decided = decide(judged, thresholds.fit(study, task, options))
        versions = np.concatenate([decided.original[places[:1]], decided.reconstructed[places]])
        for a, grouping in enumerate(judged.groupings[1 : 1 + len(groupings)]):
            found = _gaps(
                judged.label, versions, grouping, patient, weights, options, (shuffles, seed)
            )
            for whole, part in zip(gaps, found, strict=True):
                whole[..., t, a] = part
    return Measured(
        cells,
        tuple(t.name for t in tasks),
        tuple(g.name for g in groupings),
        quality,
        auroc,
        before,
        gaps.after,
        gaps.before,
        gaps.chance,
        gaps.chance_before,
        {name: tracking(study, spec, tasks, name, each) for name in quality},
    )


def _means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means [R, K] of values [K, N] over the images that have a finite one."""
    known = np.isfinite(values)
    return weights @ np.where(known, values, 0).T / (weights @ known.T)


def _aurocs(
    judged: JudgedUnits, places: list[int], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUROCs [R, K] of reconstructions and [R] of originals."""

    def one(score: np.ndarray) -> np.ndarray:
        label = np.where(np.isfinite(score), judged.label, np.nan)
        return np.array([float(metrics.auroc(label, score, row)) for row in weights])

    after = np.stack([one(judged.reconstructed[k]) for k in places], 1)
    return after, one(judged.original[places[0]])


def _gaps(
    label: np.ndarray,
    versions: np.ndarray,
    grouping: Grouping,
    patient: np.ndarray,
    weights: np.ndarray,
    options: AssessOptions,
    shuffling: tuple[int, int],
) -> _Gaps:
    """EODD of one task and attribute: [R, K], [R], [S, K] and [S].

    Args:
      label: [N] truth.
      versions: [1 + K, N] decisions, those on originals first.
      grouping: the attribute.
      patient: [N] number of the patient.
      weights: [R, P] of patients.
      options: how many patients a group needs.
      shuffling: number of random groupings, and seed.
    """
    groups = len(grouping.groups)
    # who is judged, by the package's own count
    counted = decision_changes(
        versions[:1], versions[:1], label, grouping.code, patient,
        groups=groups, min_patients=options.min_patients,
    ).counted[0]  # fmt: skip
    mask = (counted[0] == 0).T  # [G, L]
    gaps, chance = [], []
    for decision in versions:
        counts = _counts(label, decision, grouping.code, patient, groups)
        gaps.append(_gap(np.tensordot(weights, counts, (1, 0)), mask))
        chance.append(_shuffled(counts, grouping.code, patient, *shuffling, mask))
    changes = [after - chance[0] for after in chance[1:]]
    return _Gaps(np.stack(gaps[1:], 1), gaps[0], np.stack(changes, 1), chance[0])


def _counts(
    label: np.ndarray, decision: np.ndarray, group: np.ndarray, patient: np.ndarray, groups: int
) -> np.ndarray:
    """Images per patient, group, label and decision, [P, G, 2, 2]."""
    counts = np.zeros((patient.max() + 1, groups, 2, 2))
    known = np.isfinite(label) & np.isfinite(decision) & (group >= 0)
    digits = (label[known].astype(int), decision[known].astype(int))
    np.add.at(counts, (patient[known], group[known], *digits), 1)
    return counts


def _gap(counts: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """EODD [R] among the judged strata of counts [R, G, 2, 2]."""
    return np.asarray(metrics.fairness.eodd_from_counts(counts, WORST, mask).value)


def _shuffled(
    counts: np.ndarray,
    group: np.ndarray,
    patient: np.ndarray,
    shuffles: int,
    seed: int,
    mask: np.ndarray,
) -> np.ndarray:
    """EODD [S] with each patient's group taken from another patient."""
    # of a patient whose images differ in group the first known one
    known = np.flatnonzero(group >= 0)
    own: np.ndarray = np.full(len(counts), -1)
    own[patient[known][::-1]] = group[known][::-1]
    whole = counts.sum(1).reshape(len(counts), 4)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(shuffles):
        drawn = rng.permutation(own)
        member = drawn[:, None] == np.arange(counts.shape[1])
        found.append((member.T @ whole).reshape(-1, 2, 2))
    return _gap(np.stack(found), mask)


def tracking(
    study: Study, spec: CohortSpec, tasks: list, metric: str, weights: np.ndarray
) -> np.ndarray:
    """Mean rank correlation, image by image, of what a level costs in image quality with what it
    costs in the score for the truth: between each level and the mildest, mean over levels,
    reconstructors and tasks. [R + 1]; NaN with a single level.
    """
    levels, found = list(spec.degradation.levels), []
    sign, test = SIGNS[metric], study.test
    for task in tasks:
        judged = units(study, task, test)
        score = logit(np.clip(judged.reconstructed, CLIP, 1 - CLIP))
        truth = np.where(judged.label == 1, score, -score)  # [K, N]
        for k, cell in enumerate(study.cells):
            mild = cell._replace(level=levels[0])
            if cell.reconstructor == DEGRADED or cell.mitigation != "none" or mild == cell:
                continue
            if mild not in study.cells:
                continue
            j = study.cells.index(mild)
            image = sign * (study.columns[metric][k] - study.columns[metric][j])[test]
            found.append(_rank_correlation(image, truth[k] - truth[j], judged.label, weights))
    return np.mean(found, 0) if found else np.full(len(weights), np.nan)


def _rank_correlation(
    x: np.ndarray, y: np.ndarray, label: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Spearman's correlation [R] under weights [R, N], ranks those of the cohort."""
    known = np.isfinite(x) & np.isfinite(y) & np.isfinite(label)
    w = weights[:, known] / weights[:, known].sum(1, keepdims=True)
    ranks = np.stack([rankdata(x[known]), rankdata(y[known])])
    with np.errstate(invalid="ignore"):  # a metric that is the same of every image: NaN
        ranks = (ranks - ranks.mean(1, keepdims=True)) / ranks.std(1, keepdims=True)
    mean = w @ ranks.T  # [R, 2]
    cross = w @ (ranks[0] * ranks[1])
    spread = w @ (ranks**2).T - mean**2
    return (cross - mean[:, 0] * mean[:, 1]) / np.sqrt(spread[:, 0] * spread[:, 1])
