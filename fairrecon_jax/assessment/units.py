"""What is judged in a task: images, or patients where the task aggregates, with their labels,
scores and groups.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from fairrecon_jax import metrics
from fairrecon_jax.assessment.arrays import SAME_SCORE, Grouping, Study
from fairrecon_jax.types import Aggregation, InputError, Task, plural


class JudgedUnits(NamedTuple):
    """What is judged in one task: images, or patients where the task aggregates.

    Attributes:
      label: [U] float {0, 1, NaN}; for segmentation NaN.
      original: [K, U] score or Dice on originals, NaN where the pair is incomplete.
      reconstructed: [K, U] score or Dice on reconstructions.
      patient: [U] int32 patient number of the study.
      groupings: everyone first, then the attributes, codes [U].
      unit: "image" or "patient".
      paired: predictions on originals exist.
      note: what was excluded and why, "" if nothing.
    """

    label: np.ndarray
    original: np.ndarray
    reconstructed: np.ndarray
    patient: np.ndarray
    groupings: tuple[Grouping, ...]
    unit: str
    paired: bool
    note: str


def units(study: Study, task: Task, rows: np.ndarray, empty_mask: str = "undefined") -> JudgedUnits:
    """What is judged in one task among the given examples.

    Classification with aggregation and every segmentation task are judged per patient: the median
    (mean) of the patient's complete pairs.

    Args:
      study: arrays.
      task: one of the specification's tasks.
      rows: [N] bool, which examples.
      empty_mask: segmentation: what the Dice on an empty truth counts as, see
        `options.EmptyTruth`.

    Returns:
      `JudgedUnits`.

    Raises:
      InputError: the task's columns are missing, or the original predictions of an example differ
        between cells.
    """
    stem = f"{task.name}__"
    for part in ("label", "reconstructed"):
        if stem + part not in study.columns:
            raise InputError(f"the predictions table lacks the column {stem + part!r}")
    label = _first_known(study.columns[stem + "label"][:, rows])
    reconstructed = study.columns[stem + "reconstructed"][:, rows]
    # a table without originals is allowed, and judged unpaired
    original = study.columns.get(
        stem + "original", np.full(study.columns[stem + "label"].shape, np.nan)
    )[:, rows]
    paired = bool(np.isfinite(original).any())
    alone = np.zeros(original.shape, bool)
    # before pairs are formed, which leave out what a cell lacks
    _refuse_different_originals(original, stem + "original")
    if task.kind == "segmentation":
        # the label of a segmentation is the number of true pixels: 0 is an empty truth
        original, reconstructed = (
            _of_empty_truth(dice, label == 0, empty_mask) for dice in (original, reconstructed)
        )
        if empty_mask == "published":
            alone |= label == 0
        label = np.full(label.shape, np.nan)
    groupings = tuple(g._replace(code=g.code[rows]) for g in study.groupings)
    lacking = [np.isnan(version) & ~alone for version in (original, reconstructed)]
    note = one_sided(lacking[0], lacking[1], groupings) if paired else ""
    # an incomplete pair counts on neither side: a change compares the same images
    incomplete = lacking[1] | (lacking[0] if paired else False)
    original, reconstructed = (
        np.where(incomplete, np.nan, original),
        np.where(incomplete, np.nan, reconstructed),
    )
    images = JudgedUnits(
        label, original, reconstructed, study.patient[rows], groupings, "image", paired, note
    )
    aggregation: Aggregation = "mean" if task.kind == "segmentation" else task.aggregation
    return images if aggregation == "none" else _per_patient(images, aggregation)


def one_sided(
    original: np.ndarray, reconstructed: np.ndarray, groupings: tuple[Grouping, ...]
) -> str:
    """Images left out because one version has no score, and in which groups they are missing.

    Args:
      original: [K, U] bool, no score on the original.
      reconstructed: [K, U] bool, none on the reconstruction.
      groupings: everyone, then attributes.

    Returns:
      "12 of 400 images have a score on one version only and are left out (sex: Female 5%, Male
      1%)"; "" if there are none.
    """
    missing = np.any(original != reconstructed, 0)  # in any cell
    if not missing.any():
        return ""
    shares = []
    for grouping in groupings:
        named = list(enumerate(grouping.groups)) if grouping.name and not grouping.crossed else []
        parts = [
            f"{name} {100 * missing[grouping.code == g].mean():.0f}%"
            for g, name in named
            if np.any(grouping.code == g)
        ]
        shares += [f"{grouping.name}: {', '.join(parts)}"] if parts else []
    where = f" ({'; '.join(shares)})" if shares else ""
    text = f"{int(missing.sum())} of {missing.size} images have a score on one version only"
    return f"{text} and are left out{where}"


def _of_empty_truth(dice: np.ndarray, empty: np.ndarray, rule: str) -> np.ndarray:
    """Dice [K, N] with the rule for an empty truth applied; a region predicted where there is none
    keeps its 0 unless the rule is "undefined".
    """
    if rule == "undefined":
        return np.where(empty, np.nan, dice)
    if rule == "published":
        return dice
    return np.where(np.isnan(dice) & empty, {"one": 1.0, "zero": 0.0}[rule], dice)


def _first_known(values: np.ndarray) -> np.ndarray:
    """[K, N] -> [N], the first value that is not NaN."""
    known = ~np.isnan(values)
    # argmax of a column without any known value is 0, which `where` then drops
    return np.where(known.any(0), np.take_along_axis(values, known.argmax(0)[None], 0)[0], np.nan)


def _refuse_different_originals(original: np.ndarray, column: str) -> None:
    """Raises where the same original image got different predictions in different cells."""
    known = np.isfinite(original)
    high = np.max(np.where(known, original, -np.inf), 0, initial=-np.inf)
    low = np.min(np.where(known, original, np.inf), 0, initial=np.inf)
    some = known.any(0)
    # zeros first: inf - inf of an example without any prediction would warn
    spread = np.where(some, high, 0) - np.where(some, low, 0)
    if spread.size and spread.mean() > SAME_SCORE:
        raise InputError(
            f"{column!r} differs between levels, reconstructors or mitigations for the "
            f"same example (by {spread.mean():.3g} on average); "
            "the diagnosis of the original image must be the same in every cell of one seed"
        )


def _per_patient(images: JudgedUnits, aggregation: Aggregation) -> JudgedUnits:
    """Medians or means per patient; a label or group on which a patient's images disagree is
    unknown.
    """
    present, code = np.unique(images.patient, return_inverse=True)
    original, reconstructed = (
        metrics.aggregate_rows(version, code, len(present), aggregation)
        for version in (images.original, images.reconstructed)
    )
    if images.paired:
        # a patient may keep images of one version alone where versions are left out one by one
        incomplete = np.isnan(original) | np.isnan(reconstructed)
        original, reconstructed = (
            np.where(incomplete, np.nan, version) for version in (original, reconstructed)
        )

    def agreed(values: np.ndarray, unknown: float) -> tuple[np.ndarray, int]:
        grouped = pd.Series(np.where(values == unknown, np.nan, values).astype(float)).groupby(code)
        # both leave NaN out: a patient with one known value among unknown ones agrees
        low, high = grouped.min().to_numpy(), grouped.max().to_numpy()
        return np.where(low == high, low, np.nan), int(np.sum(high > low))

    label, conflicts = agreed(images.label, np.nan)
    notes = [images.note] if images.note else []
    notes += (
        [f"{plural(conflicts, 'patient')} with images of different labels left out"]
        if conflicts
        else []
    )
    groupings = []
    for g in images.groupings:
        value, conflicts = agreed(g.code, -1)
        notes += (
            [
                f"{plural(conflicts, 'patient')} with images in several groups of {g.name} taken "
                "as unknown"
            ]
            if conflicts
            else []
        )
        groupings.append(g._replace(code=np.nan_to_num(value, nan=-1).astype(np.int32)))
    return JudgedUnits(
        label,
        original,
        reconstructed,
        present.astype(np.int32),
        tuple(groupings),
        "patient",
        images.paired,
        "; ".join(notes),
    )
