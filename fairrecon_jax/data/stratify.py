"""Assigning rows with traits to parts so that every part gets its share of each trait."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fairrecon_jax.types import InputError


def part_sizes(count: int, shares: Sequence[float]) -> np.ndarray:
    """Whole numbers with the given shares (largest remainder); every part with a share gets at
    least one.

    Raises:
      InputError: there are too few for that.

    Example:
      >>> part_sizes(10, (0.7, 0.1, 0.2)).tolist(), part_sizes(3, (0.7, 0.1, 0.2)).tolist()
      ([7, 1, 2], [1, 1, 1])
    """
    exact = count * np.asarray(shares, float)
    # 10 patients times 0.7 must be 7, whatever the rounding.
    sizes = np.floor(exact + 1e-9).astype(int)
    # most negative first: the parts that lost most by rounding down
    for part in np.argsort(sizes - exact, kind="stable")[: count - sizes.sum()]:
        sizes[part] += 1
    # A small part takes its one patient from the largest.
    for part in np.flatnonzero((sizes == 0) & (np.asarray(shares) > 0)):
        sizes[part] += 1
        sizes[np.argmax(sizes)] -= 1
    if (sizes[np.asarray(shares) > 0] < 1).any():
        raise InputError(f"{count} patients are too few for parts with shares {tuple(shares)}")
    return sizes


def stratify(
    traits: np.ndarray, shares: Sequence[float], generator: np.random.Generator
) -> np.ndarray:
    """Iterative stratification: rows with the rarest remaining trait are assigned first, each to
    the part that lacks most of it; part sizes are exact.

    Args:
      traits: [P, K] bool.
      shares: of the parts.
      generator: decides among equals.

    Returns:
      [P] int, the part of each row.

    Raises:
      InputError: there are too few rows for the parts.

    Example:
      >>> part = stratify(np.eye(2, dtype=bool)[[0, 0, 1, 1]], (0.5, 0.5), np.random.default_rng(0))
      >>> sorted(part.tolist()), part[0] != part[1]
      ([0, 0, 1, 1], np.True_)

    Reference:
      K. Sechidis, G. Tsoumakas, I. Vlahavas, On the stratification of multi-label data, ECML PKDD
        2011.
    """
    count, kinds = traits.shape
    room = part_sizes(count, shares)
    # [parts, traits]: how many of each trait a part should still get
    lacking = traits.sum(axis=0)[None, :] * np.asarray(shares, float)[:, None]
    part = np.full(count, -1)
    order = generator.permutation(count)
    pending = set(range(kinds))
    while pending:
        left = traits[part < 0].sum(axis=0)
        # rarest first: common traits can still be balanced at the end, rare ones cannot
        kind = min(pending, key=lambda k: (left[k], k))
        pending.discard(kind)
        for row in order[traits[order, kind] & (part[order] < 0)]:
            # a full part takes nobody, however much it lacks
            wish = np.where(room > 0, lacking[:, kind], -np.inf)
            # Of the parts that lack equally many, the one with the most room.
            best = np.flatnonzero(wish >= wish.max() - 1e-9)
            part[row] = best[np.argmax(room[best])]
            room[part[row]] -= 1
            lacking[part[row]] -= traits[row]
    # Patients without any trait fill what room is left.
    for row in order[part[order] < 0]:
        part[row] = np.argmax(room)
        room[part[row]] -= 1
    return part
