"""Prediction tables from anywhere: a CSV, Excel or parquet file and a mapping that names its
columns, checked and brought into the form that `assess` takes.
"""

from fairrecon_jax.external.mapping import options_of
from fairrecon_jax.external.read import read_table

__all__ = ["options_of", "read_table"]
