"""Training a study's diagnosers and reconstructors, or importing weights instead."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fairrecon_jax.diagnosers import class_balance, rarity
from fairrecon_jax.diagnosers.imports import import_variables as import_diagnoser
from fairrecon_jax.diagnosers.imports import start_variables
from fairrecon_jax.reconstructors.imports import import_variables as import_reconstructor
from fairrecon_jax.runtime.atomic import file_digest
from fairrecon_jax.study import inputs
from fairrecon_jax.study.context import Context
from fairrecon_jax.tandem import DEGRADE
from fairrecon_jax.training.checkpoints import save_variables
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.identity import check_known_choices
from fairrecon_jax.training.loop import fit
from fairrecon_jax.training.metrics_writer import read_metrics
from fairrecon_jax.types import Batch, Cell, InputError, Key, Variables


def train_diagnoser(context: Context, name: str, training: int | None = None) -> None:
    """Trains one diagnoser on original images, under one seed, and freezes its best weights.

    Raises:
      InputError: imported weights lie there, or the diagnoser has no training.
    """
    one, folder = context.study.diagnosers[name], context.workdir.diagnoser(name, training)
    if imported_diagnoser(context, name):
        raise InputError(f"{folder} holds imported weights: remove it to train")
    train = one.training(training)
    if train is None:
        raise InputError(f"config.diagnosers.{name} has no block train")
    rows = context.rows("train_diagnosis")
    model, weights = _balanced(context, name, rows)
    fit(
        model,
        (context.cohort.originals(), rows),
        (context.cohort.originals(), context.rows("val")),
        train,
        folder,
        initial=start(context, name, training),
        weights=weights,
        choices=run_choices(context, trained_diagnoser(context, name, training)),
    )


def _balanced(context: Context, name: str, rows: np.ndarray) -> tuple[Any, np.ndarray | None]:
    """A diagnoser with the weights of its tasks, and the sampling weights of its training rows; as
    it is, and None, where its block balances neither.
    """
    one = context.study.diagnosers[name]
    if not (one.balance or one.rare_first):
        return one.model, None
    names = [task.name for task in context.spec.classification_tasks]
    columns = [names.index(task) for task in one.model.tasks]
    labels = context.cohort.labels()[rows][:, columns]
    # a block is refused where its model has no such field
    model: Any = one.model
    if one.rare_first:
        model = dataclasses.replace(model, task_weight=rarity(labels))
    return model, class_balance(labels) if one.balance else None


def trained_diagnoser(context: Context, name: str, training: int | None = None) -> dict[str, Any]:
    """What the training of a diagnoser under one seed depends on."""
    declared = inputs.diagnoser(context.study, name, training)
    init = context.study.diagnosers[name].init_file
    # only where there is one: a training without is the same as ever
    return {**declared, "init": content(init)} if init else declared


def start(context: Context, name: str, training: int | None = None) -> Variables | None:
    """The variables that the training of a diagnoser starts from; None for fresh ones."""
    one = context.study.diagnosers[name]
    train = one.training(training)
    if not one.init_file or train is None:
        return None
    size, key = context.study.cohort.image_size, jax.random.key(train.seed)
    return start_variables(one.model, one.init_file, size, key)


def train_reconstructor(context: Context, cell: Cell) -> None:
    """Trains one reconstructor at one level and freezes its best weights.

    Raises:
      InputError: imported weights lie there, or the reconstructor has no training.
    """
    one, folder = context.study.reconstructors[cell.reconstructor], context.workdir.model(cell)
    if imported(context, cell):
        # `fit` would replace what somebody brought
        raise InputError(f"{folder} holds imported weights: remove it to train")
    train = one.training(cell.training)
    if train is None:
        raise InputError(f"config.reconstructors.{one.name} has no block train")
    fit(
        one.model,
        (context.cohort.originals(), context.rows("train_reconstruction")),
        (context.cohort.originals(), context.rows("val")),
        train,
        folder,
        prepare=degrader(context, cell.level),
        augment=one.augment.batch,
        choices=run_choices(context, inputs.reconstructor(context.study, cell)),
    )


def run_choices(context: Context, declared: dict[str, Any]) -> dict[str, Any]:
    """A stage's declared inputs as the choices of its training: with the splits, and without what
    the training knows itself.
    """
    # by digest: the patients themselves, however the splits came about
    return {**_choices(declared), "splits": context.splits.digest}


def _choices(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Declared inputs without what a training knows itself."""
    known = ("model", "train", "fine_tuning")
    return {name: value for name, value in declared.items() if name not in known}


