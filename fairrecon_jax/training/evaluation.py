"""Metrics of a whole source: means of examples, summed on the devices and divided once, and those
of all examples together.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import jax
import numpy as np

from fairrecon_jax.data.loader import Examples, eval_batches
from fairrecon_jax.training.trainable import Together

Source = tuple[Examples, np.ndarray]
"""A cohort and the row numbers to use of it."""


def evaluate(
    step: Callable[..., Any], variables: Any, source: Source, batch_size: int, batches: int = 0
) -> dict[str, float]:
    """Each metric over all examples of the source: the weighted mean, sum of weight times value
    over sum of weights, or what is made of all of them together.

    Args:
      step: `eval_step` mapped by `map_step` without donation.
      variables: to evaluate.
      source: where the examples come from.
      batch_size: examples a batch; the last is padded, nothing is dropped.
      batches: at most so many batches, from the start; 0 = all.

    Returns:
      Metric by name, without those that no example has.
    """
    totals: dict[str, np.ndarray] = {}
    collected: dict[str, list[Together]] = {}
    # None, because islice(..., 0) would give nothing at all.
    for batch in islice(eval_batches(*source, batch_size), batches or None):
        parts, sums = step(variables, batch)
        for name, part in parts.items():
            collected.setdefault(name, []).append(jax.tree.map(np.asarray, part))
        for name, pair in sums.items():
            # float64 on the host: a float32 sum over a cohort would lose digits.
            totals[name] = totals.get(name, np.zeros(2)) + np.asarray(pair, dtype=np.float64)
    means = {name: float(total / weight) for name, (total, weight) in totals.items() if weight}
    wholes = {
        name: jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
        for name, parts in collected.items()
    }
    found = {name: whole.of(*whole.values, whole.weight) for name, whole in wholes.items()}
    return means | {name: value for name, value in found.items() if value is not None}
