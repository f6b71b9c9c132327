"""Verdicts in words on a mitigation: who gained, who paid, whether the groups came closer."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.stats import norm

from fairrecon_jax.inference.comparison import Comparison, apart, sampling_error
from fairrecon_jax.inference.verdict import VERDICTS, Verdict
from fairrecon_jax.inference.words import sentence

MITIGATIONS = {
    "helped": "the group named, worse off without mitigation, gained beyond chance, and more than "
    "the others",
    "levelled down": "the groups came closer because the group named, not the worst off, fell; no "
    "gain of a worse-off group is shown",
    **VERDICTS,
}
"""Each verdict on a mitigation and what it says of every row that bears it."""


def judge_mitigation(comparison: Comparison, verdict: Verdict, alpha: float = 0.05) -> Verdict:
    """The verdict on a mitigation from that of its comparison, with the unmitigated reconstruction
    in the place of the original.

    Within the label of the verdict, a group counts as worse off if it is not clearly above the
    lowest group before, unless that is true of all. Helped: a worse-off group gained, and the gap
    did not grow; where another group lost beyond chance, the gap must have shrunk. Levelled down:
    the gap shrank because a group that was not worse off fell. A group is named only where its own
    row stands out.

    Args:
      comparison: unmitigated against mitigated.
      verdict: of `judge`.
      alpha: level.

    Returns:
      The verdict with a word of `MITIGATIONS` and the group it is about.

    Example:
      >>> fi, sex, gained = fr.inference, np.arange(80) % 2, 1.0 * (np.arange(80) % 4 == 0)
      >>> tables = fi.patient_tables(gained, None, sex, range(80), groups=2)  # half of the women
      >>> test = fi.one_cell(fi.group_test(tables, seed=0, permutations=99), 0)
      >>> numbers = [[0.4, 0.9]], [[0.9, 0.9]], [[0.3, -0.1]], [[0.7, 0.1]], [[20, 0]]
      >>> found = Comparison(test, "fm", [fi.comparison.SENSITIVITY], *map(np.array, numbers))
      >>> judge_mitigation(found, fi.judge(found)).word
      'helped'
    """
    if verdict.word not in ("harmed", "favoured"):
        return verdict
    y, g = verdict.label, list(comparison.groups).index(verdict.group)
    stands = apart(comparison, alpha)[y]
    size = np.abs(np.nan_to_num(comparison.test.studentised[y]))
    worse_off = _worse_off(comparison, y, alpha)
    helped = _largest((stands > 0) & worse_off, size)
    loser = _largest(stands < 0, size)
    change = comparison.reconstructed - comparison.original
    if loser < 0 and verdict.word == "harmed" and change[y, g] < 0:
        loser = g
    # a gain is no help where another group paid and the groups are as far apart as before
    if helped >= 0 and loser >= 0 and not _shrank(comparison, verdict, helped, loser):
        helped = -1
    if helped >= 0 and verdict.gap != "widened":
        word, group = "helped", helped
    elif loser >= 0:
        closer = verdict.gap == "narrowed" and not worse_off[loser]
        word, group = "levelled down" if closer else "harmed", loser
    else:
        gained = _largest(stands > 0, size)
        word, group = "favoured", gained if gained >= 0 else g
    return dataclasses.replace(
        verdict,
        word=word,
        group=comparison.groups[group],
        sentence=sentence(comparison, y, group, alpha),
    )


def _largest(inside: np.ndarray, size: np.ndarray) -> int:
    """The group of the largest size among some, -1 if there is none."""
    return int(np.argmax(np.where(inside, size, -1))) if inside.any() else -1


def _worse_off(comparison: Comparison, y: int, alpha: float) -> np.ndarray:
    """[G] bool: judged groups not clearly above the lowest one before; none if that is all."""
    judged, before, test = comparison.judged[y], comparison.original[y], comparison.test
    worst = int(np.argmin(np.where(judged, before, np.inf)))
    points = comparison.quantities[y].unit == "points"
    error = [
        sampling_error(before, test.effective[y], h, worst)
        if points and judged[h]
        # of values only the spread of their changes is known
        else np.sqrt(test.variance[y, h] + test.variance[y, worst])
        for h in range(len(before))
    ]
    found = judged & ~(before - before[worst] > norm.ppf(1 - alpha / 2) * np.asarray(error))
    return found if found.sum() < judged.sum() else np.zeros_like(found)


def _shrank(comparison: Comparison, verdict: Verdict, worst: int, loser: int) -> bool:
    """Whether the groups came closer although one of them lost."""
    if verdict.gap != "reversed":
        return verdict.gap == "narrowed"
    y = verdict.label
    rates = (comparison.original[y], comparison.reconstructed[y])
    patients = comparison.test.effective[y]
    # the sides swapped: the gap after has the other sign, so that before minus after is a sum
    shrunk = sum(rate[loser] - rate[worst] for rate in rates)
    # of the same patients: at most twice the variance of two unrelated gaps
    square = 2 * sum(sampling_error(rate, patients, loser, worst) ** 2 for rate in rates)
    return bool(shrunk > norm.ppf(0.975) * np.sqrt(square))
