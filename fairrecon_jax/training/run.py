"""One run of the loop from where it stands to its end: steps, log, evaluation, checkpoints,
stopping.
"""

from __future__ import annotations

import dataclasses
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fairrecon_jax.data.loader import read_rows, train_batches
from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.choices import check_like
from fairrecon_jax.runtime.devices import map_step, replicate
from fairrecon_jax.runtime.progress import Progress, Silence, announced, progress
from fairrecon_jax.training import optim
from fairrecon_jax.training import state as states
from fairrecon_jax.training.checkpoints import Checkpoints
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.evaluation import Source, evaluate
from fairrecon_jax.training.metrics_writer import MetricsWriter, NoWriter
from fairrecon_jax.training.state import TrainState
from fairrecon_jax.training.step import Prepare, eval_step, train_step
from fairrecon_jax.training.trainable import Objective, Trainable
from fairrecon_jax.types import InputError, TrainingDiverged, Variables


@dataclasses.dataclass(frozen=True)
class Job:
    """The arguments of `loop.fit`, with the device count settled."""

    trainable: Trainable
    train_source: Source
    val_source: Source | None
    config: TrainConfig
    workdir: Path
    prepare: Prepare | None
    objective: Objective | None
    initial: Variables | None
    weights: np.ndarray | None
    devices: int
    augment: Prepare | None = None


@dataclasses.dataclass
class Record:
    """What the host remembers between steps; saved as JSON beside the state.

    Attributes:
      step: steps done.
      pending: metrics of the steps since the last line of the log.
      best: best selection value so far, None before the first evaluation.
      best_step: the step it belongs to.
      waiting: evaluations since then.
    """

    step: int = 0
    pending: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    best: float | None = None
    best_step: int | None = None
    waiting: int = 0


