"""Difference in differences: did reconstruction change the decision equally in every group, and did
it change anything at all?

The default test of the package. The change of a decision r - o in {-1, 0, 1} given the true label
is linear in the data, so that its group differences can be tested where a maximum minus a minimum
cannot. See `signflip` for the null distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

from fairrecon_jax.inference import counts
from fairrecon_jax.inference.delong import paired_influences
from fairrecon_jax.inference.signflip import Flip, sign_flip
from fairrecon_jax.types import Array, Key

REASONS = (
    "estimable",
    "no images",
    "too few patients",
    "no second group with enough patients to compare with",
)
"""Meaning of the reason codes of `DidResult.reason`."""

FLIPS = 9999
MIN_PATIENTS = 20
LABEL_WEIGHTS = (0.5, 1.0)
"""Weights of false alarms (label 0) and missed findings (label 1) in T: a missed finding counts
twice.
"""


class DidResult(NamedTuple):
    """Result for problems [...] (leading axes of the input), L labels and G groups; numpy arrays.

    Attributes:
      statistic: [...] T, weighted over labels; 0 where nothing is estimable.
      p_value: [...] of the null "every group changed alike"; NaN where nothing is estimable.
      change: [..., L, G] D_g, change of the rate (reconstructed - original); NaN without images.
      pooled: [..., L] Dbar, the precision-weighted mean change.
      deviation: [..., L, G] D_g - Dbar; NaN where not estimable.
      variance: [..., L, G] v_g.
      std_error: [..., L, G] of the deviation.
      ci_low: [..., L, G] simultaneous (max-T) lower limit of the deviation.
      ci_high: [..., L, G] simultaneous upper limit.
      cell_p: [..., L, G] max-T adjusted p of the deviation.
      critical: [...] critical value of the max-T intervals.
      estimable: [..., L, G] bool.
      reason: [..., L, G] int index into `REASONS`.
      n_images: [..., L, G] images.
      n_patients: [..., L, G] patients (AUROC: of the rarer label).
      n_effective: [..., L, G] Kish's effective number of patients, (sum N)^2 / sum N^2.
      n_changed: [..., L, G] images whose decision changed (continuous: patients whose value
        changed).
      rate_original: [..., L, G] share of positive decisions (continuous: mean; AUROC: AUROC) on
        originals; NaN without images.
      rate_reconstructed: [..., L, G] the same on reconstructions.
      probit_change: [..., L, G] probit(rate reconstructed) - probit(rate original), rates kept half
        an image away from 0 and 1; NaN if not a rate.
      overall_change: [..., L] change of everyone together, unknown groups included.
      overall_low: [..., L] lower simultaneous limit of the overall change.
      overall_high: [..., L] upper simultaneous limit.
      overall_p: [...] of the null "nothing changed for everyone together"; NaN where nothing is
        estimable.
    """

    statistic: np.ndarray
    p_value: np.ndarray
    change: np.ndarray
    pooled: np.ndarray
    deviation: np.ndarray
    variance: np.ndarray
    std_error: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    cell_p: np.ndarray
    critical: np.ndarray
    estimable: np.ndarray
    reason: np.ndarray
    n_images: np.ndarray
    n_patients: np.ndarray
    n_effective: np.ndarray
    n_changed: np.ndarray
    rate_original: np.ndarray
    rate_reconstructed: np.ndarray
    probit_change: np.ndarray
    overall_change: np.ndarray
    overall_low: np.ndarray
    overall_high: np.ndarray
    overall_p: np.ndarray


class _Family(NamedTuple):
    """Patient tables of one call: grouped and overall, with what is reported beside the test."""

    s: Array
    n: Array
    usable: Array
    s_all: Array
    n_all: Array
    usable_all: Array
    patients: Array
    effective: Array
    images: Array
    changed: Array
    original: Array
    reconstructed: Array
    is_rate: Array


def probit_change(original: Array, reconstructed: Array, images: Array) -> np.ndarray:
    """Change of the probit of a rate: probit(b) - probit(a), each rate clipped to [1 / 2n, 1 - 1 /
    2n].

    A loss that is common to all groups on the latent scale moves rates unequally where the rates
    differed before; this column is then nearly equal in all groups.

    Args:
      original: [...] rates in [0, 1].
      reconstructed: [...] rates in [0, 1].
      images: [...] number of images n behind each rate.

    Returns:
      [...] changes in units of the latent standard deviation; NaN where n is 0.
    """
    n, before, after = (np.asarray(a) for a in (images, original, reconstructed))
    half = 0.5 / np.maximum(n, 1)
    change = norm.ppf(np.clip(after, half, 1 - half)) - norm.ppf(np.clip(before, half, 1 - half))
    return np.where(n > 0, change, np.nan)


def _effective(images: Array) -> Array:
    """Kish's effective number of patients from images per patient [P, ...]."""
    return jnp.sum(images, 0) ** 2 / jnp.maximum(jnp.sum(images**2, 0), 1)


