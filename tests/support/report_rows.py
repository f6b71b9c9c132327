"""Rows of the long tables, made up one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from fairrecon_jax.report.long_tables import NUMBERS, TEXT

Record = dict[str, Any]


def row(**given: Any) -> Record:
    """A row of a long table with the given columns, all others blank."""
    unknown = set(given) - set(TEXT) - set(NUMBERS)
    assert not unknown, unknown
    return {**dict.fromkeys(TEXT, ""), **dict.fromkeys(NUMBERS, np.nan), **given}


def bounds(value: float, half: float) -> Record:
    """A value in the middle of its interval."""
    return {"value": value, "ci_low": value - half, "ci_high": value + half}


def versions(
    base: Record, original: float, reconstructed: float, half: float, **change: Any
) -> list[Record]:
    """The rows original, reconstructed and change of one number."""
    delta = reconstructed - original
    both = {
        "original": original,
        "reconstructed": reconstructed,
        "change": delta,
        "percent": 100 * delta / original,
        "std_error": half / 3,
    }
    return [
        row(**base, version="original", **bounds(original, half)),
        row(**base, version="reconstructed", **bounds(reconstructed, half)),
        row(**{**base, "version": "change", **both, **bounds(delta, 0.6 * half), **change}),
    ]
