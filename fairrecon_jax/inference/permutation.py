"""The permutation null: how large a gap is when group labels mean nothing, and whether the observed
one is larger than that.

A maximum minus a minimum is never 0 in a finite sample, so a gap is to be read beside what the same
patients give with permuted groups. Groups that differ in prevalence, in images per patient or in
spread are not exchangeable, though none may be worse off. Hence each label is permuted on its own,
among patients with the same labels and about as many images, and the p-value is not that of the raw
gap but of a studentised difference, whose distribution depends little on the spread of a group; it
is the larger of the permutations' and of the normal one, as permutations alone are too bold where a
small group is noisier than the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from fairrecon_jax.inference import counts
from fairrecon_jax.inference.distance import (
    largest_distance,
    mean_variances,
    rate_variances,
    tail_of_largest,
    tail_of_mean,
)
from fairrecon_jax.inference.exchange import strata_of
from fairrecon_jax.inference.group_draws import observed_sums, one_thread, permuted_sums
from fairrecon_jax.inference.group_statistic import (
    LABEL_WEIGHTS,
    contrasts,
    frame_of,
    mask_and_centre,
)
from fairrecon_jax.inference.group_tables import Patients, PatientTables, patient_tables
from fairrecon_jax.metrics.fairness import error_ratio, over_labels, spread
from fairrecon_jax.types import Array


class PermutationNull(NamedTuple):
    """A gap under permuted group labels.

    Attributes:
      observed: [...] the gap with the true labels.
      mean: [...] its mean under permutation, over the draws in which it is finite.
      upper: [...] its 95th percentile under permutation, over the same draws.
      p_value: [...] of the largest studentised difference between two groups: the larger of
        (1 + #{permuted >= observed}) / (permutations + 1) and of its normal approximation.
    """

    observed: Array
    mean: Array
    upper: Array
    p_value: Array


class _Drawn(NamedTuple):
    """Row 0 as observed, the others under permutation.

    Attributes:
      value: [1 + B, K, L, G] rates or means, NaN where a group takes no part.
      distance: [1 + B, K, L] the largest studentised difference of two groups, NaN for fewer.
    """

    value: np.ndarray
    distance: np.ndarray


def permutation_null(
    decision: Array,
    label: Array,
    group: Array,
    patient: Sequence[object] | np.ndarray | Patients,
    seed: int,
    *,
    groups: int,
    attribute: str = "group",
    permutations: int = 1000,
    labels: tuple[int, ...] = counts.LABELS,
    mask: Array | None = None,
) -> dict[str, PermutationNull]:
    """Permutation null of the equalised-odds and equal-opportunity gaps of one version of the
    decisions.

    Groups are permuted over patients (over patient-group pairs where an attribute belongs to the
    image, such as age), see `strata_of`. The p-value of EODD and EOP is that of the largest
    sqrt(w_y) |r_g - r_h| / sqrt(v_g + v_h) over labels y and pairs of groups, of the mean form that
    of its mean over labels, with rates r, variances v that know clusters (`rate_variances`) and the
    label weights of the test of changes: a missed finding counts twice.

    Args:
      decision: [..., N] decisions in {0, 1}, NaN = unknown; leading axes broadcast.
      label: [..., N] truth in {0, 1}, NaN = unknown.
      group: [N] int group index, -1 = unknown.
      patient: [N] patient names.
      seed: non-negative integer; the same seed and attribute give a patient the same draws in every
        call, whatever the order of rows.
      groups: number of groups G.
      attribute: name of the attribute; others get other permutations.
      permutations: number of permutations B.
      labels: label values, 1 last.
      mask: [..., L, G] bool, strata that take part in the "worst_case_estimable" gaps.

    Returns:
      "eodd", "eodd_mean" and "eop", each a `PermutationNull` [...], NaN where fewer than two groups
        can be compared; with a mask "eodd_estimable" and "eop_estimable" too.

    Raises:
      ValueError: shapes disagree, no known group, or no permutations.

    Example:
      >>> null = permutation_null([1, 1, 0, 0] * 5, [1] * 20, [0, 1] * 10, range(20), 0, groups=2)
      >>> float(null["eop"].observed)
      0.0

    Reference:
      Janssen (1997), Statistics and Probability Letters 36; Chung and Romano (2013), Annals of
      Statistics 41.
    """
    _check(group, permutations, groups)
    lead, (d, y) = counts.align((decision, label), len(np.asarray(group)))
    # infinite is unknown; tables take NaN only
    d = np.where(np.isfinite(d), d, np.nan)
    tables = patient_tables(d, y, group, patient, groups=groups, labels=labels)
    inside = None if mask is None else _mask(mask, lead, (len(labels), groups))
    everyone, estimable = _draw_both(tables, inside, seed, attribute, permutations)
    nulls = _decision_nulls(everyone)
    if estimable is not None:
        some = _decision_nulls(estimable)
        nulls |= {f"{name}_estimable": some[name] for name in ("eodd", "eop")}
    return _shaped(nulls, lead)


def permutation_null_means(
    value: Array,
    group: Array,
    patient: Sequence[object] | np.ndarray | Patients,
    seed: int,
    *,
    groups: int,
    attribute: str = "group",
    permutations: int = 1000,
    mask: Array | None = None,
) -> dict[str, PermutationNull]:
    """Permutation null of the largest difference and the skewed error ratio of group means of
    patient means.

    Both have the same p-value, that of the largest |m_g - m_h| / sqrt(v_g + v_h) over pairs of
    groups (`mean_variances`): equal means have no gap and a ratio of 1. An infinite ratio (one
    group is perfect) keeps its p-value.

    Args:
      value: [..., N] values such as Dice or PSNR; NaN or infinite = undefined.
      group: [N] int group index, -1 = unknown.
      patient: [N] patient names.
      seed: non-negative integer, see `permutation_null`.
      groups: number of groups G.
      attribute: name of the attribute; others get other permutations.
      permutations: number of permutations B.
      mask: [..., G] bool, groups that take part in the "worst_case_estimable" gaps.

    Returns:
      "delta" and "ser", each a `PermutationNull` [...]; with a mask "delta_estimable" and
        "ser_estimable" too.

    Raises:
      ValueError: shapes disagree, no known group, or no permutations.

    Example:
      >>> dice = [1.0, 0.5] * 20  # of group 0 and of group 1
      >>> null = permutation_null_means(dice, [0, 1] * 20, range(40), 0, groups=2)["delta"]
      >>> float(null.observed), bool(null.upper < 0.5), bool(null.p_value < 0.01)
      (0.5, True, True)

    Reference:
      As `permutation_null`.
    """
    _check(group, permutations, groups)
    lead, (v,) = counts.align((value,), len(np.asarray(group)))
    v = np.where(np.isfinite(v), v, np.nan)
    tables = patient_tables(v, None, group, patient, groups=groups)
    inside = None if mask is None else _mask(np.asarray(mask)[..., None, :], lead, (1, groups))
    both = _draw_both(tables, inside, seed, attribute, permutations, weigh_patients=True)
    nulls = {}
    for drawn, suffix in zip(both, ("", "_estimable")):
        if drawn is not None:
            means, distance = drawn.value[:, :, 0], drawn.distance[:, :, 0]
            tail = tail_of_largest(distance[0], np.isfinite(means[:1]).sum(-1).T, np.ones(1))
            nulls[f"delta{suffix}"] = _summary(spread(means), distance, tail)
            nulls[f"ser{suffix}"] = _summary(error_ratio(means), distance, tail)
    return _shaped(nulls, lead)


def _check(group: Array, permutations: int, groups: int) -> None:
    """Refuses what cannot be permuted."""
    host = np.asarray(group)
    if host.ndim != 1:
        raise ValueError(f"group must be a vector with one entry per image, got shape {host.shape}")
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1, got {permutations}")
    if not np.any((host >= 0) & (host < groups)):
        raise ValueError("no image has a known group; there is nothing to permute")


def _mask(mask: Array, lead: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """A mask of strata [K, L, G] for the K problems of the leading axes."""
    return np.broadcast_to(np.asarray(mask, bool), (*lead, *shape)).reshape(-1, *shape)


def _draw_both(
    tables: PatientTables,
    mask: np.ndarray | None,
    seed: int,
    attribute: str,
    permutations: int,
    weigh_patients: bool = False,
) -> tuple[_Drawn, _Drawn | None]:
    """Draws among all groups, and among those of the mask, if there is one."""
    there = [np.sum(tables.images[tables.group == g] > 0, 0) for g in range(tables.groups)]
    patients = np.stack(there, -1)

    def draw(judged: np.ndarray, cells: np.ndarray) -> _Drawn:
        images = tables.images[:, cells]
        strata = strata_of(images, tables.group, judged[cells])
        # only now, because the strata ask for the number of images
        each = np.maximum(images, 1) if weigh_patients else 1
        shape = (len(strata), -1, 1)  # each label is a cell of its own
        apart = tables._replace(
            change=(tables.change[:, cells] / each).reshape(shape),
            images=(images > 0 if weigh_patients else images).reshape(shape).astype(float),
            stratum=strata.reshape(len(strata), -1),
        )
        # [K, L, G] -> [K L, 1, G]
        inside, size = (part[cells].reshape(-1, 1, tables.groups) for part in (judged, patients))
        drawn = _draws(apart, inside, size, seed, attribute, permutations, not weigh_patients)
        axes = (permutations + 1, *images.shape[1:])
        return _Drawn(drawn.value.reshape(*axes, -1), drawn.distance.reshape(axes))

    everyone = draw(patients > 0, np.arange(len(patients)))
    if mask is None:
        return everyone, None
    judged = mask & (patients > 0)
    # where everyone can be judged both nulls are one, and drawn once
    differ = np.flatnonzero(np.any(judged != (patients > 0), (1, 2)))
    if not differ.size:
        return everyone, everyone
    estimable = _Drawn(*(part.copy() for part in everyone))
    for whole, part in zip(estimable, draw(judged, differ)):
        whole[:, differ] = part
    return everyone, estimable


@one_thread
def _draws(
    tables: PatientTables,
    judged: np.ndarray,
    patients: np.ndarray,
    seed: int,
    attribute: str,
    permutations: int,
    binary: bool,
) -> _Drawn:
    """Draws of K cells of one label each, [1 + B, K, 1, G]."""
    masked, mean = mask_and_centre(tables, judged)
    # 0: no sign is flipped here
    frame = frame_of(masked, judged, patients, None, 0.0)
    value, distance = [], []
    permuted = permuted_sums(masked, seed, attribute, 0, permutations)
    for sums in chain([observed_sums(masked)], (part for _, part in permuted)):
        # whole numbers were not centred: these are still sums of decisions
        if binary:
            change = np.where(judged, sums.s, 0) / np.where(judged, sums.n, 1)
            variances = rate_variances(sums, patients, judged)
        else:
            found = contrasts(sums, frame)
            change, variances = found.change, mean_variances(sums, found, patients)
        value.append(np.where(judged, change + mean[..., None], np.nan))
        distance.append(largest_distance(change, variances, judged, patients))
    return _Drawn(np.concatenate(value), np.concatenate(distance))


def _decision_nulls(drawn: _Drawn) -> dict[str, PermutationNull]:
    """Nulls [K] of the gaps of rates [1 + B, K, L, G]."""
    by_label, groups = spread(drawn.value), np.isfinite(drawn.value[0]).sum(-1)
    labels = drawn.distance.shape[-1]
    # the weights are of squares, these are distances
    scale = np.sqrt(LABEL_WEIGHTS if labels == len(LABEL_WEIGHTS) else np.ones(labels))
    distance = drawn.distance * scale
    largest, mean = (np.asarray(over_labels(distance, c)) for c in ("worst_case", "mean"))
    last = distance[..., -1]
    tails = (
        tail_of_largest(largest[0], groups, scale),
        tail_of_mean(mean[0], groups, scale),
        tail_of_largest(last[0], groups[:, -1:], scale[-1:]),
    )
    return {
        "eodd": _summary(over_labels(by_label), largest, tails[0]),
        "eodd_mean": _summary(over_labels(by_label, "mean"), mean, tails[1]),
        "eop": _summary(by_label[..., -1], last, tails[2]),
    }


def _summary(gap: Array, far: Array, tail: np.ndarray) -> PermutationNull:
    """Summary of gaps and studentised differences [1 + B, K], the observed ones in row 0, with the
    normal tail [K] of the observed difference.
    """
    gaps, distance = np.asarray(gap), np.asarray(far)
    # a single infinite ratio would be the mean
    drawn = np.where(np.isfinite(gaps[1:]), gaps[1:], np.nan)
    blank = np.all(np.isnan(drawn), 0) | np.isnan(gaps[0])
    # zeros keep the mean of nothing from warning
    filled = np.where(blank, 0, drawn)
    # Sums in another order differ by rounding: such draws count as ties.
    exceed = np.sum(distance[1:] * (1 + 1e-6) + 1e-9 >= distance[:1], 0)
    p_value = np.maximum((1 + exceed) / len(gaps), tail)
    parts = (np.nanmean(filled, 0), np.nanquantile(filled, 0.95, axis=0), p_value)
    return PermutationNull(gaps[0], *(np.where(blank, np.nan, part) for part in parts))


def _shaped(nulls: dict[str, PermutationNull], lead: tuple[int, ...]) -> dict[str, PermutationNull]:
    """Nulls with the input's leading axes."""
    return {
        name: PermutationNull(*(np.asarray(field).reshape(lead) for field in null))
        for name, null in nulls.items()
    }
