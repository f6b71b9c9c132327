"""Adjusting p-values for the number of comparisons: Holm (family-wise error) and
Benjamini-Hochberg (false discovery rate).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fairrecon_jax.types import Array


def _ranked(p: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat p-values, the places of those that are not NaN in ascending order, and these values."""
    flat = np.asarray(p, float).reshape(-1)
    order = np.argsort(flat, kind="stable")
    # NaN, which sorts last, is no member of the family
    order = order[np.isfinite(flat[order])]
    return np.full(flat.shape, np.nan), order, flat[order]


def holm(p: Array) -> np.ndarray:
    """Holm's step-down adjustment, max over j <= i of (m - j + 1) p_(j), at most 1.

    Args:
      p: [...] p-values of one family, NaN = not tested (does not count in m).

    Returns:
      [...] adjusted p-values; reject at family-wise error alpha where they are <= alpha.

    Reference:
      Holm (1979), Scandinavian Journal of Statistics 6.

    Example:
      >>> holm([0.01, 0.04, np.nan])
      array([0.02, 0.04,  nan])
    """
    adjusted, order, ranked = _ranked(p)
    scaled = ranked * (len(ranked) - np.arange(len(ranked)))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted.reshape(np.shape(p))


def benjamini_hochberg(p: Array) -> np.ndarray:
    """Benjamini-Hochberg's step-up adjustment, min over j >= i of m p_(j) / j, at most 1.

    Args:
      p: [...] p-values of one family, NaN = not tested (does not count in m).

    Returns:
      [...] adjusted p-values; reject at false discovery rate alpha where they are <= alpha.

    Example:
      >>> benjamini_hochberg([0.01, 0.04, 0.04, np.nan]).tolist()
      [0.03, 0.04, 0.04, nan]

    Reference:
      Benjamini and Hochberg (1995), JRSS B 57.
    """
    adjusted, order, ranked = _ranked(p)
    scaled = ranked * len(ranked) / (np.arange(len(ranked)) + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return adjusted.reshape(np.shape(p))


def adjust(p: Array, method: str = "holm") -> np.ndarray:
    """Adjusts p-values by name.

    Args:
      p: [...] p-values of one family, NaN = not tested.
      method: "holm", "bh" or "none".

    Returns:
      [...] adjusted p-values.

    Raises:
      ValueError: unknown method.

    Example:
      >>> adjust([0.01, 0.04], "holm").tolist(), adjust([0.01, 0.04], "none").tolist()
      ([0.02, 0.04], [0.01, 0.04])
    """
    known: dict[str, Callable[[Array], np.ndarray]] = {
        "holm": holm,
        "bh": benjamini_hochberg,
        "none": lambda p: np.asarray(p, float),
    }
    if method not in known:
        raise ValueError(f"method must be one of {sorted(known)}, got {method!r}")
    return known[method](p)
