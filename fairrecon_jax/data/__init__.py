"""Cohorts: from a downloaded tree to examples, labels, groups and splits."""

from fairrecon_jax.data.api import open_cohort, prepare
from fairrecon_jax.data.cohort import Cohort, CohortConfig
from fairrecon_jax.data.registry import COHORTS
from fairrecon_jax.data.splits import Splits, make_splits, read_splits, write_splits

__all__ = ["COHORTS", "Cohort", "CohortConfig", "Splits", "make_splits", "open_cohort", "prepare", "read_splits", "write_splits"]
