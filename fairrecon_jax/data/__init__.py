"""Cohorts: from a downloaded tree to examples, labels, groups and splits.

The names below are imported when they are first used: most of them bring TensorFlow Datasets and
readers of image files with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairrecon_jax.data.api import open_cohort, prepare
    from fairrecon_jax.data.cohort import Cohort, CohortConfig
    from fairrecon_jax.data.mapping import table_columns
    from fairrecon_jax.data.registry import COHORTS, register
    from fairrecon_jax.data.splits import Splits, make_splits, read_splits, write_splits

__all__ = [
    "COHORTS",
    "Cohort",
    "CohortConfig",
    "Splits",
    "make_splits",
    "open_cohort",
    "prepare",
    "read_splits",
    "register",
    "table_columns",
    "write_splits",
]

_MODULES = {
    "COHORTS": "registry",
    "Cohort": "cohort",
    "CohortConfig": "cohort",
    "Splits": "splits",
    "make_splits": "splits",
    "open_cohort": "api",
    "prepare": "api",
    "read_splits": "splits",
    "register": "registry",
    "table_columns": "mapping",
    "write_splits": "splits",
}


def __getattr__(name: str) -> Any:
    """Imports a public name from its module."""
    import importlib

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
