"""Verdicts in words: what happened to a gap, in which group, for which label, in which direction,
and on what evidence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2, norm

from fairrecon_jax.inference.did_result import REASONS, DidResult

VERDICTS = (
    "widened",
    "narrowed",
    "reversed",
    "shifted",
    "within chance",
    "not estimable",
    "at chance",
)
QUANTITIES = ("false-positive rate", "sensitivity")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict of one comparison.

    Attributes:
      verdict: one of `VERDICTS`.
      group: the group whose change stands out most, of two groups the one that changed more; ""
        where nothing stands out.
      label: the quantity (label stratum) in which it does; "" where nothing does.
      direction: "down" or "up": the group's change against the common change; "" where nothing
        stands out.
      reason: a sentence with the numbers behind the verdict.
      unjudged: "group: quantity: reason" of every stratum that could not enter the test.
    """

    verdict: str
    group: str
    label: str
    direction: str
    reason: str
    unjudged: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Gap:
    """The largest difference between two groups, within one label."""

    label: int
    high: int
    low: int
    size: float


def _widest(rate: np.ndarray, estimable: np.ndarray) -> _Gap:
    """The largest gap of rates [L, G] over estimable strata."""
    gaps = []
    for y in range(rate.shape[0]):
        inside = np.flatnonzero(estimable[y])
        if inside.size >= 2:
            high, low = inside[np.argmax(rate[y, inside])], inside[np.argmin(rate[y, inside])]
            gaps.append(_Gap(y, int(high), int(low), float(rate[y, high] - rate[y, low])))
    return max(gaps, key=lambda gap: gap.size)


def _sampling_error(rate: np.ndarray, result: DidResult, gap: _Gap) -> float:
    """Standard error of a gap of rates, binomial with the effective number of patients."""
    pair = [(rate[gap.label, g], result.n_effective[gap.label, g]) for g in (gap.high, gap.low)]
    # A rate of 0 or 1 is not certain: at least the variance of half a patient in n.
    return float(np.sqrt(sum(max(p * (1 - p), 0.25 / n) / n for p, n in pair)))


def _kind(result: DidResult, alpha: float, is_rate: bool) -> tuple[str, str]:
    """Which way the largest gap went, given that the changes differ, with the numbers.

    The gap of the observed extreme pair before, (h, l), and after, (h', l'), bracket the change of
    the gap between two linear contrasts: D_h - D_l <= change <= D_h' - D_l'. The contrast on the
    side of the change gives its standard error.
    """
    z = norm.ppf(1 - alpha / 2)
    before, after = (
        _widest(rate, result.estimable)
        for rate in (result.rate_original, result.rate_reconstructed)
    )
    swapped = (
        result.rate_reconstructed[before.label, before.high]
        - result.rate_reconstructed[before.label, before.low]
    )
    change = after.size - before.size
    text = f"largest gap {before.size:.3f} before, {after.size:.3f} after"
    if is_rate and swapped < 0:
        errors = [
            _sampling_error(rate, result, before)
            for rate in (result.rate_original, result.rate_reconstructed)
        ]
        # Both sides must be clear of sampling error: a gap near 0 changes sides by chance.
        if before.size > z * errors[0] and -swapped > z * errors[1]:
            return "reversed", f"{text}; its sides swapped ({swapped:+.3f})"
    pair = after if change > 0 else before
    error = np.sqrt(result.variance[pair.label, pair.high] + result.variance[pair.label, pair.low])
    if abs(change) > z * error:
        return ("widened" if change > 0 else "narrowed"), text
    return "shifted", f"{text}: not a clear change of the largest gap"


def latent_alike(result: DidResult, alpha: float = 0.05) -> bool:
    """Whether the changes of probit rates agree over groups, so that one loss common to all on the
    latent scale explains the difference.

    Cochran's Q of the probit changes with delta-method variances v_g / phi(z_g)^2 does not reject
    at `alpha`.

    Args:
      result: of `did_test` for one problem (no leading axes).
      alpha: level.

    Returns:
      True if they agree.

    Reference:
      Cochran (1954), Biometrics 10.
    """
    middle = (result.rate_original + result.rate_reconstructed) / 2
    half = 0.5 / np.maximum(result.n_images, 1)
    slope = norm.pdf(norm.ppf(np.clip(np.nan_to_num(middle, nan=0.5), half, 1 - half)))
    weight = np.where(
        result.estimable, slope**2 / np.where(result.estimable, result.variance, 1), 0
    )
    # Strata that are not estimable have weight 0.
    change = np.nan_to_num(result.probit_change)
    centre = np.sum(weight * change, -1) / np.maximum(np.sum(weight, -1), 1e-30)
    q = np.sum(weight * (change - centre[:, None]) ** 2)
    freedom = int(np.sum(np.maximum(result.estimable.sum(-1) - 1, 0)))
    return bool(freedom > 0 and q <= chi2.ppf(1 - alpha, freedom))


