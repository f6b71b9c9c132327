"""Anybody's table and images: what a column means is said by the configuration."""

from fairrecon_jax.data.cohorts.table.builder import Table

__all__ = ["Table"]
