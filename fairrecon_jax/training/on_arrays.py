"""Training on a cohort in memory, with a work directory only where one is wanted."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
import pandas as pd

from fairrecon_jax.data.arrays import ArraySource
from fairrecon_jax.data.cohort import Cohort as Cohort  # a part of what `fit` takes
from fairrecon_jax.data.splits import VAL, make_splits
from fairrecon_jax.runtime.capacity import capacity
from fairrecon_jax.training import loop
from fairrecon_jax.training.augment import Augmentation
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.room import look
from fairrecon_jax.training.step import Prepare
from fairrecon_jax.training.trainable import Objective, Trainable
from fairrecon_jax.types import InputError, Variables

Sampling = Callable[[np.ndarray], np.ndarray | None]
"""Sampling weights of training rows by their numbers."""


class Physics(Protocol):
    """A degradation at a level, see `physics.at_level.AtLevel`."""

    kind: str
    level: float
    fields: dict[str, Any]

    def prepare(self, size: int) -> Prepare:
        """The function that adds "degraded" to a batch."""
        ...


def fit(
    model: Trainable,
    cohort: Cohort,
    physics: Physics | None = None,
    *,
    steps: int,
    batch_size: int = 8,
    validation: float = 0.2,
    workdir: str | Path | None = None,
    initial: Variables | None = None,
    augment: Augmentation | None = None,
    objective: Objective | None = None,
    sampling: Sampling | None = None,
    **choices: Any,
) -> Variables:
    """Trains a reconstructor or a diagnoser on a cohort in memory.

    Args:
      model: what is trained, e.g. `fr.UNetReconstructor(width=16)`.
      cohort: from `fr.arrays` or `fr.open_cohort`.
      physics: the degradation that a reconstructor learns to undo; None for a diagnoser.
      steps: optimiser steps.
      batch_size: images a step; a multiple of the devices.
      validation: share of the patients that pick the best variables; 0 = none, the last variables
        are returned.
      workdir: keeps checkpoints, log and weights there, and goes on from what it holds; None for a
        folder that is removed afterwards.
      initial: variables to start from.
      augment: changes of the training images.
      objective: a term for the loss, see `fr.mitigate`.
      sampling: gives the sampling weights [n] of n training rows, None for equal ones.
      **choices: further fields of `TrainConfig`, such as learning_rate and seed.

    Returns:
      The variables, for `fr.tandem` and `fr.trained`.

    Raises:
      InputError: a choice is refused, the images do not fit the model, there is nothing to train
        on, a reconstructor has no physics, or a step needs more memory than there is.
      TrainingDiverged: the loss is not finite; the message names the step.

    Example:
      >>> x = np.linspace(0, 1, 8 * 8 * 8, dtype=np.float32).reshape(8, 8, 8)
      >>> unet, physics = fr.UNetReconstructor(width=2, depth=1), fr.GaussianNoise(sd=0.1)
      >>> weights = fit(unet, fr.arrays(x), physics, steps=2, batch_size=4, validation=0)
      >>> sorted(weights)
      ['batch_stats', 'params']
    """
    _check_kinds(model, cohort, physics, validation)
    _check_more(workdir, initial, augment, objective, sampling)
    if len(cohort) == 0:
        raise InputError("the cohort holds no image: there is nothing to train on")
    size = cohort.source[0]["image"].shape[0]
    _check(model, cohort, physics, size)
    config = _config(steps, batch_size, choices)
    splits = make_splits(cohort.table, cohort.spec, (1 - validation, validation, 0), config.seed)
    train = (cohort, splits.rows(cohort.table, "train"))
    val = (cohort, splits.rows(cohort.table, VAL)) if validation else None
    if val is None:
        choices = {"selection": "", "eval_every": 0, **choices}
    else:
        devices = jax.local_device_count()
        # small cohorts: a batch of 32 would be padding mostly
        eval_size = min(32, -(-len(val[1]) // devices) * devices)
        choices = {"eval_batch_size": eval_size, **choices}
    config = _config(steps, batch_size, choices)
    _check_memory(model, config, cohort, size)
    degraded = None
    if physics is not None:
        degraded = {"kind": physics.kind, "level": physics.level, **physics.fields}
    with contextlib.ExitStack() as stack:
        beside = {"degradation": degraded, "augment": augment, "splits": splits.digest}
        if workdir and isinstance(cohort.source, ArraySource):
            # other images of the same names are another training
            labels = pd.util.hash_pandas_object(cohort.table.astype(str)).sum()
            beside["cohort"] = f"{cohort.source.digest}-{labels:016x}"
        folder = workdir or stack.enter_context(tempfile.TemporaryDirectory())
        return loop.fit(
            model,
            train,
            val,
            config,
            Path(folder),
            prepare=None if physics is None else physics.prepare(size),
            objective=objective,
            initial=initial,
            weights=None if sampling is None else sampling(train[1]),
            augment=None if augment is None else augment.batch,
            choices=beside,
        )


def _config(steps: int, batch_size: int, choices: dict[str, Any]) -> TrainConfig:
    """The choices of the run.

    Raises:
      InputError: one is refused; the message names it.
    """
    try:
        config = TrainConfig(steps=steps, batch_size=batch_size, **choices)
    except (TypeError, ValueError) as error:
        raise InputError(f"{error}; further choices are the fields of TrainConfig") from error
    if config.learning_rate == 0:
        raise InputError("learning_rate is 0: nothing would be learned; give a rate above 0")
    return config


def _check_memory(model: Trainable, config: TrainConfig, cohort: Cohort, size: int) -> None:
    """A step must have room beside the images."""
    room, source = capacity(), cohort.source
    if room.host and isinstance(source, ArraySource):
        held = source.images.nbytes + (0 if source.masks is None else source.masks.nbytes)
        room = dataclasses.replace(room, images=held)
    devices = jax.local_device_count()
    said = look(model, config, cohort.spec, size, devices, room)[1]
    if said:
        raise InputError("; ".join(f"{field} {one.words()}" for field, one in said.items()))


def _check_more(workdir: Any, initial: Any, augment: Any, objective: Any, sampling: Any) -> None:
    """What may be given beside must be of its kind, too."""
    if workdir is not None and not isinstance(workdir, str | Path):
        raise InputError(f"workdir takes a folder, got {workdir!r}")
    if workdir is not None and Path(workdir).exists() and not Path(workdir).is_dir():
        raise InputError(f"workdir {str(workdir)!r} is a file: name a folder")
    if initial is not None and not isinstance(initial, Mapping):
        raise InputError(f"initial takes variables such as fit returns, got {initial!r}")
    if augment is not None and not isinstance(augment, Augmentation):
        raise InputError(f"augment takes fr.Augmentation(...), got {augment!r}")
    if objective is not None and not isinstance(objective, Objective):
        raise InputError(f"objective is a term for the loss, see fr.mitigate; got {objective!r}")
    if sampling is not None and not callable(sampling):
        raise InputError(
            f"sampling takes a function from row numbers to weights, got {type(sampling).__name__}"
        )


def _check_kinds(model: Any, cohort: Any, physics: Any, validation: float) -> None:
    """What is given must be of the kinds that `fit` takes."""
    if not isinstance(cohort, Cohort):
        raise InputError(
            f"cohort must come from fr.arrays or fr.open_cohort, got {type(cohort).__name__}"
        )
    if isinstance(model, type):
        raise InputError(f"model is the class {model.__name__}: make one, {model.__name__}(...)")
    if not isinstance(model, Trainable):
        raise InputError(
            f"model must be a reconstructor or a diagnoser, got {type(model).__name__}"
        )
    if physics is not None and not hasattr(physics, "prepare"):
        raise InputError(
            "physics must be a degradation at a level, such as fr.RadialMRI(acceleration=8), got "
            f"{type(physics).__name__}"
        )
    if isinstance(validation, bool) or not isinstance(validation, Real) or not 0 <= validation < 1:
        raise InputError(f"validation is a share of the patients in [0, 1), got {validation!r}")


def _check(model: Any, cohort: Cohort, physics: Physics | None, size: int) -> None:
    """The model must fit the images and the cohort's tasks."""
    if hasattr(model, "check"):
        try:
            model.check(size)
        except ValueError as error:
            raise InputError(f"{model.name}: {error}") from error
    if hasattr(model, "check_training"):
        try:
            model.check_training()
        except ValueError as error:
            raise InputError(f"{model.name}: {error}") from error
    if hasattr(model, "reconstruct") and physics is None:
        raise InputError(
            f"{model.name} is a reconstructor: give the physics that it is to undo, such as "
            "fr.RadialMRI(acceleration=8)"
        )
    if hasattr(model, "tasks"):
        names = [task.name for task in cohort.spec.tasks if task.kind == model.kind]
        for task, column in zip(model.tasks, model.columns, strict=True):
            if column >= len(names) or names[column] != task:
                raise InputError(
                    f"{model.name} reads {task!r} from column {column}, the cohort's "
                    f"{model.kind} tasks are {', '.join(names) or 'none'}: build it with "
                    "fr.make_diagnoser(kind, cohort.spec, tasks)"
                )
