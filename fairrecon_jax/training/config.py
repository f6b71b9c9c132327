"""The choices of one training run, checked when they are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from fairrecon_jax.keys import added, free
from fairrecon_jax.runtime.choices import check_numbers
from fairrecon_jax.types import Precision, meant

Mode = Literal["max", "min"]


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The choices of one training run; the same in a notebook and in a configuration.

    Fields that are None follow from the others, see `resolve`: overriding `steps` keeps them right.
    `remat`, `eval_batch_size`, `workers`, `checkpoint_every`, `keep`, `log_every`, `tensorboard`
    and `wandb` change no number and may differ when a run continues.

    Attributes:
      steps: optimiser steps in all.
      batch_size: examples a step, over all devices and processes.
      learning_rate: peak rate.
      schedule: after the warm-up "constant", "cosine" (to 0 at the last step), or "half_linear"
        (constant for the first half of the steps, then linear to 0, as Pix2Pix is published).
      schedule_every: steps behind the warm-up that share a rate, as those of an epoch do in
        PyTorch; 0 = each has its own, see `optim.learning_rate`.
      warmup_steps: steps of linear rise from 0 to the peak.
      optimizer: "adam", "amsgrad" (the largest second moment so far, in PyTorch's order) or "adamw"
        (decoupled weight decay).
      b1: decay of the first moment.
      b2: decay of the second moment.
      weight_decay: decoupled with "adamw", otherwise added to the gradient (L2).
      clip_norm: largest global norm of a network's gradient; 0 = no clipping.
      ema: decay of the moving average of the parameters (bias corrected); 0 = none. Where it is on,
        the averages are judged and returned.
      precision: "float32", or "bfloat16" computation on float32 parameters.
      accumulate: parts that a step splits its batch into, one after another; their mean gradient
        makes the update. It takes the activation memory of batch_size / accumulate examples. Means
        over examples, noise, steps and rate stay what they are; batch norm, a Dice pooled over the
        batch, a mean over known labels and a mitigation objective see one part at a time.
      remat: compute the network's blocks a second time for the gradient, so that between the passes
        only their inputs and outputs take memory: the same numbers, up to rounding where the
        compiler arranges sums anew.
      eval_every: steps between evaluations on the validation source; 0 = never, None = an eighth of
        `steps`.
      eval_batch_size: examples an evaluation batch; 0 = batch_size.
      eval_batches: evaluate on at most so many batches, from the start; 0 = on everything.
      selection: name of the validation metric that picks the best variables; "" = the last ones are
        returned, None = the first of the model's `validation_metrics`.
      selection_mode: "max" or "min"; None = the metric's own direction.
      patience: stop after so many evaluations in a row without a better one; 0 = never.
      checkpoint_every: steps between checkpoints; None = a quarter of `steps`.
      keep: latest checkpoints kept, beside the best.
      log_every: steps whose mean makes one line of metrics.
      seed: of initial parameters, order of examples and all noise.
      workers: reading processes of the loader; 0 = threads of this one.
      tensorboard: write TensorBoard events too (needs the extra "tensorboard").
      wandb: log to Weights & Biases too (needs the extra "wandb"; WANDB_MODE=offline
        sends nothing).

    Example:
      >>> TrainConfig(steps=800, batch_size=8).checkpoint_steps
      200
    """

    steps: int
    batch_size: int
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine", "half_linear"] = "cosine"
    schedule_every: int = added(0)
    warmup_steps: int = 0
    optimizer: Literal["adam", "amsgrad", "adamw"] = "adam"
    b1: float = 0.9
    b2: float = 0.999
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    ema: float = 0.0
    precision: Precision = "float32"
    accumulate: int = 1
    remat: bool = free(False)
    eval_every: int | None = None
    eval_batch_size: int = free(32)
    eval_batches: int = 0
    selection: str | None = None
    selection_mode: Mode | None = None
    patience: int = 0
    checkpoint_every: int | None = free(None)
    keep: int = free(1)
    log_every: int = free(50)
    seed: int = 0
    workers: int = free(0)
    tensorboard: bool = free(False)
    wandb: bool = free(False)

    def __post_init__(self) -> None:
        check_numbers(self)
        for field, lowest in _LOWEST.items():
            value = getattr(self, field)
            if value is not None and not value >= lowest:  # NaN is not at least anything
                raise ValueError(f"{field} must be at least {lowest}, got {value}")
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                words = ", ".join(map(str, choices))
                value = getattr(self, field)
                hint = meant(value, choices)
                raise ValueError(f"{field} must be one of {words}, got {value!r}{hint}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must lie in 0 .. 2^32 - 1, got {self.seed}")
        for field in ("ema", "b1", "b2"):
            if not 0 <= getattr(self, field) < 1:
                raise ValueError(f"{field} must lie in [0, 1), got {getattr(self, field)}")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size {self.batch_size} does not divide into accumulate = {self.accumulate} "
                "equal parts"
            )
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) must be fewer than steps ({self.steps})"
            )
        if self.patience and self.selection == "":
            raise ValueError("patience needs a selection metric")
        if self.selection and self.eval_every == 0:
            raise ValueError(
                f"selection {self.selection!r} needs eval_every > 0: without evaluations nothing "
                "can be selected"
            )

    @property
    def eval_size(self) -> int:
        """Examples an evaluation batch."""
        return self.eval_batch_size or self.batch_size

    @property
    def eval_steps(self) -> int:
        """Steps between evaluations, 0 = never."""
        return max(self.steps // 8, 1) if self.eval_every is None else self.eval_every

    @property
    def checkpoint_steps(self) -> int:
        """Steps between checkpoints."""
        return self.checkpoint_every or max(self.steps // 4, 1)

    def resolve(self, metrics: Mapping[str, Mode]) -> TrainConfig:
        """The same choices with every field that decides a number written out.

        Args:
          metrics: the model's validation metrics with the direction of a better one; the first is
            the default of `selection`.

        Returns:
          A configuration whose `eval_every`, `selection` and `selection_mode` are not None.

        Raises:
          ValueError: `selection` is none of the metrics, which the message lists, or
            `selection_mode` is not the direction of the metric.
        """
        name = self.selection
        if name is None:
            name = next(iter(metrics), "") if self.eval_steps else ""
        elif name and name not in metrics:
            raise ValueError(
                f"selection {name!r} is none of {', '.join(metrics) or 'no metrics'}"
                f"{meant(name, metrics)}"
            )
        way = metrics.get(name)
        if way is not None and self.selection_mode not in (None, way):
            raise ValueError(
                f"selection_mode {self.selection_mode!r} would keep the worst variables: {name} is "
                f"better the {'larger' if way == 'max' else 'smaller'} it is; leave it out"
            )
        # "max" for no selection at all, where nothing reads it.
        mode = self.selection_mode or metrics.get(name, "max")
        return dataclasses.replace(
            self, selection=name, selection_mode=mode, eval_every=self.eval_steps
        )


_LOWEST = {
    "steps": 1,
    "batch_size": 1,
    "learning_rate": 0,
    "schedule_every": 0,
    "warmup_steps": 0,
    "weight_decay": 0,
    "clip_norm": 0,
    "accumulate": 1,
    "eval_every": 0,
    "eval_batch_size": 0,
    "eval_batches": 0,
    "patience": 0,
    "checkpoint_every": 1,
    "keep": 1,
    "log_every": 1,
    "seed": 0,
    "workers": 0,
}
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "schedule": ("constant", "cosine", "half_linear"),
    "optimizer": ("adam", "amsgrad", "adamw"),
    "precision": ("float32", "bfloat16"),
    "selection_mode": ("max", "min", None),
}
