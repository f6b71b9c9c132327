"""Does the change depend on a continuous attribute such as age? A spline of the change with a
simultaneous band, and a permutation test of "it does not" from the draws of the group test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fairrecon_jax.inference.changes import Changes
from fairrecon_jax.inference.group_draws import unit_keys
from fairrecon_jax.inference.group_statistic import weights_of

KNOTS = (0.05, 0.35, 0.65, 0.95)
"""Quantiles of the attribute at which the spline bends."""
MIN_PATIENTS = 40
"""Fewest patients of a label that is judged: ten for each of the spline's four coefficients."""
ELEMENTS = 1 << 20
GRID = 25
BAND_DRAWS = 4000


class TrendTest(NamedTuple):
    """Results of K problems and L labels on Q values of the attribute.

    Attributes:
      statistic: [K] T; NaN where no label is judged.
      p_value: [K] of the null "the change does not depend on the attribute".
      at: [Q] values of the attribute, between its 5th and 95th percentile.
      change: [K, L, Q] fitted change; NaN where a label is not judged.
      low: [K, L, Q] lower limit of a band that holds the whole curve with probability 1 - alpha.
      high: [K, L, Q] upper limit.
      patients: [K, L].
      smallest: {null: [B + 1, K]} T as p-like values, for the adjustment over a family.
    """

    statistic: np.ndarray
    p_value: np.ndarray
    at: np.ndarray
    change: np.ndarray
    low: np.ndarray
    high: np.ndarray
    patients: np.ndarray
    smallest: dict[str, np.ndarray]


