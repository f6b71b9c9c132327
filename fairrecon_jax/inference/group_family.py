"""Equal changes over a family of tasks, attributes and reconstructors: Westfall and Young's
step-down adjustment from the draws that the tests share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fairrecon_jax.inference.equal_changes import NULLS, PERMUTATIONS, group_test
from fairrecon_jax.inference.group_result import GroupTest
from fairrecon_jax.inference.group_tables import PatientTables

FIRST = 999


class FamilyTest(NamedTuple):
    """Tests of a family.

    Attributes:
      tests: by attribute.
      p_adjusted: by attribute, [K] adjusted for every cell of every attribute; NaN = not tested.
      size: number of cells tested.
      permutations: draws behind the adjustment.
    """

    tests: dict[str, GroupTest]
    p_adjusted: dict[str, np.ndarray]
    size: int
    permutations: int


def step_down(share: np.ndarray) -> np.ndarray:
    """Westfall and Young's step-down minP.

    With p_(1) <= ... <= p_(m) observed, the adjusted p_(j) is the largest over i <= j of
    (1 + #{draws: min over k >= i of p*_(k) <= p_(i)}) / (B + 1).

    Args:
      share: [B + 1, m] p-like values; row 0 observed, the others jointly drawn.

    Returns:
      [m] adjusted p-values.

    Reference:
      Westfall and Young (1993), Resampling-Based Multiple Testing, algorithm 2.8.
    """
    # stable: of equal p the order of the cells
    order = np.argsort(share[0], kind="stable")
    ranked = share[:, order]
    # min over k >= i: the best of those not yet rejected
    smallest = np.minimum.accumulate(ranked[:, ::-1], 1)[:, ::-1]
    # row 0 counts itself: the + 1 of the formula
    p = np.mean(smallest <= ranked[:1], 0)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(p)
    return adjusted


def family_level(share: np.ndarray, alpha: float = 0.05) -> float:
    """Level at which a single comparison is tested so that the family errs with `alpha`.

    The alpha quantile of the smallest p-like value over the family's draws: alpha / m where the m
    comparisons are independent, more where they move together.

    Args:
      share: [B + 1, m] p-like values; row 0 observed, the others jointly drawn.
      alpha: family-wise level.

    Returns:
      Level in (0, alpha]; what a detectable change is computed with.
    """
    smallest = np.sort(share[1:].min(1))
    return float(min(smallest[max(int(alpha * len(smallest)) - 1, 0)], alpha))


def adjust_cells(
    cells: Sequence[Mapping[str, np.ndarray]], alpha: float = 0.05
) -> tuple[np.ndarray, float]:
    """Adjusts single comparisons whose draws were made with the same seed.

    Args:
      cells: per comparison the p-like values [B + 1] under each null (see `GroupTest.smallest`);
        those with more draws are cut to the fewest.
      alpha: family-wise level.

    Returns:
      Adjusted p [m], the larger under the nulls, and the `family_level`.

    Raises:
      ValueError: no comparison.

    Example:
      >>> one, other = np.array([0.01, 0.5, 0.75, 1]), np.array([0.5, 0.75, 1, 0.25])  # three draws
      >>> adjusted, level = adjust_cells([{"permutation": one}, {"permutation": other}])
      >>> adjusted.tolist()
      [0.25, 0.5]
    """
    if not cells:
        raise ValueError("cells is empty: a family needs at least one comparison")
    # draws of one number belong together in all cells, whatever the total
    rows = min(int(np.isfinite(v).sum()) for cell in cells for v in cell.values())
    adjusted, level = np.zeros(len(cells)), alpha
    # a claim needs both nulls, and each keeps the family's level by itself
    for null in cells[0]:
        share = np.stack([cell[null][:rows] for cell in cells], 1)
        adjusted = np.maximum(adjusted, step_down(share))
        level = min(level, family_level(share, alpha))
    return adjusted, level


def adjust_family(tests: Sequence[GroupTest]) -> tuple[list[np.ndarray], int]:
    """Adjusts p-values over all cells of several tests made with the same seed.

    Cells of one test share permutations, and all cells share signs. Attributes are permuted
    independently, which is right for unrelated ones and on the safe side for others: symmetric
    convex acceptance regions of jointly normal contrasts are positively dependent.

    Args:
      tests: results of `group_test` with the same seed.

    Returns:
      Per test, adjusted p [K]: the larger under the two nulls, NaN = not tested; and the number of
      draws used, those that all cells have.

    Raises:
      ValueError: no tests.

    Reference:
      Royen (2014), Far East Journal of Theoretical Statistics 48 (Gaussian correlation inequality).
    """
    if not tests:
        raise ValueError("tests is empty: a family needs at least one test")
    known = [np.isfinite(t.p_value) for t in tests]
    found = [np.full(k.shape, np.nan) for k in known]
    if not any(k.any() for k in known):
        return found, 0
    rows = 1 + min(int(t.permutations[k].min()) for t, k in zip(tests, known) if k.any())
    adjusted = np.zeros(sum(int(k.sum()) for k in known))
    for null in NULLS:
        share = [t.smallest[null][:rows, k] for t, k in zip(tests, known)]
        adjusted = np.maximum(adjusted, step_down(np.concatenate(share, 1)))
    at = 0
    for values, k in zip(found, known):
        values[k] = adjusted[at : at + int(k.sum())]
        at += int(k.sum())
    return found, rows - 1


def unresolved(p: np.ndarray, draws: int, levels: Sequence[float]) -> np.ndarray:
    """Whether more draws could move p across one of the levels.

    Args:
      p: [K] p-values.
      draws: behind them.
      levels: that matter.

    Returns:
      [K] bool: a level lies within 3.29 binomial standard errors (99.9%) of p.
    """
    # at p near 0 the binomial error would vanish: at least that of one draw
    width = 3.29 * np.sqrt(np.maximum(p * (1 - p), 1 / draws) / draws)
    return np.any([np.abs(p - level) <= width for level in levels], 0)


def family_test(
    tables: Mapping[str, PatientTables],
    *,
    seed: int,
    alpha: float = 0.05,
    first: int = FIRST,
    permutations: int = PERMUTATIONS,
    **options: Any,
) -> FamilyTest:
    """Tests every cell of every attribute and adjusts over all of them.

    All cells get `first` draws. If any adjusted p is then too close to `alpha` to tell, all get
    `permutations`.

    Args:
      tables: patient tables by attribute name.
      seed: a non-negative integer.
      alpha: family-wise level.
      first: draws of the first stage.
      permutations: draws of the second.
      **options: of `group_test`.

    Returns:
      A `FamilyTest`.

    Raises:
      ValueError: no attribute, or options that do not fit.

    Example:
      >>> lost, who = [-1] * 15 + [0] * 45, range(60)
      >>> groups = {"sex": [0] * 20 + [1] * 40, "site": [0, 1] * 30}
      >>> tables = {name: fr.inference.patient_tables(lost, None, group, who, groups=2)
      ...     for name, group in groups.items()}
      >>> family_test(tables, seed=0, permutations=999).p_adjusted["sex"] < 0.01
      array([ True])
    """
    # a draw is a function of its number: the second stage repeats the first draws and adds to them
    for draws in (min(first, permutations), permutations):
        tests = {
            name: group_test(
                table,
                seed=seed,
                attribute=name,
                permutations=draws,
                alpha=alpha,
                **options,
            )
            for name, table in tables.items()
        }
        found, used = adjust_family(list(tests.values()))
        flat = np.concatenate(found)
        known = flat[np.isfinite(flat)]
        if not known.size or not unresolved(known, used, (alpha,)).any():
            break
    return FamilyTest(tests, dict(zip(tests, found)), int(known.size), used)
