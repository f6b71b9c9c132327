"""Joining finished studies that differ in their trainings, for one verdict on each method."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fairrecon_jax.assessment import (
    AssessOptions,
    assess,
    read_predictions,
    write_predictions,
    write_results,
)
from fairrecon_jax.report.build import build_report
from fairrecon_jax.study.train import saved
from fairrecon_jax.study.workdir import Workdir
from fairrecon_jax.types import CohortSpec, InputError


def stack(folders: Sequence[str | os.PathLike[str]]) -> tuple[pd.DataFrame, CohortSpec, list[str]]:
    """The predictions of several work directories in one table, a seed for each training.

    Seeds are numbered anew, 0, 1, ..., in the order of the folders and of the seeds in them: two
    studies may have used the same number.

    Args:
      folders: work directories of finished studies on the same images.

    Returns:
      The table, its specification, and per new seed the folder and seed it stands for.

    Raises:
      InputError: fewer than two folders, one that holds no predictions, two that assess different
        cohorts or patients, or that hold one and the same training; the message names the folder.
    """
    if len(folders) < 2:
        raise InputError("merge joins two work directories or more: --workdirs=DIR,DIR,...")
    tables: list[pd.DataFrame] = []
    names: list[str] = []
    first: tuple[CohortSpec, frozenset[tuple[str, str]]] | None = None
    _check_apart(folders)
    by_content: dict[bytes, str] = {}
    for folder in folders:
        path = Workdir(Path(folder)).predictions
        if not path.is_file():
            raise InputError(f"{folder} holds no {path.name}: run `fairrecon assess` there first")
        table, spec = read_predictions(path)
        images = frozenset(zip(table["example_id"], table["split"], strict=True))
        first = first or (spec, images)
        if spec != first[0]:
            raise InputError(
                f"{folder} assesses another cohort than {folders[0]}: its tasks, attributes or "
                "levels differ"
            )
        if images != first[1]:
            raise InputError(
                f"{folder} was evaluated on other images than {folders[0]}: give both the same "
                "splits.seed and patients"
            )
        for seed, part in table.groupby("seed", sort=True):
            name, content = f"{folder}, seed {seed}", _content(part.drop(columns="seed"))
            if content in by_content:
                raise InputError(
                    f"{name} holds the same predictions as {by_content[content]}: one training "
                    "must not count as two"
                )
            by_content[content] = name
            # one number per training over all folders: the assessment takes seeds for trainings
            tables.append(part.assign(seed=len(names)))
            names.append(name)
    assert first is not None  # there are two folders
    return pd.concat(tables, ignore_index=True), first[0], names


def _check_apart(folders: Sequence[str | os.PathLike[str]]) -> None:
    """Refuses a folder that is given twice, and reconstructors of the same weights in two folders:
    a copy of a study is no further training.

    Raises:
      InputError: the message names the folders.
    """
    places: dict[Path, str | os.PathLike[str]] = {}
    by_weights: dict[str, Path] = {}
    for folder in folders:
        place = Path(folder).resolve()
        if place in places:
            raise InputError(
                f"--workdirs names the folder {places[place]} twice"
                + (f", the second time as {folder}" if str(folder) != str(places[place]) else "")
            )
        places[place] = folder
        trained = {}
        # studies may well share their diagnosers, and weights from elsewhere
        for run in sorted((place / "reconstructors").rglob("run.json")):
            weights = saved(run.parent).get("digest")
            if weights in by_weights:
                raise InputError(
                    f"{run.parent} holds the same weights as {by_weights[weights]}: one training "
                    "must not count as two"
                )
            if weights:
                trained[weights] = run.parent
        by_weights |= trained


def _content(part: pd.DataFrame) -> bytes:
    """A digest of rows in whatever order."""
    ordered = part[sorted(part.columns)]
    rows = pd.util.hash_pandas_object(ordered, index=False).to_numpy()
    return hashlib.sha256(np.sort(rows).tobytes()).digest()


def merge(
    folders: Sequence[str | os.PathLike[str]],
    workdir: str | os.PathLike[str],
    options: AssessOptions | None = None,
) -> Path:
    """Assesses the predictions of several work directories together and writes tables and report.

    Args:
      folders: see `stack`.
      workdir: takes `predictions.parquet`, `results/` and `report/`; none of the folders.
      options: choices of the assessment.

    Returns:
      The report's page.

    Raises:
      InputError: as `stack`, or the work directory is one of the folders.
    """
    target = Path(workdir)
    if target.resolve() in {Path(folder).resolve() for folder in folders}:
        raise InputError(f"--workdir={workdir} is one of the folders that are joined")
    table, spec, names = stack(folders)
    performance, fairness = assess(table, spec, options, shown=True)
    write_predictions(target / "predictions.parquet", table, spec)
    write_results(target, performance=performance, fairness=fairness)
    columns = ["example_id", "patient_id", "split", *(a.name for a in spec.attributes)]
    people = table[columns].drop_duplicates("example_id").reset_index(drop=True)
    provenance = {
        "config": {"options": str(options or AssessOptions())},
        "seeds": dict(enumerate(names)),
    }
    return build_report(target, spec, performance, fairness, people, (), provenance, shown=True)
