"""Which array library computes: NumPy for arrays on the host, JAX for JAX arrays and tracers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def array_module(*arrays: object) -> Any:
    """The library that a metric computes with: JAX if any argument is a JAX array or a tracer,
    else NumPy, so that tables on the host are computed there and nothing is compiled for them.

    Args:
      *arrays: whatever the metric was given; lists, numbers and None count as NumPy.

    Returns:
      `jax.numpy` or `numpy`.

    Example:
      >>> array_module(np.zeros(2), None).__name__
      'numpy'
    """
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np
