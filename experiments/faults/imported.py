"""Imports what a study needs, for the server that runs are forked from; starts nothing."""

import array_record.python.array_record_data_source
import grain
import matplotlib.backends.backend_agg
import openpyxl
import orbax.checkpoint
import pyarrow.parquet
import tensorflow_datasets

import fairrecon_jax.cli.commands
import fairrecon_jax.data.registry
import fairrecon_jax.study.run

LOADED = (
    array_record.python.array_record_data_source,
    grain,
    matplotlib.backends.backend_agg,
    openpyxl,
    orbax.checkpoint,
    pyarrow.parquet,
    tensorflow_datasets,
    fairrecon_jax.cli.commands,
    fairrecon_jax.data.registry,
    fairrecon_jax.study.run,
)
