"""What one law of cohorts says of the group test: size or power, what it names, what its limits
cover, and the same of sign flips and of permutations alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from experiments.calibration.laws import Cohorts, Law, Rng
from fairrecon_jax.inference.changes import Changes
from fairrecon_jax.inference.clustered import change_interval
from fairrecon_jax.inference.clustered_values import auroc_change_interval, mean_interval
from fairrecon_jax.inference.comparison import SENSITIVITY, SPECIFICITY, Comparison, Quantity
from fairrecon_jax.inference.equal_changes import group_test
from fairrecon_jax.inference.group_result import GroupTest, one_cell
from fairrecon_jax.inference.published import published_summary, resample_images
from fairrecon_jax.inference.verdict import judge

DRAWS = 499
LEVEL = 0.05
SMALL, LARGE = 20, 50
"""Cohorts of a block, with fewer than `MANY` patients and with more."""

MANY = 1000
RESAMPLES = 199
VALUE = Quantity("value", "", "of value")


class Share(NamedTuple):
    """A share of cohorts.

    Attributes:
      value: share.
      of: number of cohorts behind it.
    """

    value: float
    of: int


Measured = dict[str, Share]


def share_of(true: np.ndarray, known: np.ndarray | None = None) -> Share:
    """Share of cohorts in which something holds, among those where it is known."""
    inside = np.asarray(true)[known] if known is not None else np.asarray(true)
    return Share(float(inside.mean()) if inside.size else float("nan"), int(inside.size))


def rejected(p: np.ndarray) -> Share:
    """Share of p <= 5% among cohorts with a p."""
    return share_of(p <= LEVEL, np.isfinite(p))


def blocks(name: str, patients: int, cohorts: int, seed: int) -> Iterator[tuple[Rng, int, int]]:
    """Generator, seed and number of cohorts of each block; the law's name keys its randomness, so
    that adding a law moves no other one's numbers.
    """
    size = SMALL if patients < MANY else LARGE
    key = zlib.crc32(name.encode())
    for number, first in enumerate(range(0, cohorts, size)):
        rng = np.random.default_rng([seed, key, number])
        yield rng, int(rng.integers(1 << 30)), min(size, cohorts - first)


def some_cells(changes: Changes, cells: np.ndarray) -> Changes:
    """Some of the K cells."""
    tables = changes.tables
    part = tables._replace(change=tables.change[:, cells], images=tables.images[:, cells])
    return changes._replace(tables=part, counted=tuple(v[cells] for v in changes.counted))


def test_of(changes: Changes, seed: int, **options: object) -> GroupTest:
    """The package's test of a block, with `DRAWS` draws."""
    given = {"permutations": DRAWS} | options
    return group_test(
        changes.tables,
        seed=seed,
        counted=changes.counted,
        decisions=changes.decisions,
        **given,  # type: ignore[arg-type]
    )


def sign_flips(changes: Changes, test: GroupTest, seed: int) -> np.ndarray:
    """p [K] of sign flips everywhere: the robust null's, where it permutes in no label."""
    p = test.p_robust.copy()
    cells = np.flatnonzero(test.one_sided.any(-1) & np.isfinite(p))
    if cells.size:
        p[cells] = test_of(some_cells(changes, cells), seed, one_sided=0.0).p_robust
    return p


def own_limits(changes: Changes) -> tuple[np.ndarray, np.ndarray]:
    """Limits [K, L, G] of each group's own change."""
    tables = changes.tables
    found = []
    for g in range(tables.groups):
        rows = tables.group == g
        if changes.classes:
            negatives, positives = (v[..., g] for v in changes.classes)
            influence = (changes.after - changes.before)[rows]
            change = (changes.reconstructed - changes.original)[..., g]
            found.append(auroc_change_interval(change, influence, positives, negatives))
        else:
            interval = change_interval if changes.decisions else mean_interval
            found.append(interval(tables.change[rows], tables.images[rows]))
    return np.stack([i.low for i in found], -1), np.stack([i.high for i in found], -1)


def comparison_of(
    changes: Changes, test: GroupTest, own: tuple[np.ndarray, np.ndarray], k: int
) -> Comparison:
    """One cohort's numbers as a verdict needs them; groups are called by their numbers."""
    labels, groups = changes.original.shape[1:]
    quantities: tuple[Quantity, ...] = (VALUE,) * labels
    if changes.decisions:
        quantities = (SPECIFICITY, SENSITIVITY)[-labels:]
    return Comparison(
        one_cell(test, k),
        [str(g) for g in range(groups)],
        quantities,
        changes.original[k],
        changes.reconstructed[k],
        own[0][k],
        own[1][k],
        changes.changed[k],
    )


