"""Sums per group under permuted group labels and under flipped signs of patients.

Every draw is a function of the seed, its number and the patient's digest only: the keys of a draw
are a hash (SplitMix64) and not a stream, so that a cell's numbers depend neither on the order of
rows nor on other tasks, and draws 1,000 to 9,999 can be added to the first 999 later.

A permutation gives each unit of a stratum a random key; the units with the smallest keys form the
first group, and so on. All cells of one attribute use the same keys: cells whose strata agree get
the same permutation, others nearly the same, which is what carries their dependence into a family.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from threadpoolctl import threadpool_limits

from fairrecon_jax.inference.group_tables import PatientTables

ELEMENTS = 1 << 18
"""Keys made at once: a chunk of draws stays within a few megabytes."""

GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio, SplitMix64's odd step
WORD = (1 << 64) - 1
EXACT = float(1 << 24)  # float32 holds every whole number up to here
MANY = 2000
FEW = 8
"""Up to so many draws a matrix product is a row at a time: a block would be copied for little."""


Function = TypeVar("Function", bound=Callable[..., Any])


def one_thread(function: Function) -> Function:
    """Runs a function with one thread of linear algebra: the products of draws are tall and thin,
    and threads that wait for one another cost more than they compute.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with threadpool_limits(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return cast(Function, run)


class Sums(NamedTuple):
    """Sums over the units of each group, [B, K, L, G] each."""

    s: np.ndarray
    n: np.ndarray
    ss: np.ndarray
    sn: np.ndarray
    nn: np.ndarray


class _Plan(NamedTuple):
    """Cells with the same strata, and the columns whose sums a permutation needs.

    Attributes:
      cells: [k] cell numbers.
      units: per stratum, unit numbers with those that matter first.
      active: per stratum, how many matter.
      cuts: per stratum, [G - 1] cumulated group sizes.
      columns: [sum of active, k * L * c] rows of the units that matter.
      whole: their sums are whole numbers, exact in any order; these columns lie one by one.
      total: [k * L * c] sums over all units.
      size: N of every unit if all are equal, else 0.
    """

    cells: np.ndarray
    units: list[np.ndarray]
    active: list[int]
    cuts: list[np.ndarray]
    columns: np.ndarray
    whole: bool
    total: np.ndarray
    size: float


def _mix(words: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser, in place."""
    spare: np.ndarray = words >> np.uint64(30)
    words ^= spare
    words *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(words, np.uint64(27), out=spare)
    words ^= spare
    words *= np.uint64(0x94D049BB133111EB)
    np.right_shift(words, np.uint64(31), out=spare)
    words ^= spare
    return words


def _hash(digest: np.ndarray, seed: int, salt: str, rows: np.ndarray) -> np.ndarray:
    """One 64-bit word per row number and digest, [R, U]."""
    # crc32, not hash(), which differs from process to process; Python's integers do not wrap by
    # themselves
    start = (seed * GOLDEN + zlib.crc32(salt.encode()) * 0xD1B54A32D192ED03 + GOLDEN) & WORD
    # mixed before the digest joins: a patient's second unit is GOLDEN further, as the next row is
    offset = _mix(rows.astype(np.uint64) * np.uint64(GOLDEN) + np.uint64(start))
    return _mix(digest[None, :] + offset[:, None])


def unit_keys(digest: np.ndarray, seed: int, salt: str, start: int, stop: int) -> np.ndarray:
    """Permutation keys of draws start..stop-1.

    Args:
      digest: [U] uint64.
      seed: of the study.
      salt: a name; other names give unrelated draws.
      start: first draw.
      stop: one past the last draw.

    Returns:
      [stop - start, U] uint32.
    """
    # a word holds the keys of two draws
    rows = np.arange(start // 2, (stop + 1) // 2)
    # [rows, U] -> [rows, U, 2]
    words: np.ndarray = _hash(digest, seed, salt, rows).view(np.uint32).reshape(len(rows), -1, 2)
    # an odd start begins in the second half of its word
    return words.transpose(0, 2, 1).reshape(2 * len(rows), -1)[start % 2 :][: stop - start]


def patient_signs(digest: np.ndarray, seed: int, start: int, stop: int) -> np.ndarray:
    """Signs of draws start..stop-1.

    Args:
      digest: [U] uint64.
      seed: of the study.
      start: first draw.
      stop: one past the last draw.

    Returns:
      [stop - start, U] floats in {-1, +1}.
    """
    # a word holds the signs of 64 draws
    words: np.ndarray = _hash(digest, seed, "signs", np.arange(start // 64, -(-stop // 64)))
    # [words, 64, U]
    bits = words[:, None, :] >> np.arange(64, dtype=np.uint64)[None, :, None] & np.uint64(1)
    signs = 2.0 * bits.reshape(64 * len(words), digest.size) - 1.0
    return signs[start % 64 :][: stop - start]


def _order(tables: PatientTables) -> np.ndarray:
    """Groups in an order that does not depend on their names: the largest first, then by digest."""
    size = np.bincount(tables.group, minlength=tables.groups)
    smallest: np.ndarray = np.full(tables.groups, WORD, np.uint64)
    np.minimum.at(smallest, tables.group, tables.unit)
    # the last key of a lexsort leads
    return np.lexsort((smallest, -size))


def _strata(tables: PatientTables) -> np.ndarray:
    """Pattern of labels present, within the further strata, as codes [U, K]; -1 = not in the
    cell.
    """
    present = tables.images > 0
    bits = present @ (1 << np.arange(present.shape[2]))  # [U, K], bit y: has images of label y
    stratum = tables.stratum.reshape(len(bits), -1)  # [U, 1] or [U, K]
    # above the bits of the labels, so that no two pairs of stratum and pattern share a code
    code = bits + (stratum << present.shape[2])
    return np.where(bits > 0, code, -1)


def _plan(tables: PatientTables, cells: np.ndarray, code: np.ndarray, order: np.ndarray) -> _Plan:
    """Prepares the cells whose strata are `code` [U]."""
    s, n = tables.change[:, cells], tables.images[:, cells]
    # where all have as many images, two columns say what five do, see `_scatter`
    held = n[n > 0]
    alike = held.size > 0 and bool(np.all(held == held[0]))
    parts = (s, s * s) if alike else (s, s * s, s * n, n, n * n)
    table = np.stack(parts, -1).reshape(len(code), -1)
    # the argsort of a permutation is its inverse
    rank = np.argsort(order)[tables.group]
    units, active, cuts = [], [], []
    for stratum in np.unique(code[code >= 0]):
        inside = np.flatnonzero(code == stratum)
        # a unit without a change takes a place in a group, but adds to no sum
        matter = table[inside].any(-1)
        units.append(np.concatenate([inside[matter], inside[~matter]]))
        active.append(int(matter.sum()))
        # without the last group, which is what remains
        cuts.append(np.cumsum(np.bincount(rank[inside], minlength=tables.groups))[:-1])
    rows = np.concatenate([u[:a] for u, a in zip(units, active)])
    columns = table[rows]
    # Integers below 2^24 are summed exactly in single precision.
    whole = bool(np.all(columns == np.rint(columns)) and np.all(np.abs(columns).sum(0) < EXACT))
    # of many patients the rounding of single precision is far below the spread between draws
    single = whole or len(rows) > MANY
    return _Plan(
        cells,
        units,
        active,
        cuts,
        columns.astype(np.float32 if single else np.float64, order="F" if whole else "C"),
        whole,
        columns.sum(0),
        float(held[0]) if alike else 0.0,
    )


def _thresholds(keys: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Keys [B, n] -> [B, len(cuts)]: exactly `cuts` keys of a row lie below each threshold, for
    cuts in 1..n-1, ascending.
    """
    found = np.empty((keys.shape[0], len(cuts)), keys.dtype)
    # NumPy has a vectorised selection of one rank only; halving needs few passes.
    # cuts first..last-1, the keys among which they lie, and how many smaller keys there are
    pending = [(0, len(cuts), 0, keys)]
    while pending:
        first, last, offset, part = pending.pop()
        if first == last:
            continue
        middle = (first + last) // 2
        at = int(cuts[middle]) - offset
        part = np.partition(part, at, axis=1)
        found[:, middle] = part[:, at]
        # a group without a unit in the stratum repeats the cut before it
        same = cuts[first:last] == cuts[middle]
        found[:, first:last][:, same] = part[:, at : at + 1]
        low, high = first + int(np.argmax(same)), last - int(np.argmax(same[::-1]))
        # partitioned: what is left of `at` is smaller, and each side is looked through alone
        pending += [(first, low, offset, part[:, :at])]
        pending += [(high, last, offset + at, part[:, at:])]
    return found


def _below(plan: _Plan, keys: np.ndarray, groups: int) -> np.ndarray:
    """Sums of the columns over the first 1..G-1 groups, [G - 1, B, C]."""
    draws = keys.shape[0]
    # the draws as a matrix of 0 and 1: BLAS sums all cells of the plan at once
    member = np.empty((groups - 1, draws, len(plan.columns)), plan.columns.dtype)
    at = 0
    for units, active, cuts in zip(plan.units, plan.active, plan.cuts):
        if not active:
            continue
        own = np.take(keys, units, axis=1)
        # a cut behind the last unit takes all of them, one before the first none: no key is asked
        member[:, :, at : at + active] = (cuts >= len(units))[:, None, None]
        inner = np.flatnonzero((cuts > 0) & (cuts < len(units)))
        limits = _thresholds(own, cuts[inner])
        for j, limit in zip(inner, limits.T):
            # two equal keys at the limit, once in 2^32 / n draws, leave the group one unit short
            np.less(own[:, :active], limit[:, None], out=member[j, :, at : at + active])
        at += active
    return _product(member, plan).astype(float)


def _product(member: np.ndarray, plan: _Plan) -> np.ndarray:
    """The members' sums of the columns, [G - 1, B, C]."""
    # only where the order of summation makes no difference
    if not plan.whole or member.shape[1] > FEW:
        return member @ plan.columns
    return np.stack([[plan.columns.T @ row for row in rows] for rows in member])


def _scatter(plan: _Plan, below: np.ndarray, order: np.ndarray, sums: Sums, known: Sums) -> None:
    """Writes the sums of a plan's cells."""
    total = np.broadcast_to(plan.total, (1, *below.shape[1:]))
    # cumulated over groups, [G + 1, B, C]: differences are the groups' own sums
    edges = np.concatenate([np.zeros_like(total), below, total])
    each = np.moveaxis(np.diff(edges, axis=0), 0, -1)  # [B, C, G]
    labels = sums.s.shape[2]
    # [B, k, L, c, G]
    each = each.reshape(each.shape[0], len(plan.cells), labels, -1, each.shape[-1])
    where = np.argsort(order)  # back to the groups' own numbers
    # of two columns the zip stops behind "ss"
    for name, part in zip(("s", "ss", "sn", "n", "nn"), np.moveaxis(each, 3, 0)):
        getattr(sums, name)[:, plan.cells] = part[..., where]
    # groups keep their sizes within a pattern: where N is one number no draw changes N or N^2
    if plan.size:
        sums.sn[:, plan.cells] = plan.size * sums.s[:, plan.cells]
        sums.n[:, plan.cells] = known.n[:, plan.cells]
        sums.nn[:, plan.cells] = known.nn[:, plan.cells]


def observed_sums(tables: PatientTables) -> Sums:
    """Sums with the true groups.

    Args:
      tables: patient tables, masked to the cells that are judged.

    Returns:
      `Sums` with B = 1.
    """
    each = []
    for g in range(tables.groups):
        rows = np.flatnonzero(tables.group == g)
        s, n = tables.change[rows], tables.images[rows]
        each.append([v.sum(0) for v in (s, n, s * s, s * n, n * n)])
    return Sums(*(np.stack(part, -1)[None] for part in zip(*each)))


def permuted_sums(
    tables: PatientTables, seed: int, salt: str, start: int, stop: int
) -> Iterator[tuple[int, Sums]]:
    """Sums under permuted groups: within each pattern of labels present, and further stratum, the
    groups keep their sizes.

    Args:
      tables: patient tables, masked to the cells that are judged.
      seed: of the study.
      salt: name of the attribute: attributes are permuted independently of one another.
      start: first draw.
      stop: one past the last draw.

    Yields:
      The first draw of a chunk and its `Sums`.
    """
    code, order, known = _strata(tables), _order(tables), observed_sums(tables)
    # cells with the same strata share their thresholds and one matrix product
    cells: dict[bytes, list[int]] = {}
    for k, strata in enumerate(code.T):
        # a cell without a judged unit keeps its zeros
        if np.any(strata >= 0):
            cells.setdefault(strata.tobytes(), []).append(k)
    plans = [_plan(tables, np.array(own), code[:, own[0]], order) for own in cells.values()]
    # whole words of two draws
    step = max(ELEMENTS // max(len(tables.group), 1) // 2 * 2, 2)
    for first in range(start, stop, step):
        last = min(first + step, stop)
        keys = unit_keys(tables.unit, seed, salt, first, last)
        sums = Sums(*(np.zeros((last - first, *known.s.shape[1:])) for _ in Sums._fields))
        for plan in plans:
            _scatter(plan, _below(plan, keys, tables.groups), order, sums, known)
        yield first, sums


def flipped_sums(
    tables: PatientTables, centre: np.ndarray, seed: int, start: int, stop: int
) -> Iterator[tuple[int, Sums]]:
    """Sums of w (S - Dbar N), with one sign w a patient.

    Args:
      tables: patient tables, masked to the cells that are judged.
      centre: [K, L] Dbar, the common change.
      seed: of the study; attributes share their signs.
      start: first draw.
      stop: one past the last draw.

    Yields:
      The first draw of a chunk and its `Sums`, whose changes are relative to Dbar.
    """
    n = tables.images
    e = tables.change - centre[None] * n
    known = observed_sums(tables._replace(change=e))
    rows = [np.flatnonzero(tables.group == g) for g in range(tables.groups)]
    shape = n.shape[1:]
    width = 2 * n[0].size if len(n) else 2
    # per group [U_g, 2 K L]
    columns = [np.concatenate([e[r], e[r] * n[r]], 1).reshape(len(r), width) for r in rows]
    # whole words of 64 draws
    step = max(ELEMENTS // max(len(tables.group), 1) // 64 * 64, 64)
    for first in range(start, stop, step):
        last = min(first + step, stop)
        signs = patient_signs(tables.patient, seed, first, last)
        drawn = np.stack([signs[:, r] @ c for r, c in zip(rows, columns)], -1)
        drawn = drawn.reshape(last - first, 2, *shape, tables.groups)  # [B, (S, S N), K, L, G]
        # a sign leaves N, N^2 and S^2 as they are
        fixed = [np.broadcast_to(v, drawn[:, 0].shape) for v in (known.n, known.ss, known.nn)]
        yield first, Sums(drawn[:, 0], fixed[0], fixed[1], drawn[:, 1], fixed[2])
