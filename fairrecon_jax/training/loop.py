"""The one training loop: every reconstructor and diagnoser is fitted by `fit`, which can be killed
at any moment and continues exactly.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging

from fairrecon_jax.runtime import processes
from fairrecon_jax.training.checkpoints import digest, load_variables, save_variables
from fairrecon_jax.training.config import FREE_FIELDS, TrainConfig
from fairrecon_jax.training.evaluation import Source
from fairrecon_jax.training.identity import check_run_identity, release
from fairrecon_jax.training.run import Job, Run, TrainingDiverged
from fairrecon_jax.training.step import Prepare
from fairrecon_jax.training.trainable import Objective, Trainable
from fairrecon_jax.types import Variables

__all__ = ["TrainingDiverged", "fit"]


def fit(
    trainable: Trainable,
    train_source: Source,
    val_source: Source | None,
    config: TrainConfig,
    workdir: str | Path,
    prepare: Prepare | None = None,
    objective: Objective | None = None,
    initial: Variables | None = None,
    weights: np.ndarray | None = None,
    choices: Mapping[str, Any] | None = None,
    devices: int | None = None,
    augment: Prepare | None = None,
) -> Variables:
    """Trains and returns the best variables by validation, or the last; a finished run is read
    back, an interrupted one continues.

    A run is a function of (trainable, sources, config, prepare, objective, initial, weights,
    augment): killed at any moment and called again with the same arguments it ends in the same
    parameters, bit for bit on the same devices. `workdir` receives `run.json` (the choices),
    `metrics.jsonl`, `checkpoints/` while it runs and `final/` (`load_variables`) at its end; what
    is refused before its first checkpoint leaves `workdir` to other choices.

    Args:
      trainable: losses and metrics.
      train_source: cohort and row numbers to train on.
      val_source: cohort and row numbers to select on; None = no evaluation.
      config: the choices of the run.
      workdir: the run's own directory.
      prepare: adds fields to every batch inside the compiled step.
      objective: a term for the loss of phases with a clean estimate.
      initial: variables to start from instead of `trainable.init`.
      weights: sampling weights, one per training row (see `train_batches`).
      choices: whatever else the result depends on (cohort, split, level), as JSON: kept in
        `run.json` and compared on continuing, like the config, the rows, and the plain fields of a
        trainable or objective that is a dataclass.
      devices: local devices to use; all if None.
      augment: changes every training batch before `prepare` sees it, and no validation batch.

    Returns:
      {"params", "batch_stats"} as numpy arrays; the averaged parameters where `config.ema` is on.

    Raises:
      ValueError: the batch does not divide over the devices, the workdir holds other choices, there
        is no validation example or none has the selection metric, or the trainable does not give
        it.
      TrainingDiverged: the loss or a parameter is not finite, and is not saved; the message names
        the step and the last checkpoint.
      SystemExit: 143 after SIGTERM, with the state saved.
    """
    workdir, count = Path(workdir), devices or jax.local_device_count()
    _check_sizes(config, count)
    job = Job(
        trainable,
        train_source,
        val_source,
        config,
        workdir,
        prepare,
        objective,
        initial,
        weights,
        count,
        augment,
    )
    everything = {
        **_choices(job),
        **{f"choices.{name}": value for name, value in (choices or {}).items()},
    }
    run_digest = check_run_identity(workdir, everything, [f"config.{name}" for name in FREE_FIELDS])
    final = workdir / "final"
    if final.exists():
        logging.info("%s is finished: reading %s", trainable.name, final)
    else:
        try:
            with Run(job) as run:
                variables, record = run.finish()
        except ValueError:
            if not any((workdir / "checkpoints").glob("[0-9]*")):
                release(workdir)
            raise
        facts = {
            "selection": config.selection,
            "best": record.best,
            "best_step": record.best_step,
            "steps": record.step,
        }
        save_variables(
            final,
            variables,
            {"name": trainable.name, "run": run_digest, "choices": everything, **facts},
        )
    if processes.is_primary():
        shutil.rmtree(workdir / "checkpoints", ignore_errors=True)
    return load_variables(final)[0]


def _check_sizes(config: TrainConfig, devices: int) -> None:
    """Batches must divide over all devices of all processes."""
    total = devices * jax.process_count()
    for name, size in (("batch_size", config.batch_size), ("eval_batch_size", config.eval_size)):
        if size % total:
            raise ValueError(
                f"{name} {size} does not divide over {total} devices: use a multiple of "
                f"{total}, or fewer devices"
            )


def _choices(job: Job) -> dict[str, Any]:
    """What the result depends on, by dotted name."""

    def rows(source: Source | None) -> str:
        if source is None:
            return "none"
        numbers = np.asarray(source[1], dtype=np.int64)
        return f"{len(numbers)} rows {hashlib.sha256(numbers.tobytes()).hexdigest()[:16]}"

    weights = (
        None
        if job.weights is None
        else hashlib.sha256(np.asarray(job.weights, np.float64).tobytes()).hexdigest()[:16]
    )
    return {
        "trainable": job.trainable.name,
        **_plain_fields("trainable", job.trainable),
        **{f"config.{name}": value for name, value in dataclasses.asdict(job.config).items()},
        "train_source": rows(job.train_source),
        "val_source": rows(job.val_source),
        "objective": None if job.objective is None else type(job.objective).__name__,
        **_plain_fields("objective", job.objective),
        "initial": None if job.initial is None else digest(job.initial)[:16],
        "weights": weights,
    }


def _plain_fields(prefix: str, thing: Any) -> dict[str, Any]:
    """The fields of a dataclass that are words, numbers or tuples of them, by dotted name, those of
    its dataclasses too; {} for others.
    """

    def plain(value: Any) -> bool:
        return (
            value is None
            or isinstance(value, (str, int, float))
            or (isinstance(value, tuple) and all(map(plain, value)))
        )

    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        return {}
    values = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    found = {f"{prefix}.{name}": value for name, value in values.items() if plain(value)}
    for name, value in values.items():
        found |= _plain_fields(f"{prefix}.{name}", value)
    return found