def spline_basis(value: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Restricted cubic spline without a constant: linear beyond the outer knots.

    Args:
      value: [...] finite values.
      knots: [k] ascending, k >= 3.

    Returns:
      [..., k - 1]; the first column is the value itself, scaled like the others by the knots' span.

    Reference:
      Harrell (2015), Regression Modeling Strategies, section 2.4.5.
    """
    x, span = np.asarray(value, float)[..., None], float(knots[-1] - knots[0])

    def cube(knot: np.ndarray) -> np.ndarray:
        return np.maximum(x - knot, 0) ** 3 / span**2

    last, before = knots[-1], knots[-2]
    inner = knots[:-2]
    terms = (
        cube(inner)
        - cube(before) * (last - inner) / (last - before)
        + cube(last) * (before - inner) / (last - before)
    )
    return np.concatenate([x, terms], -1) / span


def trend_test(
    changes: Changes,
    value: np.ndarray,
    *,
    seed: int,
    attribute: str = "trend",
    permutations: int = 999,
    label_weights: Sequence[float] | None = None,
    alpha: float = 0.05,
) -> TrendTest:
    """Tests whether the change depends on a continuous attribute, per problem, given the label.

    With e = S - Dbar N the residuals of patients, B their spline columns centred by N,
    T = sum over labels y of w_y u' V^-1 u, u = sum B e, V = sum B B' e^2 (robust to noise that
    grows with the attribute). The null permutes the values among patients with the same labels.

    Args:
      changes: of everyone as one group, K problems.
      value: [U] of each unit of the tables, e.g. the patient's age; NaN = unknown, left out.
      seed: non-negative integer.
      attribute: name; others get other permutations.
      permutations: number of draws B.
      label_weights: as in `group_test`.
      alpha: 1 - coverage of the band.

    Returns:
      A `TrendTest`.

    Raises:
      ValueError: a value per unit is missing, or fewer than 4 different values are known.

    Example:
      >>> age, everyone, who = np.linspace(20, 90, 100), [0] * 100, range(100)
      >>> before, after = np.full(100, 0.9), np.where(age > 60, 0.5, 0.9)  # Dice falls in the old
      >>> dice = fr.inference.value_changes(before, after, everyone, who, groups=1)
      >>> ages = fr.inference.patient_tables(age, None, everyone, who, groups=1).change[:, 0, 0]
      >>> trend_test(dice, ages, seed=0, permutations=99).p_value.tolist()
      [0.01]
    """
    tables = changes.tables
    value = np.asarray(value, float)
    if value.shape != tables.group.shape:
        raise ValueError(f"value must hold {len(tables.group)} entries, got shape {value.shape}")
    known = np.isfinite(value)
    # equal quantiles would be a knot twice, and the spline singular
    knots = np.unique(np.quantile(value[known], KNOTS)) if known.any() else np.zeros(0)
    if len(knots) < len(KNOTS):
        raise ValueError(f"{attribute} has too few different values for a spline of {len(KNOTS)}")
    # any finite value will do for those unknown: they have no images below
    basis = spline_basis(np.where(known, value, 0), knots)
    n = np.where(known[:, None, None], tables.images, 0)
    s = np.where(n > 0, tables.change, 0)
    patients = (n > 0).sum(0)
    judged = patients >= MIN_PATIENTS
    weights = weights_of(s.shape[2], label_weights) * judged
    keys = unit_keys(tables.unit, seed, attribute, 0, permutations)
    drawn: np.ndarray = np.full((permutations + 1, s.shape[1]), np.nan)
    for k in range(s.shape[1]):
        if judged[k].any():
            drawn[:, k] = _statistics(s[:, k], n[:, k], basis, keys, weights[k])
    share = _shares(drawn)
    at = np.linspace(knots[0], knots[-1], GRID)
    curve = _curves(s, n, basis, spline_basis(at, knots), judged, alpha)
    # draws that differ by rounding tie
    p = np.where(np.isfinite(drawn[0]), np.mean(drawn >= drawn[:1] * (1 - 1e-9), 0), np.nan)
    return TrendTest(drawn[0], p, at, *curve, patients, {"permutation": share})


def _shares(drawn: np.ndarray) -> np.ndarray:
    """Each draw's share of draws at least as large, [B + 1, K]; NaN where nothing was drawn."""
    ranked = np.sort(drawn, 0)
    found = [
        1 - np.searchsorted(column, values, side="left") / len(column)
        for column, values in zip(ranked.T, drawn.T, strict=True)
    ]
    return np.where(np.isfinite(drawn), np.stack(found, 1), np.nan)


def _statistics(
    s: np.ndarray, n: np.ndarray, basis: np.ndarray, keys: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """T [B + 1] of the true values and of permuted ones, of one problem [U, L]."""
    present = n > 0
    code = present @ (1 << np.arange(n.shape[1]))  # [U], bit y: has images of label y
    mean = s.sum(0) / np.maximum(n.sum(0), 1e-300)
    residual = s - mean * n
    places = [np.flatnonzero(code == c) for c in np.unique(code[code > 0])]
    identity = np.arange(len(s))
    found = [_quadratic(basis[None], residual, n, weights)]
    step = max(ELEMENTS // max(len(s), 1), 1)
    for first in range(0, len(keys), step):
        some = keys[first : first + step]
        order = np.tile(identity, (len(some), 1))
        for place in places:
            # sorting random keys permutes the units of one pattern
            order[:, place] = place[np.argsort(some[:, place], 1)]
        found.append(_quadratic(basis[order], residual, n, weights))  # [b, U, q]
    return np.concatenate(found)


def _quadratic(
    basis: np.ndarray, residual: np.ndarray, n: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """T of draws of the basis [R, U, q]."""
    total = np.zeros(len(basis))
    for y, weight in enumerate(weights):
        if weight == 0:
            continue
        rows = n[:, y] > 0
        own, e = basis[:, rows], residual[rows, y]
        centre = np.einsum("ruq,u->rq", own, n[rows, y]) / n[rows, y].sum()
        own = own - centre[:, None]
        score = np.einsum("ruq,u->rq", own, e)
        spread = np.einsum("ruq,rup,u->rqp", own, own, e * e, optimize=True)  # [R, q, q]
        # few changes make a singular spread: what it does not see counts nothing
        inverse = np.linalg.pinv(spread, rcond=1e-8, hermitian=True)
        total += weight * np.einsum("rq,rqp,rp->r", score, inverse, score)
    return total


def _curves(
    s: np.ndarray,
    n: np.ndarray,
    basis: np.ndarray,
    grid: np.ndarray,
    judged: np.ndarray,
    alpha: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fitted changes [K, L, Q] and their simultaneous band.

    Least squares of S on N (1, B) with a sandwich covariance over patients; the band's factor is
    the quantile of the largest studentised deviation of normal coefficients.
    """
    shape = (*judged.shape, len(grid))
    change, low, high = (np.full(shape, np.nan) for _ in range(3))
    rows = np.concatenate([np.ones((len(basis), 1)), basis], 1)
    at = np.concatenate([np.ones((len(grid), 1)), grid], 1)
    # a fixed seed: the band of a curve is the same in every run, whatever curves are beside it
    normal = np.random.default_rng(0).normal(size=(BAND_DRAWS, rows.shape[1]))
    for k, y in zip(*np.nonzero(judged), strict=True):
        weight, total = n[:, k, y], s[:, k, y]
        gram = np.linalg.pinv(np.einsum("up,uq,u->pq", rows, rows, weight))
        beta = gram @ (rows.T @ total)
        left = total - weight * (rows @ beta)
        meat = np.einsum("up,uq,u->pq", rows, rows, left**2)
        count = int(np.sum(weight > 0))
        # as many observations as patients, less the coefficients
        cover = gram @ meat @ gram * count / (count - rows.shape[1])
        error = np.sqrt(np.maximum(np.einsum("gp,pq,gq->g", at, cover, at), 0))
        # a root that a singular covariance has too, as where hardly anyone changed
        values, vectors = np.linalg.eigh(cover)
        draws = (normal * np.sqrt(np.maximum(values, 0))) @ vectors.T @ at.T
        largest = np.max(np.abs(draws) / np.where(error > 0, error, np.inf), 1)
        width = np.quantile(largest, 1 - alpha) * error
        change[k, y] = at @ beta
        low[k, y], high[k, y] = change[k, y] - width, change[k, y] + width
    return change, low, high
