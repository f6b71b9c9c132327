"""The choices of one training run, checked when they are made."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fairrecon_jax.types import Precision

FREE_FIELDS = ("workers", "checkpoint_every", "keep", "log_every", "tensorboard")
"""Fields that may change when a run continues: none of them changes a parameter."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The choices of one training run.

    Attributes:
      steps: optimiser steps in all.
      batch_size: examples a step, over all devices and processes.
      learning_rate: peak rate.
      schedule: "constant" or "cosine" (to 0 at the last step), after the warm-up.
      warmup_steps: steps of linear rise from 0 to the peak.
      optimizer: "adam" or "adamw" (decoupled weight decay).
      b1: decay of the first moment.
      weight_decay: decoupled with "adamw", added to the gradient (L2) with "adam".
      clip_norm: largest global norm of a network's gradient; 0 = no clipping.
      ema: decay of the moving average of the parameters (bias corrected); 0 = none. Where it is on,
        the averages are judged and returned.
      precision: "float32", or "bfloat16" computation on float32 parameters.
      eval_every: steps between evaluations on the validation source; 0 = never.
      eval_batch_size: examples an evaluation batch; 0 = batch_size.
      eval_batches: evaluate on at most so many batches, from the start; 0 = on everything.
      selection: name of the validation metric that picks the best variables; "" = the last ones are
        returned.
      selection_mode: "max" or "min".
      patience: stop after so many evaluations in a row without a better one; 0 = never.
      checkpoint_every: steps between checkpoints.
      keep: latest checkpoints kept, beside the best.
      log_every: steps whose mean makes one line of metrics.
      seed: of initial parameters, order of examples and all noise.
      workers: reading processes of the loader; 0 = threads of this one.
      tensorboard: write TensorBoard events too (needs the extra "tensorboard").
    """

    steps: int
    batch_size: int
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = 0
    optimizer: Literal["adam", "adamw"] = "adam"
    b1: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    ema: float = 0.0
    precision: Precision = "float32"
    eval_every: int = 0
    eval_batch_size: int = 0
    eval_batches: int = 0
    selection: str = ""
    selection_mode: Literal["max", "min"] = "max"
    patience: int = 0
    checkpoint_every: int = 500
    keep: int = 2
    log_every: int = 50
    seed: int = 0
    workers: int = 0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for field, lowest in _LOWEST.items():
            if getattr(self, field) < lowest:
                raise ValueError(f"{field} must be at least {lowest}, got {getattr(self, field)}")
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"{field} must be one of {', '.join(choices)}, got {getattr(self, field)!r}"
                )
        for field in ("ema", "b1"):
            if not 0 <= getattr(self, field) < 1:
                raise ValueError(f"{field} must lie in [0, 1), got {getattr(self, field)}")
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) must be fewer than steps ({self.steps})"
            )
        if self.patience and not self.selection:
            raise ValueError("patience needs a selection metric")
        if self.selection and not self.eval_every:
            raise ValueError(
                f"selection {self.selection!r} needs eval_every > 0: without evaluations "
                "nothing can be selected"
            )

    @property
    def eval_size(self) -> int:
        """Examples an evaluation batch."""
        return self.eval_batch_size or self.batch_size


_LOWEST = {
    "steps": 1,
    "batch_size": 1,
    "learning_rate": 0,
    "warmup_steps": 0,
    "weight_decay": 0,
    "clip_norm": 0,
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
_CHOICES = {
    "schedule": ("constant", "cosine"),
    "optimizer": ("adam", "adamw"),
    "precision": ("float32", "bfloat16"),
    "selection_mode": ("max", "min"),
}
