"""Checks of option values; each names the option and says what it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fairrecon_jax.types import meant


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
