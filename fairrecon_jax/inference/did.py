"""Difference in differences: did reconstruction change the decision equally in every group, and did
it change anything at all?

The default test of the package. The change of a decision r - o in {-1, 0, 1} given the true label
is linear in the data, so that its group differences can be tested where a maximum minus a minimum
cannot. See `signflip` for the null distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.inference import counts
from fairrecon_jax.inference.delong import paired_influences
from fairrecon_jax.inference.did_result import (
    ChangeTables,
    DidResult,
    effective_patients,
    run_tests,
)
from fairrecon_jax.inference.signflip import PatientSums
from fairrecon_jax.types import Array, Key

FLIPS = 9999
MIN_PATIENTS = 20
LABEL_WEIGHTS = (0.5, 1.0)
"""Weights of false alarms (label 0) and missed findings (label 1) in T: a missed finding counts
twice.
"""


def did_test(
    decision_original: Array,
    decision_reconstructed: Array,
    label: Array,
    group: Array,
    patient: Sequence[object] | np.ndarray,
    key: Key,
    *,
    groups: int,
    flips: int = FLIPS,
    min_patients: int = MIN_PATIENTS,
    labels: tuple[int, ...] = counts.LABELS,
    label_weights: tuple[float, ...] | None = None,
    alpha: float = 0.05,
) -> DidResult:
    """Tests whether the rate of positive decisions changed equally in every group, given the true
    label.

    T = sum over labels y of w_y sum over groups g of (D_g - Dbar)^2 / v_g with D_g = sum (r - o) /
    sum N; p = (1 + #{T* >= T}) / (B + 1) over B patient-level sign flips. Summed without weights,
    harm to one label alone pays for the noise of the other; missed findings matter most, so that by
    default w_1 = 1 and w_0 = 1/2. Intervals do not depend on the weights. 0 means that all groups
    gained or lost alike, not that nobody lost (see `overall_change`). A stratum (a group under one
    label) with fewer than `min_patients` patients is left out, and so is a label with fewer than
    two strata.

    Args:
      decision_original: [..., N] decisions in {0, 1} on original images, NaN = unknown; leading
        axes broadcast.
      decision_reconstructed: [..., N] decisions in {0, 1} on reconstructions, NaN = unknown.
      label: [..., N] truth in {0, 1}, NaN = unknown.
      group: [..., N] int group index in 0..G-1, -1 = unknown.
      patient: [N] patient names (or integers); all images of a patient share one sign.
      key: scalar typed key; the same key gives a patient the same signs in every call.
      groups: number of groups G.
      flips: number of draws B.
      min_patients: fewest patients of an estimable stratum.
      labels: (0, 1) for equalised odds, (1,) for equal opportunity.
      label_weights: w_y of each of `labels`, > 0; (1, 1) weighs both alike; `LABEL_WEIGHTS` of
        labels 0 and 1 if None. A label alone has the same p whatever its weight.
      alpha: level of the simultaneous intervals.

    Returns:
      A `DidResult` with the inputs' leading axes.

    Raises:
      ValueError: shapes disagree, `flips` is below 19, `alpha` is outside (0, 1), or there is not
        one positive weight per label.
    """
    weights = _weights(labels, label_weights)
    who = counts.index_patients(patient)
    lead, (o, r, y, g) = counts.align(
        (decision_original, decision_reconstructed, label, group), len(who.codes)
    )
    size = dict(patients=who.total, labels=labels)
    table = counts.patient_counts(o, r, y, g, who.codes, groups=groups, **size)
    # Everyone as one group: images of unknown groups count here.
    whole = counts.patient_counts(o, r, y, np.zeros_like(g), who.codes, groups=1, **size)
    images = counts.image_counts(o, r, y, g, groups=groups, labels=labels)
    tables = _decision_tables(table, whole, images, min_patients=min_patients)
    return run_tests(tables, who.digest, key, flips, alpha, lead, weights)


def _weights(labels: tuple[int, ...], given: tuple[float, ...] | None) -> tuple[float, ...]:
    """The weight of each label in T; a single label weighs 1 unless told otherwise."""
    default = tuple(LABEL_WEIGHTS[y] for y in labels) if len(labels) > 1 else (1.0,)
    weights = default if given is None else given
    if len(weights) != len(labels) or not all(0 < w < np.inf for w in weights):
        raise ValueError(
            "label_weights must hold one positive number for each of the labels "
            f"{labels}, got {weights}"
        )
    return tuple(float(w) for w in weights)


@partial(jax.jit, static_argnames=("min_patients",))
def _decision_tables(
    grouped: Array, overall: Array, decisions: Array, *, min_patients: int
) -> ChangeTables:
    """The tables of decisions from patient counts [P, K, L, G, 3] and [P, K, L, 1, 3] and image
    counts [K, L, G, 2, 2].
    """
    images = jnp.sum(decisions, (-2, -1))
    return ChangeTables(
        grouped=_decision_sums(grouped, min_patients),
        overall=_decision_sums(overall, min_patients),
        patients=jnp.sum(grouped[..., 0] > 0, 0),
        effective=effective_patients(grouped[..., 0]),
        images=images,
        changed=decisions[..., 0, 1] + decisions[..., 1, 0],
        original=jnp.sum(decisions[..., 1, :], -1) / jnp.maximum(images, 1),
        reconstructed=jnp.sum(decisions[..., 1], -1) / jnp.maximum(images, 1),
        is_rate=jnp.asarray(True),
    )


def _decision_sums(table: Array, min_patients: int) -> PatientSums:
    """Changed decisions S and images N per patient, from counts [P, K, L, G, 3]."""
    images, original, reconstructed = (table[..., k] for k in range(3))
    return PatientSums(reconstructed - original, images, jnp.sum(images > 0, 0) >= min_patients)


def did_test_continuous(
    value_original: Array,
    value_reconstructed: Array,
    group: Array,
    patient: Sequence[object] | np.ndarray,
    key: Key,
    *,
    groups: int,
    flips: int = FLIPS,
    min_patients: int = MIN_PATIENTS,
    alpha: float = 0.05,
) -> DidResult:
    """Tests whether a value (Dice, PSNR, ...) changed equally in every group, on patient means.

    As `did_test` with S the patient's mean change, N = 1 and one label.

    Args:
      value_original: [..., N] values on originals, NaN = undefined; 0 throughout for a quantity
        that exists only for reconstructions.
      value_reconstructed: [..., N] values on reconstructions, NaN = undefined.
      group: [..., N] int group index, -1 = unknown.
      patient: [N] patient names.
      key: scalar typed key.
      groups: number of groups G.
      flips: number of draws B.
      min_patients: fewest patients of an estimable group.
      alpha: level of the simultaneous intervals.

    Returns:
      A `DidResult` with a label axis of length 1.

    Raises:
      ValueError: shapes disagree, `flips` is below 19 or `alpha` is outside (0, 1).
    """
    who = counts.index_patients(patient)
    lead, (o, r, g) = counts.align((value_original, value_reconstructed, group), len(who.codes))
    known = np.isfinite(o) & np.isfinite(r)
    # Both means of a patient are over the images that have both values.
    o, r = np.where(known, o, np.nan), np.where(known, r, np.nan)
    mean = [
        counts.patient_means(v, g, who.codes, patients=who.total, groups=groups)
        for v in (o, r, r - o)
    ]
    change, weight = mean[2]
    everyone, some = counts.patient_means(
        r - o, np.zeros_like(g), who.codes, patients=who.total, groups=1
    )
    present = jnp.sum(weight, 0)
    inside = known[:, None, :] & (g[:, None, :] == np.arange(groups)[None, :, None])
    tables = ChangeTables(
        grouped=PatientSums(change, weight, present >= min_patients),
        overall=PatientSums(everyone, some, jnp.sum(some, 0) >= min_patients),
        patients=present.astype(int),
        effective=present,
        images=inside.sum(-1)[:, None, :].astype(float),
        changed=jnp.sum((change != 0) & (weight > 0), 0),
        original=jnp.sum(mean[0][0], 0) / jnp.maximum(present, 1),
        reconstructed=jnp.sum(mean[1][0], 0) / jnp.maximum(present, 1),
        is_rate=jnp.asarray(False),
    )
    return run_tests(tables, who.digest, key, flips, alpha, lead)


def did_test_auroc(
    score_original: Array,
    score_reconstructed: Array,
    label: Array,
    group: Array,
    patient: Sequence[object] | np.ndarray,
    key: Key,
    *,
    groups: int,
    flips: int = FLIPS,
    min_patients: int = MIN_PATIENTS,
    alpha: float = 0.05,
) -> DidResult:
    """Tests whether the within-group AUROC changed equally in every group.

    As `did_test` with D_g the change of the group's AUROC and e its DeLong influences summed per
    patient (S = D_g + P_g h_p, N = 1).

    Args:
      score_original: [..., N] scores on originals, NaN = unknown.
      score_reconstructed: [..., N] scores on reconstructions, NaN = unknown.
      label: [..., N] truth in {0, 1}, NaN = unknown.
      group: [..., N] int group index, -1 = unknown.
      patient: [N] patient names.
      key: scalar typed key.
      groups: number of groups G.
      flips: number of draws B.
      min_patients: fewest patients with a positive, and with a negative, image in an estimable
        group.
      alpha: level of the simultaneous intervals.

    Returns:
      A `DidResult` with a label axis of length 1; rates are AUROCs; `n_changed` counts images whose
        score changed.

    Raises:
      ValueError: shapes disagree, `flips` is below 19 or `alpha` is outside (0, 1).

    Reference:
      DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44.
    """
    who = counts.index_patients(patient)
    lead, (o, r, y, g) = counts.align(
        (score_original, score_reconstructed, label, group), len(who.codes)
    )
    grouped, beside = _auroc_sums(o, r, y, g, who, groups, min_patients)
    overall, _ = _auroc_sums(o, r, y, np.zeros_like(g), who, 1, min_patients)
    tables = ChangeTables(
        grouped=grouped,
        overall=overall,
        effective=jnp.sum(grouped.weight, 0),
        is_rate=jnp.asarray(False),
        **beside,
    )
    return run_tests(tables, who.digest, key, flips, alpha, lead)


def _auroc_sums(
    o: np.ndarray,
    r: np.ndarray,
    y: np.ndarray,
    g: np.ndarray,
    who: counts.Patients,
    groups: int,
    min_patients: int,
) -> tuple[PatientSums, dict[str, Array]]:
    """Pseudo-values of the AUROC change per patient, and what is reported beside them [K, 1, G]."""
    known = np.isfinite(o) & np.isfinite(r) & np.isfinite(y)
    member = known[:, None, :] & (g[:, None, :] == np.arange(groups)[None, :, None])
    shape = member.shape
    flat = [np.broadcast_to(a[:, None, :], shape).reshape(-1, shape[-1]) for a in (o, r, y)]
    before, after, influence = paired_influences(*flat, member.reshape(-1, shape[-1]))
    total = counts.patient_totals(influence, who.codes, patients=who.total).reshape(
        who.total, *shape[:-1]
    )
    kinds = [
        counts.patient_totals(
            (member & (y == k)[:, None, :]).reshape(-1, shape[-1]) * 1.0,
            who.codes,
            patients=who.total,
        )
        for k in (0, 1)
    ]
    present = [(k > 0).reshape(who.total, *shape[:-1]) for k in kinds]
    weight = (present[0] | present[1]).astype(total.dtype)
    change = (after - before).reshape(shape[:-1])
    # Each patient's share of the change: their mean over patients is the change itself.
    pseudo = jnp.where(
        weight > 0,
        jnp.where(jnp.isfinite(change), change, 0)[None] + jnp.sum(weight, 0)[None] * total,
        0,
    )
    # The rarer class limits what a group's AUROC can show.
    scarcest = jnp.minimum(jnp.sum(present[0], 0), jnp.sum(present[1], 0))
    beside = dict(
        patients=scarcest.astype(int),
        images=jnp.asarray(member.sum(-1), float),
        changed=jnp.asarray((member & (o != r)[:, None, :]).sum(-1)),
        original=before.reshape(shape[:-1]),
        reconstructed=after.reshape(shape[:-1]),
    )
    return PatientSums(
        pseudo[:, :, None], weight[:, :, None], (scarcest >= min_patients)[:, None]
    ), {name: value[:, None] for name, value in beside.items()}