def _reasons(images: np.ndarray, usable: np.ndarray, estimable: np.ndarray) -> np.ndarray:
    """Reason codes of cells."""
    return np.where(estimable, 0, np.where(images == 0, 1, np.where(~usable, 2, 3))).astype(
        np.int32
    )


def _limits(flip: Flip, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous limits around `centre` where estimable, NaN elsewhere."""
    width = np.where(
        flip.estimable, np.asarray(flip.critical)[:, None, None] * flip.std_error, np.nan
    )
    return centre - width, centre + width


def _assemble(family: _Family, grouped: Flip, overall: Flip, lead: tuple[int, ...]) -> DidResult:
    """Turns tests of K problems (numpy) into a result with the input's leading axes."""
    inside, images = np.asarray(grouped.estimable), np.asarray(family.images)
    some = images > 0
    low, high = _limits(grouped, np.asarray(grouped.deviation))
    all_low, all_high = _limits(overall, np.asarray(overall.change))
    rates = [np.where(some, rate, np.nan) for rate in (family.original, family.reconstructed)]
    latent = (
        probit_change(rates[0], rates[1], family.images)
        if family.is_rate
        else np.full_like(rates[0], np.nan)
    )
    parts = dict(
        statistic=grouped.statistic,
        p_value=grouped.p_value,
        change=np.where(some & (family.patients > 0), grouped.change, np.nan),
        pooled=np.where(inside.any(-1), grouped.pooled, np.nan),
        deviation=np.where(inside, grouped.deviation, np.nan),
        variance=np.where(inside, grouped.variance, np.nan),
        std_error=np.where(inside, grouped.std_error, np.nan),
        ci_low=low,
        ci_high=high,
        cell_p=grouped.cell_p,
        critical=grouped.critical,
        estimable=inside,
        reason=_reasons(images, np.asarray(family.usable), inside),
        n_images=family.images,
        n_patients=family.patients,
        n_effective=family.effective,
        n_changed=family.changed,
        rate_original=rates[0],
        rate_reconstructed=rates[1],
        probit_change=latent,
        overall_change=np.where(overall.estimable, overall.change, np.nan)[..., 0],
        overall_low=all_low[..., 0],
        overall_high=all_high[..., 0],
        overall_p=overall.p_value,
    )
    return DidResult(
        **{name: np.asarray(value).reshape(lead + value.shape[1:]) for name, value in parts.items()}
    )


def _run(
    family: _Family,
    digest: Array,
    key: Key,
    flips: int,
    alpha: float,
    lead: tuple[int, ...],
    weights: tuple[float, ...] = (1.0,),
) -> DidResult:
    """Tests one family and reports it."""
    if flips < 19:
        raise ValueError(f"flips = {flips} cannot reach a p-value of 0.05; use at least 19")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha}")
    sums = ((family.s, family.n, family.usable), (family.s_all, family.n_all, family.usable_all))
    found = sign_flip(
        sums,
        digest,
        key,
        flips=flips,
        alpha=alpha,
        pooled=(True, False),
        label_weights=(weights, weights),
    )
    grouped, overall = jax.tree.map(np.asarray, found)
    return _assemble(jax.tree.map(np.asarray, family), grouped, overall, lead)


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
    gained or lost alike, not that nobody lost (see `overall_change`). A group x label cell with
    fewer than `min_patients` patients leaves the test; a label with fewer than two cells leaves it.

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
      min_patients: fewest patients of an estimable cell.
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
    whole = counts.patient_counts(o, r, y, np.zeros_like(g), who.codes, groups=1, **size)
    cells = counts.image_counts(o, r, y, g, groups=groups, labels=labels)
    family = _decision_family(table, whole, cells, min_patients=min_patients)
    return _run(family, who.digest, key, flips, alpha, lead, weights)


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
def _decision_family(table: Array, whole: Array, cells: Array, *, min_patients: int) -> _Family:
    """The family of a decision's patient tables [P, K, L, G, 3], [P, K, L, 1, 3] and image counts
    [K, L, G, 2, 2].
    """
    present, everyone = jnp.sum(table[..., 0] > 0, 0), jnp.sum(whole[..., 0] > 0, 0)
    images = jnp.sum(cells, (-2, -1))
    return _Family(
        s=table[..., 2] - table[..., 1],
        n=table[..., 0],
        usable=present >= min_patients,
        s_all=whole[..., 2] - whole[..., 1],
        n_all=whole[..., 0],
        usable_all=everyone >= min_patients,
        patients=present,
        effective=_effective(table[..., 0]),
        images=images,
        changed=cells[..., 0, 1] + cells[..., 1, 0],
        original=jnp.sum(cells[..., 1, :], -1) / jnp.maximum(images, 1),
        reconstructed=jnp.sum(cells[..., 1], -1) / jnp.maximum(images, 1),
        is_rate=jnp.asarray(True),
    )


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
    o, r = np.where(known, o, np.nan), np.where(known, r, np.nan)
    mean = [
        counts.patient_means(v, g, who.codes, patients=who.total, groups=groups)
        for v in (o, r, r - o)
    ]
    s_all, n_all = counts.patient_means(
        r - o, np.zeros_like(g), who.codes, patients=who.total, groups=1
    )
    s, n = mean[2]
    present = jnp.sum(n, 0)
    inside = known[:, None, :] & (g[:, None, :] == np.arange(groups)[None, :, None])
    family = _Family(
        s=s,
        n=n,
        usable=present >= min_patients,
        s_all=s_all,
        n_all=n_all,
        usable_all=jnp.sum(n_all, 0) >= min_patients,
        patients=present.astype(int),
        effective=present,
        images=inside.sum(-1)[:, None, :].astype(float),
        changed=jnp.sum((s != 0) & (n > 0), 0),
        original=jnp.sum(mean[0][0], 0) / jnp.maximum(present, 1),
        reconstructed=jnp.sum(mean[1][0], 0) / jnp.maximum(present, 1),
        is_rate=jnp.asarray(False),
    )
    return _run(family, who.digest, key, flips, alpha, lead)


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
    grouped = _auroc_tables(o, r, y, g, who, groups)
    whole = _auroc_tables(o, r, y, np.zeros_like(g), who, 1)
    family = _Family(
        s=grouped["s"],
        n=grouped["n"],
        usable=grouped["scarcest"] >= min_patients,
        s_all=whole["s"],
        n_all=whole["n"],
        usable_all=whole["scarcest"] >= min_patients,
        patients=grouped["scarcest"].astype(int),
        effective=jnp.sum(grouped["n"], 0),
        images=grouped["images"],
        changed=grouped["changed"],
        original=grouped["original"],
        reconstructed=grouped["reconstructed"],
        is_rate=jnp.asarray(False),
    )
    return _run(family, who.digest, key, flips, alpha, lead)


def _auroc_tables(
    o: np.ndarray, r: np.ndarray, y: np.ndarray, g: np.ndarray, who: counts.Patients, groups: int
) -> dict[str, Array]:
    """Pseudo-values of the AUROC change per patient [P, K, 1, G] and what is counted beside them
    [K, 1, G].
    """
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
    n = (present[0] | present[1]).astype(total.dtype)
    change = (after - before).reshape(shape[:-1])
    s = jnp.where(
        n > 0, jnp.where(jnp.isfinite(change), change, 0)[None] + jnp.sum(n, 0)[None] * total, 0
    )
    extra = dict(
        scarcest=jnp.minimum(jnp.sum(present[0], 0), jnp.sum(present[1], 0)),
        images=jnp.asarray(member.sum(-1), float),
        changed=jnp.asarray((member & (o != r)[:, None, :]).sum(-1)),
        original=before.reshape(shape[:-1]),
        reconstructed=after.reshape(shape[:-1]),
    )
    return {
        "s": s[:, :, None],
        "n": n[:, :, None],
        **{name: value[:, None] for name, value in extra.items()},
    }
