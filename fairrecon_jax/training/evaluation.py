"""Means of per-example metrics over a whole source: summed on the devices, divided once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np

from fairrecon_jax.data.loader import Examples, eval_batches

Source = tuple[Examples, np.ndarray]
"""A cohort and the row numbers to use of it."""


def evaluate(
    step: Callable[..., Any], variables: Any, source: Source, batch_size: int, batches: int = 0
) -> dict[str, float]:
    """The weighted mean of each metric, sum of weight times value over sum of weights, over all
    examples of the source.

    Args:
      step: `eval_step` mapped by `map_step` without donation.
      variables: to evaluate.
      source: where the examples come from.
      batch_size: examples a batch; the last is padded, nothing is dropped.
      batches: at most so many batches, from the start; 0 = all.

    Returns:
      Metric by name, without those for which no example has weight.
    """
    totals: dict[str, np.ndarray] = {}
    # None, because islice(..., 0) would give nothing at all.
    for batch in islice(eval_batches(*source, batch_size), batches or None):
        _, sums = step(variables, batch)
        for name, pair in sums.items():
            # float64 on the host: a float32 sum over a cohort would lose digits.
            totals[name] = totals.get(name, np.zeros(2)) + np.asarray(pair, dtype=np.float64)
    return {name: float(total / weight) for name, (total, weight) in totals.items() if weight}