def extra_truth(truth: np.ndarray) -> np.ndarray:
    """True extra change [L, G] of each group; NaN where the others do not change alike, so that it
    depends on their weights.
    """
    found = np.full(truth.shape, np.nan)
    for g in range(truth.shape[1]):
        others = np.delete(truth, g, 1)
        alike = np.ptp(others, axis=1) < 1e-12
        found[:, g] = np.where(alike, truth[:, g] - others.mean(1), np.nan)
    return found


def named(changes: Changes, test: GroupTest, law: Law, truth: np.ndarray) -> np.ndarray:
    """Per verdict: whether another group or direction than the planted one is named, and whether
    the statement is untrue; [V, 2].
    """
    found = np.flatnonzero(test.p_value <= LEVEL)
    if not found.size:
        return np.zeros((0, 2), bool)
    own, outcome = own_limits(changes), []
    for k in map(int, found):
        verdict = judge(comparison_of(changes, test, own, k))
        g = int(verdict.group)
        two = len(truth[0]) == 2
        # of two groups, that one lost more is that the other lost less
        word = "favoured" if law.better else "harmed"
        right = (verdict.word == word) == (g == law.harmed) if two else g == law.harmed
        right &= two or verdict.word == word
        mean = truth[verdict.label]
        others = np.delete(mean, g).mean() if np.isfinite(mean).all() else np.nan
        sign = 1 if verdict.word == "favoured" else -1
        outcome.append((not right, sign * (mean[g] - others) < -1e-12))
    return np.array(outcome)


def covers(test: GroupTest, truth: np.ndarray) -> np.ndarray:
    """Whether all simultaneous limits with a known truth hold it, [K]; NaN where there is none."""
    extra = extra_truth(truth)[None]
    known = np.isfinite(test.extra_low) & np.isfinite(extra)
    with np.errstate(invalid="ignore"):
        held = (test.extra_low <= extra + 1e-9) & (extra - 1e-9 <= test.extra_high)
    return np.where(known.any((-2, -1)), np.all(held | ~known, (-2, -1)), np.nan)


def published(cohorts: Cohorts, key: int) -> np.ndarray:
    """One-tailed p [K] of the published recipe."""
    assert cohorts.counts is not None
    drawn = resample_images(cohorts.counts, key, replicates=RESAMPLES)
    return np.asarray(published_summary(cohorts.counts, drawn, form="mean")[6])


def measure_law(law: Law, cohorts: int, seed: int) -> Measured:
    """Draws a law's cohorts and judges them.

    Args:
      law: of the cohorts.
      cohorts: how many.
      seed: of the study.

    Returns:
      Shares: "test", "flips", "permutations" (p <= 5% among judged cohorts), "judged", "one-sided",
        "covered" (simultaneous limits), "published" (scores decided at a threshold), and of harm
        "misnamed" and "untrue" among verdicts.
    """
    p: dict[str, list[np.ndarray]] = {}
    verdicts = [np.zeros((0, 2), bool)]
    for rng, key, size in blocks(law.name, sum(law.sizes), cohorts, seed):
        drawn = law.draw(rng, law.group, size)
        test = test_of(drawn.changes, key)
        part: dict[str, np.ndarray] = {
            "test": test.p_value,
            "permutations": test.p_permutation,
            "flips": sign_flips(drawn.changes, test, key),
            "one-sided": np.asarray(test.one_sided.all(-1)),
            "covered": covers(test, drawn.truth),
        }
        if drawn.counts is not None:
            part["published"] = published(drawn, key)
        for name, value in part.items():
            p.setdefault(name, []).append(value)
        if law.harmed is not None:
            verdicts.append(named(drawn.changes, test, law, drawn.truth))
    every = {name: np.concatenate(parts) for name, parts in p.items()}
    known = np.isfinite(every["test"])
    found: Measured = {
        name: rejected(every[name])
        for name in ("test", "flips", "permutations", "published")
        if name in every
    }
    found["judged"] = share_of(known)
    found["one-sided"] = share_of(every["one-sided"], known)
    found["covered"] = share_of(every["covered"], np.isfinite(every["covered"]))
    if law.harmed is not None:
        told = np.concatenate(verdicts)
        found |= {"misnamed": share_of(told[:, 0]), "untrue": share_of(told[:, 1])}
    return found