def _unjudged(
    result: DidResult, groups: Sequence[str], quantities: Sequence[str], counted: str
) -> tuple[str, ...]:
    """Strata that could not enter the test, in words."""
    return tuple(
        f"{groups[g]}: {quantities[y]}: {REASONS[result.reason[y, g]]} "
        f"({int(result.n_patients[y, g])} {counted})"
        for y, g in zip(*np.nonzero(~result.estimable))
    )


def _named(result: DidResult) -> tuple[int, int]:
    """Label and group to name: the largest deviation in standard errors.

    Two groups deviate from their common change with the same evidence, and the larger deviation is
    that of the noisier one: there the larger change decides.
    """
    size = np.where(
        result.estimable,
        np.abs(np.nan_to_num(result.deviation))
        / np.maximum(np.nan_to_num(result.std_error), 1e-30),
        -1,
    )
    y, g = divmod(int(np.argmax(size)), size.shape[1])
    if result.estimable[y].sum() == 2:
        g = int(
            np.argmax(np.where(result.estimable[y], np.abs(np.nan_to_num(result.change[y])), -1))
        )
    return y, g


def judge(
    result: DidResult,
    groups: Sequence[str],
    *,
    quantities: Sequence[str] = QUANTITIES,
    p_adjusted: float | None = None,
    alpha: float = 0.05,
    detectable: float | None = None,
    auroc_interval: tuple[float, float] | None = None,
    is_rate: bool = True,
    counted: str = "patients",
) -> Verdict:
    """The verdict of one comparison: a task, an attribute, a reconstructor and a level.

    Args:
      result: of one of the tests, for one problem (no leading axes; see `select`).
      groups: names of the G groups.
      quantities: names of the L quantities compared, e.g. false-positive rate and sensitivity, or
        Dice.
      p_adjusted: p-value adjusted for the family of comparisons; the test's own if None.
      alpha: level.
      detectable: minimum detectable change, stated where there is no evidence of a difference.
      auroc_interval: interval of the AUROC on originals; a diagnosis at chance gets no verdict.
      is_rate: False for continuous values and AUROC.
      counted: what `result.n_patients` counts, in words.

    Returns:
      A `Verdict`.

    Raises:
      ValueError: names and result disagree in number.
    """
    if result.estimable.shape != (len(quantities), len(groups)):
        raise ValueError(
            f"result holds {result.estimable.shape} labels x groups, but "
            f"{len(quantities)} x {len(groups)} names were given"
        )
    unjudged = _unjudged(result, groups, quantities, counted)
    if auroc_interval is not None and auroc_interval[0] <= 0.5 <= auroc_interval[1]:
        text = (
            f"AUROC on originals [{auroc_interval[0]:.3f}, {auroc_interval[1]:.3f}] holds "
            "0.5: the diagnosis itself is at chance"
        )
        return Verdict("at chance", "", "", "", text, unjudged)
    if not result.estimable.any():
        return Verdict(
            "not estimable",
            "",
            "",
            "",
            "no two groups have enough patients to be compared",
            unjudged,
        )
    p = float(result.p_value) if p_adjusted is None else float(p_adjusted)
    # Also where p is NaN.
    if not p <= alpha:
        limit = (
            ""
            if detectable is None or not np.isfinite(detectable)
            else f"; a change of {detectable:.3f} would be found 4 times in 5"
        )
        return Verdict("within chance", "", "", "", f"p = {p:.4g}{limit}", unjudged)
    y, g = _named(result)
    kind, text = _kind(result, alpha, is_rate)
    change, common = result.change[y, g], result.pooled[y]
    text = (
        f"{quantities[y]} of {groups[g]} changed by {change:+.3f}, all groups together by "
        f"{common:+.3f} (p = {p:.4g}); {text}"
    )
    if is_rate and latent_alike(result, alpha):
        text += "; one loss common to all groups on the probit scale would explain the difference"
    return Verdict(
        kind, groups[g], quantities[y], "down" if change < common else "up", text, unjudged
    )


def select(result: DidResult, index: tuple[int, ...]) -> DidResult:
    """One problem of a batched result.

    Args:
      result: with leading axes.
      index: one number per leading axis.

    Returns:
      The result without leading axes.
    """
    return DidResult(*(np.asarray(field)[index] for field in result))
