"""Checks of option values; each names the option and says what it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fairrecon_jax.types import MOST_VALUES, meant

MOST: Mapping[str, float] = {
    "patients": 10**6,
    "valid_patients": 10**6,
    "first_id": 10**8,
    "images_per_patient": 1000,
    "size": 4096,
    "slices": 4096,
    "workers": 512,
    "age_cut": 120,
    "age_mean": 120,
    "age_sd": 120,
    "contrast_mean": 1000,
    "contrast_spread": 10,
    "lesion_contrast": 1000,
}
"""More of these would fill the memory, run for years, or mean nothing."""
SEEDS = 2**32
"""Seeds that are told apart."""


def bounded(options: Any) -> None:
    """Refuses numbers of options beyond all sense, and volumes that no reader would read."""
    for name, largest in MOST.items():
        value = getattr(options, name, 0)
        several = value if isinstance(value, tuple | list) else (value,)
        if any(isinstance(one, int | float) and one > largest for one in several):
            raise ValueError(f"{name} is {value!r}; it must be at most {largest:,}")
    if options.seed >= SEEDS:
        raise ValueError(f"seed is {options.seed!r}; it must be at most {SEEDS - 1}")
    values = options.size**2 * (options.depth or 1)
    if values > MOST_VALUES:
        raise ValueError(
            f"size is {options.size} and slices is {options.depth}: a volume of {values} voxels, "
            f"and at most {MOST_VALUES} are read; lower one of them"
        )


def whole_number(name: str, value: Any, least: int) -> None:
    """Refuses what is not an integer of at least `least`."""
    # bool is an int: patients=True would pass for 1
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}")


def positive(name: str, value: float) -> None:
    """Refuses what is not a finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value!r}; it must be a finite number above 0")


def not_negative(name: str, value: float) -> None:
    """Refuses what is not a finite number of at least 0."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {value!r}; it must be a finite number of at least 0")


def proportion(name: str, value: float) -> None:
    """Refuses what does not lie in [0, 1]."""
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"{name} is {value!r}; a share lies between 0 and 1")


def known_names(name: str, given: Mapping[Any, Any], allowed: Sequence[Any]) -> None:
    """Refuses a mapping with a key that is not `allowed`."""
    unknown = [key for key in given if key not in allowed]
    if unknown:
        raise ValueError(
            f"{name} has {unknown[0]!r}; choose from {', '.join(map(str, allowed))}"
            f"{meant(unknown[0], allowed)}"
        )


def distribution(name: str, shares: Mapping[Any, float], allowed: Sequence[Any]) -> None:
    """Refuses shares of anything but `allowed`, outside [0, 1], or that do not sum to 1."""
    known_names(name, shares, allowed)
    for key, share in shares.items():
        proportion(f"{name}[{key!r}]", share)
    # fsum: the sum itself must not add to the error that is looked for
    total = math.fsum(shares.values())
    if abs(total - 1) > 1e-6:  # a configuration writes thirds with few digits
        raise ValueError(f"{name} sums to {total:g}; shares must sum to 1")
