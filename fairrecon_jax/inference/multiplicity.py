"""Adjusting p-values for the number of comparisons: Holm (family-wise error) and
Benjamini-Hochberg (false discovery rate).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fairrecon_jax.types import Array


def _in_order(p: Array) -> tuple[Array, Array, Array]:
    """Flat p-values sorted with NaN last, the order, and how many are not NaN."""
    flat = jnp.asarray(p, float).reshape(-1)
    order = jnp.argsort(flat)
    return flat[order], order, jnp.sum(jnp.isfinite(flat))


def _restore(adjusted: Array, order: Array, p: Array) -> Array:
    """Puts adjusted values back in their places and keeps NaN."""
    flat = jnp.zeros_like(adjusted).at[order].set(adjusted).reshape(jnp.shape(p))
    return jnp.where(jnp.isfinite(jnp.asarray(p)), flat, jnp.nan)


@jax.jit
def holm(p: Array) -> Array:
    """Holm's step-down adjustment, max over j <= i of (m - j + 1) p_(j), at most 1.

    Args:
      p: [...] p-values of one family, NaN = not tested (does not count in m).

    Returns:
      [...] adjusted p-values; reject at family-wise error alpha where they are <= alpha.

    Reference:
      Holm (1979), Scandinavian Journal of Statistics 6.
    """
    ranked, order, count = _in_order(p)
    # At least 1: beyond the tested ones the factor would be negative.
    scaled = ranked * jnp.maximum(count - jnp.arange(ranked.size), 1)
    # NaN is sorted last; as 0 it raises no maximum before it.
    adjusted = jnp.minimum(jnp.maximum.accumulate(jnp.where(jnp.isfinite(scaled), scaled, 0)), 1)
    return _restore(adjusted, order, p)


@jax.jit
def benjamini_hochberg(p: Array) -> Array:
    """Benjamini-Hochberg's step-up adjustment, min over j >= i of m p_(j) / j, at most 1.

    Args:
      p: [...] p-values of one family, NaN = not tested (does not count in m).

    Returns:
      [...] adjusted p-values; reject at false discovery rate alpha where they are <= alpha.

    Reference:
      Benjamini and Hochberg (1995), JRSS B 57.
    """
    ranked, order, count = _in_order(p)
    scaled = jnp.where(
        jnp.isfinite(ranked), ranked * count / (jnp.arange(ranked.size) + 1), jnp.inf
    )
    adjusted = jnp.minimum(jnp.minimum.accumulate(scaled[::-1])[::-1], 1)
    return _restore(adjusted, order, p)


def adjust(p: Array, method: str = "holm") -> Array:
    """Adjusts p-values by name.

    Args:
      p: [...] p-values of one family, NaN = not tested.
      method: "holm", "bh" or "none".

    Returns:
      [...] adjusted p-values.

    Raises:
      ValueError: unknown method.
    """
    known: dict[str, Callable[[Array], Array]] = {
        "holm": holm,
        "bh": benjamini_hochberg,
        "none": jnp.asarray,
    }
    if method not in known:
        raise ValueError(f"method must be one of {sorted(known)}, got {method!r}")
    return known[method](p)
