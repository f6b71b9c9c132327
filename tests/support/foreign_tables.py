"""Tables of predictions as other people write them, with mappings that name their columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.external import read_table
from fairrecon_jax.types import CohortSpec

MAPPING = {
    "name": "mine",
    "example": "image",
    "patient": "pid",
    "split": {"column": "fold", "val": ["dev"]},
    "level": {"value": 8.0},
    "reconstructor": "model",
    "modality": "mri",
    "tasks": {
        "effusion": {"label": "y", "original": "p0", "reconstructed": "p1", "title": "Effusion"}
    },
    "attributes": {
        "sex": {"column": "Sex", "groups": {"Female": "F", "Male": ["M", "m"]}},
        "age": {"column": "Age", "cut": 62},
    },
}


def frame(n: int = 240, seed: int = 0) -> pd.DataFrame:
    """One image of each patient; one finding scored on originals and reconstructions."""
    r = np.random.default_rng(seed)
    y = r.integers(0, 2, n)
    p0 = np.clip(0.3 + 0.4 * y + r.normal(0, 0.2, n), 0, 1)
    columns = {
        "image": [f"i{i}" for i in range(n)],
        "pid": [f"p{i}" for i in range(n)],
        "fold": np.where(np.arange(n) < n // 3, "dev", "test"),
    }
    return pd.DataFrame(
        {
            **columns,
            "model": "unet",
            "y": y,
            "p0": p0,
            "p1": np.clip(p0 + r.normal(0, 0.05, n), 0, 1),
            "Sex": r.choice(["F", "M", "m"], n),
            "Age": r.integers(30, 90, n),
        }
    )


def saved(folder: Path, table: pd.DataFrame, name: str = "table.csv") -> Path:
    """The table as a CSV or parquet file."""
    path = folder / name
    if name.endswith("csv"):
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return path


def reasons(table: pd.DataFrame) -> dict[str, int]:
    """Counted exclusions by reason."""
    return {e["reason"]: e["count"] for e in table.attrs["exclusions"]}


PLAIN_MAPPING: dict[str, Any] = {
    "example": "image",
    "patient": "who",
    "split": "part",
    "tasks": {"finding": {"label": "y", "original": "a", "reconstructed": "b"}},
    "attributes": {"sex": "sex"},
}


def plain_frame(size: int = 120, seed: int = 0) -> pd.DataFrame:
    """A smaller table with plain names; every fourth row is a validation row."""
    r = np.random.default_rng(seed)
    y, index = r.integers(0, 2, size), np.arange(size)
    a = np.round(np.clip(0.25 + 0.5 * y + r.normal(0, 0.25, size), 0, 1), 3)
    b = np.round(np.clip(a + r.normal(0, 0.2, size), 0, 1), 3)
    columns = {
        "image": [f"i{i:03d}" for i in index],
        "who": [f"p{i:03d}" for i in index],
        "part": np.where(index % 4, "test", "valid"),
    }
    return pd.DataFrame(
        {
            **columns,
            "y": y,
            "a": a,
            "b": b,
            "sex": r.choice(["F", "M"], size),
            "age": 50 + index % 20,
        }
    )


def read_plain(
    folder: Path, table: pd.DataFrame, name: str = "mine.csv", **change: Any
) -> tuple[pd.DataFrame, CohortSpec]:
    """Writes a plain table and reads it with its mapping, some of whose keys are changed."""
    return read_table(saved(folder, table, name), {**PLAIN_MAPPING, **change})
