"""The one training loop: every reconstructor and diagnoser is fitted by `fit`, which can be killed
at any moment and continues exactly.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging

from fairrecon_jax.runtime import processes
from fairrecon_jax.training.checkpoints import digest, load_variables, save_variables
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.evaluation import Source
from fairrecon_jax.training.identity import check_run_identity, release
from fairrecon_jax.training.run import Job, Run
from fairrecon_jax.training.step import Prepare
from fairrecon_jax.training.trainable import Objective, Trainable
from fairrecon_jax.types import InputError, Variables


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
      choices: whatever else the result depends on (cohort, split, level): its `keys.identity` is
        kept in `run.json` and compared on continuing, like that of the config, the rows, and a
        trainable or objective that is a dataclass.
      devices: local devices to use; all if None.
      augment: changes every training batch before `prepare` sees it, and no validation batch.

    Returns:
      {"params", "batch_stats"} as numpy arrays; the averaged parameters where `config.ema` is on.

    Raises:
      InputError: the batch does not divide over the devices, the workdir holds other choices, there
        is no validation example or none has the selection metric, or the trainable does not give
        it.
      TrainingDiverged: the loss or a parameter is not finite, and is not saved; the message names
        the step and the last checkpoint.
      SystemExit: 143 after SIGTERM, with the state saved.
      KeyboardInterrupt: after SIGINT, with the state saved; at the second one at once.

    Example:
      >>> from tempfile import mkdtemp
      >>> unet, noise = fr.UNetReconstructor(width=2, depth=1), fr.GaussianNoise(sd=0.1).prepare(8)
      >>> train = fr.arrays(np.full((8, 8, 8), 0.5)), np.arange(8)  # a cohort and its rows
      >>> config = TrainConfig(steps=2, batch_size=4, eval_every=0)
      >>> sorted(fit(unet, train, None, config, mkdtemp(), noise)["params"])
      ['unet']
    """
    workdir, count = Path(workdir), devices or jax.local_device_count()
    config = _resolved(config, trainable)
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
    everything = {**_choices(job), "choices": choices or {}}
    run_digest = check_run_identity(workdir, everything)
    final = workdir / "final"
    if final.exists():
        logging.info("%s is finished: reading %s", trainable.name, final)
    else:
        try:
            with Run(job) as run:
                variables, record = run.finish()
        except InputError:
            # Behind a checkpoint the choices stay: it belongs to them.
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
            {"name": trainable.name, "run": run_digest, **facts},
        )
    # Also on reading back: a crash may have come between writing `final` and this.
    if processes.is_primary():
        shutil.rmtree(workdir / "checkpoints", ignore_errors=True)
    # Read from the disk in every case: a fresh run and a finished one return the same.
    return load_variables(final)[0]


def _check_sizes(config: TrainConfig, devices: int) -> None:
    """Batches must divide over all devices of all processes, those of training also into parts."""
    total = devices * jax.process_count()
    for name, size in (("batch_size", config.batch_size), ("eval_batch_size", config.eval_size)):
        if size % total:
            raise InputError(
                f"{name} {size} does not divide over {total} devices: use a multiple of "
                f"{total}, or fewer devices"
            )
    if config.batch_size // total % config.accumulate:
        raise InputError(
            f"accumulate {config.accumulate} does not divide the {config.batch_size // total} "
            f"examples that each of {total} devices has of batch_size {config.batch_size}: use a "
            f"multiple of {total * config.accumulate}"
        )


def _resolved(config: TrainConfig, trainable: Trainable) -> TrainConfig:
    """The choices written out for a trainable."""
    try:
        return config.resolve(trainable.validation_metrics)
    except ValueError as error:
        raise InputError(f"{trainable.name}: {error}") from error


def _choices(job: Job) -> dict[str, Any]:
    """What the result depends on."""

    def rows(source: Source | None) -> Any:
        # One type: the digest is of the bytes, and row numbers come as int32 too.
        return None if source is None else np.asarray(source[1], dtype=np.int64)

    def declared(thing: Any) -> Any:
        """A dataclass by its fields, anything else by its class."""
        # Not its repr, which may hold an address and differ in every process.
        return thing if thing is None or dataclasses.is_dataclass(thing) else type(thing).__name__

    return {
        "trainable": declared(job.trainable),
        "config": job.config,
        "train_source": rows(job.train_source),
        "val_source": rows(job.val_source),
        "objective": declared(job.objective),
        "initial": None if job.initial is None else digest(job.initial)[:16],
        "weights": job.weights,
    }