def check_continues(
    folder: Path,
    model: Any,
    train: TrainConfig | None,
    declared: Mapping[str, Any],
    fixed: bool = True,
) -> None:
    """Refuses, before anything of a run is made, a training whose folder holds one with other
    choices.

    Args:
      folder: of the training.
      model: what is trained.
      train: its choices.
      declared: inputs of the stage.
      fixed: whether the model is trained as it is, and none of its fields follows from the cohort.

    Raises:
      InputError: the message names what differs.
    """
    if train is None:
        return
    resolved = train.resolve(model.validation_metrics)
    choices: dict[str, Any] = {"config": resolved, "choices": _choices(declared)}
    if fixed:
        choices["trainable"] = model
    check_known_choices(folder, choices, unknown=("choices.splits", "choices.diagnosers"))


def check_diagnoser(context: Context, name: str, training: int | None = None) -> None:
    """As `check_continues` for one diagnoser, whose start is read as well."""
    one = context.study.diagnosers[name]
    check_continues(
        context.workdir.diagnoser(name, training),
        one.model,
        one.training(training),
        trained_diagnoser(context, name, training),
        fixed=not one.rare_first,
    )
    start(context, name, training)


def spent(folder: Path) -> float:
    """Seconds that the steps of a training took, by its log; 0 where that tells nothing."""
    seconds, before = 0.0, 0
    # a log that was spoilt says nothing: no result depends on it
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        for line in read_metrics(folder / "metrics.jsonl"):
            if line.get("split") == "train" and line.get("steps_per_second"):
                seconds += (line["step"] - before) / line["steps_per_second"]
                before = line["step"]
    return round(seconds, 1)


def degrader(context: Context, level: float) -> Callable[[Batch, Key], Batch]:
    """The function that adds "degraded" to a training batch, with noise by key and example."""
    physics = context.study.degradation.physics
    operator = physics.operator(level)  # once, outside of the step

    def degrade(batch: Batch, key: Key) -> Batch:
        # a stream of the step's key: what else draws from it leaves the noise as it is
        key = jax.random.fold_in(key, DEGRADE)
        return {**batch, "degraded": physics(operator, batch["image"], batch["example_id"], key)}

    return degrade


def read_weights(
    context: Context, what: Cell | str, paths: Sequence[str | Path]
) -> tuple[Variables, dict[str, Any]]:
    """Variables of a reconstructor (by its cell) or of a diagnoser (by its name) from files, and
    facts about these.

    Raises:
      InputError: the weights do not fit.
    """
    size = context.study.cohort.image_size
    if isinstance(what, str):
        return import_diagnoser(context.study.diagnosers[what].model, paths, size)
    model = context.study.reconstructors[what.reconstructor].model
    return import_reconstructor(model, paths, size)


def import_weights(
    context: Context, what: Cell | str, paths: Sequence[str | Path], output: Path | None = None
) -> Path:
    """Freezes PyTorch weights as those of one reconstructor at one level, or of one diagnoser, in
    place of a training.

    Args:
      context: the study.
      what: reconstructor and level, or the name of a diagnoser.
      paths: files of weights; see `reconstructors.imports` and `diagnosers.imports`.
      output: folder to write instead of the study's.

    Returns:
      The folder, whose `final` holds the weights.

    Raises:
      InputError: it has been trained here, or the weights do not fit it.
    """
    workdir = context.workdir
    folder = output or (workdir.diagnoser(what) if isinstance(what, str) else workdir.model(what))
    if (folder / "run.json").exists():
        raise InputError(
            f"{folder} holds a training run: remove it to put imported weights there, or choose "
            "another folder"
        )
    variables, facts = read_weights(context, what, paths)
    name = what if isinstance(what, str) else what.reconstructor
    meta = {"name": name, "imported": facts}
    save_variables(folder / "final", variables, meta)
    return folder


def saved(folder: Path) -> dict[str, Any]:
    """What is known of the frozen weights of a model's folder, {} where there are none."""
    # where Orbax puts JSON; read as text, since a digest is asked for at every look at a study
    path = folder / "final" / "meta" / "metadata"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise InputError(
            f"{path} is corrupt: remove {folder / 'final'} to make it again"
        ) from error


def imported(context: Context, cell: Cell) -> str:
    """The digest of imported weights of one reconstructor at one level, "" where there are none."""
    return imported_at(context.workdir.model(cell))


def imported_diagnoser(context: Context, name: str) -> str:
    """The digest of imported weights of a diagnoser, "" where there are none."""
    try:
        return imported_at(context.workdir.diagnoser(name))
    except InputError:
        # what was spoilt is trained again, where it can be
        if context.study.diagnosers[name].train is None:
            raise
        return ""


def imported_at(folder: Path) -> str:
    """The digest of imported weights in a model's folder, "" where there are none."""
    meta = saved(folder)
    return meta["digest"] if "imported" in meta else ""


def content(path: Path) -> str:
    """The SHA-256 of a file, "" where it is missing."""
    return file_digest(path) if path.is_file() else ""
