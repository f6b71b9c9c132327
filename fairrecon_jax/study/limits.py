"""Sizes and counts beyond which a configuration is a slip of the pen: they would fill the memory or
run for years before anybody saw it.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping
from typing import Any

from fairrecon_jax.types import ConfigError

LARGEST: Mapping[str, float] = {
    # trainings
    "steps": 10**8,
    "batch_size": 65_536,
    "eval_batch_size": 65_536,
    "learning_rate": 10,
    "workers": 512,
    # networks
    "width": 4096,
    "disc_width": 4096,
    "hidden": 65_536,
    "input_size": 4096,
    # images
    "image_size": 4096,
    "size": 4096,
    "slices": 4096,
    "angles": 16_384,
    # single-precision numbers hold more, the physics between them means nothing
    "levels": 1e12,
    "headline_level": 1e12,
    # assessment
    "alpha": 0.5,
    "bins": 1000,
    "min_patients": 10**6,
    "null_draws": 10**6,
    "permutations": 10**6,
    "replicates": 10**6,
    "threshold_redraws": 10**5,
    # what is drawn and shown
    "patients": 10**6,
    "examples": 1000,
    "max_examples": 1000,
}
"""By the name of a field, wherever it stands: the largest number it takes. The smallest is checked
where the field is built.
"""
SMALLEST = {"levels": 1e-6, "headline_level": 1e-6, "alpha": 1e-6}
"""Above 0 and below this is a slip as well."""


def check_sizes(blocks: Mapping[str, Any], path: str = "config") -> None:
    """Refuses numbers beyond all sense, before anything is made of them.

    Args:
      blocks: the configuration as dictionaries; fields of other kinds have checks of their own.
      path: of the block, for the message.

    Raises:
      ConfigError: the message names the field and its bound.

    Example:
      >>> check_sizes({"assess": {"permutations": 10**9}})
      Traceback (most recent call last):
      fairrecon_jax.types.ConfigError: config.assess.permutations must be at most 1e+06, got ...
    """
    for name, value in blocks.items():
        where = f"{path}.{name}"
        if isinstance(value, Mapping):
            check_sizes(value, where)
            continue
        for one in _numbers(value):
            # NaN and infinity are told of where the field is built
            if math.isfinite(one) and one > LARGEST.get(name, math.inf):
                raise ConfigError(f"{where} must be at most {LARGEST[name]:g}, got {value!r}")
            if 0 < one < SMALLEST.get(name, 0):
                raise ConfigError(f"{where} must be at least {SMALLEST[name]:g}, got {value!r}")


def _numbers(value: Any) -> Iterator[float]:
    """The numbers of a field that holds one, or several."""
    for one in value if isinstance(value, list | tuple) else (value,):
        if isinstance(one, numbers.Real) and not isinstance(one, bool):
            yield float(one)
