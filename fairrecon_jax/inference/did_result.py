"""What a difference-in-differences test reports, and how its two sign-flip tests, of the groups and
of everyone together, become that report.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

from fairrecon_jax.inference.signflip import Flip, PatientSums, sign_flip
from fairrecon_jax.types import Array, Key

REASONS = (
    "estimable",
    "no images",
    "too few patients",
    "no second group with enough patients to compare with",
)
"""Meaning of the reason codes of `DidResult.reason`."""


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
      stratum_p: [..., L, G] max-T adjusted p of the deviation.
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
    stratum_p: np.ndarray
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


class ChangeTables(NamedTuple):
    """What one call tests, and what it reports beside the test, for K problems.

    Attributes:
      grouped: patients' sums by label and group.
      overall: the same with all groups as one, unknown ones included.
      patients: [K, L, G] patients.
      effective: [K, L, G] Kish's effective number of patients.
      images: [K, L, G] images.
      changed: [K, L, G] images (or patients) whose outcome changed.
      original: [K, L, G] rate, mean or AUROC on originals.
      reconstructed: [K, L, G] the same on reconstructions.
      is_rate: [] bool, whether these are rates of decisions.
    """

    grouped: PatientSums
    overall: PatientSums
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
    # Rates of 0 and 1 have no finite probit.
    half = 0.5 / np.maximum(n, 1)
    change = norm.ppf(np.clip(after, half, 1 - half)) - norm.ppf(np.clip(before, half, 1 - half))
    return np.where(n > 0, change, np.nan)


def effective_patients(images: Array) -> Array:
    """Kish's effective number of patients, (sum N)^2 / sum N^2, of images per patient [P, ...]."""
    return jnp.sum(images, 0) ** 2 / jnp.maximum(jnp.sum(images**2, 0), 1)


def run_tests(
    tables: ChangeTables,
    digest: Array,
    key: Key,
    flips: int,
    alpha: float,
    lead: tuple[int, ...],
    label_weights: tuple[float, ...] = (1.0,),
) -> DidResult:
    """Tests groups and everyone together with one set of signs, and reports both.

    Args:
      tables: of K problems.
      digest: [P, 2] uint32 patient digests, which key the signs.
      key: scalar typed key.
      flips: number of draws B.
      alpha: level of the simultaneous intervals.
      lead: leading axes of the caller's arrays, of product K.
      label_weights: weight of each label in T.

    Returns:
      A `DidResult` with these leading axes.

    Raises:
      ValueError: `flips` is below 19 or `alpha` is outside (0, 1).
    """
    if flips < 19:
        raise ValueError(f"flips = {flips} cannot reach a p-value of 0.05; use at least 19")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha}")
    tests = sign_flip(
        (tables.grouped, tables.overall),
        digest,
        key,
        flips=flips,
        alpha=alpha,
        # The groups' null is one common change, everyone's is no change at all.
        pooled=(True, False),
        label_weights=(label_weights, label_weights),
    )
    grouped, overall = jax.tree.map(np.asarray, tests)
    return _report(jax.tree.map(np.asarray, tables), grouped, overall, lead)


def _report(tables: ChangeTables, grouped: Flip, overall: Flip, lead: tuple[int, ...]) -> DidResult:
    """The tests of K problems (numpy) as a result with the caller's leading axes."""
    inside, images = np.asarray(grouped.estimable), np.asarray(tables.images)
    some = images > 0
    low, high = _limits(grouped, np.asarray(grouped.deviation))
    all_low, all_high = _limits(overall, np.asarray(overall.change))
    rates = [np.where(some, rate, np.nan) for rate in (tables.original, tables.reconstructed)]
    latent = (
        probit_change(rates[0], rates[1], tables.images)
        if tables.is_rate
        else np.full_like(rates[0], np.nan)
    )
    parts = dict(
        statistic=grouped.statistic,
        p_value=grouped.p_value,
        # With one class alone a group has images, but no AUROC and no change of it.
        change=np.where(some & (tables.patients > 0), grouped.change, np.nan),
        pooled=np.where(inside.any(-1), grouped.pooled, np.nan),
        deviation=np.where(inside, grouped.deviation, np.nan),
        variance=np.where(inside, grouped.variance, np.nan),
        std_error=np.where(inside, grouped.std_error, np.nan),
        ci_low=low,
        ci_high=high,
        stratum_p=grouped.stratum_p,
        critical=grouped.critical,
        estimable=inside,
        reason=_reasons(images, np.asarray(tables.grouped.usable), inside),
        n_images=tables.images,
        n_patients=tables.patients,
        n_effective=tables.effective,
        n_changed=tables.changed,
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


def _reasons(images: np.ndarray, usable: np.ndarray, estimable: np.ndarray) -> np.ndarray:
    """Reason codes of strata."""
    return np.where(estimable, 0, np.where(images == 0, 1, np.where(~usable, 2, 3))).astype(
        np.int32
    )


def _limits(flip: Flip, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous limits around `centre` where estimable, NaN elsewhere."""
    width = np.where(
        flip.estimable, np.asarray(flip.critical)[:, None, None] * flip.std_error, np.nan
    )
    return centre - width, centre + width
