"""Running the tandem step over a cohort: predictions of the cells of a study, and images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pandas as pd
from PIL import Image

from fairrecon_jax.assessment import read_predictions, write_predictions
from fairrecon_jax.data.cohort import Cohort
from fairrecon_jax.data.loader import eval_batches
from fairrecon_jax.diagnosers.callable import plainly
from fairrecon_jax.reconstructors.interface import GivesImages
from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.devices import map_rows
from fairrecon_jax.runtime.progress import progress
from fairrecon_jax.runtime.text import file_of
from fairrecon_jax.study.config import StudyConfig
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.grid import cells
from fairrecon_jax.tandem import TandemInputs
from fairrecon_jax.types import Array, Batch, Cell, InputError, Variables


def batches(cohort: Cohort, rows: np.ndarray, batch_size: int, label: str) -> Iterator[Batch]:
    """`eval_batches` with a progress bar that counts the images of all processes."""
    bar = progress(label, len(rows), unit="image")
    starts = range(0, len(rows), batch_size)
    for start, batch in zip(starts, eval_batches(cohort, rows, batch_size), strict=True):
        yield batch
        bar.advance(min(batch_size, len(rows) - start))
    bar.close()


def predict(
    step: Callable[[TandemInputs, Batch], dict[str, Array]],
    inputs: TandemInputs,
    cohort: Cohort,
    rows: np.ndarray,
    batch_size: int,
    devices: int | None = None,
    label: str = "predict",
) -> pd.DataFrame:
    """Runs the compiled step over rows of a cohort; the last batch is padded and its padding
    masked, nothing is dropped.

    In a run of several processes each computes its share of every batch, and every process gets the
    whole table.

    Args:
      step: from `compile_step`.
      inputs: from `Tandem.inputs`.
      cohort: whose `table` gives names, patients and attributes.
      rows: row numbers of the cohort, any order.
      batch_size: examples per call over all devices of all processes.
      devices: how many local devices `step` was compiled for; all local ones if None.
      label: what the progress bar says.

    Returns:
      One row per entry of `rows`, in that order: example_id, patient_id, the attributes by name,
        then the columns of `Tandem.step`.

    Raises:
      InputError: there is no row, or `batch_size` is not a multiple of the device count.
      TimeoutError: a process of the run has not computed its share in time.
    """
    if not len(rows):
        raise InputError(f"{label}: the cohort {cohort.spec.name} has no row to predict")
    count = jax.process_count() * (devices or jax.local_device_count())
    # before the first batch is read: a mapped step would fail on it without naming the field
    if batch_size % count:
        raise InputError(
            f"tandem batch_size {batch_size} is not a multiple of the {count} devices; choose one "
            "that is"
        )
    parts: list[dict[str, np.ndarray]] = []
    for batch in batches(cohort, rows, batch_size, label):
        with plainly():
            columns = jax.device_get(step(inputs, batch))
        part = {name: np.asarray(value) for name, value in columns.items()}
        parts.append(part | {"index": np.asarray(batch["index"])})
    stacked = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    joined = processes.all_gather(stacked, f"predict its share of {label}")
    # padding has index -1; every other index is there once, so `loc` below finds one row each
    kept = joined["index"] >= 0
    values = pd.DataFrame({name: value[kept] for name, value in joined.items()}).set_index("index")
    names = ["example_id", "patient_id", *(a.name for a in cohort.spec.attributes)]
    table = cohort.table.iloc[rows][names].reset_index(drop=True)
    return pd.concat([table, values.loc[rows].reset_index(drop=True)], axis=1)


def tandem_inputs(context: Context, cell: Cell) -> TandemInputs:
    """Weights, operator and key of one cell."""
    study = context.study
    reconstructor = study.reconstructors[cell.reconstructor]
    frozen = context.diagnoser_weights(cell.training)
    # the tree of a network without anything learned, which an identity takes
    own: Variables = {"params": {}, "batch_stats": {}}
    if reconstructor.has_weights:
        own = context.weights(context.workdir.model(weights_cell(context, cell)))
    tandem, _ = context.tandem(cell.reconstructor)
    # the study's, not the training's: all trainings read the same noisy measurements
    key = jax.random.key(study.seed)
    return tandem.inputs(cell.level, own, frozen, key, context.metric_weights)


def weights_cell(context: Context, cell: Cell) -> Cell:
    """The cell whose training makes the weights of one."""
    if cell.is_mitigated:
        return cell
    source = context.study.reconstructors[cell.reconstructor].weights_of  # itself, as a rule
    # mitigated weights are never borrowed
    return dataclasses.replace(cell, reconstructor=source)


def predict_cell(context: Context, cell: Cell) -> None:
    """Writes the predictions of one cell of the grid: validation and test, original and
    reconstruction; all processes take part.
    """
    study, rows = context.study, context.evaluated_rows()
    _, step = context.tandem(cell.reconstructor)
    table = predict(
        step,
        tandem_inputs(context, cell),
        context.cohort,
        rows,
        study.tandem.batch_size,
        label=f"predict {cell.title}",
    )
    parts = context.cohort.table.iloc[rows]["patient_id"].map(context.splits.patients).to_numpy()
    table.insert(2, "split", parts)
    columns: dict[str, Any] = {
        "cohort": context.spec.name,
        "level": cell.level,
        "reconstructor": cell.reconstructor,
        "mitigation": cell.variant,
        "seed": table_seed(context.study, cell),
    }
    # scores do not depend on groups, so the file of a cell holds none: see `with_groups`
    spec = dataclasses.replace(context.spec, attributes=())
    kept = table.drop(columns=[a.name for a in context.spec.attributes])
    write_predictions(context.workdir.prediction(cell), kept.assign(**columns), spec)


def with_groups(context: Context, table: pd.DataFrame) -> pd.DataFrame:
    """Predictions with the groups of the study's attributes, however these are coded today.

    Args:
      context: the study.
      table: predictions of its examples.

    Returns:
      The table with a column per attribute.
    """
    names = [attribute.name for attribute in context.spec.attributes]
    known = context.cohort.table.set_index("example_id").loc[table["example_id"], names]
    return table.assign(**{name: known[name].to_numpy(object) for name in names})


def table_seed(study: StudyConfig, cell: Cell) -> int:
    """What the column `seed` of predictions holds: the training's seed where there are several, of
    a cell without training the first of them.
    """
    if cell.training is not None:
        return cell.training
    # what is not trained stands beside the first training, and in no test over several
    return study.seeds[0] if study.seeds else study.seed


def merge_predictions(context: Context) -> pd.DataFrame:
    """Stacks the predictions of all cells that are assessed, with the cohort's columns that the
    assessment looks at, into `predictions.parquet`.
    """
    # chosen weights only: the others lie under their variants
    paths = [context.workdir.prediction(cell) for cell in cells(context.study)]
    table = pd.concat([read_predictions(path)[0] for path in paths], ignore_index=True)
    table = with_groups(context, table)
    assess = context.study.assess
    # attributes are there already
    wanted = {*assess.continuous, *filter(None, [assess.strata])} - set(table.columns)
    if wanted:
        known = context.cohort.table.set_index("example_id").loc[table["example_id"]]
        table = table.assign(**{column: known[column].to_numpy() for column in sorted(wanted)})
    write_predictions(context.workdir.predictions, table, context.spec)
    return table


def write_images(context: Context, cell: Cell, part: str = "test") -> None:
    """Writes degraded and reconstructed images of one part of the split as 16-bit PNG files, each
    process those of its share.

    `degraded/` and `reconstructed/` of the cell's folder receive one file per example, named after
    the example.

    Args:
      context: the study.
      cell: reconstructor and level.
      part: "train", "val" or "test".
    """
    tandem, _ = context.tandem(cell.reconstructor)
    if isinstance(tandem.reconstructor, GivesImages):
        raise InputError(f"the images of {cell.reconstructor!r} are files already")
    step, inputs = map_rows(tandem.reconstruct), tandem_inputs(context, cell)
    folder, rows = context.workdir.reconstructions(cell), context.rows(part)
    names = context.cohort.table["example_id"]
    for version in ("degraded", "reconstructed"):
        (folder / version).mkdir(parents=True, exist_ok=True)
    for batch in batches(context.cohort, rows, context.study.tandem.batch_size, cell.title):
        pair = jax.device_get(step(inputs, batch))
        # padding repeats a row: another process may be writing the same file
        for i in np.flatnonzero(np.asarray(batch["weight"]) > 0):
            # slices are named <exam>/<slice>
            file = file_of(names.iloc[int(batch["index"][i])]) + ".png"
            for version, images in zip(("degraded", "reconstructed"), pair, strict=True):
                # rounded: a cast alone would darken every image by half a step
                scaled = np.round(images[i, ..., 0].clip(0, 1) * np.iinfo(np.uint16).max)
                aside = folder / version / f".{file}.partial"
                # .partial tells Pillow nothing, so the format is given
                Image.fromarray(scaled.astype(np.uint16)).save(aside, format="PNG")
                aside.replace(folder / version / file)
