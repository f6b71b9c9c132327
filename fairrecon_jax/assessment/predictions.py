"""Tables on disk: predictions as parquet with the cohort specification in the schema metadata,
results as CSV.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fairrecon_jax.assessment.rows import TEXT
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.runtime.csv_text import csv_text, read_csv
from fairrecon_jax.types import CohortSpec, InputError

SPEC_KEY = b"cohort_spec"
CELL = ("seed", "level", "reconstructor", "mitigation")
ORDER = ("cohort", *CELL, "split", "patient_id", "example_id")
WORDS = TEXT | {"sweep", "part", "chosen", "curve", "levels"}
"""Columns of results that hold text, those of the sweeps included."""


def write_predictions(path: str | os.PathLike[str], table: pd.DataFrame, spec: CohortSpec) -> None:
    """Writes a predictions table atomically, its rows in a fixed order.

    Args:
      path: the parquet file; its folder is made if missing.
      table: wide table, one row per image or slice and study cell.
      spec: stored as JSON in the schema metadata under `cohort_spec`.

    Raises:
      InputError: `example_id` is missing.

    Example:
      >>> from tempfile import mkdtemp
      >>> from fairrecon_jax.assessment.on_arrays import predictions
      >>> table, spec = predictions(label=[0, 1], original=[0.2, 0.9], reconstructed=[0.3, 0.7])
      >>> path = Path(mkdtemp(), "predictions.parquet")
      >>> write_predictions(path, table, spec)
      >>> path.is_file()
      True
    """
    if "example_id" not in table.columns:
        raise InputError(
            f"a predictions table needs the column 'example_id', got {list(table.columns)}"
        )
    # whatever order the batches came in, equal predictions make equal files
    ordered = table.sort_values(
        [c for c in ORDER if c in table.columns], kind="stable"
    ).reset_index(drop=True)
    arrow = pa.Table.from_pandas(ordered, preserve_index=False)
    # beside the metadata that pandas reads its types from
    arrow = arrow.replace_schema_metadata(
        {**(arrow.schema.metadata or {}), SPEC_KEY: spec.to_json().encode()}
    )
    content = io.BytesIO()
    pq.write_table(arrow, content)
    write_atomic(Path(path), content.getvalue())


def read_predictions(path: str | os.PathLike[str]) -> tuple[pd.DataFrame, CohortSpec]:
    """Reads a predictions table and the specification stored in it.

    Args:
      path: parquet file written by `write_predictions`.

    Returns:
      (table, spec).

    Raises:
      FileNotFoundError: there is no such file.
      InputError: the file is not parquet or carries no specification; the message says how to read
        such a table.

    Example:
      >>> from tempfile import mkdtemp
      >>> from fairrecon_jax.assessment.on_arrays import predictions
      >>> path = Path(mkdtemp(), "predictions.parquet")
      >>> write_predictions(path, *predictions(label=[0, 1], original=[0, 1], reconstructed=[0, 0]))
      >>> table, spec = read_predictions(path)
      >>> table["finding__reconstructed"].tolist(), spec.tasks[0].name
      ([0.0, 0.0], 'finding')
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"no predictions table at {source}")
    try:
        arrow = pq.read_table(source)
    except pa.ArrowInvalid as error:
        raise InputError(f"{source} is not a parquet file: {error}") from error
    metadata = arrow.schema.metadata or {}
    if SPEC_KEY not in metadata:
        raise InputError(
            f"{source} carries no cohort specification; read foreign tables with "
            "fairrecon_jax.external.read_table"
        )
    return arrow.to_pandas(), CohortSpec.from_json(metadata[SPEC_KEY].decode())


def write_results(workdir: str | os.PathLike[str], **tables: pd.DataFrame) -> None:
    """Writes each table to `<workdir>/results/<name>.csv`.

    Args:
      workdir: of the study.
      **tables: long tables by name, e.g. `performance`, `fairness`.

    Example:
      >>> from tempfile import mkdtemp
      >>> workdir = mkdtemp()
      >>> write_results(workdir, performance=pd.DataFrame({"metric": ["auroc"], "value": [0.8]}))
      >>> read_results(workdir, "performance")["value"].tolist()
      [0.8]
    """
    for name, table in tables.items():
        write_atomic(Path(workdir) / "results" / f"{name}.csv", csv_text(table))


def read_results(workdir: str | os.PathLike[str], name: str) -> pd.DataFrame:
    """Reads `<workdir>/results/<name>.csv` as it was written: text columns hold text whatever it
    says ("NA", "None" and "2024" are names that a group or task may have), "" where there is none;
    an empty entry of any other column is NaN.

    Raises:
      FileNotFoundError: the study has not been assessed.

    Example:
      >>> from tempfile import mkdtemp
      >>> workdir = mkdtemp()
      >>> write_results(workdir, fairness=pd.DataFrame({"group": ["NA", ""], "value": [0.1, None]}))
      >>> read_results(workdir, "fairness")["group"].tolist()  # a group may be called NA
      ['NA', '']
    """
    path = Path(workdir) / "results" / f"{name}.csv"
    if not path.is_file():
        raise FileNotFoundError(f"no results at {path}: run `fairrecon assess` first")
    columns = pd.read_csv(path, nrows=0).columns
    return read_csv(
        path,
        dtype={c: str for c in columns if c in WORDS},
        keep_default_na=False,
        na_values={c: [""] for c in columns if c not in WORDS},
        # read in chunks, a column that is empty for long would get mixed types
        low_memory=False,
    )