class Run:
    """One run; a context manager that ends reading and writing."""

    def __init__(self, job: Job):
        """Builds the compiled steps, the loader and the checkpoints; nothing runs yet."""
        config = job.config
        self._job, self._config = job, config
        self._optimizer, self._rate = optim.optimizer(config), optim.learning_rate(config)
        step = train_step(
            job.trainable, config, self._optimizer, job.prepare, job.objective, job.augment
        )
        self._step = announced(map_step(step, job.devices), f"{job.trainable.name}, training step")
        # One key for all evaluations: they differ by the weights alone.
        eval_key = jax.random.fold_in(jax.random.key(config.seed), states.EVALUATION)
        self._eval_step = announced(
            map_step(eval_step(job.trainable, eval_key, job.prepare), job.devices, donate=False),
            f"{job.trainable.name}, validation",
        )
        self._batches = train_batches(
            *job.train_source, config.batch_size, config.seed, config.workers, job.weights
        )
        self._checkpoints = Checkpoints(job.workdir / "checkpoints", config.keep)
        self._writer: MetricsWriter | NoWriter = NoWriter()
        self._bar: Progress = Silence()
        self._since = time.monotonic()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self._batches.close()
        self._checkpoints.close()
        self._writer.close()
        self._bar.close()

    def finish(self) -> tuple[Variables, Record]:
        """Continues from the latest checkpoint, or starts, and returns the variables to keep and
        the final record.
        """
        state, record, template = self._start()
        if processes.is_primary():
            self._writer = MetricsWriter(
                self._job.workdir, record.step, self._config.tensorboard, self._config.wandb
            )
        self._bar = progress(self._job.trainable.name, self._config.steps, record.step)
        with _termination() as stop:
            while record.step < self._config.steps and not self._exhausted(record):
                state, metrics = self._step(state, next(self._batches))
                record.step += 1
                record.pending.append(metrics)
                # The newest step stays in flight: the host reads the next batch meanwhile.
                self._settle(record, in_flight=1)
                stopping = bool(stop) or self._checkpoints.should_stop(record.step)
                self._between_steps(state, record, stopping)
                if stopping:
                    self._leave(record, signal.SIGINT in stop)
            if stop:  # told during the last step, whose checkpoint is on its way
                self._leave(record, signal.SIGINT in stop)
        # The best step was saved when it was found, and is kept.
        if record.best_step is not None and record.best_step != record.step:
            state = self._checkpoints.restore(template, record.best_step)[0]
        self._require_finite(state)
        return state.variables, record

    def _start(self) -> tuple[TrainState, Record, Any]:
        """(state, record, abstract state) of the latest checkpoint, or at step 0."""
        job, config = self._job, self._config
        cohort, rows = job.train_source
        example = read_rows(cohort, rows[:1])
        root = jax.random.key(config.seed)
        key = jax.random.fold_in(root, states.START)

        def create(batch: Any, initial: Variables | None) -> TrainState:
            batch = batch if job.prepare is None else job.prepare(batch, key)
            variables = job.trainable.init(key, batch) if initial is None else initial
            objective = {} if job.objective is None else job.objective.init(key, batch)
            networks = tuple(phase.network for phase in job.trainable.phases)
            return states.create(
                variables, networks, self._optimizer, config.seed, config.ema > 0, objective
            )

        # Shapes only: no network runs before everything is checked.
        template = jax.eval_shape(lambda batch: create(batch, None), example)
        if job.initial is not None:
            check_like(job.initial, template.variables)
        self._check_evaluation(template, example)
        if self._checkpoints.latest is None:
            # One program, not one per layer; its outputs are new buffers, so `initial` lives on.
            return replicate(jax.jit(create)(example, job.initial), job.devices), Record(), template
        # The loader goes on behind the batch of the checkpoint's last step.
        state, meta = self._checkpoints.restore(template)
        self._batches.set_state(meta["loader"])
        return replicate(state, job.devices), Record(**meta["record"]), template

    def _check_evaluation(self, template: TrainState, example: Any) -> None:
        """There must be something to evaluate on, and the selection metric must be one of those
        that the trainable gives.
        """
        job, config = self._job, self._config
        if not config.eval_steps or job.val_source is None:
            return
        if not len(job.val_source[1]):
            raise InputError(
                f"{job.trainable.name}: there is no validation example; add some, or set "
                "selection='' and eval_every=0"
            )
        if not config.selection:
            return

        def names(variables: Variables, batch: Any) -> Any:
            batch = batch if job.prepare is None else job.prepare(batch, jax.random.key(0))
            return job.trainable.evaluate(variables, batch, jax.random.key(0))

        known = sorted(jax.eval_shape(names, template.variables, example))
        if config.selection not in known:
            raise InputError(
                f"selection {config.selection!r} is not a metric of {job.trainable.name}: "
                f"it gives {', '.join(known)}"
            )

    def _between_steps(self, state: TrainState, record: Record, stopping: bool) -> None:
        """What is due after a step: a line of the log, an evaluation, a checkpoint."""
        config = self._config
        # Log, evaluation, checkpoint in this order: a checkpoint holds what the other two changed.
        saving = stopping or record.step % config.checkpoint_steps == 0
        if self._due(record.step, config.log_every):
            self._log(record)
        if self._job.val_source is not None and self._due(record.step, config.eval_steps):
            # A better state is saved at once: the parameters of that step are gone one step later.
            saving |= self._judge(record, state)
        if saving:
            self._save(state, record)
        self._bar.advance(1)

    def _due(self, step: int, every: int) -> bool:
        """Every so many steps, and at the last one."""
        return every > 0 and (step % every == 0 or step == self._config.steps)

    def _settle(self, record: Record, in_flight: int = 0) -> None:
        """Waits for the metrics of all pending steps but the newest `in_flight`; raises where a
        loss is not finite.
        """
        first = record.step - len(record.pending) + 1
        for place in range(len(record.pending) - in_flight):
            values = record.pending[place]
            # Settled before: only device arrays are waited for.
            if all(isinstance(value, float) for value in values.values()):
                continue
            record.pending[place] = values = {name: float(value) for name, value in values.items()}
            for name, value in values.items():
                if name.split("/")[-1] == "loss" and not math.isfinite(value):
                    raise TrainingDiverged(
                        self._divergence(f"{name} is {value} at step {first + place}")
                    )

    def _require_finite(self, state: TrainState) -> None:
        """Raises where a parameter is not finite, as after an infinite slope of a finite loss: it
        must never be saved.
        """
        if not states.finite(state):
            raise TrainingDiverged(
                self._divergence(f"a parameter is not finite at step {int(state.step)}")
            )

    def _divergence(self, what: str) -> str:
        """What to say of a loss or a parameter that is not finite."""
        # The message names the latest checkpoint, which may still be written.
        self._checkpoints.wait()
        latest = self._checkpoints.latest
        folder = self._job.workdir / "checkpoints"
        saved = (
            f"the last checkpoint is step {latest} in {folder}"
            if latest is not None
            else "there is no checkpoint yet"
        )
        return (
            f"{self._job.trainable.name}: {what}; {saved}. Lower learning_rate or set "
            "clip_norm in a new workdir"
        )

    def _log(self, record: Record) -> None:
        """Writes the mean of the pending metrics, the rate and the speed as one line."""
        self._settle(record)
        names = dict.fromkeys(name for values in record.pending for name in values)
        means = {
            name: float(np.mean([values[name] for values in record.pending])) for name in names
        }
        now, since, self._since = time.monotonic(), self._since, time.monotonic()
        extra = {
            "learning_rate": float(self._rate(record.step - 1)),
            # 1e-9: two looks at the clock may read the same time.
            "steps_per_second": len(record.pending) / max(now - since, 1e-9),
        }
        self._writer.write(record.step, "train", {**means, **extra})
        self._bar.show(
            **{name: value for name, value in means.items() if name.split("/")[-1] == "loss"}
        )
        record.pending = []

    def _judge(self, record: Record, state: TrainState) -> bool:
        """Evaluates, writes the line and says whether this is the best so far."""
        config, source = self._config, self._job.val_source
        # Waits first, so that the evaluation is not started on a loss that is NaN already.
        self._settle(record)
        assert source is not None
        metrics = evaluate(
            self._eval_step, state.variables, source, config.eval_size, config.eval_batches
        )
        self._writer.write(record.step, "val", metrics)
        if not config.selection:
            return False
        if config.selection not in metrics:
            raise InputError(
                f"{self._job.trainable.name}: no validation example has the selection "
                f"metric {config.selection!r}"
            )
        value = metrics[config.selection]
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"{self._job.trainable.name}: validation {config.selection} is {value} at "
                f"step {record.step}"
            )
        better = record.best is None or (
            value > record.best if config.selection_mode == "max" else value < record.best
        )
        record.waiting += 1
        if better:
            record.best, record.best_step, record.waiting = value, record.step, 0
        return better

    def _exhausted(self, record: Record) -> bool:
        """Whether patience is at its end."""
        return 0 < self._config.patience <= record.waiting

    def _save(self, state: TrainState, record: Record) -> None:
        """Starts a checkpoint of everything that has changed; the log is on the disk before it."""
        self._settle(record)
        self._require_finite(state)
        self._writer.sync()
        meta = {"record": dataclasses.asdict(record), "loader": self._batches.get_state()}
        self._checkpoints.save(record.step, state, meta, record.best_step)

    def _leave(self, record: Record, interrupted: bool) -> None:
        """Ends the process after SIGTERM, or the run after an interrupt, when the checkpoint is
        whole.
        """
        self._checkpoints.wait()
        if interrupted:
            raise KeyboardInterrupt
        name, folder = self._job.trainable.name, self._job.workdir
        if processes.is_primary():
            print(
                f"{name}: stopped by SIGTERM; step {record.step} is saved in {folder}, the same "
                "command continues from it",
                file=sys.stderr,
            )
        raise SystemExit(128 + signal.SIGTERM)


@contextmanager
def _termination() -> Iterator[list[int]]:
    """A list that SIGTERM and SIGINT are added to, in the main thread of a single-process run; the
    second of a kind acts at once.
    """
    stop: list[int] = []
    # Python sets handlers in the main thread only; of several processes the cluster decides.
    if threading.current_thread() is not threading.main_thread() or jax.process_count() > 1:
        yield stop
        return

    before: dict[int, Any] = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}

    def note(number: int, _: object) -> None:
        stop.append(number)
        # A step may hang: the second signal must not wait for it.
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else before[number])

    for number in before:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    # one that came after the last question whether there was any
    for number in stop:
        signal.raise_signal(number)
