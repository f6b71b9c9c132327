"""Numbers in the precision that they came in."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def shortest(values: np.ndarray) -> np.ndarray:
    """Numbers as float64, each of a smaller type by the shortest decimal number that names it.

    A network that gives 0.7 in float32 gives 0.69999998807907104 when it is widened bit by bit,
    which is below a threshold of 0.7; NumPy, which compares in float32, says that it reaches it
    (NEP 50). The order of numbers stays.

    Args:
      values: floats of any type; float64 stays as it is.

    Returns:
      float64 of the same shape.

    Example:
      >>> shortest(np.float32([0.7, 0.5])) >= 0.7
      array([ True, False])
    """
    if values.dtype == np.float16:
        # Arrow prints these by way of float32
        return values.astype(str).astype(float)
    if values.dtype != np.float32:
        return values.astype(float)
    text = pa.array(values.ravel(), from_pandas=False).cast(pa.string())
    return np.asarray(text.cast(pa.float64()), float).reshape(values.shape)
